//! Throughput over the course of the demo, for the bars.

use std::time::Duration;

/// Records published by each frame.
#[derive(Debug, Default)]
pub(crate) struct History {
    marks: Vec<(Duration, u64)>,
}

impl History {
    pub(crate) fn mark(&mut self, elapsed: Duration, records: u64) {
        match self.marks.last_mut() {
            // Time stands still before the demo begins.
            Some((at, counted)) if *at == elapsed => *counted = records,
            _ => self.marks.push((elapsed, records)),
        }
    }

    /// Records per second, in `columns` equal parts of the whole demo; only those that have passed.
    pub(crate) fn rates(&self, total: Duration, columns: usize) -> Vec<u64> {
        let Some((now, _)) = self.marks.last() else { return Vec::new() };
        let part = total.as_secs_f64() / columns.max(1) as f64;
        let passed = (now.as_secs_f64() / part) as usize;
        let mut before = self.records_at(0.0);
        let mut rates = Vec::with_capacity(passed.min(columns));
        for column in 1..=passed.min(columns) {
            let after = self.records_at(part * column as f64);
            rates.push(((after - before).max(0.0) / part) as u64);
            before = after;
        }
        rates
    }

    /// Interpolated between two marks.
    fn records_at(&self, seconds: f64) -> f64 {
        let next = self.marks.partition_point(|(at, _)| at.as_secs_f64() < seconds);
        let value =
            |mark: Option<&(Duration, u64)>| mark.map(|(at, records)| (at.as_secs_f64(), *records as f64));
        match (next.checked_sub(1).and_then(|last| value(self.marks.get(last))), value(self.marks.get(next)))
        {
            (Some((from, before)), Some((to, after))) => {
                before + (after - before) * (seconds - from) / (to - from)
            }
            (Some((_, records)), None) | (None, Some((_, records))) => records,
            (None, None) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_their_time_whatever_the_width() {
        let mut history = History::default();
        let total = Duration::from_secs(10);
        assert!(history.rates(total, 40).is_empty());
        for tenth in 0..=50 {
            // 1000 a second for two seconds, nothing for one, then 3000.
            let records = match tenth {
                0..20 => 100 * tenth,
                20..30 => 2000,
                _ => 2000 + 300 * (tenth - 30),
            };
            history.mark(Duration::from_millis(100 * tenth), records);
        }
        assert_eq!(history.rates(total, 10), [1000, 1000, 0, 3000, 3000]);
        assert_eq!(history.rates(total, 20), [1000, 1000, 1000, 1000, 0, 0, 3000, 3000, 3000, 3000]);
        // Narrower parts than there are pictures.
        let narrow = history.rates(total, 200);
        assert_eq!(narrow.len(), 100);
        assert!(narrow[..40].iter().all(|rate| rate.abs_diff(1000) <= 1), "{narrow:?}");
        assert!(narrow[60..].iter().all(|rate| rate.abs_diff(3000) <= 1), "{narrow:?}");
    }
}
