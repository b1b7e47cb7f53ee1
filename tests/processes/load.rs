//! The parts that carry load: one producer, consumers of every policy. Both go on over anything short of death.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, LossAccount, Observer, Producer, RecvError, Start};
use support::dice::mix;

use crate::oracle::{Oracle, Tally};
use crate::process::{Part, say};
use crate::ways::{batch, claim_and_drop, claim_and_fill, try_until_sent};

/// A number on disk (on tmpfs, rather) that survives the process: what it had noted when it was killed.
#[derive(Debug)]
pub(crate) struct Notebook(File);

impl Notebook {
    pub(crate) fn open(path: PathBuf) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        Self(file.expect("open a notebook"))
    }

    pub(crate) fn read(&self) -> u64 {
        let mut bytes = [0; 8];
        match self.0.read_at(&mut bytes, 0).expect("read a notebook") {
            8 => u64::from_le_bytes(bytes),
            _ => 0,
        }
    }

    /// One short write: a kill leaves the old number or the new one.
    pub(crate) fn write(&self, number: u64) {
        self.0.write_all_at(&number.to_le_bytes(), 0).expect("write a notebook");
    }
}

/// Sends records by all the ways there are.
///
/// `ring`, `max`: longest payload; `seed`; `count`: records to send, without it no end; `acks`: notebook for the
/// sequence after the last one acknowledged; `pause_us`: between two steps.
pub(crate) fn produce(part: &Part) {
    let oracle = Oracle::new(part.get("max"));
    let acks = part.find("acks").map(Notebook::open);
    let pause = part.find("pause_us").map(Duration::from_micros);
    let mut dice: u64 = part.get("seed");
    let mut producer = Producer::open(part.ring()).expect("become the producer");
    let first = producer.next_sequence();
    say(format_args!("ready {first} {}", producer.epoch()));
    let end = part.find::<u64>("count").map_or(u64::MAX, |count| first + count);
    let mut payload = Vec::new();
    let mut steps = 0;
    while producer.next_sequence() < end {
        dice = mix(dice);
        let left = end - producer.next_sequence();
        match dice % 8 {
            0 => claim_and_fill(&mut producer, &oracle),
            1 => claim_and_drop(&mut producer, &oracle, dice),
            2 | 3 => batch(&mut producer, &oracle, ((dice >> 32) % 20).min(left), &mut payload),
            4 => try_until_sent(&mut producer, &oracle, &mut payload),
            _ => {
                for _ in 0..(1 + (dice >> 32) % 10).min(left) {
                    let next = producer.next_sequence();
                    oracle.fill(next, &mut payload);
                    assert_eq!(producer.send(&payload), Ok(next));
                }
            }
        }
        steps += 1;
        if steps % 4 == 0
            && let Some(acks) = &acks
        {
            acks.write(producer.next_sequence());
        }
        if let Some(pause) = pause {
            sleep(pause);
        }
    }
    say(format_args!("done {}", producer.next_sequence()));
}

enum Reader {
    Consumer(Consumer),
    Observer(Observer),
}

impl Reader {
    fn open(part: &Part) -> Self {
        let start = match part.find::<String>("start").as_deref() {
            Some("oldest") => Start::Oldest,
            _ => Start::Newest,
        };
        let mut attach = match part.get::<String>("policy").as_str() {
            "gated" => Attach::gated(),
            "gated for" => Attach::gated_for(Duration::from_millis(part.get("patience_ms"))),
            "lossy" => Attach::lossy(),
            "observer" => return Self::Observer(Observer::open(part.ring(), start).expect("observe")),
            other => panic!("no such policy: {other}"),
        };
        attach = attach.start(start);
        if let Some(name) = part.find::<String>("name") {
            attach = attach.name(name);
        }
        if part.find("held") == Some(true) {
            attach = attach.hold_forever();
        }
        Self::Consumer(Consumer::open(part.ring(), &attach).expect("attach"))
    }

