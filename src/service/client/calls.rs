//! The calls of a client that have not ended.

use std::collections::VecDeque;

use crate::service::channel::{Channel, Message};
use crate::service::header::{self, State};

/// A call in flight, as the client that made it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(super) u64);

/// How a call ended without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    NotExecuted,
    Unanswered,
    ServerGone,
}

#[derive(Debug)]
struct Call {
    request: Message,
    /// On the monotonic clock; `u64::MAX`: none.
    until_ns: u64,
    has_ended: bool,
}

/// Calls in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: VecDeque<Call>,
    /// How many of them have not ended.
    open: usize,
    /// No call in flight has an earlier deadline.
    earliest_ns: Option<u64>,
}

impl Calls {
    #[inline]
    pub(super) fn push(&mut self, request: Message, until_ns: u64) {
        self.calls.push_back(Call { request, until_ns, has_ended: false });
        self.open += 1;
        if until_ns != u64::MAX {
            self.earliest_ns = Some(self.earliest_ns.map_or(until_ns, |earliest| earliest.min(until_ns)));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// When the next deadline is at the earliest.
    pub(super) fn earliest_ns(&self) -> u64 {
        self.earliest_ns.unwrap_or(u64::MAX)
    }

    #[inline]
    fn find(&self, position: u64) -> Option<usize> {
        let front = self.calls.front()?;
        let first = front.request.position;
        if position == first && !front.has_ended {
            // As it is while calls are answered in order.
            return Some(0);
        }
        let wanted = position.wrapping_sub(first);
        let number = self.calls.partition_point(|call| call.request.position.wrapping_sub(first) < wanted);
        self.calls
            .get(number)
            .filter(|call| call.request.position == position && !call.has_ended)
            .map(|_| number)
    }

    pub(super) fn is_open(&self, position: u64) -> bool {
        self.find(position).is_some()
    }

    /// The request of a call in flight.
    pub(super) fn request(&self, position: u64) -> Option<Message> {
        Some(self.calls.get(self.find(position)?)?.request)
    }

    /// A call ends, once. `false`: it is not in flight.
    #[inline]
    pub(super) fn end(&mut self, position: u64) -> bool {
        let Some(call) = self.find(position).and_then(|number| self.calls.get_mut(number)) else {
            return false;
        };
        call.has_ended = true;
        self.open -= 1;
        while self.calls.front().is_some_and(|call| call.has_ended) {
            self.calls.pop_front();
        }
        if self.calls.is_empty() {
            self.earliest_ns = None;
        }
        true
    }

    fn in_flight(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| !call.has_ended)
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = Message> {
        self.in_flight().map(|call| call.request)
    }

    /// Ends the calls whose deadline has passed, and hands them out.
    pub(super) fn expire(&mut self, requests: Channel<'_>, now_ns: u64, ended: &mut VecDeque<(CallId, End)>) {
        let late: Vec<_> =
            self.in_flight().filter(|call| call.until_ns <= now_ns).map(|call| call.request).collect();
        for request in late {
            if let Some(end) = give_up(requests, request)
                && self.end(request.position)
            {
                ended.push_back((CallId(request.position), end));
            }
        }
        let deadlines = self.in_flight().map(|call| call.until_ns).filter(|until_ns| *until_ns != u64::MAX);
        self.earliest_ns = deadlines.min();
    }

    /// Ends the calls of which another process has decided that they get no reply, or that a dead server had taken. The
    /// client has taken all replies of that server. `is_of_the_dead`: whether a call in the state `Taken` was taken by it.
    pub(super) fn judge(
        &mut self,
        requests: Channel<'_>,
        is_of_the_dead: impl Fn() -> bool,
        ended: &mut VecDeque<(CallId, End)>,
    ) {
        let judged: Vec<_> = self
            .requests()
            .filter_map(|request| {
                let seen = header::look(requests.state(request));
                let end = match seen.state()? {
                    State::Withdrawn => End::NotExecuted,
                    State::Lost => End::ServerGone,
                    State::Taken if !header::may_run_again(seen) && is_of_the_dead() => End::ServerGone,
                    _ => return None,
                };
                Some((request.position, end))
            })
            .collect();
        for (position, end) in judged {
            if self.end(position) {
                ended.push_back((CallId(position), end));
            }
        }
    }
}

/// The client gives up a call. `None`: its last reply is published, so the call ends with that.
fn give_up(requests: Channel<'_>, request: Message) -> Option<End> {
    let word = requests.state(request);
    // Each turn the state has changed, which it does a few times at most, unless another process writes garbage.
    for _ in 0..16 {
        let seen = header::look(word);
        match seen.state() {
            Some(State::Queued) if header::end(word, seen) => return Some(End::NotExecuted),
            Some(State::Again) if header::end(word, seen) => return Some(End::Unanswered),
            Some(State::Taken) if header::cancel(word, seen) => return Some(End::Unanswered),
            Some(State::Queued | State::Again | State::Taken) => {}
            Some(State::Withdrawn) => return Some(End::NotExecuted),
            Some(State::Answered) => return None,
            Some(State::Lost) => return Some(End::ServerGone),
            None => break,
        }
    }
    Some(End::Unanswered)
}

/// The client withdraws a call if no server has taken it, and otherwise tells the server. A call that is to run again does
/// not: it is lost. Whether it never runs.
pub(super) fn withdraw(requests: Channel<'_>, request: Message) -> bool {
    let word = requests.state(request);
    for _ in 0..16 {
        let seen = header::look(word);
        match seen.state() {
            Some(State::Queued) if header::end(word, seen) => return true,
            Some(State::Again) if header::end(word, seen) => return false,
            Some(State::Taken) if header::cancel(word, seen) => return false,
            Some(State::Queued | State::Again | State::Taken) => {}
            _ => break,
        }
    }
    false
}
