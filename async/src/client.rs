//! Calls as futures.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use quoit::service::{Answer, CallId, CallOptions, Client};
use quoit::{CallError, Error, Ticker};

use crate::waiting::Waiting;

/// A [`Client`], for async code.
///
/// [`call`](Self::call) makes one call and waits for its reply. For several in flight, [`start`](Self::start) them, and
/// [`recv`](Self::recv) their answers; or use a client for each task.
#[derive(Debug)]
pub struct AsyncClient {
    client: Client,
    waiting: Waiting,
    /// Answers to other calls, that came while one was waited for.
    kept: VecDeque<Answer<'static>>,
    /// Calls whose futures were dropped after a server had taken them: nobody wants their answers.
    forgotten: HashSet<CallId>,
}

impl AsyncClient {
    /// A client of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(client: Client) -> Result<Self, Error> {
        let (kept, forgotten) = (VecDeque::new(), HashSet::new());
        Ok(Self { client, waiting: Waiting::new()?, kept, forgotten })
    }

    /// Makes a call, and waits for its last reply. Earlier replies to it are passed over; answers to other calls are kept for
    /// [`recv`](Self::recv).
    ///
    /// A future that is dropped gives the call up, as [`Client::cancel`] does: a call that no server has taken never runs; of
    /// another one the server is told, and its answer is dropped.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub async fn call(&mut self, request: &[u8], how: CallOptions) -> Result<Vec<u8>, CallError> {
        let call = self.start(request, how).await?;
        let mut mine = Mine { client: self, call, has_ended: false };
        let answer = poll_fn(|context| mine.poll_end(context)).await?;
        answer.into_result().map(|payload| payload.to_vec())
    }

    /// Starts a call: publishes its request. Waits while there is no room for it, until the call's deadline, and keeps the
    /// answers that come meanwhile. Cancel-safe: a future that is dropped has called nothing.
    ///
    /// # Errors
    ///
    /// As [`Client::start`].
    pub async fn start(&mut self, request: &[u8], how: CallOptions) -> Result<CallId, CallError> {
        let mut alarm = how.time_left().map(Ticker::every);
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            loop {
                match self.client.try_start(request, how) {
                    Err(CallError::Full) => {}
                    started => return Poll::Ready(started),
                }
                if how.time_left().is_some_and(|left| left.is_zero()) {
                    return Poll::Ready(Err(CallError::NotExecuted));
                }
                match self.poll_new(context, alarm.as_mut()) {
                    Poll::Ready(answer) => self.kept.push_back(answer?),
                    // The server may have made room before this was armed, and then rings for nobody.
                    Poll::Pending => match self.client.try_start(request, how) {
                        Err(CallError::Full) => return Poll::Pending,
                        started => return Poll::Ready(started),
                    },
                }
            }
        })
        .await
    }

    /// The next answer to any call that was [started](Self::start): one of several replies, or the end of the call.
    /// Cancel-safe: a future that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`Client::recv`].
    pub async fn recv(&mut self) -> Result<Answer<'static>, Error> {
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            match self.kept.pop_front() {
                Some(answer) => Poll::Ready(Ok(answer)),
                None => self.poll_new(context, None),
            }
        })
        .await
    }

    /// As [`Client::cancel`].
    ///
    /// # Errors
    ///
    /// As [`Client::cancel`].
    pub fn cancel(&mut self, call: CallId) -> Result<bool, Error> {
        self.client.cancel(call)
    }

    /// An answer that has not been seen. The alarm wakes the task, too.
    fn poll_new(
        &mut self,
        context: &Context<'_>,
        mut alarm: Option<&mut Ticker>,
    ) -> Poll<Result<Answer<'static>, Error>> {
        loop {
            match self.client.try_recv()?.map(Answer::into_owned) {
                Some(answer) if !self.forgotten.contains(&answer.call()) => {
                    return Poll::Ready(Ok(answer));
                }
                Some(answer) if answer.is_last() => {
                    self.forgotten.remove(&answer.call());
                }
                Some(_) => {}
                None => match &mut alarm {
                    None => ready!(self.waiting.poll_ready(context, &mut [&mut self.client])),
                    Some(alarm) => {
                        ready!(self.waiting.poll_ready(context, &mut [&mut self.client, *alarm]));
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

    /// The handle. Do not block in async code: use its `try_` calls.
    pub fn get_ref(&self) -> &Client {
        &self.client
    }

    /// The handle, for other than async code. Answers that were kept are lost.
    pub fn into_inner(self) -> Client {
        self.client
    }
}

/// A call that a future waits for.
struct Mine<'a> {
    client: &'a mut AsyncClient,
    call: CallId,
    has_ended: bool,
}

impl Mine<'_> {
    fn poll_end(&mut self, context: &Context<'_>) -> Poll<Result<Answer<'static>, Error>> {
        ready!(self.client.waiting.poll_turn(context));
        loop {
            let answer = ready!(self.client.poll_new(context, None))?;
            if answer.call() != self.call {
                self.client.kept.push_back(answer);
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
        if !self.has_ended && self.client.client.cancel(self.call).is_ok_and(|never_runs| !never_runs) {
            self.client.forgotten.insert(self.call);
        }
    }
}
