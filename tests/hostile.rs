//! Another process that may write the file writes garbage into it, while everybody is attached. They may answer with
//! nothing, a loss, or corruption; they may not panic, hang, or take garbage for an offset. Whoever does not depend
//! on the word that was spoilt goes on exactly as before, and the producer always does.

mod common;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use common::{Backing, payload};
use quoit::{Attach, Consumer, Error, Event, Observer, Options, Producer, RecvError, Start};
use tempfile::TempDir;

#[path = "hostile/cursors.rs"]
mod cursors;
#[path = "hostile/disks.rs"]
mod disks;
#[path = "hostile/file_systems.rs"]
mod file_systems;
#[path = "hostile/holes.rs"]
mod holes;
#[path = "hostile/races.rs"]
mod races;
#[path = "hostile/records.rs"]
mod records;
#[path = "hostile/scribbles.rs"]
mod scribbles;
#[path = "hostile/slots.rs"]
mod slots;
#[path = "hostile/stages.rs"]
mod stages;

/// Byte offsets in a ring of 4 KiB and 4 slots; those of a slot's fields count from its start.
mod at {
    use support::offsets;
    pub(crate) use support::offsets::{
        ACCOUNTS, BUDGET, CLOSED, COUNTERS, CURSOR, EPOCH, EVEN_BEGAN, HOLD, INDEX, INLINE_HEADER,
        INLINE_PAYLOAD, MODE, NAME, ODD_BEGAN, PUBLISHED, RESERVE, STAMP, STATE,
    };

    pub(crate) const EVICTIONS: u64 = COUNTERS + 24;
    pub(crate) const RECLAIMS: u64 = COUNTERS + 32;
    pub(crate) const INDEX_END: u64 = INDEX + 64 * offsets::ENTRY;
    pub(crate) const DATA_WORD: u64 = offsets::CONTROL + offsets::DATA_WORD;
    pub(crate) const SPACE_WORD: u64 = offsets::CONTROL + offsets::SPACE_WORD;
    pub(crate) const SLOTS: u64 = slot(0);
    pub(crate) const SLOTS_END: u64 = slot(4);
    pub(crate) const RECORDS: u64 = offsets::CONTROL + 4096;
    pub(crate) const END: u64 = RECORDS + super::CAPACITY;

    pub(crate) const fn slot(number: u64) -> u64 {
        offsets::CONTROL + offsets::slot(number)
    }
}

const CAPACITY: u64 = 4096;
const MOST: usize = CAPACITY as usize / 2 - 8;

/// Long past what any call takes that does not wait.
const AT_ONCE: Duration = Duration::from_secs(5);

fn at_once<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    assert!(start.elapsed() < AT_ONCE, "{what} took {:?}", start.elapsed());
    result
}

/// Ends the whole run if the test that holds it is not done in time: a call that hangs cannot be got rid of.
struct Watchdog {
    // Dropped to call it off.
    _called_off: Sender<()>,
}

impl Watchdog {
    fn new() -> Self {
        let (called_off, alarm) = channel::<()>();
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        std::thread::spawn(move || {
            if alarm.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
                note(&format!("{test}: hangs; ending the whole run"));
                std::process::exit(101);
            }
        });
        Self { _called_off: called_off }
    }
}

/// What may be seen of a test that passes: not through `eprintln`, which the harness keeps to itself.
fn note(line: &str) {
    let _ = std::io::stderr().write_all(format!("hostile: {line}\n").as_bytes());
}

/// A ring, and the hands of somebody else in it.
struct Victim {
    path: PathBuf,
    file: File,
    image: Vec<u8>,
    _directory: TempDir,
    _watchdog: Watchdog,
}

fn options() -> Options {
    Options::new().capacity(CAPACITY).slots(4)
}

impl Victim {
    fn new() -> Self {
        Self::with(&options())
    }

    fn with(options: &Options) -> Self {
        let directory = Backing::Tmpfs.directory();
        let path = directory.path().join("ring");
        options.create(&path).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let image = std::fs::read(&path).unwrap();
        assert!(image.len() as u64 >= at::END);
        Self { path, file, image, _directory: directory, _watchdog: Watchdog::new() }
    }

