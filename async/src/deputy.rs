//! A thread that waits in the place of a task, with the task's handle.
//!
//! Who waits for a lock sleeps on a word whose wake is for one sleeper. So a sleeper that is woken has to take the lock, or
//! wake the next one. A task cannot promise that: it may be dropped, or polled late. The thread waits as any other thread
//! does, and takes the lock. The task gets the handle back, and the lock with it. If nobody wants it any more, the thread
//! gives it back.
//!
//! Each handle has a thread of its own, since what it holds it holds by its seat. The thread starts when a task first has to
//! wait, looks after each slice whether somebody still does, and ends after a second without work or with the handle's
//! owner.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quoit::Error;

/// How long the thread waits before it looks whether somebody still wants that.
const SLICE: Duration = Duration::from_millis(100);
/// How long a thread stays without work.
const IDLE: Duration = Duration::from_secs(1);

/// A handle by which something can be had until it is given back.
pub(crate) trait Acquire: Send + 'static {
    /// What is wanted.
    type Wanted: Copy + PartialEq + Send + Unpin;
    /// What is told of it once it is had.
    type Got: Send;

    /// Waits for `timeout` at most. `None`: not yet. With a time-out of 0 it never sleeps.
    fn acquire(&mut self, wanted: Self::Wanted, timeout: Duration) -> Result<Option<Self::Got>, Error>;

    /// Whether somebody else has waited for so long that it is to be let pass.
    fn lets_pass(&self) -> bool;

    /// Gives back what it has.
    fn give_back(&mut self);
}

/// What came of a wait.
type Outcome<H> = Result<<H as Acquire>::Got, Error>;

/// A handle, and the thread that waits with it.
pub(crate) struct Deputy<H: Acquire> {
    /// `None`: the thread has it.
    here: Option<H>,
    shared: Arc<Shared<H>>,
    /// The process that the thread is in.
    pid: u32,
}

struct Shared<H: Acquire> {
    state: Mutex<State<H>>,
    given: Condvar,
}

struct State<H: Acquire> {
    /// The handle on its way to the thread.
    errand: Option<H>,
    /// The handle on its way back.
    back: Option<Back<H>>,
    /// `None`: nobody waits any more.
    wanted: Option<H::Wanted>,
    waker: Option<Waker>,
    has_thread: bool,
    has_owner: bool,
}

struct Back<H: Acquire> {
    handle: H,
    /// What came of what was wanted; `None`: nobody wanted it any more.
    outcome: Option<(H::Wanted, Outcome<H>)>,
}

impl<H: Acquire> Back<H> {
    /// The handle, without what it has.
    fn refuse(mut self) -> H {
        if let Some((_, Ok(_))) = self.outcome {
            self.handle.give_back();
        }
        self.handle
    }
}

impl<H: Acquire> Deputy<H> {
    pub(crate) fn new(handle: H) -> Self {
        let state =
            State { errand: None, back: None, wanted: None, waker: None, has_thread: false, has_owner: true };
        let shared = Arc::new(Shared { state: Mutex::new(state), given: Condvar::new() });
        Self { here: Some(handle), shared, pid: std::process::id() }
    }

