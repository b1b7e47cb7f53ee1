//! Requests as futures.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, ready};

use quoit::service::{Request, Server, TypedRequest, TypedServer};
use quoit::{Error, Typed};

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
        take(&self.waiting, &self.server, || self.server.try_recv()).await
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

/// A [`TypedServer`], for async code: as [`AsyncServer`], with values.
///
/// ```
/// use quoit::service::{CallOptions, ServiceOptions, TypedServer};
/// use quoit_async::{AsyncTypedClient, AsyncTypedServer};
///
/// # smol::block_on(async {
/// let server = TypedServer::<u32, u64>::local(&ServiceOptions::new())?;
/// let mut client = AsyncTypedClient::new(server.client()?)?;
/// let server = AsyncTypedServer::new(server)?;
///
/// let call = client.start(&7, CallOptions::new()).await?;
/// let request = server.recv().await?;
/// let number = u64::from(request.value());
/// request.reply(&(number * number))?;
/// # let answer = client.recv().await?;
/// # assert_eq!(answer.call(), call);
/// # assert_eq!(quoit::service::TypedClient::<u32, u64>::value(answer)?, 49);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncTypedServer<Q, R> {
    server: TypedServer<Q, R>,
    waiting: RefCell<Waiting>,
}

impl<Q: Typed, R: Typed> AsyncTypedServer<Q, R> {
    /// A server of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(server: TypedServer<Q, R>) -> Result<Self, Error> {
        Ok(Self { server, waiting: RefCell::new(Waiting::new()?) })
    }

    /// As [`AsyncServer::recv`]. Requests that are not of the type are dropped.
    ///
    /// # Errors
    ///
    /// As [`TypedServer::recv`].
    pub async fn recv(&self) -> Result<TypedRequest<'_, Q, R>, Error> {
        take(&self.waiting, self.server.as_server(), || self.server.try_recv()).await
    }

    /// The handle. Do not block in async code: use its `try_recv`.
    pub fn get_ref(&self) -> &TypedServer<Q, R> {
        &self.server
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> TypedServer<Q, R> {
        self.server
    }
}

/// Waits for what `try_recv` takes from the server.
async fn take<T>(
    waiting: &RefCell<Waiting>,
    mut server: &Server,
    try_recv: impl Fn() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    poll_fn(|context| {
        let Ok(mut waiting) = waiting.try_borrow_mut() else {
            // A waker that polls this future while it is polled.
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        loop {
            ready!(waiting.poll_turn(context));
            if let Some(request) = try_recv()? {
                return Poll::Ready(Ok(request));
            }
            ready!(waiting.poll_ready(context, &mut [&mut server]));
        }
    })
    .await
}