    /// The ring as it was made.
    fn restore(&self) {
        self.file.write_all_at(&self.image, 0).unwrap();
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn set(&self, at: u64, value: u64) {
        self.file.write_all_at(&value.to_le_bytes(), at).unwrap();
    }

    fn set_all(&self, range: std::ops::Range<u64>, value: u64) {
        for at in range.step_by(8) {
            self.set(at, value);
        }
    }

    fn producer(&self) -> Producer {
        Producer::open(&self.path).unwrap()
    }

    fn consumer(&self, attach: Attach) -> Consumer {
        Consumer::open(&self.path, &attach).unwrap()
    }

    fn observer(&self) -> Observer {
        Observer::open(&self.path, Start::Newest).unwrap()
    }

    /// One reader of every kind, each at the newest place.
    fn readers(&self) -> [Reader; 4] {
        [
            Reader::Consumer("gated", self.consumer(Attach::gated())),
            Reader::Consumer("gated for a minute", self.consumer(Attach::gated_for(Duration::from_secs(60)))),
            Reader::Consumer("lossy", self.consumer(Attach::lossy())),
            Reader::Observer(self.observer()),
        ]
    }

    /// Everybody who may come along later. Returns how many were let in.
    fn newcomers(&self, sequence: u64) -> usize {
        let attach = |attach: &Attach| Consumer::open(&self.path, attach).map(drop);
        let observe = |start| Observer::open(&self.path, start).map(drop);
        let arrivals = [
            at_once("attach gated", || attach(&Attach::gated())),
            at_once("attach lossy", || attach(&Attach::lossy().start(Start::Oldest))),
            at_once("attach named", || attach(&Attach::gated().name("late").start(Start::Last(3)))),
            at_once("observe the newest", || observe(Start::Newest)),
            at_once("observe the oldest", || observe(Start::Oldest)),
            at_once("observe the last", || observe(Start::Last(u64::MAX))),
            at_once("observe a sequence", || observe(Start::Sequence(sequence))),
            at_once("inspect", || {
                let snapshot =
                    quoit::Inspector::open(&self.path).and_then(|inspector| inspector.snapshot())?;
                snapshot.corruption.map_or(Ok(()), |corruption| Err(Error::Corrupt(corruption)))
            }),
            at_once("forget", || quoit::forget(&self.path, "late")),
            at_once("produce", || Producer::open(&self.path).map(drop)),
        ];
        let is_expected = |error: &Error| {
            matches!(
                error,
                Error::Corrupt(_)
                    | Error::StartGone { .. }
                    | Error::SlotsTaken { .. }
                    | Error::NameInUse { .. }
                    | Error::NameOfGroup { .. }
                    | Error::NameFollowed { .. }
                    | Error::NameUnknown { .. }
                    | Error::ProducerAlive { .. }
            )
        };
        let mut let_in = 0;
        for arrival in arrivals {
            match arrival {
                Ok(()) => let_in += 1,
                Err(error) => assert!(is_expected(&error), "{error:?}"),
            }
        }
        let_in
    }
}

/// Consumers and observers alike.
enum Reader {
    Consumer(&'static str, Consumer),
    Observer(Observer),
}

/// An event, with what is lent copied out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Record(u64, Vec<u8>),
    Lost(quoit::Loss),
    Evicted,
    Changed(u64),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        let seen = Self::from_long(event);
        if let Self::Record(_, bytes) = &seen {
            assert!(bytes.len() <= MOST, "a record of {} bytes", bytes.len());
        }
        seen
    }
}

impl Seen {
    /// From a ring that takes longer records.
    fn from_long(event: Event<'_>) -> Self {
        match event {
            Event::Record(record) => {
                let bytes = record.to_vec();
                assert_eq!(bytes.len(), record.len());
                Self::Record(record.sequence(), bytes)
            }
            Event::Lost(loss) => Self::Lost(loss),
            Event::Evicted => Self::Evicted,
            Event::ProducerChanged { epoch } => Self::Changed(epoch),
            _ => unreachable!("no other kind is known here"),
        }
    }
}

/// `None`: nothing came in time.
fn in_time(event: Result<Event<'_>, RecvError>) -> Result<Option<Seen>, RecvError> {
    match event {
        Err(RecvError::TimedOut) => Ok(None),
        event => event.map(|event| Some(Seen::from(event))),
    }
}

