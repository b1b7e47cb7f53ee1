//! What is interrupted: the operations, where each can be done, and the process that does it between two marks.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Error, Event, Observer, Producer, RecvError, SendError, Start};

use super::oracle::{Follower, Reader, Sent, after, payload};
use super::scene::BLOCKED;
use super::stage::{Board, Word, until};
use super::states::{LONG, Live, Notes, Shape, State};
use crate::tracee::mark;

/// Length of a record by its size in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Empty,
    /// With an express copy.
    Express,
    Plain,
    /// Longer than the rest of the ring.
    Padded,
    /// Exactly the rest of the ring.
    ToTheEnd,
    /// Half the capacity.
    Half,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Lossy,
    Gated,
    Deadline,
    Observer,
    /// Gated, under a new name.
    Named,
    /// The same, to be held for ever.
    Held,
    /// Under the first name that is away.
    Resumed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The newest record, from its express copy where there is one.
    Newest,
    Next,
    /// So many were received that the cursor is stored first.
    Store,
    /// Nothing new; the cursor is stored.
    Nothing,
    /// A lap later.
    Lapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Send(Size),
    /// The second of two sends: mostly the shortest way there is.
    SendNext,
    /// A claim, filled and published.
    Claim(Size),
    ClaimDropped(Size),
    Batch,
    /// A batch with padding in it.
    BatchWrapped,
    BatchDropped,
    /// A send that finds no space.
    Refused,
    Evict,
    Reclaim,
    WaitForSpace,
    Close,
    TakeOver,
    Attach(Policy),
    Detach(Policy),
    Receive(Policy, Look),
    Release(Policy),
    Sleep(Policy),
    Forget,
    Create,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    Consumer,
    Creator,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) name: &'static str,
    pub(crate) act: Act,
}

pub(crate) const OPS: &[Op] = {
    use Act::{
        Attach, Batch, BatchDropped, BatchWrapped, Claim, ClaimDropped, Close, Create, Detach, Evict, Forget,
        Receive, Reclaim, Refused, Release, Send, SendNext, Sleep, TakeOver, WaitForSpace,
    };
    use Look::{Lapped, Newest, Next, Nothing, Store};
    use Policy::{Deadline, Gated, Held, Lossy, Named, Observer, Resumed};
    const fn op(name: &'static str, act: Act) -> Op {
        Op { name, act }
    }
    &[
        op("send-empty", Send(Size::Empty)),
        op("send-express", Send(Size::Express)),
        op("send-next", SendNext),
        op("send-plain", Send(Size::Plain)),
        op("send-padded", Send(Size::Padded)),
        op("send-to-the-end", Send(Size::ToTheEnd)),
        op("send-half-the-ring", Send(Size::Half)),
        op("claim-express", Claim(Size::Express)),
        op("claim-plain", Claim(Size::Plain)),
        op("claim-padded", Claim(Size::Padded)),
        op("claim-dropped", ClaimDropped(Size::Plain)),
        op("claim-padded-dropped", ClaimDropped(Size::Padded)),
        op("batch", Batch),
        op("batch-wrapped", BatchWrapped),
        op("batch-dropped", BatchDropped),
        op("send-refused", Refused),
        op("evict", Evict),
        op("reclaim", Reclaim),
        op("wait-for-space", WaitForSpace),
        op("close", Close),
        op("take-over", TakeOver),
        op("attach-lossy", Attach(Lossy)),
        op("attach-gated", Attach(Gated)),
        op("attach-deadline", Attach(Deadline)),
        op("attach-observer", Attach(Observer)),
        op("attach-named", Attach(Named)),
        op("attach-held", Attach(Held)),
        op("attach-resumed", Attach(Resumed)),
        op("detach-lossy", Detach(Lossy)),
        op("detach-gated", Detach(Gated)),
        op("detach-deadline", Detach(Deadline)),
        op("detach-named", Detach(Named)),
        op("detach-held", Detach(Held)),
        op("detach-resumed", Detach(Resumed)),
        op("receive-lossy-newest", Receive(Lossy, Newest)),
        op("receive-lossy-next", Receive(Lossy, Next)),
        op("receive-lossy-store", Receive(Lossy, Store)),
        op("receive-lossy-nothing", Receive(Lossy, Nothing)),
        op("receive-lossy-lapped", Receive(Lossy, Lapped)),
        op("receive-gated-newest", Receive(Gated, Newest)),
        op("receive-gated-next", Receive(Gated, Next)),
        op("receive-gated-store", Receive(Gated, Store)),
        op("receive-gated-nothing", Receive(Gated, Nothing)),
        op("receive-deadline-next", Receive(Deadline, Next)),
        op("receive-deadline-store", Receive(Deadline, Store)),
        op("receive-observer-newest", Receive(Observer, Newest)),
        op("receive-observer-next", Receive(Observer, Next)),
        op("receive-observer-lapped", Receive(Observer, Lapped)),
        op("receive-named-next", Receive(Named, Next)),
        op("receive-named-store", Receive(Named, Store)),
        op("receive-held-nothing", Receive(Held, Nothing)),
        op("receive-resumed-next", Receive(Resumed, Next)),
        op("release-gated", Release(Gated)),
        op("release-named", Release(Named)),
        op("release-held", Release(Held)),
        op("sleep-lossy", Sleep(Lossy)),
        op("sleep-gated", Sleep(Gated)),
        op("sleep-observer", Sleep(Observer)),
        op("forget", Forget),
        op("create", Create),
    ]
};

