//! The areas of an object.

/// Bytes of a huge page, and the largest alignment.
pub(crate) const HUGE_PAGE: u64 = 2 << 20;

/// Bytes of the areas, each a multiple of `alignment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extents {
    pub(crate) head_bytes: u64,
    pub(crate) control_bytes: u64,
    pub(crate) data_bytes: u64,
    pub(crate) alignment: u64,
}

impl Extents {
    /// Areas for so many bytes of head, control and data.
    pub(crate) fn of([head, control, data]: [u64; 3], alignment: u64) -> Self {
        let area = |bytes: u64| bytes.next_multiple_of(alignment);
        Self { head_bytes: area(head), control_bytes: area(control), data_bytes: area(data), alignment }
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(self) -> u64 {
        self.head_bytes + self.control_bytes + self.data_bytes
    }
}

/// Bytes of a page of memory, the least alignment of an area.
#[cfg(not(loom))]
pub(crate) fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

/// The models have no pages; this is any size.
#[cfg(loom)]
pub(crate) fn page_bytes() -> u64 {
    4096
}
