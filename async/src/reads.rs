//! What a reader's handle must be able to do.

use std::time::Duration;

use quoit::{Consumer, EventOf, Observer, RecvError, Typed, TypedConsumer, Waitable};

/// A handle from which an [`AsyncReader`](crate::AsyncReader) receives. The trait is sealed.
pub trait Reads: Waitable + sealed::Sealed {
    /// The payload of a record: owned bytes, or a value.
    type Payload;

    /// The next event, if there is one.
    ///
    /// # Errors
    ///
    /// As `try_recv` of the handle.
    fn try_next(&mut self) -> Result<Option<EventOf<Self::Payload>>, RecvError>;

    /// The same; says the end of the stream as well.
    ///
    /// # Errors
    ///
    /// As `recv_timeout` of the handle.
    fn try_next_or_end(&mut self) -> Result<EventOf<Self::Payload>, RecvError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for quoit::Consumer {}
    impl Sealed for quoit::Observer {}
    impl<T> Sealed for quoit::TypedConsumer<T> {}
}

impl Reads for Consumer {
    type Payload = Vec<u8>;

    fn try_next(&mut self) -> Result<Option<EventOf<Vec<u8>>>, RecvError> {
        Ok(self.try_recv()?.map(|event| event.to_owned()))
    }

    fn try_next_or_end(&mut self) -> Result<EventOf<Vec<u8>>, RecvError> {
        Ok(self.recv_timeout(Duration::ZERO)?.to_owned())
    }
}

impl Reads for Observer {
    type Payload = Vec<u8>;

    fn try_next(&mut self) -> Result<Option<EventOf<Vec<u8>>>, RecvError> {
        Ok(self.try_recv()?.map(|event| event.to_owned()))
    }

    fn try_next_or_end(&mut self) -> Result<EventOf<Vec<u8>>, RecvError> {
        Ok(self.recv_timeout(Duration::ZERO)?.to_owned())
    }
}

impl<T: Typed> Reads for TypedConsumer<T> {
    type Payload = T;

    fn try_next(&mut self) -> Result<Option<EventOf<T>>, RecvError> {
        self.try_recv()
    }

    fn try_next_or_end(&mut self) -> Result<EventOf<T>, RecvError> {
        self.recv_timeout(Duration::ZERO)
    }
}
