//! Latencies, every one of them, in a histogram of three figures. As text, which is how they go through pipes and into
//! JSON, they are `NANOSECONDSxCOUNT` and spaces.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

const FIGURES: u8 = 3;

/// All latencies of some rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // Three figures are within the one to five that this is made for.
        Self(Histogram::new(FIGURES).unwrap_or_else(|_| unreachable!()))
    }
}

impl Latencies {
    /// Of samples in nanoseconds; `clock` of each is what looking at the clock took.
    pub fn of(samples: &[u32], clock: f64) -> Self {
        let mut latencies = Self::default();
        for sample in samples {
            latencies.add((f64::from(*sample) - clock).round().max(1.0) as u64, 1);
        }
        latencies
    }

    fn add(&mut self, nanos: u64, count: u64) {
        // It grows as needed, so nothing is out of range.
        let _ = self.0.record_n(nanos, count);
    }

    /// Takes in those of another measurement.
    pub fn add_all(&mut self, others: &Self) {
        for value in others.0.iter_recorded() {
            self.add(value.value_iterated_to(), value.count_since_last_iteration());
        }
    }

    /// As others read them.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// The latency that so large a part of all does not exceed, ns.
    pub fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile).min(self.0.max())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

impl From<Latencies> for String {
    fn from(latencies: Latencies) -> Self {
        let mut text = Self::new();
        for value in latencies.0.iter_recorded() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}x{} ", value.value_iterated_to(), value.count_since_last_iteration());
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl TryFrom<String> for Latencies {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut latencies = Self::default();
        for word in text.split_whitespace() {
            let pair = word
                .split_once('x')
                .and_then(|(nanos, count)| Some((nanos.parse().ok()?, count.parse().ok()?)));
            let (nanos, count) = pair.ok_or_else(|| format!("{word:?} is no latency and its count"))?;
            latencies.add(nanos, count);
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let latencies = Latencies::of(&[130, 130, 95, 4_000_000_000, 3], 30.0);
        assert_eq!(latencies.count(), 5);
        assert_eq!((latencies.at(0.0), latencies.at(0.5)), (1, 100));
        let text = String::from(latencies.clone());
        assert!(text.starts_with("1x1 65x1 100x2 "), "{text}");
        assert_eq!(Latencies::try_from(text), Ok(latencies));
        assert_eq!(Latencies::try_from(String::new()), Ok(Latencies::default()));
        for bad in ["7", "7x", "x7", "7x8 9", "-1x1"] {
            assert!(Latencies::try_from(bad.to_owned()).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn added_up() {
        let mut all = Latencies::of(&[10, 20], 0.0);
        all.add_all(&Latencies::of(&[20, 30], 0.0));
        assert_eq!(String::from(all), "10x1 20x2 30x1");
    }
}
