//! Records of 64 bytes, each for one of several: to the members of a group, through a channel between threads, and through
//! a pipe. One process sends, on a CPU of its own. Those that take the records share the other CPU.

use std::fs::File;
use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};
use quoit::zerocopy::IntoBytes;
use quoit::{Group, GroupError, GroupEvent, GroupMember, Producer, Start, WaitMode};
use quoit_floors::figures::{Figures, Measured};
use quoit_floors::ground::{APART, Word, sum_of};
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{partner, records};
use rustix::fs::OFlags;
use rustix::pipe::fcntl_setpipe_size;
use serde::{Deserialize, Serialize};

use super::Take;
use super::sleeping::fifo;
use crate::ends::{forget_ring, options, ring};

/// What hands the records out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Sharing {
    /// A group; a turn takes up to 16 records, which are then acknowledged.
    Group,
    /// A channel of `crossbeam-channel`, and a thread for each that takes.
    Channel,
    /// A pipe; a write gives 16 records.
    Pipe {
        /// And a read takes as many; otherwise one.
        in_batches: bool,
    },
}

const BYTES: usize = 64;
type Words = [u64; BYTES / 8];
/// Records that a sender gives, and a receiver takes, at once.
pub(crate) const BATCH: usize = 16;
/// Bytes of the ring and of the pipe, which the channel has room for as well.
const CAPACITY: usize = 1 << 20;
const GROUP: &str = "workers";

/// The sending side.
trait Gives {
    /// Sends a batch, and waits for room, busily.
    fn give(&mut self, records: &[Words; BATCH]) -> Result<()>;
}

/// A receiving side.
trait Takes {
    /// Takes what there is, at most a batch, and is done with it; returns how many these were.
    fn take(&mut self) -> Result<u64>;
}

pub(super) fn hand_out(scene: &Scene, sharing: Sharing, count: u64) -> Result<Measured> {
    let count = count.next_multiple_of(BATCH as u64);
    let measured = match sharing {
        Sharing::Group => group(scene, count)?,
        Sharing::Channel => return channel(scene, count),
        Sharing::Pipe { in_batches } => pipe(scene, count, in_batches)?,
    };
    scene.meet();
    Ok(measured)
}

/// Where each that takes records tells how many it has taken.
fn taken(scene: &Scene) -> impl Iterator<Item = &Word> {
    scene.ground.room(8 * APART * scene.members()).iter().step_by(APART).skip(1)
}

fn giving(scene: &Scene, mut sender: impl Gives, count: u64) -> Result<Measured> {
    let take = Take::new(scene);
    taken(scene).for_each(|word| word.set(0));
    scene.meet();
    let (mut sent, mut batch) = (0_u64, [[0x5a; BYTES / 8]; BATCH]);
    let mut give = || -> Result<()> {
        for _ in 0..count / BATCH as u64 {
            for record in &mut batch {
                record[0] = sent;
                sent += 1;
            }
            sender.give(black_box(&batch))?;
        }
        // The last record that is done ends the window.
        while taken(scene).map(Word::acquire).sum::<u64>() < sent {
            std::hint::spin_loop();
        }
        take.finish();
        Ok(())
    };
    scene.meet();
    give()?;
    records(scene, count, give)
}

fn taking(scene: &Scene, mut receiver: impl Takes) -> Result<Measured> {
    let take = Take::new(scene);
    scene.meet();
    let mut total = 0;
    let mine = taken(scene).nth(scene.number() - 1).ok_or_else(|| anyhow!("a member too many"))?;
    let mut window = || -> Result<()> {
        while !take.is_over() {
            match receiver.take()? {
                0 => scene.pass(),
                some => {
                    total += some;
                    mine.release(total);
                }
            }
        }
        take.next();
        Ok(())
    };
    scene.meet();
    window()?;
    partner(scene, || window().map(|()| None))
}

impl Gives for Producer {
    #[inline(always)]
    fn give(&mut self, records: &[Words; BATCH]) -> Result<()> {
        let mut batch = self.batch();
        batch.send_all(records.iter().map(IntoBytes::as_bytes))?;
        batch.publish();
        Ok(())
    }
}

struct Member {
    member: GroupMember,
    /// Long over: whoever waits until then does not.
    now: Instant,
}

