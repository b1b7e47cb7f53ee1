//! What `quoit bench` and the comparison with the peers have in common: the floors, which are what plain atomics do
//! with nothing of a queue's duties, and the way everything is measured. Both are built from this, so that a ratio to a
//! floor means the same in either.
//!
//! | layer | files |
//! |---|---|
//! | the floors | [`bounce`], [`stream`], [`copies`] |
//! | measuring together | [`windows`], [`scene`] |
//! | the memory and the files for it | [`ground`], [`place`] |
//! | what comes of it, and on which machine | [`figures`], [`stats`], [`machine`] |

pub mod bounce;
pub mod copies;
pub mod figures;
pub mod ground;
pub mod machine;
pub mod place;
pub mod scene;
pub mod stats;
pub mod stream;
pub mod windows;
