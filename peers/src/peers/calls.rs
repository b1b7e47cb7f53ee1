//! The two that have request and reply: a client that waits for each reply, and a server. Both sides poll.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use iceoryx2::prelude::*;
use quoit::service::{CallOptions, ServiceOptions};
use quoit::zerocopy::IntoBytes;

use super::iceoryx::{Iceoryx, Sample, Service, name, node};
use super::quoit::Quoit;

/// One that has calls.
pub(crate) trait Calls<const N: usize> {
    type Server: Server<N>;
    type Client: Client<N>;

    /// Comes first.
    fn server(path: &Path) -> Result<Self::Server>;
    fn client(path: &Path) -> Result<Self::Client>;
}

/// The side that answers.
pub(crate) trait Server<const N: usize> {
    /// Answers a request with its own words, if there is one.
    fn answer(&mut self) -> Result<bool>;
}

/// The side that asks.
pub(crate) trait Client<const N: usize> {
    /// Asks, and waits for the reply.
    fn call(&mut self, request: &[u64; N]) -> Result<[u64; N]>;
}

impl<const N: usize> Calls<N> for Quoit {
    type Server = quoit::service::Server;
    type Client = quoit::service::Client;

    fn server(path: &Path) -> Result<Self::Server> {
        let options = ServiceOptions::new().clients(1).largest_reply(N as u64 * 8);
        Ok(quoit::service::Server::create(path, &options)?)
    }

    fn client(path: &Path) -> Result<Self::Client> {
        Ok(quoit::service::Client::open(path)?)
    }
}

impl<const N: usize> Server<N> for quoit::service::Server {
    #[inline(always)]
    fn answer(&mut self) -> Result<bool> {
        let Some(request) = self.try_recv()? else { return Ok(false) };
        let mut words = [0_u64; N];
        let read = request.payload().read_at(0, words.as_mut_bytes());
        ensure!(read == N * 8, "a request of {read} bytes");
        request.reply(words.as_bytes())?;
        Ok(true)
    }
}

impl<const N: usize> Client<N> for quoit::service::Client {
    #[inline(always)]
    fn call(&mut self, request: &[u64; N]) -> Result<[u64; N]> {
        self.start(request.as_bytes(), CallOptions::new())?;
        loop {
            if let Some(answer) = self.try_recv()? {
                let mut words = [0; N];
                let read = answer.into_result()?.read_at(0, words.as_mut_bytes());
                ensure!(read == N * 8, "a reply of {read} bytes");
                return Ok(words);
            }
        }
    }
}

/// A port of iceoryx2, and the node that it is of.
pub(crate) struct Port<P> {
    pub(super) port: P,
    pub(super) _node: Node<Service>,
}

type Words<const N: usize> = Sample<[u64; N]>;
type Asking<const N: usize> = iceoryx2::port::client::Client<Service, Words<N>, (), Words<N>, ()>;
type Answering<const N: usize> = iceoryx2::port::server::Server<Service, Words<N>, (), Words<N>, ()>;

impl<const N: usize> Calls<N> for Iceoryx {
    type Server = Port<Answering<N>>;
    type Client = Port<Asking<N>>;

    fn server(path: &Path) -> Result<Self::Server> {
        let node = node(path)?;
        let service = node.service_builder(&name(path)?).request_response::<Words<N>, Words<N>>();
        let service = service.max_clients(1).max_servers(1).open_or_create();
        let service = service.map_err(|error| anyhow!("{error:?}"))?;
        let port = service.server_builder().create().map_err(|error| anyhow!("{error:?}"))?;
        Ok(Port { port, _node: node })
    }

    fn client(path: &Path) -> Result<Self::Client> {
        let node = node(path)?;
        let service = node.service_builder(&name(path)?).request_response::<Words<N>, Words<N>>();
        let service = service.max_clients(1).max_servers(1).open_or_create();
        let service = service.map_err(|error| anyhow!("{error:?}"))?;
        let port = service.client_builder().create().map_err(|error| anyhow!("{error:?}"))?;
        Ok(Port { port, _node: node })
    }
}

impl<const N: usize> Server<N> for Port<Answering<N>> {
    #[inline(always)]
    fn answer(&mut self) -> Result<bool> {
        let Some(request) = self.port.receive()? else { return Ok(false) };
        request.loan_uninit()?.write_payload(*request.payload()).send()?;
        Ok(true)
    }
}

impl<const N: usize> Client<N> for Port<Asking<N>> {
    #[inline(always)]
    fn call(&mut self, request: &[u64; N]) -> Result<[u64; N]> {
        let pending = self.port.loan_uninit()?.write_payload(Sample(*request)).send()?;
        loop {
            if let Some(reply) = pending.receive()? {
                return Ok(reply.payload().0);
            }
        }
    }
}
