//! The readers, as things that a thread waits for together with others.

use crate::ring::any::AnyReader;
use crate::ring::consumer::Consumer;
use crate::ring::observer::Observer;
use crate::ring::typed::TypedConsumer;
use crate::schema::Typed;
use crate::source::{Source, Waitable};

impl Waitable for Consumer {
    fn source(&mut self) -> &mut dyn Source {
        &mut self.receiver
    }
}

impl Waitable for Observer {
    fn source(&mut self) -> &mut dyn Source {
        &mut self.receiver
    }
}

impl Waitable for AnyReader {
    fn source(&mut self) -> &mut dyn Source {
        self.receiver_mut()
    }
}

impl<T: Typed> Waitable for TypedConsumer<T> {
    fn source(&mut self) -> &mut dyn Source {
        self.as_untyped().source()
    }
}
