//! The processes that are killed, and those beside them that are not. Everything a reader gets is compared with the
//! oracle. Every false claim about the ring is a panic, which the supervisor receives.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Inspector, Options, Producer, RecvError, Start};
use support::dice::mix;

use super::oracle::{Oracle, Tally};
use super::page::{Inside, Page, Phase, Role};
use super::ways::{batch, claim_and_drop, claim_and_fill, try_until_sent};

/// Longest payload.
pub(super) const MAX: usize = 1_500;
/// Longest that anything may take which does not depend on others.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Records that the last producer sends before it closes the ring.
pub(super) const LAST: u64 = 500;

/// How a process reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gated,
    /// Named and held for ever; processes one record at a time.
    Held,
    /// Named and held for ever; releases after many records.
    Keeper,
    /// Named and gated, not held: what is overwritten while it is away is lost.
    Named,
    Lossy,
    /// Named and lossy.
    NamedLossy,
    /// Attaches in a different way each time, receives a little, detaches.
    Visitor,
}

impl Kind {
    fn attach(self, number: usize) -> Attach {
        let name = format!("{self:?}-{number}");
        match self {
            Self::Gated | Self::Visitor => Attach::gated(),
            Self::Held | Self::Keeper => Attach::gated().name(name).hold_forever(),
            Self::Named => Attach::gated().name(name),
            Self::Lossy => Attach::lossy().start(Start::Oldest),
            Self::NamedLossy => Attach::lossy().name(name),
        }
    }

    fn has_name(self) -> bool {
        matches!(self, Self::Held | Self::Keeper | Self::Named | Self::NamedLossy)
    }

    /// May records be lost to it?
    pub(super) fn may_lose(self) -> bool {
        matches!(self, Self::Named | Self::Lossy | Self::NamedLossy | Self::Visitor)
    }
}

/// Takes the ring over where the supervisor says that the last producer left off, and sends by all the ways there
/// are until it is killed; or until it is told to stop: then it closes the ring.
pub(super) fn produce(page: &Page, role: &Role, ring: &Path, mut dice: u64) {
    let oracle = Oracle::new(MAX);
    role.reach(Phase::Opening);
    let mut producer = role.inside(Inside::TakeOver, || Producer::open(ring)).expect("take over");
    let first = producer.next_sequence();
    assert_eq!(first, role.expected.load(Relaxed), "a successor goes on where the last producer left off");
    let epoch = role.epoch.swap(producer.epoch(), Relaxed);
    assert!(producer.epoch() > epoch, "epochs rise: {} after {epoch}", producer.epoch());
    role.begun.store(first, Relaxed);
    role.acknowledged.store(first, Relaxed);
    role.reach(Phase::Working);
    let mut payload = Vec::with_capacity(MAX);
    let mut end = u64::MAX;
    while producer.next_sequence() < end {
        if end == u64::MAX && page.stop.load(Relaxed) {
            end = producer.next_sequence() + LAST;
        }
        let next = producer.next_sequence();
        dice = mix(dice);
        match dice % 8 {
            0 => {
                role.begun.store(next + 1, Relaxed);
                role.inside(Inside::Claim, || claim_and_fill(&mut producer, &oracle));
            }
            1 => role.inside(Inside::Claim, || claim_and_drop(&mut producer, &oracle, dice)),
            2 | 3 => {
                let records = (dice >> 32) % 12;
                role.begun.store(next + records, Relaxed);
                role.inside(Inside::Batch, || batch(&mut producer, &oracle, records, &mut payload));
            }
            4 => {
                role.begun.store(next + 1, Relaxed);
                role.inside(Inside::Send, || try_until_sent(&mut producer, &oracle, &mut payload));
            }
            _ => {
                oracle.fill(next, &mut payload);
                role.begun.store(next + 1, Relaxed);
                role.inside(Inside::Send, || assert_eq!(producer.send(&payload), Ok(next)));
            }
        }
        role.acknowledged.store(producer.next_sequence(), Relaxed);
    }
    role.inside(Inside::Close, || drop(producer));
}

