//! What `cache_serve` and `cache_get` agree on: a request is a host name, a reply is its addresses, one a line.

/// Where the service is, unless told otherwise.
pub(crate) const PATH: &str = "/dev/shm/quoit-cache";
