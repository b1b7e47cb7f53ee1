//! The outcome, as it is written to JSON and read again; tables and picture are made of it.

use quoit_floors::rounds::{Series, Times};
use quoit_floors::stats::Spread;
use serde::{Deserialize, Serialize};

use crate::peers::System;
use crate::plan::{Group, Workload};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    /// Of the machine and the run: what, and its value.
    pub(crate) about: Vec<(String, String)>,
    pub(crate) results: Vec<Outcome>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) workload: Workload,
    pub(crate) bytes: usize,
    pub(crate) system: System,
    /// `None`: no round was kept.
    pub(crate) times: Option<Times>,
    pub(crate) floor: Option<Times>,
    /// Its time by the floor's of the same round: 1 is the floor, less is better.
    pub(crate) ratio: Option<Spread>,
    /// The same of the 99th percentile of round trips.
    pub(crate) ratio_p99: Option<f64>,
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

    /// The results of each workload and size.
    pub(crate) fn groups(&self) -> Vec<(Workload, usize, Vec<&Outcome>)> {
        let mut groups: Vec<(Workload, usize, Vec<&Outcome>)> = Vec::new();
        for outcome in &self.results {
            let same = groups
                .iter_mut()
                .find(|(workload, bytes, _)| (*workload, *bytes) == (outcome.workload, outcome.bytes));
            match same {
                Some((_, _, outcomes)) => outcomes.push(outcome),
                None => groups.push((outcome.workload, outcome.bytes, vec![outcome])),
            }
        }
        groups
    }
}

impl Outcome {
    fn of(group: &Group, system: System, series: &Series) -> Self {
        Self {
            workload: group.workload,
            bytes: group.bytes,
            system,
            times: series.times(|_, system| system),
            floor: series.times(|floor, _| floor),
            ratio: series.spread(|floor, system| Some(system.typical / floor.typical)),
            ratio_p99: series.median(|floor, system| Some(system.tail?.p99 / floor.tail?.p99)),
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
    use quoit_floors::figures::Figures;

    #[test]
    fn medians_of_what_was_kept() {
        let group = plan(&[Workload::Flood], 1.0)[0];
        let figures = |typical, share| Figures { typical, share: Some(share), ..Figures::default() };
        let kept = vec![(figures(10.0, 1.0), figures(20.0, 0.5)), (figures(20.0, 1.0), figures(80.0, 0.7))];
        let outcome = Outcome::of(&group, System::Quoit, &Series { kept, discarded: 3, ..Series::default() });
        let typical = |times: Option<Times>| times.map(|times| times.typical);
        assert_eq!((typical(outcome.times), typical(outcome.floor)), (Some(50.0), Some(15.0)));
        assert_eq!(outcome.ratio.map(|ratio| ratio.median), Some(3.0));
        assert_eq!(outcome.share, Some(0.6));
        assert_eq!((outcome.kept, outcome.discarded), (2, 3));
    }
}
