//! Shared memory: files, maps, locks, and protection against `fork`. This layer does not know what an object is for:
//! a [`Format`](format::Format) describes its kind.

#[cfg(not(loom))]
pub(crate) mod arrival;
pub(crate) mod block;
#[cfg(not(loom))]
pub(crate) mod control_group;
#[cfg(not(loom))]
pub(crate) mod draft;
pub(crate) mod extents;
#[cfg(not(loom))]
pub(crate) mod file;
#[cfg(not(loom))]
pub(crate) mod filesystem;
#[cfg(not(loom))]
pub(crate) mod fork;
pub(crate) mod format;
#[cfg(not(loom))]
pub(crate) mod handler;
pub(crate) mod identity;
pub(crate) mod lock;
#[cfg(not(loom))]
pub(crate) mod map;
pub(crate) mod permissions;
#[cfg(not(loom))]
pub(crate) mod prepare;
#[cfg(not(loom))]
pub(crate) mod refusal;
#[cfg(not(loom))]
pub(crate) mod region;
#[cfg(loom)]
pub(crate) mod region_loom;
#[cfg(not(loom))]
pub(crate) mod room;
#[cfg(not(loom))]
pub(crate) mod sigbus;
#[cfg(not(loom))]
pub(crate) mod truncation;

#[cfg(loom)]
pub(crate) use region_loom as region;
