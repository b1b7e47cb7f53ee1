//! Files cut short while every role is at work.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use quoit::{
    Attach, Consumer, Error, Event, Inspector, Observer, Options, Producer, RecvError, SendError, Start,
};

use crate::process::{Part, Process, SOON, Stage, hear, note, say};

const CAPACITY: u64 = 1 << 16;
const PAGE: u64 = 4096;
/// Where the areas begin: head, control, data, and the end of the file. Those of `docs/format.md`, for 4 slots.
const HEAD: u64 = 0;
const CONTROL: u64 = 2 * PAGE;
const DATA: u64 = 3 * PAGE;
const END: u64 = DATA + CAPACITY;

/// Nothing comes any more.
const LULL: Duration = Duration::from_millis(300);

const ROLES: [&str; 5] = ["producer", "gated", "lossy", "observer", "inspector"];

fn options() -> Options {
    Options::new().capacity(CAPACITY).slots(4)
}

fn cut(ring: &Path, bytes: u64) {
    File::options().write(true).open(ring).expect("open").set_len(bytes).expect("cut");
}

/// Bytes that depend on the sequence alone; never 0.
fn payload(sequence: u64) -> Vec<u8> {
    let len = 1 + (sequence.wrapping_mul(0x9e37_79b9) >> 7) as usize % 3000;
    (0..len).map(|at| (sequence as usize * 31 + at) as u8 | 1).collect()
}

/// How a role came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// `Truncated`, and so said every later call.
    Told,
    /// It never touched what is gone: the producer ended first, or never came.
    Survived,
    /// The file was no ring any more when it was opened.
    NotOpened,
    /// Cut within a page: the kernel fills the rest of the page with zeros, without a fault.
    Zeros,
}

const ENDS: [End; 4] = [End::Told, End::Survived, End::NotOpened, End::Zeros];

/// Says on a failure which round it was, and what the file was cut to.
struct Told(u64, u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            note(format_args!("failed in round {}, cut to {} bytes", self.0, self.1));
        }
    }
}

/// Files are cut to every kind of length, at random moments of a stream with all roles attached. Nobody dies, nobody is
/// handed a record that was never sent, everybody who touches what is gone is told.
#[test]
fn files_are_cut_under_every_role() {
    let rounds = std::env::var("QUOIT_TRUNCATIONS").map_or(40, |text| text.parse().expect("a number"));
    let stage = Stage::tmpfs(120 + rounds / 4);
    let start = Instant::now();
    let part = |role| Part::new("play").with("guard", true).with("role", role);
    let mut players: Vec<_> = ROLES.iter().map(|role| (*role, part(role).start())).collect();
    let mut ends = BTreeMap::new();
    let mut received = 0;
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = |limit: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % limit
    };
    for round in 0..rounds {
        let ring = stage.file(&format!("ring-{round}"));
        options().create(&ring).expect("create");
        let mut even = roll(2) == 0;
        let bytes = match roll(6) {
            0 => 0,
            1 => PAGE,
            2 => CONTROL,
            3 => DATA,
            // At least the last page goes as a whole: less than that raises nothing.
            _ => roll(END / PAGE - 1) * PAGE,
        };
        // A cursor that became zero would hold the producer up for good, and nobody would touch what is gone.
        let bytes = if even || bytes == CONTROL { bytes } else { bytes + roll(PAGE) };
        even |= bytes.is_multiple_of(PAGE);
        let _told = Told(round, bytes);
        for (_, player) in &mut players {
            player.tell(format_args!("{} {}", u8::from(even), ring.display()));
        }
        // Mostly in the stream, now and then while they open and attach.
        let attached = roll(8) != 0;
        if attached {
            players.iter_mut().for_each(|(_, player)| drop(player.says("up")));
        }
        std::thread::sleep(Duration::from_micros(roll(600)));
        cut(&ring, bytes);
        if !attached {
            players.iter_mut().for_each(|(_, player)| drop(player.says("up")));
        }
        for (role, player) in &mut players {
            let [end, records] = player.says("end")[..] else { panic!("two numbers") };
            let end = ENDS[end as usize];
            let allowed = match end {
                End::Told => true,
                End::Survived => *role != "producer",
                End::NotOpened => !attached,
                End::Zeros => !even && *role != "producer",
            };
            assert!(allowed, "round {round}, {role}, cut to {bytes}: {end:?}");
            *ends.entry((*role, end)).or_insert(0) += 1;
            received += records;
        }
        std::fs::remove_file(ring).expect("remove");
    }
    players.into_iter().for_each(|(_, player)| player.finish());
    for role in ROLES {
        let told = ends.get(&(role, End::Told)).copied().unwrap_or(0);
        assert!(told > 0, "{role} was never told: {ends:?}");
    }
    note(format_args!(
        "{rounds} files cut under 5 roles: {ends:?}; {received} records received whole; {:.1} s",
        start.elapsed().as_secs_f64()
    ));
}

