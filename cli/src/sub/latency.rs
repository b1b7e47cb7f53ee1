//! One-way latencies: from a record's publish to its receive.

use hdrhistogram::Histogram;
use quoit::Timestamp;

use crate::output::say;
use crate::units;

#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    /// A record that was published at this time was received just now.
    pub(crate) fn received(&mut self, published: Timestamp) {
        let ns = u64::try_from(published.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // It grows as needed, and starts at 1.
        let _ = self.0.record(ns.max(1));
    }

    pub(crate) fn tell(&self) {
        let Self(all) = self;
        let records = units::plain(all.len(), "record");
        if all.is_empty() {
            return say(format_args!("latency of {records}"));
        }
        let at = |quantile| units::nanos(all.value_at_quantile(quantile).min(all.max()) as f64, 3);
        say(format_args!(
            "latency of {records}: least {}, median {}, 90 % {}, 99 % {}, 99.9 % {}, most {}",
            units::nanos(all.min() as f64, 3),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            units::nanos(all.max() as f64, 3)
        ));
    }
}
