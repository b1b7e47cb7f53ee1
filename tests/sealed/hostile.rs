//! Consumers that mean harm.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memmap2::MmapOptions;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Uid, setuid};
use quoit::{Attach, Event, Options, Ring, Start};
use rustix::fs::{FallocateFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate};

use crate::hand_over::{descriptors, hand_over, payload};
use crate::process::{Part, Stage, hear, note, say};

/// Somebody who has no other right here than that to the descriptors.
const NOBODY: u32 = 65534;

fn user_ids() -> Vec<Option<u32>> {
    if Uid::effective().is_root() {
        return vec![None, Some(NOBODY)];
    }
    note("SKIPPED, not root: hostile peers under another user id");
    vec![None]
}

fn become_user(part: &Part) {
    if let Some(id) = part.find("uid") {
        setuid(Uid::from_raw(id)).expect("setuid");
        // It undoes what was set for the child: see to it again that nothing is left behind.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).expect("prctl");
    }
}

/// Every way to write, cut or hollow out what was published is refused by the kernel, to every peer.
#[test]
fn records_cannot_be_touched() {
    for uid in user_ids() {
        let stage = Stage::tmpfs(60);
        let listener = UnixListener::bind(stage.file("socket")).expect("listen");
        let (mut producer, ring) = Ring::sealed(&Options::new().capacity(1 << 16)).expect("create");
        for sequence in 0..20 {
            producer.send(&payload(sequence)).expect("send");
        }
        let part = Part::new("write").with("socket", stage.file("socket").display());
        let mut hostile = match uid {
            Some(id) => part.with("uid", id).start(),
            None => part.start(),
        };
        hand_over(&listener, &ring);
        let refusals = hostile.says("refused")[0];
        assert!(refusals >= 18, "{refusals} ways tried as {uid:?}");
        hostile.finish();
        // Nothing happened to any of it.
        let mut consumer = ring.consumer(&Attach::lossy().start(Start::Oldest)).expect("attach");
        for sequence in 0..20 {
            let Ok(Event::Record(record)) = consumer.recv() else { panic!("a record") };
            assert!(record.sequence() == sequence && record.to_vec() == payload(sequence));
        }
        producer.send(b"and on").expect("send");
    }
}

pub(crate) fn write(part: &Part) {
    let (records, control) = descriptors(&part.get::<PathBuf>("socket"));
    become_user(part);
    let mut refused = attack(records.as_fd(), false);
    // The mode lets the owner and others only read; root may do as it likes, and gets no further.
    match File::options().read(true).write(true).open(format!("/proc/self/fd/{}", records.as_raw_fd())) {
        Ok(writable) => refused += attack(writable.as_fd(), true),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
            refused += attack(records.as_fd(), false);
        }
    }
    // Of the control area, only the size and the seals.
    assert_eq!(ftruncate(&control, 0), Err(rustix::io::Errno::PERM));
    assert_eq!(ftruncate(&control, 1 << 20), Err(rustix::io::Errno::PERM));
    assert_eq!(fcntl_add_seals(&control, SealFlags::WRITE), Err(rustix::io::Errno::PERM));
    say(format_args!("refused {}", refused + 3));
}

