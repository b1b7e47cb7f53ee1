//! The ring: its layout, its protocol, and the handles that people hold.

#[cfg(not(loom))]
pub(crate) mod arrival;
pub(crate) mod attach;
pub(crate) mod blocker;
pub(crate) mod claim;
pub(crate) mod consumer;
pub(crate) mod events;
pub(crate) mod evict;
pub(crate) mod forget;
pub(crate) mod inspect;
pub(crate) mod names;
pub(crate) mod observer;
pub(crate) mod options;
pub(crate) mod producer;
pub(crate) mod protocol;
pub(crate) mod reading;
pub(crate) mod receive;
pub(crate) mod rings;
#[cfg(not(loom))]
pub(crate) mod sealed;
pub(crate) mod takeover;
#[cfg(tampered)]
pub mod tamper;
pub(crate) mod text;
#[cfg(not(loom))]
pub(crate) mod trusted;
pub(crate) mod typed;
pub(crate) mod writing;
