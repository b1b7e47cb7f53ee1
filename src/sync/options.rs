//! Options of objects with seats.

use crate::error::Error;
use crate::memory::extents::page_bytes;
use crate::memory::format::Format;
use crate::memory::permissions::check_mode;
use crate::sync::shape::{Content, Shape};

/// Options of an object in this module, but for [`Latest`](crate::sync::Latest) and [`Table`](crate::sync::Table), which have
/// their own.
///
/// ```
/// let options = quoit::sync::SyncOptions::new().seats(8).mode(0o660);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until an object is made with them"]
pub struct SyncOptions {
    seats: u64,
    mode: u32,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { seats: 64, mode: 0o600 }
    }
}

impl SyncOptions {
    /// 64 seats, mode 0600.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many handles may be open at a time, in all processes together: 1 to 4096, default 64. A handle whose
    /// process died needs no seat any more.
    pub fn seats(self, seats: u32) -> Self {
        Self { seats: seats.into(), ..self }
    }

    /// Permission bits of the file, whatever the umask; default 0600. Every handle needs read and write permission.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    #[cfg(not(loom))]
    pub(crate) fn file_mode(&self) -> u32 {
        self.mode
    }

    pub(crate) fn shape<K: Content>(&self, content: K) -> Result<Shape<K>, Error> {
        self.shape_of(self.seats, content)
    }

    /// The seats that were asked for.
    pub(crate) fn seat_count(&self) -> u64 {
        self.seats
    }

    /// With as many seats as the content needs.
    pub(crate) fn shape_of<K: Content>(&self, seats: u64, content: K) -> Result<Shape<K>, Error> {
        check_mode(self.mode)?;
        let shape = Shape { seats, alignment: page_bytes(), content };
        shape.check()?;
        Ok(shape)
    }
}