/// Tries all there is. Returns how much was refused, which is everything.
fn attack(records: BorrowedFd<'_>, writable: bool) -> u64 {
    use rustix::io::Errno as E;
    let file = File::from(records.try_clone_to_owned().expect("duplicate"));
    let bytes = file.metadata().expect("metadata").len();
    let refusals = if writable { vec![E::PERM] } else { vec![E::BADF, E::INVAL, E::PERM] };
    let check = |what: &str, result: Result<(), E>| {
        let errno = result.expect_err(what);
        assert!(refusals.contains(&errno), "{what}: {errno}");
        1
    };
    let mut refused = 0;
    refused += check("write", rustix::io::write(records, &[0; 8]).map(drop));
    refused += check("pwrite", rustix::io::pwrite(records, &[0; 8], 4096).map(drop));
    refused += check("cut", ftruncate(records, 4096));
    refused += check("grow", ftruncate(records, 2 * bytes));
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    refused += check("punch a hole", fallocate(records, hole, 4096, 4096));
    refused +=
        check("zero a range", fallocate(records, FallocateFlags::ZERO_RANGE, 0, 4096).map_err(unsupported));
    refused += check("allocate", fallocate(records, FallocateFlags::empty(), bytes, 4096));
    let more = fcntl_add_seals(records, SealFlags::WRITE);
    refused += check("another seal", more);
    let map = MmapOptions::new().map_raw(&file);
    let errno = Errno::from_raw(map.err().and_then(|error| error.raw_os_error()).expect("map it to write"));
    assert!(matches!(errno, Errno::EPERM | Errno::EACCES), "{errno}");
    let map = MmapOptions::new().map_raw_read_only(&file).expect("map it to read");
    // SAFETY: our own map, of which nobody holds a reference.
    let changed =
        unsafe { libc::mprotect(map.as_mut_ptr().cast(), map.len(), libc::PROT_READ | libc::PROT_WRITE) };
    assert_eq!((changed, Errno::last()), (-1, Errno::EACCES), "make the map writable");
    // SAFETY: as above; the pages would read as zeros.
    let removed = unsafe { libc::madvise(map.as_mut_ptr().cast(), map.len(), libc::MADV_REMOVE) };
    assert_eq!(removed, -1, "hollow it out through the map");
    // The file is what it was.
    assert_eq!(file.metadata().expect("metadata").len(), bytes);
    let mut magic = [0; 8];
    file.read_exact_at(&mut magic, 0).expect("read");
    assert_eq!(&magic, b"quoit\r\n\x1a");
    refused + 3
}

/// tmpfs has no such thing for anybody, which is as good.
fn unsupported(errno: rustix::io::Errno) -> rustix::io::Errno {
    match errno {
        rustix::io::Errno::OPNOTSUPP => rustix::io::Errno::PERM,
        other => other,
    }
}

/// The control area is scribbled on, mapped over with garbage, and hollowed out, while a producer publishes and honest
/// consumers follow: no wrong record, nobody dies, and the producer goes on, since it has a hard limit.
#[test]
fn the_control_area_is_anybodys() {
    for uid in user_ids() {
        let stage = Stage::tmpfs(100);
        let listener = UnixListener::bind(stage.file("socket")).expect("listen");
        let options = Options::new().capacity(1 << 16).slots(8).hard_limit(Duration::from_millis(2));
        let (mut producer, ring) = Ring::sealed(&options).expect("create");
        // Attached before the slots are fought over.
        let mut consumers: Vec<_> = [Attach::lossy(), Attach::gated()]
            .map(|attach| ring.consumer(&attach.start(Start::Oldest)).expect("attach"))
            .into();
        let mut observer = ring.observer(Start::Oldest).expect("observe");
        let part = Part::new("scribble").with("socket", stage.file("socket").display());
        let mut hostile = match uid {
            Some(id) => part.with("uid", id).start(),
            None => part.start(),
        };
        hand_over(&listener, &ring);
        hostile.says("up");
        let start = Instant::now();
        let mut nexts = [0; 3];
        let mut received = 0;
        let mut sent = 0;
        while start.elapsed() < Duration::from_secs(2) || sent < 5_000 {
            assert_eq!(producer.send(&payload(sent)), Ok(sent));
            sent += 1;
            if sent % 7 != 0 {
                continue;
            }
            let mut feed = |next: &mut u64, event: Event<'_>| match event {
                Event::Record(record) => {
                    assert_eq!(record.sequence(), *next);
                    assert!(record.to_vec() == payload(*next), "record {next}");
                    (*next, received) = (*next + 1, received + 1);
                }
                Event::Lost(loss) => {
                    assert_eq!(loss.first, *next);
                    *next = loss.next;
                }
                // Anybody can say so.
                Event::Evicted => {}
                Event::ProducerChanged { .. } => panic!("nobody can take over"),
                _ => unreachable!("no other kind is known here"),
            };
            for (consumer, next) in consumers.iter_mut().zip(&mut nexts) {
                consumer.drain(20, |event| feed(next, event)).expect("receive");
            }
            observer.drain(20, |event| feed(&mut nexts[2], event)).expect("receive");
            // A look shows nonsense, and no more.
            if sent % 700 == 0 {
                let snapshot = ring.inspector().expect("inspect").snapshot().expect("snapshot");
                assert!(snapshot.producer_alive);
                assert_eq!(snapshot.next_sequence, sent);
            }
        }
        hostile.tell("stop");
        let [scribbles, holes] = hostile.says("scribbled")[..] else { panic!("two numbers") };
        hostile.finish();
        assert!(scribbles > 1000 && holes > 10, "{scribbles} scribbles, {holes} holes");
        assert!(received > 0);
        note(format_args!(
            "{scribbles} scribbles and {holes} holes as {uid:?}: {sent} sent, {received} received whole by three"
        ));
    }
}