/// How an operation goes in one state.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Records that the victim publishes before its operation.
    pub(crate) before: Vec<usize>,
    /// Records of the operation: it publishes all or none of them.
    pub(crate) records: Vec<usize>,
    /// Up to here the operation may write.
    pub(crate) extent: u64,
    pub(crate) start: Start,
    /// Records that the victim receives before.
    pub(crate) received: usize,
    /// The victim's name, and the sequences that it may be found at afterwards.
    pub(crate) name: Option<String>,
    pub(crate) places: (u64, u64),
    /// A name may be gone, or not be there yet.
    pub(crate) optional: bool,
}

/// What records are sent when it does not matter which.
pub(crate) fn tail(sequence: u64) -> usize {
    (sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % 120
}

/// How long a victim is to sleep: it has to get there first, step by step.
const A_WHILE: Duration = Duration::from_millis(400);

/// Where the sleep of a consumer is interrupted: with a producer alive it takes its time.
const SLEEPS: [&str; 6] = ["empty", "half", "laps", "spin", "half-dead", "name-away"];

const VICTIM: &str = "the victim, named in four words";

/// The position that nobody may claim past, if there is a gate that stays.
fn limit(state: &State, notes: &Notes, sent: &Sent) -> Option<u64> {
    let live = state.live.iter().filter_map(|live| match live {
        Live::Gated | Live::Sleeper => Some(sent.position()),
        Live::GatedFirst | Live::Overdue => Some(state.shape.origin.0),
        Live::Resumed => Some(sent.start(notes.names[0].sequence)),
        Live::Lossy | Live::Blocked => None,
    });
    let held = notes.names.iter().filter(|name| name.held).map(|name| sent.start(name.sequence));
    let least = live.chain(held).reduce(|a, b| if after(a, b) { b } else { a })?;
    Some(least.wrapping_add(sent.capacity()))
}

impl Op {
    pub(crate) fn role(&self) -> Role {
        match self.act {
            Act::Create => Role::Creator,
            Act::Attach(_)
            | Act::Detach(_)
            | Act::Receive(..)
            | Act::Release(_)
            | Act::Sleep(_)
            | Act::Forget => Role::Consumer,
            _ => Role::Producer,
        }
    }

    /// Does it publish the records of its plan?
    pub(crate) fn publishes(&self) -> bool {
        !matches!(self.act, Act::ClaimDropped(_) | Act::BatchDropped | Act::Refused | Act::WaitForSpace)
    }

    /// The policy of a consumer.
    pub(crate) fn policy(&self) -> Option<Policy> {
        match self.act {
            Act::Attach(policy)
            | Act::Detach(policy)
            | Act::Receive(policy, _)
            | Act::Release(policy)
            | Act::Sleep(policy) => Some(policy),
            _ => None,
        }
    }

    /// Is it tens of thousands of instructions, with many system calls?
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.act, Act::Attach(_) | Act::Detach(_) | Act::Close | Act::TakeOver)
    }

    /// Does the victim hold a gate before, while and after it does this?
    pub(crate) fn gates(&self) -> bool {
        let lasting = matches!(self.act, Act::Receive(..) | Act::Release(_) | Act::Sleep(_));
        lasting && !matches!(self.policy(), Some(Policy::Lossy | Policy::Observer))
    }

    /// `None`: it cannot be done in this state.
    pub(crate) fn plan(&self, state: &State, notes: &Notes, sent: &Sent) -> Option<Plan> {
        let mut plan = Plan {
            before: Vec::new(),
            records: Vec::new(),
            extent: sent.position(),
            start: Start::Newest,
            received: 0,
            name: None,
            places: (0, 0),
            optional: false,
        };
        match self.role() {
            Role::Producer => self.plan_producer(state, notes, sent, &mut plan)?,
            Role::Consumer => self.plan_consumer(state, notes, sent, &mut plan)?,
            Role::Creator if notes.epoch == 0 || state.name == "gated-only" || state.name == "fence" => {}
            Role::Creator => return None,
        }
        Some(plan)
    }

    fn plan_producer(&self, state: &State, notes: &Notes, sent: &Sent, plan: &mut Plan) -> Option<()> {
        if state.live.contains(&Live::Blocked) {
            return None;
        }
        let limit = limit(state, notes, sent);
        let fits = |end: u64| limit.is_none_or(|limit| !after(end, limit));
        let dead_gate = state.name.starts_with("dead-gate-full")
            || state.name.starts_with("dead-deadline")
            || state.name.starts_with("all-dead");
        let mut now = sent.clone();
        let size = match self.act {
            Act::Send(size) | Act::Claim(size) | Act::ClaimDropped(size) => Some(size),
            Act::SendNext => {
                plan.before.push(40);
                now.push(40);
                None
            }
            Act::BatchWrapped => Some(Size::Padded),
            _ => None,
        };
        if matches!(size, Some(Size::Padded | Size::ToTheEnd)) {
            while now.room() > 1000 {
                plan.before.push(184);
                now.push(184);
            }
        }
        plan.records = match self.act {
            Act::Send(size) | Act::Claim(size) | Act::ClaimDropped(size) => vec![match size {
                Size::Empty => 0,
                Size::Express => 40,
                Size::Plain => 200,
                Size::Padded => now.room() as usize,
                Size::ToTheEnd => now.room() as usize - 8,
                Size::Half => now.capacity() as usize / 2 - 8,
            }],
            Act::SendNext => vec![16],
            Act::Batch => vec![24, 130, 0],
            Act::BatchWrapped => vec![now.room() as usize / 2, now.room() as usize / 2, 24],
            Act::BatchDropped => vec![24, 130, 0, 16],
            Act::Reclaim if dead_gate => vec![40],
            Act::Evict if state.live.contains(&Live::Overdue) => vec![100],
            Act::Refused | Act::WaitForSpace if !state.live.contains(&Live::Overdue) => vec![40],
            Act::Close | Act::TakeOver => Vec::new(),
            _ => return None,
        };
        for len in &plan.records {
            now.push(*len);
        }
        plan.extent = now.position();
        match self.act {
            Act::Refused | Act::WaitForSpace | Act::Evict if fits(plan.extent) => return None,
            Act::Refused | Act::WaitForSpace | Act::Evict => {}
            _ if !fits(plan.extent) => return None,
            _ => {}
        }
        Some(())
    }

    fn plan_consumer(&self, state: &State, notes: &Notes, sent: &Sent, plan: &mut Plan) -> Option<()> {
        let Shape { gated_only, hard_limit, .. } = state.shape;
        let blocked = state.live.contains(&Live::Blocked);
        if self.act == Act::Forget {
            let name = notes.names.first().filter(|_| !state.live.contains(&Live::Resumed))?;
            plan.name = Some(name.name.clone());
            plan.places = (name.sequence, name.sequence);
            plan.optional = true;
            return Some(());
        }
        let policy = self.policy()?;
        let overwritten = matches!(policy, Policy::Lossy | Policy::Deadline | Policy::Observer) || hard_limit;
        if gated_only && overwritten {
            return None;
        }
        if matches!(self.act, Act::Sleep(_)) && !SLEEPS.contains(&state.name.as_str()) {
            return None;
        }
        let (start, received) = match self.act {
            Act::Attach(Policy::Named | Policy::Observer) => (2, 0),
            Act::Attach(_) => (0, 0),
            Act::Detach(_) => (3, 2),
            Act::Receive(_, Look::Newest) => (1, 0),
            Act::Receive(_, Look::Next) => (3, 1),
            Act::Receive(_, Look::Store) => (12, 11),
            Act::Receive(_, Look::Nothing) => (2, 2),
            Act::Receive(_, Look::Lapped) => (1, 1),
            Act::Release(_) => (4, 3),
            _ => (0, 0),
        };
        if self.act == Act::Receive(policy, Look::Lapped) {
            let held = notes.names.iter().any(|name| name.held);
            let stuck = state.live.iter().any(|live| matches!(live, Live::Sleeper));
            if held && !state.live.contains(&Live::Resumed) || stuck {
                return None;
            }
        }
        plan.received = received;
        if blocked {
            // The producer needs the room of two records, and the victim is all that keeps it.
            let useful = matches!(self.act, Act::Detach(_) | Act::Release(_) | Act::Receive(_, Look::Store));
            if policy != Policy::Gated || !useful {
                return None;
            }
            plan.start = Start::Sequence(sent.first);
            // Had it received more, its cursor would have been stored, and the producer let go, before the first mark.
            if matches!(self.act, Act::Receive(..)) {
                plan.received = 1;
            }
            return Some(());
        }
        if policy == Policy::Resumed {
            let name = notes.names.first().filter(|_| !state.live.contains(&Live::Resumed))?;
            let ahead = sent.next().wrapping_sub(name.sequence);
            if sent.is_overwritten(name.sequence) && received > 0 || ahead < received as u64 + 1 {
                return None;
            }
            plan.name = Some(name.name.clone());
            plan.places = (name.sequence, name.sequence.wrapping_add(received as u64));
            return Some(());
        }
        if sent.intact() < start {
            return None;
        }
        plan.start = if start == 0 { Start::Newest } else { Start::Last(start as u64) };
        if matches!(policy, Policy::Named | Policy::Held) {
            let first = sent.next().wrapping_sub(start as u64);
            plan.name = Some(VICTIM.to_owned());
            plan.places = (first, first.wrapping_add(received as u64));
            plan.optional = matches!(self.act, Act::Attach(_));
        }
        Some(())
    }
}