impl Reader {
    fn name(&self) -> &'static str {
        match self {
            Self::Consumer(name, _) => name,
            Self::Observer(_) => "observer",
        }
    }

    /// Is it promised that nobody overwrites what it reads?
    fn is_gated(&self) -> bool {
        self.name() == "gated"
    }

    fn next_sequence(&self) -> u64 {
        match self {
            Self::Consumer(_, consumer) => consumer.next_sequence(),
            Self::Observer(observer) => observer.next_sequence(),
        }
    }

    fn look(&mut self) -> Result<Option<Seen>, RecvError> {
        at_once("try_recv", || match self {
            Self::Consumer(_, consumer) => consumer.try_recv().map(|event| event.map(Seen::from)),
            Self::Observer(observer) => observer.try_recv().map(|event| event.map(Seen::from)),
        })
    }

    fn latest(&mut self) -> Result<Option<Seen>, RecvError> {
        let seen = |record| Seen::from(Event::Record(record));
        at_once("latest", || match self {
            Self::Consumer(_, consumer) => consumer.latest(|_| {}).map(|record| record.map(seen)),
            Self::Observer(observer) => observer.latest(|_| {}).map(|record| record.map(seen)),
        })
    }

    fn wait(&mut self, timeout: Duration) -> Result<Option<Seen>, RecvError> {
        at_once("recv_timeout", || match self {
            Self::Consumer(_, consumer) => in_time(consumer.recv_timeout(timeout)),
            Self::Observer(observer) => in_time(observer.recv_timeout(timeout)),
        })
    }

    /// Must find corruption, for good, whichever way it asks.
    fn finds_corruption(&mut self) -> quoit::Corruption {
        let name = self.name();
        let corruption = match self.look() {
            Err(RecvError::Corrupt(corruption)) => corruption,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(self.look(), Err(RecvError::Corrupt(corruption)), "{name}: not for good");
        assert_eq!(self.wait(Duration::from_secs(60)), Err(RecvError::Corrupt(corruption)), "{name}: waits");
        corruption
    }

    /// Must receive exactly this next.
    fn receives(&mut self, sequence: u64, bytes: &[u8]) {
        let name = self.name();
        match self.look() {
            Ok(Some(Seen::Record(told, found))) => {
                assert_eq!(told, sequence, "{name}");
                assert!(found == bytes, "{name}: wrong bytes in {sequence}");
            }
            other => panic!("{name}: {other:?} in place of {sequence}"),
        }
    }
}

/// Sends the record that belongs to the sequence, for which there must be room.
fn send(producer: &mut Producer, len: usize) -> u64 {
    let sequence = producer.next_sequence();
    assert_eq!(at_once("try_send", || producer.try_send(&payload(sequence, len))), Ok(sequence));
    sequence
}

/// A ring is as good as new: a newcomer receives what is sent from now on.
fn is_healthy(victim: &Victim, producer: &mut Producer) {
    let mut reader = Reader::Consumer("newcomer", victim.consumer(Attach::gated()));
    let mut observer = Reader::Observer(victim.observer());
    for len in [0, 8, 104, 105, 500] {
        let sequence = send(producer, len);
        reader.receives(sequence, &payload(sequence, len));
        observer.receives(sequence, &payload(sequence, len));
    }
    assert_eq!(reader.look(), Ok(None));
}

/// Small, and random enough.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len() as u64) as usize]
    }

    /// What hurts most where `now` stands.
    fn garbage(&mut self, now: u64) -> u64 {
        match self.below(9) {
            0 => self.next(),
            1 => self.pick(&[0, 1, 2, 3, 4, 5, 7, 8, u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 31, 0x7fff_ffff]),
            2 => now ^ 1 << self.below(64),
            3 => now.wrapping_add(self.pick(&[8, CAPACITY, 2 * CAPACITY, 1 << 32, 1 << 62, 1 << 63])),
            4 => now.wrapping_sub(self.pick(&[8, CAPACITY, 2 * CAPACITY, 1 << 32, 1 << 62])),
            5 => self.below(4 * CAPACITY),
            6 => self.below(4 * CAPACITY) & !7,
            // A slot's states, and a few that are none.
            7 => now & !0xff | self.below(8),
            _ => now & 0xffff_ffff_0000_0000 | self.below(1 << 32),
        }
    }
}