/// One role, on one ring after another, until nobody tells of another.
pub(crate) fn play(part: &Part) {
    let role: String = part.get("role");
    loop {
        let line = hear();
        let (even, ring) = line.split_once(' ').expect("a ring");
        let (end, records) = match open(&role, Path::new(ring)) {
            Ok(mut handle) => {
                say("up");
                handle.run(even == "1")
            }
            Err(error) => {
                assert!(is_of_a_cut_file(&error), "{role}: {error:?}");
                say("up");
                (End::NotOpened, 0)
            }
        };
        say(format_args!("end {} {records}", end as u8));
    }
}

fn is_of_a_cut_file(error: &Error) -> bool {
    use Error::{Damaged, NotARing, Sparse, TooShort, Truncated, WrongSize};
    matches!(
        error,
        TooShort { .. }
            | WrongSize { .. }
            | Sparse { .. }
            | NotARing { .. }
            | Damaged { .. }
            | Truncated
            | Error::Corrupt(_)
    )
}

#[derive(Debug)]
enum Handle {
    Producer(Producer),
    Consumer(Consumer),
    Observer(Observer),
    Inspector(Inspector),
}

fn open(role: &str, ring: &Path) -> Result<Handle, Error> {
    Ok(match role {
        "producer" => Handle::Producer(Producer::open(ring)?),
        "gated" => Handle::Consumer(Consumer::open(ring, &Attach::gated().start(Start::Oldest))?),
        "lossy" => Handle::Consumer(Consumer::open(ring, &Attach::lossy().start(Start::Oldest))?),
        "observer" => Handle::Observer(Observer::open(ring, Start::Oldest)?),
        _ => Handle::Inspector(Inspector::open(ring)?),
    })
}

/// Where a reader is.
struct Progress {
    next: u64,
    records: u64,
    /// No byte of a page became zero without a fault.
    even: bool,
    /// One did.
    zeros: bool,
}

impl Progress {
    fn feed(&mut self, event: Event<'_>) {
        match event {
            Event::Record(record) => {
                let (got, sent) = (record.to_vec(), payload(record.sequence()));
                if got != sent {
                    let zeroed = got.len() == sent.len()
                        && got.iter().zip(&sent).all(|(got, sent)| got == sent || *got == 0);
                    assert!(!self.even && zeroed, "record {} was never sent like this", record.sequence());
                    self.zeros = true;
                }
                assert!(record.sequence() == self.next || self.records == 0, "in order");
                self.next = record.sequence() + 1;
                self.records += 1;
            }
            Event::Lost(loss) => self.next = loss.next,
            Event::Evicted | Event::ProducerChanged { .. } => {}
            _ => unreachable!("no other kind is known here"),
        }
    }

    fn end(&self, error: RecvError) -> (End, u64) {
        let end = match error {
            RecvError::Truncated => End::Told,
            RecvError::ProducerGone => End::Survived,
            RecvError::Corrupt(_) if !self.even => End::Zeros,
            other => panic!("{other:?}"),
        };
        (end, self.records)
    }
}