/// How a consumer of this policy attaches.
fn attach(policy: Policy, plan: &Plan, notes: &Notes) -> Attach {
    let attach = match policy {
        Policy::Lossy | Policy::Observer => Attach::lossy(),
        Policy::Deadline => Attach::gated_for(Duration::from_secs(3600)),
        Policy::Gated | Policy::Named | Policy::Held | Policy::Resumed => Attach::gated(),
    };
    let attach = attach.start(plan.start);
    let Some(name) = &plan.name else { return attach };
    let held = match policy {
        Policy::Held => true,
        Policy::Resumed => notes.names[0].held,
        _ => false,
    };
    let attach = attach.name(name.clone());
    if held { attach.hold_forever() } else { attach }
}

/// The victim: does its operation between two marks.
#[derive(Debug)]
pub(crate) struct Victim<'a> {
    pub(crate) op: Op,
    pub(crate) plan: &'a Plan,
    pub(crate) notes: &'a Notes,
    pub(crate) shape: Shape,
    /// What was published when the victim began.
    pub(crate) sent: Sent,
    /// A producer will be waiting for what the victim holds.
    pub(crate) blocked: bool,
    pub(crate) path: PathBuf,
    pub(crate) board: &'a Board,
}

enum Seat {
    Consumer(Consumer),
    Observer(Observer),
}

