//! Calls in flight, for one task: what clients of bytes and of values share.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use quoit::service::{Answer, CallId, CallOptions, Client};
use quoit::{CallError, Error, Ticker};

use crate::waiting::Waiting;

/// What a client needs beside its handle.
#[derive(Debug)]
pub(crate) struct Calls {
    waiting: Waiting,
    /// Answers to other calls, that came while one was waited for.
    kept: VecDeque<Answer<'static>>,
    /// Calls whose futures were dropped after a server had taken them: nobody wants their answers.
    forgotten: HashSet<CallId>,
}

impl Calls {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self { waiting: Waiting::new()?, kept: VecDeque::new(), forgotten: HashSet::new() })
    }

    /// Makes a call. The result is its last answer.
    pub(crate) async fn call(
        &mut self,
        client: &mut Client,
        request: &[u8],
        how: CallOptions,
    ) -> Result<Answer<'static>, CallError> {
        let call = self.start(client, request, how).await?;
        let mut mine = Mine { client, calls: self, call, has_ended: false };
        Ok(poll_fn(|context| mine.poll_end(context)).await?)
    }

    pub(crate) async fn start(
        &mut self,
        client: &mut Client,
        request: &[u8],
        how: CallOptions,
    ) -> Result<CallId, CallError> {
        let mut alarm = how.time_left().map(Ticker::every);
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            loop {
                match client.try_start(request, how) {
                    Err(CallError::Full) => {}
                    started => return Poll::Ready(started),
                }
                if how.time_left().is_some_and(|left| left.is_zero()) {
                    return Poll::Ready(Err(CallError::NotExecuted));
                }
                match self.poll_new(client, context, alarm.as_mut()) {
                    Poll::Ready(answer) => self.kept.push_back(answer?),
                    // The server may have made room before this was armed, and then rings for nobody.
                    Poll::Pending => match client.try_start(request, how) {
                        Err(CallError::Full) => return Poll::Pending,
                        started => return Poll::Ready(started),
                    },
                }
            }
        })
        .await
    }

    /// The next answer to any call.
    pub(crate) async fn recv(&mut self, client: &mut Client) -> Result<Answer<'static>, Error> {
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            match self.kept.pop_front() {
                Some(answer) => Poll::Ready(Ok(answer)),
                None => self.poll_new(client, context, None),
            }
        })
        .await
    }

    /// An answer that has not been seen. The alarm wakes the task, too.
    fn poll_new(
        &mut self,
        client: &mut Client,
        context: &Context<'_>,
        mut alarm: Option<&mut Ticker>,
    ) -> Poll<Result<Answer<'static>, Error>> {
        loop {
            match client.try_recv()?.map(Answer::into_owned) {
                Some(answer) if !self.forgotten.contains(&answer.call()) => {
                    return Poll::Ready(Ok(answer));
                }
                Some(answer) if answer.is_last() => {
                    self.forgotten.remove(&answer.call());
                }
                Some(_) => {}
                None => match &mut alarm {
                    None => ready!(self.waiting.poll_ready(context, &mut [client])),
                    Some(alarm) => {
                        ready!(self.waiting.poll_ready(context, &mut [client, *alarm]));
                        if alarm.take().is_some() {
                            context.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                    }
                },
            }
            // It may be ready for something that is no answer.
            ready!(self.waiting.poll_turn(context));
        }
    }
}

/// A call that a future waits for.
struct Mine<'a> {
    client: &'a mut Client,
    calls: &'a mut Calls,
    call: CallId,
    has_ended: bool,
}

impl Mine<'_> {
    fn poll_end(&mut self, context: &Context<'_>) -> Poll<Result<Answer<'static>, Error>> {
        ready!(self.calls.waiting.poll_turn(context));
        loop {
            let answer = ready!(self.calls.poll_new(self.client, context, None))?;
            if answer.call() != self.call {
                self.calls.kept.push_back(answer);
            } else if answer.is_last() {
                self.has_ended = true;
                return Poll::Ready(Ok(answer));
            }
        }
    }
}

impl Drop for Mine<'_> {
    fn drop(&mut self) {
        // A handle that is of no use has no calls.
        if !self.has_ended && self.client.cancel(self.call).is_ok_and(|never_runs| !never_runs) {
            self.calls.forgotten.insert(self.call);
        }
    }
}
