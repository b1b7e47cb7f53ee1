//! Requests as futures.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, ready};

use quoit::Error;
use quoit::service::{Request, Server};

use crate::waiting::Waiting;

/// A [`Server`], for async code.
///
/// Requests may be kept over other waits, and answered in any order; answers never wait. Requests stay with the thread of the
/// server, so futures that have one are not `Send`: run them on the runtime's own thread, as `block_on` and
/// `spawn_local` do.
#[derive(Debug)]
pub struct AsyncServer {
    server: Server,
    waiting: RefCell<Waiting>,
}

impl AsyncServer {
    /// A server of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(server: Server) -> Result<Self, Error> {
        Ok(Self { server, waiting: RefCell::new(Waiting::new()?) })
    }

    /// Takes the next request. Cancel-safe: a future that is dropped has taken none. One task at a time may wait: of several
    /// only the last is woken.
    ///
    /// # Errors
    ///
    /// As [`Server::recv`].
    pub async fn recv(&self) -> Result<Request<'_>, Error> {
        poll_fn(|context| {
            let Ok(mut waiting) = self.waiting.try_borrow_mut() else {
                // A waker that polls this future while it is polled.
                context.waker().wake_by_ref();
                return Poll::Pending;
            };
            loop {
                ready!(waiting.poll_turn(context));
                if let Some(request) = self.server.try_recv()? {
                    return Poll::Ready(Ok(request));
                }
                ready!(waiting.poll_ready(context, &mut [&mut &self.server]));
            }
        })
        .await
    }

    /// The handle. Do not block in async code: use its `try_recv`.
    pub fn get_ref(&self) -> &Server {
        &self.server
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> Server {
        self.server
    }
}
