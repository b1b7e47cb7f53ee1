//! Helpers that sleep on several words for a thread that cannot, since `futex_waitv` is refused.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::wait::futex::Refused;
use crate::waitset::helpers::called::Called;
use crate::waitset::helpers::{Helped, Watched};
use crate::waitset::method::WaitMethod;
use crate::waitset::round::Sleep;

pub(super) struct Substitutes {
    called: Arc<Called>,
    helped: Helped,
}

impl Substitutes {
    pub(super) fn new(refused: Refused) -> Result<Self, Error> {
        let called = Arc::new(Called::new());
        let bell = Arc::clone(&called);
        let helped = Helped::new(Arc::new(move || bell.call()))?;
        helped.refuse(refused);
        Ok(Self { called, helped })
    }

    pub(super) fn is_forked(&self) -> bool {
        self.helped.is_forked()
    }

    /// Sleeps until a word is woken, or as long as `sleep` says.
    pub(super) fn sleep(&mut self, watched: Vec<Watched>, sleep: Sleep) -> WaitMethod {
        let Sleep { slice_end, nap_end, .. } = sleep;
        let count = self.called.count();
        let method = self.helped.watch_words(watched);
        let end = if matches!(method, WaitMethod::Threads(_)) { slice_end } else { nap_end };
        match self.called.wait(count, end) {
            Ok(()) => method,
            Err(refused) => WaitMethod::NoFutex(refused.0),
        }
    }
}

impl fmt::Debug for Substitutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Substitutes").field("helped", &self.helped).finish_non_exhaustive()
    }
}
