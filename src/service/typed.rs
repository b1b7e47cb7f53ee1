//! Calls with values of one type each way.

use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{CallError, Error, ReplyError};
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
#[cfg(not(loom))]
use crate::schema::Schema;
use crate::schema::Typed;
use crate::service::client::{Answer, CallId, Client};
use crate::service::options::{CallOptions, ServiceOptions};
use crate::service::server::{Request, Server};

/// A [`Server`] of a service whose requests are values of type `Q` and whose replies are values of type `R`.
///
/// ```
/// use quoit::service::{CallOptions, ServiceOptions, TypedClient, TypedServer};
///
/// let path = format!("/dev/shm/square-{}", std::process::id());
/// let server = TypedServer::<u32, u64>::create(&path, &ServiceOptions::new())?;
///
/// // In any other process:
/// let mut client = TypedClient::<u32, u64>::open(&path)?;
/// let call = client.start(&7, CallOptions::new())?;
///
/// let request = server.recv()?;
/// let number = u64::from(request.value());
/// request.reply(&(number * number))?;
///
/// assert_eq!(client.wait(call)?, 49);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TypedServer<Q, R> {
    server: Server,
    _types: PhantomData<(Q, R)>,
}

/// A request of a [`TypedServer`].
#[must_use = "a request that is dropped is answered as dropped"]
pub struct TypedRequest<'s, Q, R> {
    request: Request<'s>,
    value: Q,
    _reply: PhantomData<R>,
}

/// A [`Client`] of such a service.
pub struct TypedClient<Q, R> {
    client: Client,
    _types: PhantomData<(Q, R)>,
}

impl<Q: Typed, R: Typed> TypedServer<Q, R> {
    /// As [`Server::create`], with these types.
    ///
    /// # Errors
    ///
    /// As [`Server::create`].
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &ServiceOptions) -> Result<Self, Error> {
        Server::create(path, &options.clone().types::<Q, R>()).map(Self::of)
    }

    /// As [`Server::open`].
    ///
    /// # Errors
    ///
    /// [`Error::WrongSchema`] if the service is of other types; as [`Server::open`].
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let types = Some((Schema::of::<Q>(), Schema::of::<R>()));
        Server::open_as(path.as_ref(), Owners::Any, types).map(Self::of)
    }

    /// As [`Server::open_or_create`], with these types.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSchema`] if the service is of other types; as [`Server::open_or_create`].
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &ServiceOptions) -> Result<Self, Error> {
        Server::open_or_create(path, &options.clone().types::<Q, R>()).map(Self::of)
    }

    /// As [`Server::local`], with these types.
    ///
    /// # Errors
    ///
    /// As [`Server::local`].
    pub fn local(options: &ServiceOptions) -> Result<Self, Error> {
        Server::local(&options.clone().types::<Q, R>()).map(Self::of)
    }

    fn of(server: Server) -> Self {
        Self { server, _types: PhantomData }
    }

    /// As [`Server::client`].
    ///
    /// # Errors
    ///
    /// As [`Server::client`].
    pub fn client(&self) -> Result<TypedClient<Q, R>, Error> {
        self.server.client().map(TypedClient::of)
    }

    /// As [`Server::recv`]. Requests that are not of the type are dropped.
    ///
    /// # Errors
    ///
    /// As [`Server::recv`].
    pub fn recv(&self) -> Result<TypedRequest<'_, Q, R>, Error> {
        loop {
            if let Some(request) = typed(self.server.recv()?) {
                return Ok(request);
            }
        }
    }

    /// As [`Server::try_recv`]. Requests that are not of the type are dropped.
    ///
    /// # Errors
    ///
    /// As [`Server::try_recv`].
    pub fn try_recv(&self) -> Result<Option<TypedRequest<'_, Q, R>>, Error> {
        loop {
            match self.server.try_recv()?.map(typed) {
                Some(None) => {}
                found => return Ok(found.flatten()),
            }
        }
    }

    /// As [`Server::recv_deadline`]. Requests that are not of the type are dropped.
    ///
    /// # Errors
    ///
    /// As [`Server::recv_deadline`].
    pub fn recv_deadline(&self, deadline: Instant) -> Result<Option<TypedRequest<'_, Q, R>>, Error> {
        loop {
            match self.server.recv_deadline(deadline)?.map(typed) {
                Some(None) => {}
                found => return Ok(found.flatten()),
            }
        }
    }

    /// As [`recv_deadline`](Self::recv_deadline), `timeout` from now.
    ///
    /// # Errors
    ///
    /// As [`Server::recv_timeout`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<TypedRequest<'_, Q, R>>, Error> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.recv_deadline(deadline),
            None => self.recv().map(Some),
        }
    }

    /// The server itself.
    pub fn as_server(&self) -> &Server {
        &self.server
    }
}