    /// One that releases late must not wait for ever: the producer may be waiting for that release.
    fn recv(&mut self, releases_late: bool) -> Result<Option<Event<'_>>, RecvError> {
        let soon = Instant::now() + Duration::from_millis(2);
        match (self, releases_late) {
            (Self::Consumer(consumer), true) => match consumer.recv_deadline(soon) {
                Err(RecvError::TimedOut) => Ok(None),
                event => event.map(Some),
            },
            (Self::Consumer(consumer), false) => consumer.recv().map(Some),
            (Self::Observer(observer), _) => observer.recv().map(Some),
        }
    }

    fn set_spins(&mut self, spins: u32) {
        match self {
            Self::Consumer(consumer) => consumer.set_spins(spins),
            Self::Observer(observer) => observer.set_spins(spins),
        }
    }

    fn next_sequence(&self) -> u64 {
        match self {
            Self::Consumer(consumer) => consumer.next_sequence(),
            Self::Observer(observer) => observer.next_sequence(),
        }
    }

    fn account(&self) -> Option<LossAccount> {
        match self {
            Self::Consumer(consumer) => Some(consumer.account()),
            Self::Observer(_) => None,
        }
    }
}

/// Receives until a producer closes the ring. Checks every event.
///
/// `ring`, `max`, `policy`, `patience_ms`, `start`, `name`, `held`, `spins`; `nap_every` so many records, for
/// `nap_us`; `progress`: notebook for the sequence after the last one processed; `keep`: release after so many
/// records, and note then, in place of noting each; `tell_gone`: say so when the producer is gone;
/// `tell_changes`: say `changed EPOCH NEXT` at each change of the producer.
pub(crate) fn consume(part: &Part) {
    let progress = part.find("progress").map(Notebook::open);
    let keep = part.find::<u64>("keep");
    let nap_every = part.find::<u64>("nap_every").unwrap_or(u64::MAX);
    let nap = Duration::from_micros(part.find("nap_us").unwrap_or(0));
    let oracle = Oracle::new(part.get("max"));
    let mut reader = Reader::open(part);
    if let Some(spins) = part.find("spins") {
        reader.set_spins(spins);
    }
    let mut next = reader.next_sequence();
    let mut has_been_here = false;
    if let (Reader::Consumer(consumer), Some(progress)) = (&mut reader, &progress) {
        consumer.keep(keep.is_some());
        // The notebook holds one more than the sequence, so that 0 stands for nothing noted.
        let noted = progress.read();
        match consumer.resumed() {
            Some(resumed) => {
                has_been_here = true;
                next = resumed.lost.map_or(next, |loss| loss.first);
                assert!(noted == 0 || next < noted, "resumed at {next}: a hole from {} on", noted - 1);
            }
            None => assert_eq!(noted, 0, "a name that had been here does not find its place"),
        }
        progress.write(next + 1);
    }
    say(format_args!("ready {next} {}", u8::from(has_been_here)));
    let mut tally = Tally::new(oracle, next, has_been_here);
    let tell_gone = part.find("tell_gone") == Some(true);
    let tell_changes = part.find("tell_changes") == Some(true);
    let mut gone = 0;
    let mut unreleased = 0;
    loop {
        let got = match reader.recv(keep.is_some()) {
            Ok(Some(event)) => {
                tally.take(&event);
                if let Event::ProducerChanged { epoch } = event
                    && tell_changes
                {
                    say(format_args!("changed {epoch} {}", tally.next));
                }
                true
            }
            Ok(None) => false,
            Err(RecvError::ProducerGone) => {
                gone += 1;
                if tell_gone {
                    say("gone");
                }
                false
            }
            Err(RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        };
        unreleased += u64::from(got);
        if let (Reader::Consumer(consumer), Some(progress)) = (&mut reader, &progress) {
            match keep {
                Some(most) if unreleased >= most || !got => {
                    progress.write(tally.next + 1);
                    consumer.release();
                    unreleased = 0;
                }
                None if got => progress.write(tally.next + 1),
                _ => {}
            }
        }
        if got && tally.delivered.is_multiple_of(nap_every) {
            sleep(nap);
        }
    }
    if let Some(account) = reader.account()
        && !has_been_here
    {
        tally.check_account(&account);
    }
    say(format_args!("done {tally} {gone}"));
}