impl Handle {
    fn run(&mut self, even: bool) -> (End, u64) {
        let mut progress = Progress { next: 0, records: 0, even, zeros: false };
        let began = Instant::now();
        let limit = began + SOON;
        loop {
            assert!(Instant::now() < limit, "{self:?}: neither told nor ended");
            match self {
                Self::Producer(producer) => {
                    let bytes = payload(producer.next_sequence());
                    match producer.send_deadline(&bytes, limit) {
                        Ok(_) => {}
                        Err(SendError::Truncated) => {
                            // It stays like this, whatever is called.
                            assert_eq!(producer.try_send(b"x"), Err(SendError::Truncated));
                            assert!(matches!(producer.claim(8), Err(SendError::Truncated)));
                            assert_eq!(producer.batch().send(b"x"), Err(SendError::Truncated));
                            return (End::Told, 0);
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
                Self::Consumer(consumer) => {
                    match consumer.recv_timeout(LULL).map(|event| progress.feed(event)) {
                        Ok(()) => {}
                        Err(RecvError::TimedOut) if consumer.producer_alive() => {}
                        Err(RecvError::TimedOut) => return (End::Survived, progress.records),
                        Err(error) => {
                            if error == RecvError::Truncated {
                                assert!(matches!(consumer.recv(), Err(RecvError::Truncated)));
                                assert!(matches!(consumer.try_recv(), Err(RecvError::Truncated)));
                                assert!(matches!(consumer.drain(9, |_| {}), Err(RecvError::Truncated)));
                                consumer.release();
                            }
                            return progress.end(error);
                        }
                    }
                }
                Self::Observer(observer) => {
                    match observer.recv_timeout(LULL).map(|event| progress.feed(event)) {
                        Ok(()) => {}
                        Err(RecvError::TimedOut) if observer.producer_alive() => {}
                        Err(RecvError::TimedOut) => return (End::Survived, progress.records),
                        Err(error) => {
                            if error == RecvError::Truncated {
                                assert!(matches!(observer.try_recv(), Err(RecvError::Truncated)));
                            }
                            return progress.end(error);
                        }
                    }
                }
                Self::Inspector(inspector) => match inspector.snapshot() {
                    Ok(snapshot) if began.elapsed() > LULL && !snapshot.producer_alive => {
                        return (End::Survived, 0);
                    }
                    Ok(_) => {}
                    Err(Error::Truncated) => {
                        assert!(matches!(inspector.snapshot(), Err(Error::Truncated)));
                        return (End::Told, 0);
                    }
                    Err(Error::Corrupt(_)) if !even => return (End::Zeros, 0),
                    Err(error) => panic!("{error:?}"),
                },
            }
        }
    }
}

/// One role touches a file that was cut: with the guard it is told, without it is killed by SIGBUS, as documented. In
/// each role, cut to nothing, in the head, and in the data.
#[test]
fn the_guard_makes_the_difference() {
    let stage = Stage::tmpfs(120);
    for role in ROLES {
        for bytes in [HEAD, PAGE, CONTROL, DATA] {
            for guard in [true, false] {
                let ring = stage.file("ring");
                let mut producer = Producer::create(&ring, &options()).expect("create");
                // Too long for an inline copy, too short for an index entry behind it: whoever looks has to look there.
                producer.send(&[1; 200]).expect("send");
                drop(producer);
                let part = Part::new("touch").on(&ring).with("guard", guard).with("role", role);
                let mut toucher: Process = part.start();
                toucher.says("up");
                cut(&ring, bytes);
                toucher.tell("go");
                if guard {
                    assert_eq!(toucher.line(SOON), "told", "{role}, cut to {bytes}");
                    toucher.finish();
                } else {
                    let status = toucher.status_within(SOON);
                    assert_eq!(status.signal(), Some(7), "{role}, cut to {bytes}: {status:?}");
                }
                std::fs::remove_file(&ring).expect("remove");
            }
        }
    }
}

/// One call of a role, on a file that was cut while it waited.
pub(crate) fn touch(part: &Part) {
    let handle = open(&part.get::<String>("role"), &part.ring()).expect("open");
    say("up");
    hear();
    let truncated = match handle {
        Handle::Producer(mut producer) => producer.send(b"x") == Err(SendError::Truncated),
        Handle::Consumer(mut consumer) => matches!(consumer.recv(), Err(RecvError::Truncated)),
        Handle::Observer(mut observer) => matches!(observer.recv(), Err(RecvError::Truncated)),
        Handle::Inspector(inspector) => matches!(inspector.snapshot(), Err(Error::Truncated)),
    };
    assert!(truncated, "neither killed nor told: {part:?}");
    say("told");
}