fn typed<Q: Typed, R>(request: Request<'_>) -> Option<TypedRequest<'_, Q, R>> {
    let value = request.payload().read()?;
    Some(TypedRequest { request, value, _reply: PhantomData })
}

impl<'s, Q: Typed + Copy, R: Typed> TypedRequest<'s, Q, R> {
    /// What is asked for.
    pub fn value(&self) -> Q {
        self.value
    }
}

impl<'s, Q: Typed, R: Typed> TypedRequest<'s, Q, R> {
    /// The request itself.
    pub fn as_request(&mut self) -> &mut Request<'s> {
        &mut self.request
    }

    /// As [`Request::reply`].
    ///
    /// # Errors
    ///
    /// As [`Request::reply`].
    pub fn reply(self, value: &R) -> Result<(), ReplyError> {
        self.request.reply(value.as_bytes())
    }

    /// As [`Request::fail`].
    ///
    /// # Errors
    ///
    /// As [`Request::fail`].
    pub fn fail(self, error: &[u8]) -> Result<(), ReplyError> {
        self.request.fail(error)
    }
}

impl<Q: Typed, R: Typed> TypedClient<Q, R> {
    /// As [`Client::open`].
    ///
    /// # Errors
    ///
    /// [`Error::WrongSchema`] if the service is of other types; as [`Client::open`].
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Client::open_as(path.as_ref(), Some((Schema::of::<Q>(), Schema::of::<R>()))).map(Self::of)
    }

    /// As [`Client::open_wait`].
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was none by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    fn of(client: Client) -> Self {
        Self { client, _types: PhantomData }
    }

    /// As [`Client::try_clone`].
    ///
    /// # Errors
    ///
    /// As [`Client::try_clone`].
    pub fn try_clone(&self) -> Result<Self, Error> {
        self.client.try_clone().map(Self::of)
    }

    /// As [`Client::call`].
    ///
    /// # Errors
    ///
    /// [`CallError::WrongReply`] if the reply is no value of `R`; as [`Client::call`].
    pub fn call(&mut self, request: &Q, how: CallOptions) -> Result<R, CallError> {
        let reply = self.client.call(request.as_bytes(), how)?;
        value(reply.len(), reply.read())
    }

    /// As [`Client::start`].
    ///
    /// # Errors
    ///
    /// As [`Client::start`].
    pub fn start(&mut self, request: &Q, how: CallOptions) -> Result<CallId, CallError> {
        self.client.start(request.as_bytes(), how)
    }

    /// As [`Client::wait`].
    ///
    /// # Errors
    ///
    /// [`CallError::WrongReply`] if the reply is no value of `R`; as [`Client::wait`].
    pub fn wait(&mut self, call: CallId) -> Result<R, CallError> {
        let reply = self.client.wait(call)?;
        value(reply.len(), reply.read())
    }

    /// The value of a reply that the [client itself](Self::as_client) has received.
    ///
    /// # Errors
    ///
    /// [`CallError`], for everything but replies; [`CallError::WrongReply`] if the reply is no value of `R`.
    pub fn value(answer: Answer<'_>) -> Result<R, CallError> {
        let reply = answer.into_result()?;
        value(reply.len(), reply.read())
    }

    /// The client itself, to receive the answers to several calls, or to cancel one.
    pub fn as_client(&mut self) -> &mut Client {
        &mut self.client
    }
}

fn value<R>(len: usize, value: Option<R>) -> Result<R, CallError> {
    value.ok_or(CallError::WrongReply { len, expected: size_of::<R>() })
}

impl<Q, R> fmt::Debug for TypedServer<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedServer").field("server", &self.server).finish_non_exhaustive()
    }
}

impl<Q, R> fmt::Debug for TypedRequest<'_, Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedRequest").field("request", &self.request).finish_non_exhaustive()
    }
}

impl<Q, R> fmt::Debug for TypedClient<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedClient").field("client", &self.client).finish_non_exhaustive()
    }
}
