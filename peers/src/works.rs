//! What is done over anything that has two ends.

pub(crate) mod call;
pub(crate) mod event;
pub(crate) mod fan;
pub(crate) mod flood;
pub(crate) mod one_way;
pub(crate) mod open;
pub(crate) mod pingpong;
pub(crate) mod stream;
