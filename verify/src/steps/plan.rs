//! How an operation proceeds in a state of the grid, and where it cannot be done.

use quoit::Start;

use super::notes::{Notes, Shape};
use super::ops::{Act, Look, Op, Policy, Role, Size};
use super::oracle::{Sent, after};
use super::states::{Live, State, VICTIM};

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

/// Where the sleep of a consumer is interrupted: with a producer alive it takes its time.
const SLEEPS: [&str; 6] = ["empty", "half", "laps", "spin", "half-dead", "name-away"];

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
                Size::Inline => 40,
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
        if gated_only && start > 0 {
            return None;
        }
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