/// Receives until a producer closes the ring.
pub(super) fn consume(role: &Role, ring: &Path, kind: Kind, number: usize, steady: bool) {
    role.reach(Phase::Opening);
    let mut consumer =
        role.inside(Inside::Attach, || Consumer::open(ring, &kind.attach(number))).expect("attach");
    consumer.keep(kind == Kind::Keeper);
    let mut place = consumer.next_sequence();
    let mut been_here = false;
    if kind.has_name() {
        been_here = consumer.resumed().is_some();
        place = consumer.resumed().and_then(|resumed| resumed.lost).map_or(place, |loss| loss.first);
        resume(role, &consumer, place);
    } else if steady {
        assert_eq!(place, 0, "a steady consumer is there from the beginning");
    }
    let mut tally = Tally::new(Oracle::new(MAX), place, been_here);
    role.processed.store(place + 1, Relaxed);
    role.reach(Phase::Working);
    read(role, &mut consumer, &mut tally, kind, || false);
    if kind.has_name() {
        let journal = &role.journals[role.journal.load(Relaxed) as usize];
        if let Some(lost) = journal.lost_below(u64::MAX) {
            assert_eq!(consumer.account().records, lost, "losses in the account");
        }
    }
    role.inside(Inside::Detach, || drop(consumer));
}

/// Holds the place and the account that a name is given back against what its last life noted.
fn resume(role: &Role, consumer: &Consumer, place: u64) {
    let processed = role.processed.load(Relaxed);
    let was = role.journal.load(Relaxed);
    let account = consumer.account();
    let untold = consumer.resumed().and_then(|resumed| resumed.lost).map_or(0, |loss| loss.records);
    match consumer.resumed() {
        Some(_) => {
            let released = role.released.load(Relaxed);
            assert!(place >= released, "resumed at {place}, below what was released: {released}");
            assert!(
                processed == 0 || place < processed,
                "resumed at {place}: a hole from {} on",
                processed - 1
            );
            if let Some(lost) = role.journals[was as usize].lost_below(place)
                && processed > 0
            {
                assert_eq!(account.records, lost + untold, "losses before {place}: {account:?}");
                role.accounts.fetch_add(1, Relaxed);
            }
            role.resumed.fetch_add(1, Relaxed);
        }
        None => assert_eq!(processed, 0, "a name that had been here does not find its place"),
    }
    // The other journal first, and then the word that selects it: this life may end in between.
    role.journals[1 - was as usize].begin(account.records - untold);
    role.journal.store(1 - was, Relaxed);
}

/// Receives until the ring is closed (true) or `enough` says so.
fn read(
    role: &Role,
    consumer: &mut Consumer,
    tally: &mut Tally,
    kind: Kind,
    mut enough: impl FnMut() -> bool,
) -> bool {
    let keeps = kind == Kind::Keeper;
    let (mut unreleased, mut events) = (0, 0u64);
    while !enough() {
        // One that releases late must not wait for ever: the producer may be waiting for that release.
        let limit = if keeps { Duration::from_millis(2) } else { Duration::from_millis(50) };
        let got = role.inside(Inside::Receive, || match consumer.recv_timeout(limit) {
            Ok(event) => Ok(Some(taken(tally, &event))),
            Err(RecvError::TimedOut) => Ok(None),
            Err(error) => Err(error),
        });
        match got {
            Ok(Some(lost)) => {
                if let Some((next, records)) = lost {
                    role.gaps.fetch_add(1, Relaxed);
                    role.journals[role.journal.load(Relaxed) as usize].note(next, records);
                }
                events += 1;
                unreleased += 1;
                role.events.fetch_add(1, Relaxed);
                if !keeps {
                    role.processed.store(tally.next + 1, Relaxed);
                }
            }
            Ok(None) | Err(RecvError::ProducerGone) => {}
            Err(RecvError::Closed) => {
                role.processed.store(tally.next + 1, Relaxed);
                return true;
            }
            Err(error) => panic!("{kind:?}: {error}"),
        }
        if kind.has_name() && (unreleased >= 30 || (unreleased > 0 && !matches!(got, Ok(Some(_))))) {
            unreleased = 0;
            role.processed.store(tally.next + 1, Relaxed);
            role.inside(Inside::Release, || consumer.release());
            role.released.store(tally.next, Relaxed);
        }
        if matches!(kind, Kind::Lossy | Kind::NamedLossy) && events.is_multiple_of(40) {
            sleep(Duration::from_micros(100));
        }
    }
    false
}

