//! Percentiles of latencies as HdrHistogram prints them, which is what the tools that plot them read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use quoit_floors::latencies::Latencies;

use crate::document::Document;

/// Steps between one percentile and the one half as far from the end.
const TICKS: u32 = 5;

/// A name and a text for every row that has latencies, and for its floor.
pub(crate) fn files(document: &Document) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for outcome in &document.results {
        let workload = outcome.workload.name();
        let label = outcome.label.replace(' ', "-");
        for (who, latencies) in [("floor", &outcome.floor_latencies), ("quoit", &outcome.quoit_latencies)] {
            if let Some(latencies) = latencies {
                files.push((format!("{workload}-{label}-{who}.hgrm"), text(latencies)));
            }
        }
    }
    files
}

/// In the directory that `prefix` is, or beside what it is the beginning of.
pub(crate) fn path(prefix: &Path, name: &str) -> PathBuf {
    if prefix.is_dir() {
        return prefix.join(name);
    }
    let mut path = prefix.as_os_str().to_owned();
    path.push("-");
    path.push(name);
    path.into()
}

/// Nanoseconds.
fn text(latencies: &Latencies) -> String {
    let histogram = latencies.histogram();
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64, step.quantile_iterated_to());
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:12.3} {quantile:2.12} {total:10}");
        let _ =
            if quantile < 1.0 { writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)) } else { writeln!(text) };
    }
    let (mean, deviation) = (histogram.mean(), histogram.stdev());
    let (max, count) = (histogram.max() as f64, histogram.len());
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let _ = writeln!(text, "#[Buckets = {:12}, SubBuckets     = {:12}]", histogram.buckets(), 2048);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_counted_once_and_the_last_line_is_the_end() {
        let samples: Vec<u32> = (1..=1000).collect();
        let text = text(&Latencies::of(&samples, 0.0));
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| (0..3).all(|column| pair[0][column] <= pair[1][column])));
        assert_eq!(rows.last().unwrap()[..], [1000.0, 1.0, 1000.0]);
        let median = rows.iter().find(|row| row[1] == 0.5).unwrap();
        assert_eq!(median[..], [500.0, 0.5, 500.0, 2.0]);
    }
}
