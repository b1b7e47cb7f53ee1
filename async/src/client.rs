//! Calls as futures.

use quoit::service::{Answer, CallId, CallOptions, Client, TypedClient};
use quoit::{CallError, Error, Typed};

use crate::calls::Calls;

/// A [`Client`], for async code.
///
/// [`call`](Self::call) makes one call and waits for its reply. For several in flight, [`start`](Self::start) them, and
/// [`recv`](Self::recv) their answers; or use a client for each task.
#[derive(Debug)]
pub struct AsyncClient {
    client: Client,
    calls: Calls,
}

impl AsyncClient {
    /// A client of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(client: Client) -> Result<Self, Error> {
        Ok(Self { client, calls: Calls::new()? })
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
        let answer = self.calls.call(&mut self.client, request, how).await?;
        answer.into_result().map(|payload| payload.to_vec())
    }

    /// Starts a call: publishes its request. Waits while there is no room for it, until the call's deadline, and keeps the
    /// answers that come meanwhile. Cancel-safe: a future that is dropped has called nothing.
    ///
    /// # Errors
    ///
    /// As [`Client::start`].
    pub async fn start(&mut self, request: &[u8], how: CallOptions) -> Result<CallId, CallError> {
        self.calls.start(&mut self.client, request, how).await
    }

    /// The next answer to any call that was [started](Self::start): one of several replies, or the end of the call.
    /// Cancel-safe: a future that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`Client::recv`].
    pub async fn recv(&mut self) -> Result<Answer<'static>, Error> {
        self.calls.recv(&mut self.client).await
    }

    /// As [`Client::cancel`].
    ///
    /// # Errors
    ///
    /// As [`Client::cancel`].
    pub fn cancel(&mut self, call: CallId) -> Result<bool, Error> {
        self.client.cancel(call)
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

/// A [`TypedClient`], for async code: as [`AsyncClient`], with values.
///
/// ```
/// use quoit::service::{CallOptions, ServiceOptions, TypedServer};
/// use quoit_async::AsyncTypedClient;
///
/// # smol::block_on(async {
/// let server = TypedServer::<u32, u64>::local(&ServiceOptions::new())?;
/// let mut client = AsyncTypedClient::new(server.client()?)?;
/// # let serving =
/// std::thread::spawn(move || {
///     let request = server.recv().unwrap();
///     let number = u64::from(request.value());
///     request.reply(&(number * number)).unwrap();
/// });
///
/// assert_eq!(client.call(&7, CallOptions::new()).await?, 49);
/// # serving.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncTypedClient<Q, R> {
    client: TypedClient<Q, R>,
    calls: Calls,
}

impl<Q: Typed, R: Typed> AsyncTypedClient<Q, R> {
    /// A client of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(client: TypedClient<Q, R>) -> Result<Self, Error> {
        Ok(Self { client, calls: Calls::new()? })
    }

    /// As [`AsyncClient::call`].
    ///
    /// # Errors
    ///
    /// As [`TypedClient::call`].
    pub async fn call(&mut self, request: &Q, how: CallOptions) -> Result<R, CallError> {
        let answer = self.calls.call(self.client.as_client(), request.as_bytes(), how).await?;
        TypedClient::<Q, R>::value(answer)
    }

    /// As [`AsyncClient::start`].
    ///
    /// # Errors
    ///
    /// As [`TypedClient::start`].
    pub async fn start(&mut self, request: &Q, how: CallOptions) -> Result<CallId, CallError> {
        self.calls.start(self.client.as_client(), request.as_bytes(), how).await
    }

    /// The next answer, as [`AsyncClient::recv`]. [`TypedClient::value`] has its value.
    ///
    /// # Errors
    ///
    /// As [`quoit::service::Client::recv`].
    pub async fn recv(&mut self) -> Result<Answer<'static>, Error> {
        self.calls.recv(self.client.as_client()).await
    }

    /// As [`Client::cancel`].
    ///
    /// # Errors
    ///
    /// As [`Client::cancel`].
    pub fn cancel(&mut self, call: CallId) -> Result<bool, Error> {
        self.client.as_client().cancel(call)
    }

    /// The handle. Do not block in async code: use the `try_` calls of its client.
    pub fn get_mut(&mut self) -> &mut TypedClient<Q, R> {
        &mut self.client
    }

    /// The handle, for other than async code. Answers that were kept are lost.
    pub fn into_inner(self) -> TypedClient<Q, R> {
        self.client
    }
}
