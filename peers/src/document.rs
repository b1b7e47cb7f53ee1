//! The outcome, as it is written to JSON and read again; tables and picture are made of it.

use quoit_floors::rounds::{Series, Times};
use serde::{Deserialize, Serialize};

use crate::plan::Group;
use crate::ratio::Ratio;
use crate::system::System;
use crate::work::Work;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    /// Of the machine and the run: what, and its value.
    pub(crate) about: Vec<(String, String)>,
    pub(crate) results: Vec<Outcome>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    #[serde(flatten)]
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) system: System,
    /// Credits were added by this program.
    pub(crate) credits: bool,
    /// `None`: no round was kept.
    pub(crate) times: Option<Times>,
    pub(crate) floor: Option<Times>,
    /// Of latencies the median's, of everything else the mean's.
    pub(crate) ratio: Option<Ratio>,
    /// Of latencies only.
    pub(crate) p99: Option<Ratio>,
    pub(crate) p999: Option<Ratio>,
    /// How much was received, from 0 to 1; `None`: all of it.
    pub(crate) share: Option<f64>,
    pub(crate) kept: usize,
    pub(crate) discarded: u32,
}

impl Document {
    pub(crate) fn of(
        about: Vec<(String, String)>,
        groups: &[(Group, Vec<System>)],
        series: &[Vec<Series>],
    ) -> Self {
        let results = groups.iter().zip(series).flat_map(|((group, systems), series)| {
            systems.iter().zip(series).map(|(system, series)| Outcome::of(group, *system, series))
        });
        Self { about, results: results.collect() }
    }

    /// One document of several runs on one machine: that of the first, with everybody's results.
    pub(crate) fn joined(documents: Vec<Self>) -> Option<Self> {
        documents.into_iter().reduce(|mut all, more| {
            all.results.extend(more.results);
            all
        })
    }
}

impl Outcome {
    fn of(group: &Group, system: System, series: &Series) -> Self {
        let ratio = |of: fn(quoit_floors::figures::Figures) -> Option<f64>| {
            Ratio::of(series, group.work.latency(), of)
        };
        Self {
            work: group.work,
            bytes: group.bytes,
            system,
            credits: group.work.credits(system),
            times: series.times(|_, system| system),
            floor: series.times(|floor, _| floor),
            ratio: ratio(|figures| Some(figures.typical)),
            p99: ratio(|figures| Some(figures.tail?.p99)),
            p999: ratio(|figures| Some(figures.tail?.p999)),
            share: series.median(|_, system| system.share),
            kept: series.kept.len(),
            discarded: series.discarded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::work::Workload;
    use quoit_floors::figures::Figures;

    #[test]
    fn medians_of_what_was_kept() {
        let group = plan(&[Workload::Flood], 1.0)[2];
        let figures = |typical, share| Figures { typical, share: Some(share), ..Figures::default() };
        let kept = vec![(figures(10.0, 1.0), figures(20.0, 0.5)), (figures(20.0, 1.0), figures(80.0, 0.7))];
        let series = Series { kept, discarded: 3, ..Series::default() };
        let outcome = Outcome::of(&group, System::Quoit, &series);
        let typical = |times: Option<Times>| times.map(|times| times.typical);
        assert_eq!((typical(outcome.times), typical(outcome.floor)), (Some(50.0), Some(15.0)));
        let ratio = outcome.ratio.unwrap();
        assert_eq!((ratio.median(), ratio.worst), (3.0, 4.0));
        assert_eq!(outcome.share, Some(0.6));
        assert_eq!((outcome.kept, outcome.discarded), (2, 3));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let groups: Vec<_> = plan(&[], 1.0).into_iter().map(|group| (group, vec![System::Quoit])).collect();
        let figures = Figures { typical: 2.0, ..Figures::default() };
        let series = Series { kept: vec![(figures, figures)], ..Series::default() };
        let series: Vec<_> = groups.iter().map(|_| vec![series.clone()]).collect();
        let document = Document::of(Vec::new(), &groups, &series);
        let text = serde_json::to_string(&document).unwrap();
        let again: Document = serde_json::from_str(&text).unwrap();
        assert!(document.results.iter().zip(&again.results).all(|(one, other)| one.work == other.work));
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