    /// Waits for it. If the future is dropped, nothing is held.
    pub(crate) fn acquire(&mut self, wanted: H::Wanted) -> Acquiring<'_, H> {
        Acquiring { deputy: self, wanted }
    }

    /// The handle.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: the thread has it, still or again.
    pub(crate) fn handle(&mut self) -> Result<&mut H, Error> {
        self.here.as_mut().ok_or(Error::TimedOut)
    }

    fn poll(&mut self, context: &Context<'_>, wanted: H::Wanted) -> Poll<Outcome<H>> {
        let Self { here, shared, pid } = self;
        let handle = match here {
            Some(handle) => handle,
            // The thread is the parent's, and may have held the lock when this child was made.
            None if *pid != std::process::id() => return Poll::Ready(Err(Error::Forked)),
            None => {
                let mut state = shared.lock();
                let Some(back) = state.back.take() else {
                    state.wanted = Some(wanted);
                    state.waker = Some(context.waker().clone());
                    return Poll::Pending;
                };
                drop(state);
                match back {
                    Back { handle, outcome: Some((for_what, outcome)) } if for_what == wanted => {
                        *here = Some(handle);
                        return Poll::Ready(outcome);
                    }
                    other => here.insert(other.refuse()),
                }
            }
        };
        if handle.lets_pass() {
            return self.send(context, wanted);
        }
        match handle.acquire(wanted, Duration::ZERO) {
            Ok(Some(got)) => Poll::Ready(Ok(got)),
            Err(error) => Poll::Ready(Err(error)),
            Ok(None) => self.send(context, wanted),
        }
    }

    /// Gives the handle to the thread.
    fn send(&mut self, context: &Context<'_>, wanted: H::Wanted) -> Poll<Outcome<H>> {
        let mut state = self.shared.lock();
        if !state.has_thread {
            let shared = Arc::clone(&self.shared);
            let builder = std::thread::Builder::new().name("quoit-lock".into()).stack_size(256 << 10);
            if let Err(source) = builder.spawn(move || shared.run()) {
                let action = "start a thread that waits";
                return Poll::Ready(Err(Error::Io { path: PathBuf::new(), action, source }));
            }
            state.has_thread = true;
        }
        self.pid = std::process::id();
        state.errand = self.here.take();
        state.wanted = Some(wanted);
        state.waker = Some(context.waker().clone());
        self.shared.given.notify_one();
        Poll::Pending
    }

    /// Nobody waits any more. What was got meanwhile is given back, here or by the thread.
    fn cancel(&mut self) {
        if self.here.is_some() || self.pid != std::process::id() {
            return;
        }
        let mut state = self.shared.lock();
        (state.wanted, state.waker) = (None, None);
        let back = state.back.take();
        self.here = state.errand.take();
        drop(state);
        if let Some(back) = back {
            self.here = Some(back.refuse());
        }
    }
}

impl<H: Acquire> Drop for Deputy<H> {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            return;
        }
        self.cancel();
        self.shared.lock().has_owner = false;
        self.shared.given.notify_one();
    }
}

impl<H: Acquire> Shared<H> {
    /// The state is whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let mut state = self.lock();
            let Some(handle) = state.errand.take() else {
                if state.has_owner {
                    let waited = self.given.wait_timeout(state, IDLE);
                    let (now, time) = waited.unwrap_or_else(PoisonError::into_inner);
                    if !time.timed_out() || now.errand.is_some() {
                        continue;
                    }
                    state = now;
                }
                state.has_thread = false;
                return;
            };
            drop(state);
            self.wait(handle);
        }
    }

    /// Waits with the handle until it has what is wanted, or nothing is wanted.
    fn wait(&self, mut handle: H) {
        let mut state = self.lock();
        while let Some(wanted) = state.wanted {
            drop(state);
            let outcome = handle.acquire(wanted, SLICE).transpose();
            state = self.lock();
            let Some(outcome) = outcome else { continue };
            if state.wanted == Some(wanted) {
                state.wanted = None;
                state.back = Some(Back { handle, outcome: Some((wanted, outcome)) });
                let waker = state.waker.take();
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
                return;
            }
            if outcome.is_ok() {
                drop(state);
                handle.give_back();
                state = self.lock();
            }
        }
        if state.has_owner {
            state.back = Some(Back { handle, outcome: None });
        }
    }
}

impl<H: Acquire> fmt::Debug for Deputy<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deputy").field("has_handle", &self.here.is_some()).finish_non_exhaustive()
    }
}

/// A wait by a deputy.
#[must_use = "a future does nothing until it is polled"]
pub(crate) struct Acquiring<'a, H: Acquire> {
    deputy: &'a mut Deputy<H>,
    wanted: H::Wanted,
}

impl<H: Acquire> Future for Acquiring<'_, H> {
    type Output = Outcome<H>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let wanted = self.wanted;
        self.deputy.poll(context, wanted)
    }
}

impl<H: Acquire> Drop for Acquiring<'_, H> {
    fn drop(&mut self) {
        self.deputy.cancel();
    }
}