pub(crate) fn scribble(part: &Part) {
    let (_records, control): (OwnedFd, OwnedFd) = descriptors(&part.get::<PathBuf>("socket"));
    become_user(part);
    let file = File::from(control);
    let map = MmapOptions::new().map_raw(&file).expect("map the control area");
    let words = map.len() / 8;
    let base: *mut u64 = map.as_mut_ptr().cast();
    say("up");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            hear();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
        let (mut scribbles, mut holes) = (0u64, 0u64);
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let word = (dice >> 8) as usize % words;
            // Gates that open, cursors near and far, noise.
            let value = match dice % 5 {
                0 => 3,
                1 => 0,
                2 => dice & 0xffff_fff8,
                3 => u64::MAX,
                _ => dice,
            };
            // SAFETY: inside our own map.
            let there = unsafe { base.add(word) };
            // SAFETY: likewise, and aligned.
            unsafe { there.write_volatile(value) };
            scribbles += 1;
            if dice.is_multiple_of(4096) {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&file, hole, 0, map.len() as u64).expect("punch a hole");
                holes += 1;
            }
        }
        say(format_args!("scribbled {scribbles} {holes}"));
    });
}

/// The control area through a descriptor of it.
struct Control(File);

impl Control {
    fn of(ring: &quoit::Ring) -> Self {
        Self(File::from(ring.control().unwrap().try_clone_to_owned().expect("duplicate")))
    }

    fn set(&self, slot: u64, at: u64, value: u64) {
        self.0.write_all_at(&value.to_le_bytes(), support::offsets::slot(slot) + at).expect("write");
    }

    /// A gate of nobody at position 0, under a name, to be held for ever.
    fn pose(&self, slot: u64, generation: u64) {
        for (at, value) in [(8, 0), (24, u64::MAX), (128, 1), (0, generation << 8 | 3)] {
            self.set(slot, at, value);
        }
    }
}

const SOON: Duration = Duration::from_secs(20);

fn sends(producer: &mut quoit::Producer, records: u64) {
    for _ in 0..records {
        producer.send_deadline(&[0; 56], Instant::now() + SOON).expect("nobody who lives is in the way");
    }
}

/// What a consumer wrote outlives it, and says that there is a name to be waited for: no lock, no gate.
#[test]
fn what_is_not_locked_holds_nobody_up() {
    for options in [Options::new(), Options::new().hard_limit(Duration::from_secs(3600))] {
        let (mut producer, ring) = Ring::sealed(&options.capacity(4096).slots(2)).expect("create");
        let control = Control::of(&ring);
        for generation in 1..4 {
            control.pose(0, generation);
            control.pose(1, generation);
            sends(&mut producer, 200);
        }
        // One that left of its own, but found a hold in its slot.
        for _ in 0..3 {
            let consumer = ring.consumer(&Attach::gated()).expect("attach");
            control.set(u64::from(consumer.slot()), 24, u64::MAX);
            control.set(u64::from(consumer.slot()), 128, 1);
            while producer.try_send(&[0; 56]).is_ok() {}
            drop(consumer);
            sends(&mut producer, 200);
        }
        // And rewritten all the time by somebody who lives elsewhere.
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut generation = 10;
                while !stop.load(Ordering::Relaxed) {
                    control.pose(0, generation);
                    generation += 1;
                }
            });
            sends(&mut producer, 1000);
            stop.store(true, Ordering::Relaxed);
        });
    }
}

