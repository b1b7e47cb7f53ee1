//! What `quoit bench` and the comparison with the peers have in common: the floors, which are what plain atomics do
//! with nothing of a queue's duties, the way everything is measured, and how it is shown. Both are built from this, so that a
//! ratio to a floor means the same in either.
//!
//! | layer | files |
//! |---|---|
//! | the floors | [`bounce`], [`stream`], [`copies`], [`open`] |
//! | the records | [`building`], [`fields`] |
//! | rounds, and the processes that play them | [`rounds`], [`crew`], [`report`] |
//! | measuring together | [`windows`], [`scene`] |
//! | the memory and the files for it | [`ground`], [`place`] |
//! | what comes of it, and on which machine | [`figures`], [`latencies`], [`stats`], [`machine`] |
//! | how it is shown | [`units`], [`svg`], [`marks`], [`progress`] |

pub mod asleep;
pub mod bounce;
pub mod building;
pub mod copies;
pub mod crew;
pub mod distance;
pub mod fields;
pub mod figures;
pub mod ground;
pub mod latencies;
pub mod machine;
pub mod marks;
pub mod open;
pub mod place;
pub mod progress;
pub mod report;
pub mod rounds;
pub mod scene;
pub mod stats;
pub mod stream;
pub mod svg;
pub mod units;
pub mod windows;