impl Takes for Member {
    #[inline(always)]
    fn take(&mut self) -> Result<u64> {
        let (mut sum, mut is_odd) = (0_u64, false);
        let taken = self.member.recv_up_to_deadline(BATCH as u32, self.now, |event| {
            let read = match event {
                GroupEvent::Job(job) => sum_of::<{ BYTES / 8 }>(job.record()),
                _ => None,
            };
            match read {
                Some(read) => sum = sum.wrapping_add(read),
                None => is_odd = true,
            }
        });
        black_box(sum);
        if is_odd {
            return Err(anyhow!("a group lost records, or has others"));
        }
        match taken {
            Ok(_) => Ok(self.member.ack_all()?.into()),
            Err(GroupError::TimedOut) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

fn group(scene: &Scene, count: u64) -> Result<Measured> {
    let path = ring(scene);
    let join = || GroupMember::join(&path, &Group::new(GROUP).start(Start::Oldest));
    if scene.side == Side::Left {
        let mut producer = Producer::create(&path, &options(CAPACITY, WaitMode::default()))?;
        // It waits for room busily, as the others that send do.
        producer.set_spins(u32::MAX);
        scene.meet();
        scene.meet();
        forget_ring(scene)?;
        let mut name = path.into_os_string();
        name.push(format!(".{GROUP}.group"));
        std::fs::remove_file(name)?;
        return giving(scene, producer, count);
    }
    scene.meet();
    let mut member = join()?;
    if scene.is_crowded() {
        // It lets the others run instead.
        member.set_spins(0);
    }
    scene.meet();
    taking(scene, Member { member, now: Instant::now() })
}

impl Gives for Sender<Words> {
    #[inline(always)]
    fn give(&mut self, records: &[Words; BATCH]) -> Result<()> {
        for record in records {
            let mut record = *record;
            while let Err(error) = self.try_send(record) {
                match error {
                    TrySendError::Full(back) => record = back,
                    TrySendError::Disconnected(_) => return Err(anyhow!("nobody takes from the channel")),
                }
                std::hint::spin_loop();
            }
        }
        Ok(())
    }
}

impl Takes for Receiver<Words> {
    #[inline(always)]
    fn take(&mut self) -> Result<u64> {
        let (mut sum, mut taken) = (0_u64, 0);
        while taken < BATCH as u64 {
            match self.try_recv() {
                Ok(words) => {
                    sum = words.iter().fold(sum, |sum, word| sum.wrapping_add(*word));
                    taken += 1;
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(anyhow!("nobody gives to the channel")),
            }
        }
        black_box(sum);
        Ok(taken)
    }
}

/// Threads of the left process do what the others do elsewhere, on the same CPU; the others have nothing to do.
fn channel(scene: &Scene, count: u64) -> Result<Measured> {
    let cpus = scene.cpus();
    if scene.side == Side::Right {
        return Ok(Figures::default().into());
    }
    let (sender, receiver) = crossbeam_channel::bounded(CAPACITY / BYTES);
    thread::scope(|scope| {
        let others: Vec<_> = (1..)
            .zip(&cpus[1..])
            .map(|(number, cpu)| {
                let receiver = receiver.clone();
                let enter = scene.understudy(number, *cpu);
                scope.spawn(move || -> Result<Measured> {
                    let scene = enter()?;
                    let measured = taking(&scene, receiver)?;
                    scene.meet();
                    Ok(measured)
                })
            })
            .collect();
        let mut figures = giving(scene, sender, count)?.figures;
        scene.meet();
        for thread in others {
            match thread.join() {
                Ok(measured) => figures = figures.joined(measured?.figures),
                Err(_) => return Err(anyhow!("a receiver panicked")),
            }
        }
        Ok(figures.into())
    })
}

/// Records have one size and need no header; none of its ends blocks.
fn pipe(scene: &Scene, count: u64, in_batches: bool) -> Result<Measured> {
    let path = ring(scene);
    let open = |path: &Path| {
        File::options().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)
    };
    if scene.side == Side::Left {
        fifo(&path)?;
        let file = open(&path)?;
        fcntl_setpipe_size(&file, CAPACITY)?;
        scene.meet();
        scene.meet();
        forget_ring(scene)?;
        return giving(scene, PipeEnd { file, records: BATCH }, count);
    }
    scene.meet();
    let file = open(&path)?;
    scene.meet();
    taking(scene, PipeEnd { file, records: if in_batches { BATCH } else { 1 } })
}

struct PipeEnd {
    file: File,
    records: usize,
}

impl Gives for PipeEnd {
    fn give(&mut self, records: &[Words; BATCH]) -> Result<()> {
        let bytes = records.as_bytes();
        loop {
            match self.file.write(bytes) {
                // No more than `PIPE_BUF`: all of it, or nothing.
                Ok(written) if written == bytes.len() => return Ok(()),
                Ok(written) => return Err(anyhow!("a pipe took {written} bytes")),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Takes for PipeEnd {
    fn take(&mut self) -> Result<u64> {
        let mut room = [0; BATCH * BYTES];
        match self.file.read(&mut room[..self.records * BYTES]) {
            Ok(read) => {
                black_box(quoit_floors::ground::sum(&room[..read]));
                Ok((read / BYTES) as u64)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}
