//! Rates of a ring, per second, between two readings.

use std::time::Duration;

use quoit::Snapshot;

#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) records: f64,
    pub(super) bytes: f64,
}

impl Rates {
    pub(super) fn between((before, time): (&Snapshot, Duration), after: &Snapshot) -> Self {
        let seconds = time.as_secs_f64();
        Self {
            records: after.records.wrapping_sub(before.records) as f64 / seconds,
            bytes: after.bytes.wrapping_sub(before.bytes) as f64 / seconds,
        }
    }
}
