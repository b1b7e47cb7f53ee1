//! The process that is interrupted: it does its operation between two marks.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::{
    Attach, Consumer, ConsumerState, Error, Event, Inspector, Observer, Producer, RecvError, SendError,
};

use super::notes::{Notes, Shape};
use super::ops::{Act, Look, Op, Policy, Role};
use super::oracle::{Follower, Reader, Sent, payload};
use super::plan::{Plan, tail};
use super::scene::BLOCKED;
use super::stage::{Board, Word, until};
use super::states::LONG;
use crate::tracee::mark;

/// How long a victim is to sleep: it has to get there first, step by step.
const A_WHILE: Duration = Duration::from_millis(400);

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

    /// The slots whose gates are furthest back: a producer without room names one of them.
    fn slowest(&self) -> Vec<u32> {
        let snapshot = Inspector::open(&self.path).and_then(|inspector| inspector.snapshot()).expect("look");
        let gated = || snapshot.consumers.iter().filter(|each| each.state == ConsumerState::Gated);
        let most = gated().map(|each| each.lag_bytes).max();
        gated().filter(|each| Some(each.lag_bytes) == most).map(|each| each.slot).collect()
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
                let added = match self.op.act {
                    Act::Batch => batch.send_all(&records).map(drop),
                    _ => records.iter().try_for_each(|record| batch.try_send(record).map(drop)),
                };
                let published = if publish { batch.publish() } else { None };
                mark();
                assert_eq!(added, Ok(()));
                assert_eq!(published, publish.then_some(last));
            }
            Act::Refused => {
                let slowest = self.slowest();
                mark();
                let sent = producer.try_send(&records[0]);
                mark();
                assert!(matches!(sent, Err(SendError::Full { slot }) if slowest.contains(&slot)), "{sent:?}");
            }
            Act::Evict => {
                let (slowest, refused) = (self.slowest(), producer.try_send(&records[0]));
                let is_named = matches!(refused, Err(SendError::Full { slot }) if slowest.contains(&slot));
                assert!(is_named, "{refused:?}");
                std::thread::sleep(Duration::from_micros(10));
                mark();
                let sent = producer.try_send(&records[0]);
                mark();
                assert_eq!(sent, Ok(first));
            }
            Act::WaitForSpace => {
                producer.set_spins(0);
                let slowest = self.slowest();
                mark();
                let sent = producer.send_deadline(&records[0], Instant::now() + A_WHILE);
                mark();
                let is_named = matches!(sent, Err(SendError::TimedOut { slot }) if slowest.contains(&slot));
                assert!(is_named, "{sent:?}");
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
                    Err(RecvError::TimedOut | RecvError::Closed | RecvError::ProducerGone) => {}
                    // While it was stopped others went on.
                    Ok(Event::Record(record)) if let_go => next = record.sequence().wrapping_add(1),
                    Ok(Event::ProducerChanged { .. }) if let_go => {}
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