impl Seat {
    #[inline(never)]
    fn open(victim: &Victim<'_>, policy: Policy, attach: &Attach) -> Result<Self, Error> {
        Ok(match policy {
            Policy::Observer => Self::Observer(Observer::open(&victim.path, victim.plan.start)?),
            _ => Self::Consumer(Consumer::open(&victim.path, attach)?),
        })
    }

    #[inline(never)]
    fn try_recv(&mut self) -> Result<Option<Event<'_>>, RecvError> {
        match self {
            Self::Consumer(consumer) => consumer.try_recv(),
            Self::Observer(observer) => observer.try_recv(),
        }
    }

    fn next(&self) -> u64 {
        match self {
            // A loss from the time away is still to be told.
            Self::Consumer(consumer) => {
                let lost = consumer.resumed().and_then(|resumed| resumed.lost);
                lost.map_or(consumer.next_sequence(), |loss| loss.first)
            }
            Self::Observer(observer) => observer.next_sequence(),
        }
    }
}

impl Victim<'_> {
    pub(crate) fn play(self) {
        match self.op.role() {
            Role::Producer => self.produce(),
            Role::Consumer => self.consume(),
            Role::Creator => {
                let options = self.shape.options();
                mark();
                let producer = Producer::create(&self.path, &options);
                mark();
                let producer = producer.expect("create");
                self.stay();
                drop(producer);
            }
        }
    }

    /// The operation is over. A victim that was never stopped is killed here.
    fn stay(&self) {
        while self.board.get(Word::LetGo) == 0 {
            mark();
        }
    }

    fn produce(mut self) {
        if self.op.act == Act::TakeOver {
            mark();
            let producer = Producer::open(&self.path);
            mark();
            let producer = producer.expect("take over");
            assert_eq!(producer.next_sequence(), self.sent.next(), "the sequence goes on");
            self.stay();
            return;
        }
        let mut producer = Producer::open(&self.path).expect("open");
        for len in &self.plan.before {
            producer.try_send(&payload(self.sent.next(), *len)).expect("a record before");
            self.sent.push(*len);
        }
        let first = self.sent.next();
        let records: Vec<_> =
            (0..).zip(&self.plan.records).map(|(n, len)| payload(first.wrapping_add(n), *len)).collect();
        let last = first.wrapping_add(records.len() as u64).wrapping_sub(1);
        match self.op.act {
            Act::Send(_) | Act::SendNext | Act::Reclaim => {
                mark();
                let sent = producer.try_send(&records[0]);
                mark();
                assert_eq!(sent, Ok(first));
            }
            Act::Claim(_) => {
                mark();
                let sent = producer.try_claim(records[0].len()).map(|mut claim| {
                    let _ = claim.write_at(0, &records[0]);
                    claim.publish()
                });
                mark();
                assert_eq!(sent, Ok(first));
            }
            Act::ClaimDropped(_) => {
                mark();
                let claim = producer.try_claim(records[0].len()).map(|mut claim| {
                    let _ = claim.write_at(0, &records[0]);
                    drop(claim);
                });
                mark();
                assert_eq!(claim, Ok(()));
            }
            Act::Batch | Act::BatchWrapped | Act::BatchDropped => {
                let publish = self.op.act != Act::BatchDropped;
                mark();
                let mut batch = producer.batch();
                let added = records.iter().try_for_each(|record| batch.try_send(record).map(drop));
                let published = if publish { batch.publish() } else { None };
                mark();
                assert_eq!(added, Ok(()));
                assert_eq!(published, publish.then_some(last));
            }
            Act::Refused => {
                mark();
                let sent = producer.try_send(&records[0]);
                mark();
                assert_eq!(sent, Err(SendError::Full));
            }
            Act::Evict => {
                assert_eq!(producer.try_send(&records[0]), Err(SendError::Full));
                std::thread::sleep(Duration::from_micros(10));
                mark();
                let sent = producer.try_send(&records[0]);
                mark();
                assert_eq!(sent, Ok(first));
            }
            Act::WaitForSpace => {
                producer.set_spins(0);
                mark();
                let sent = producer.send_deadline(&records[0], Instant::now() + A_WHILE);
                mark();
                assert_eq!(sent, Err(SendError::TimedOut));
            }
            Act::Close => {
                mark();
                drop(producer);
                mark();
                self.stay();
                return;
            }
            _ => unreachable!("no producer's operation"),
        }
        self.stay();
        drop(producer);
    }

    fn consume(self) {
        let path = &self.path;
        let Some(policy) = self.op.policy() else {
            let name = self.plan.name.as_deref().unwrap_or(LONG);
            mark();
            let forgotten = quoit::forget(path, name);
            mark();
            assert!(forgotten.is_ok(), "{forgotten:?}");
            self.stay();
            return;
        };
        let attach = attach(policy, self.plan, self.notes);
        if let Act::Attach(_) = self.op.act {
            mark();
            let seat = Seat::open(&self, policy, &attach);
            mark();
            let seat = seat.expect("attach");
            let first = seat.next();
            self.go_on(seat, first);
            return;
        }
        let mut seat = Seat::open(&self, policy, &attach).expect("attach");
        let mut next = seat.next();
        if let (Act::Release(_), Seat::Consumer(consumer)) = (self.op.act, &mut seat) {
            consumer.keep(true);
        }
        for _ in 0..self.plan.received {
            let Ok(Some(Event::Record(record))) = seat.try_recv() else { panic!("a record before") };
            assert_eq!(record.sequence(), next);
            next = next.wrapping_add(1);
        }
        match self.op.act {
            Act::Detach(_) => {
                mark();
                drop(seat);
                mark();
                self.stay();
                return;
            }
            Act::Release(_) => {
                let Seat::Consumer(consumer) = &mut seat else { unreachable!("observers release nothing") };
                mark();
                consumer.release();
                mark();
            }
            Act::Sleep(_) => {
                let slept = match &mut seat {
                    Seat::Consumer(consumer) => {
                        consumer.set_spins(0);
                        mark();
                        let slept = consumer.recv_timeout(A_WHILE);
                        mark();
                        slept
                    }
                    Seat::Observer(observer) => {
                        observer.set_spins(0);
                        mark();
                        let slept = observer.recv_timeout(A_WHILE);
                        mark();
                        slept
                    }
                };
                let let_go = self.board.get(Word::LetGo) == 1;
                match slept {
                    Ok(None) | Err(RecvError::Closed | RecvError::ProducerGone) => {}
                    // While it was stopped others went on.
                    Ok(Some(Event::Record(record))) if let_go => next = record.sequence().wrapping_add(1),
                    Ok(Some(Event::ProducerChanged { .. })) if let_go => {}
                    other => panic!("{other:?}"),
                }
            }
            Act::Receive(_, look) => {
                mark();
                let event = seat.try_recv();
                mark();
                match (look, event.expect("receive")) {
                    // Stopped victims may find more than was there when they began.
                    (Look::Nothing, None) => {}
                    (Look::Lapped, Some(Event::Lost(loss))) => {
                        assert_eq!(loss.first, next);
                        next = loss.next;
                    }
                    (_, Some(Event::ProducerChanged { .. })) => {}
                    (_, Some(Event::Record(record))) => {
                        assert_eq!(record.sequence(), next);
                        assert_eq!(record.to_vec(), payload(next, record.len()));
                        next = next.wrapping_add(1);
                    }
                    (_, Some(Event::Lost(loss))) if self.board.get(Word::LetGo) == 1 => next = loss.next,
                    (look, other) => panic!("{look:?}: {other:?}"),
                }
            }
            _ => unreachable!("no consumer's operation"),
        }
        self.go_on(seat, next);
    }

    /// A victim that was stopped and let go receives everything, whole and in order.
    fn go_on(mut self, mut seat: Seat, next: u64) {
        self.stay();
        let target = self.board.get(Word::Target);
        while self.sent.next() != target {
            self.sent.push(if self.blocked { BLOCKED } else { tail(self.sent.next()) });
        }
        let gated =
            matches!(self.op.policy(), Some(Policy::Gated | Policy::Named | Policy::Held | Policy::Resumed));
        let mut follower = Follower::new(next, gated && !self.sent.is_overwritten(next));
        let caught_up = until("everything, after SIGCONT", || {
            let drained = match &mut seat {
                Seat::Consumer(consumer) => consumer.catch_up(&self.sent, &mut follower),
                Seat::Observer(observer) => observer.catch_up(&self.sent, &mut follower),
            };
            drained.expect("everything, after SIGCONT");
            follower.next == target
        });
        caught_up.expect("everything, after SIGCONT");
    }
}
