//! Handles on the service that another handle is on.

use crate::error::Error;
use crate::memory::permissions::Access;
use crate::service::client::Client;
use crate::service::server::Server;

impl Server {
    /// A client of this service. For a service in a file this takes `/proc` and the permission to open the file; its name
    /// need not be there any more.
    ///
    /// # Errors
    ///
    /// As [`Client::try_clone`].
    pub fn client(&self) -> Result<Client, Error> {
        Client::sit(self.region().reopen(Access::Peer)?)
    }
}

impl Client {
    /// Another client of the same service, for another thread. For a service in a file this takes `/proc` and the
    /// permission to open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Self::sit(self.region().reopen(Access::Peer)?)
    }

    /// Becomes the next server of the same service.
    ///
    /// # Errors
    ///
    /// [`Error::ServerAlive`](crate::Error::ServerAlive); as [`try_clone`](Self::try_clone).
    pub fn serve(&self) -> Result<Server, Error> {
        Server::take_over(self.region().reopen(Access::Peer)?)
    }
}