/// Checks the event. Returns where a loss ends, and how many records it had.
#[inline]
fn taken(tally: &mut Tally, event: &Event<'_>) -> Option<(u64, u64)> {
    tally.take(event);
    match event {
        Event::Lost(loss) => Some((loss.next, loss.records)),
        _ => None,
    }
}

/// Attaches, receives a little, detaches; in every policy, again and again.
pub(super) fn visit(role: &Role, ring: &Path, mut dice: u64) {
    role.reach(Phase::Working);
    loop {
        dice = mix(dice);
        let start = match (dice >> 8) % 4 {
            0 => Start::Oldest,
            1 => Start::Last(dice >> 32 & 31),
            _ => Start::Newest,
        };
        let attach = match dice % 4 {
            0 => Attach::gated_for(Duration::from_micros(200)),
            1 => Attach::lossy(),
            _ => Attach::gated(),
        };
        let opened = role.inside(Inside::Attach, || Consumer::open(ring, &attach.start(start)));
        let mut consumer = opened.expect("attach");
        let mut tally = Tally::new(Oracle::new(MAX), consumer.next_sequence(), false);
        let mut events = (dice >> 16) % 20;
        let soon = Instant::now() + Duration::from_micros(500);
        let closed = read(role, &mut consumer, &mut tally, Kind::Visitor, || {
            events = events.saturating_sub(1);
            events == 0 || Instant::now() > soon
        });
        role.inside(Inside::Detach, || drop(consumer));
        if closed {
            return;
        }
    }
}

/// Creates rings of its own, fills them, ends them and removes them. First it looks at what the last life left:
/// nothing, or a ring that is whole.
pub(super) fn create(role: &Role, directory: &Path, number: usize, mut dice: u64) {
    role.reach(Phase::Opening);
    let path = directory.join(format!("made-{number}"));
    check_left(&path);
    role.reach(Phase::Working);
    let oracle = Oracle::new(MAX);
    let mut payload = Vec::new();
    let options = Options::new().capacity(4096).slots(2);
    loop {
        dice = mix(dice);
        let made = role.inside(Inside::Create, || match dice % 3 {
            0 => options.create(&path).and_then(|()| Producer::open(&path)),
            1 => Producer::open_or_create(&path, &options),
            _ => Producer::create(&path, &options),
        });
        let mut producer = made.expect("create");
        for sequence in 0..dice >> 32 & 7 {
            oracle.fill(sequence, &mut payload);
            assert_eq!(role.inside(Inside::Send, || producer.send(&payload)), Ok(sequence));
        }
        role.inside(Inside::Close, || drop(producer));
        std::fs::remove_file(&path).expect("remove");
    }
}

/// Removes what a dead creator left at its path, once it has proved to be a whole ring.
pub(super) fn check_left(path: &PathBuf) {
    match Inspector::open(path) {
        Ok(inspector) => {
            let snapshot = inspector.snapshot().expect("a whole ring");
            assert!(!snapshot.producer_alive, "its creator is dead");
            let mut producer = Producer::open(path).expect("take over");
            assert_eq!(producer.next_sequence(), snapshot.next_sequence);
            let oracle = Oracle::new(MAX);
            let mut payload = Vec::new();
            oracle.fill(snapshot.next_sequence, &mut payload);
            assert_eq!(producer.try_send(&payload), Ok(snapshot.next_sequence));
            let mut consumer = Consumer::open(path, &Attach::gated().start(Start::Oldest)).expect("attach");
            let mut tally = Tally::new(oracle, consumer.next_sequence(), false);
            while let Some(event) = consumer.try_recv().expect("receive") {
                tally.take(&event);
            }
            assert_eq!(tally.next, snapshot.next_sequence + 1, "everything in the ring was received");
            std::fs::remove_file(path).expect("remove");
        }
        Err(quoit::Error::NotFound { .. }) => {}
        Err(error) => panic!("a dead creator left half a ring: {error}"),
    }
}