/// Nothing that is written into a slot keeps it from whoever has its lock.
#[test]
fn a_slot_whose_lock_is_free_can_be_had() {
    let (mut producer, ring) = Ring::sealed(&Options::new().capacity(4096).slots(2)).expect("create");
    let control = Control::of(&ring);
    for state in [0, 1, 2, 3, 4, 5, 77] {
        for slot in 0..2 {
            control.set(slot, 128, 1);
            control.set(slot, 0, state);
        }
        let mut both = [0, 1].map(|_| ring.consumer(&Attach::gated()).expect("attach"));
        assert!(matches!(ring.consumer(&Attach::lossy()), Err(quoit::Error::SlotsTaken { saved: 0, .. })));
        producer.send(b"for both").expect("send");
        for consumer in &mut both {
            assert!(matches!(consumer.recv().expect("receive"), Event::Record(_)));
        }
    }
}

/// A living consumer has its hard limit once in a lap, whatever it writes: a gate opened anew, as often as it likes, by
/// itself or in turns with another.
#[test]
fn a_limit_is_a_slots_and_not_a_gates() {
    // Longer than whoever attacks is kept from it by a busy machine.
    let limit = Duration::from_millis(50);
    for (pause, in_turns) in [
        (Duration::ZERO, false),
        (Duration::from_micros(200), false),
        (Duration::from_millis(1), false),
        (Duration::from_millis(10), false),
        (Duration::ZERO, true),
        (Duration::from_millis(1), true),
    ] {
        let (mut producer, ring) =
            Ring::sealed(&Options::new().capacity(4096).slots(2).hard_limit(limit)).expect("create");
        let control = Control::of(&ring);
        let _alive = [0, 1].map(|_| ring.consumer(&Attach::gated()).expect("attach"));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for generation in 100.. {
                    let slot = if in_turns { generation % 2 } else { 0 };
                    control.set(slot, 8, 0);
                    control.set(slot, 0, generation << 8 | 3);
                    if in_turns {
                        control.set(1 - slot, 0, generation << 8 | 2);
                    }
                    std::thread::sleep(pause);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            // Waiting, and not waiting: three laps of each, in which two slots have 50 ms each.
            let ends = Instant::now() + Duration::from_secs(8);
            for waits in [true, false] {
                for _ in 0..192 {
                    while match waits {
                        true => producer.send_deadline(&[0; 56], ends).is_err(),
                        false => producer.try_send(&[0; 56]).is_err(),
                    } {
                        let is_over = Instant::now() >= ends;
                        stop.store(is_over, Ordering::Relaxed);
                        assert!(!is_over, "{pause:?}, in turns: {in_turns}, waits: {waits}: for ever");
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

/// Nobody is asked to evict on such a ring, where each could ask for the others to go.
#[test]
fn nobody_is_evicted_on_request() {
    let (mut producer, ring) = Ring::sealed(&Options::new().capacity(4096).slots(2)).expect("create");
    let control = Control::of(&ring);
    let consumer = ring.consumer(&Attach::gated()).expect("attach");
    while producer.try_send(&[0; 56]).is_ok() {}
    let mut state = [0; 8];
    control.0.read_exact_at(&mut state, 256).expect("read");
    control.set(0, 32, u64::from_le_bytes(state));
    producer.send_deadline(&[0; 56], Instant::now() + Duration::from_millis(20)).expect_err("it holds");
    // Its own producer may, as it could close the ring; and a gate opened anew does not count for a lap.
    producer.evict(consumer.slot()).expect("a gate");
    for generation in 10..74 {
        control.set(0, 8, 0);
        control.set(0, 0, generation << 8 | 3);
        producer.try_send(&[0; 56]).expect("it had its turn");
    }
}
