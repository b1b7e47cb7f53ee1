//! Opens what may not exist yet, or creates it.

use std::path::Path;
use std::time::Instant;

use crossbeam_utils::Backoff;

use crate::error::Error;
use crate::memory::file::{Owners, remove_leftover};
use crate::memory::format::Format;
use crate::wait::clock;
use crate::wait::doorbell;

/// Opens an object as soon as it exists, or returns the error at `deadline`. With a deadline that has passed it tries
/// once.
///
/// It waits only while what is missing may still come: the file and its directory, or what is to be in it. A ring gets its
/// name only when it is complete, so any other error is permanent.
pub(crate) fn when_there<T>(
    deadline: Instant,
    mut open: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let until_ns = clock::deadline_ns(deadline);
    let begin_ns = clock::monotonic_ns();
    loop {
        match open() {
            Err(error) if error.may_pass() && !clock::is_past(until_ns) => {}
            opened => return opened,
        }
        let now = clock::monotonic_ns();
        let nap_ns = doorbell::nap_ns(now.saturating_sub(begin_ns));
        clock::sleep_until(until_ns.min(now.saturating_add(nap_ns)));
    }
}

/// Opens what is at `path`, or creates it if nothing is there. First removes a ring that is left over from before a
/// reboot and not in use.
pub(crate) fn open_or_create<F: Format, T>(
    path: &Path,
    owners: Owners,
    mut open: impl FnMut() -> Result<T, Error>,
    mut create: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let backoff = Backoff::new();
    // Another process may create and remove the file between the two steps, but hardly a hundred times.
    for _ in 0..100 {
        match open() {
            Err(Error::NotFound { .. }) => {}
            Err(Error::EarlierBoot { .. }) => match remove_leftover::<F>(path, owners) {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            },
            other => return other,
        }
        match create() {
            Err(Error::Exists { .. }) => {}
            other => return other,
        }
        backoff.snooze();
    }
    open()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    fn not_found() -> Error {
        Error::NotFound { path: "ring".into() }
    }

    #[test]
    fn a_deadline_that_has_passed_is_one_try() {
        let tries = Cell::new(0);
        let opened = when_there(Instant::now(), || {
            tries.set(tries.get() + 1);
            Err::<(), _>(not_found())
        });
        assert!(matches!(opened, Err(Error::NotFound { .. })));
        assert_eq!(tries.get(), 1);
    }

    #[test]
    fn the_last_try_is_at_the_deadline() {
        let deadline = Instant::now() + Duration::from_millis(20);
        let last = Cell::new(Instant::now());
        let opened = when_there(deadline, || {
            last.set(Instant::now());
            Err::<(), _>(not_found())
        });
        assert!(matches!(opened, Err(Error::NotFound { .. })));
        assert!(last.get() >= deadline, "the last try came {:?} early", deadline - last.get());
    }

    #[test]
    fn what_is_wrong_for_good_is_told_at_once() {
        let far = Instant::now() + Duration::from_secs(3600);
        let opened = when_there(far, || Err::<(), _>(Error::GatedOnly));
        assert!(matches!(opened, Err(Error::GatedOnly)));
    }

    #[test]
    fn what_comes_is_opened() {
        let far = Instant::now() + Duration::from_secs(3600);
        let tries = Cell::new(0);
        let opened = when_there(far, || {
            tries.set(tries.get() + 1);
            if tries.get() < 5 { Err(not_found()) } else { Ok(tries.get()) }
        });
        assert_eq!(opened.ok(), Some(5));
    }
}
