//! Rounds: floor, every system, floor again, for every group in turn; then the next round. So whatever the machine
//! does meanwhile hits all of them alike.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use quoit_floors::figures::Figures;
use quoit_floors::stats::{Spread, settled};

use crate::pair::Pair;
use crate::peers::System;
use crate::plan::Group;
use crate::scene::Setting;

/// What the rounds have yielded for one system.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Floor and system, of rounds in which the floor kept still.
    pub(crate) kept: Vec<(Figures, Figures)>,
    pub(crate) discarded: u32,
}

impl Series {
    fn add(&mut self, floor: Option<Figures>, system: Figures) {
        match floor {
            Some(floor) if !system.disturbed => self.kept.push((floor, system)),
            _ => self.discarded += 1,
        }
    }

    /// The spread over the rounds of something taken round by round.
    pub(crate) fn spread(&self, of: impl Fn(Figures, Figures) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.kept.iter().filter_map(|(floor, system)| of(*floor, *system)))
    }

    pub(crate) fn median(&self, of: impl Fn(Figures, Figures) -> Option<f64>) -> Option<f64> {
        self.spread(of).map(|spread| spread.median)
    }
}

/// How many rounds, and when to stop although there are some left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    pub(crate) most: u32,
    pub(crate) time: Duration,
}

/// One series for each system of each group. Every round has processes of its own: where their memory happens to lie
/// is part of the spread.
pub(crate) fn play(
    groups: &[(Group, Vec<System>)],
    rounds: Rounds,
    setting: &Setting,
) -> Result<Vec<Vec<Series>>> {
    let mut series: Vec<Vec<Series>> =
        groups.iter().map(|(_, systems)| vec![Series::default(); systems.len()]).collect();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for round in 1..=rounds.most {
        // The first round is played in any case, and none that would not be over in time.
        let before = began.elapsed();
        if round > 1 && before + longest > rounds.time {
            break;
        }
        let mut pair = Pair::start(setting)?;
        for (number, ((group, systems), series)) in groups.iter().zip(&mut series).enumerate() {
            progress(&format!("round {round} of {}, {} of {}", rounds.most, number + 1, groups.len()));
            let before = pair.measure(group.job(None))?;
            let measured: Result<Vec<Figures>> =
                systems.iter().map(|system| pair.measure(group.job(Some(*system)))).collect();
            let measured = measured?;
            let floor = settled(before, pair.measure(group.job(None))?);
            for (series, system) in series.iter_mut().zip(measured) {
                series.add(floor, system);
            }
        }
        pair.end();
        longest = longest.max(began.elapsed() - before);
    }
    progress("");
    Ok(series)
}

/// One line on a terminal that the next one overwrites.
fn progress(text: &str) {
    let mut terminal = std::io::stderr().lock();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\x1b[K{text}");
        let _ = terminal.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typical(typical: f64) -> Figures {
        Figures { typical, ..Figures::default() }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut series = Series::default();
        series.add(settled(typical(100.0), typical(100.0)), typical(110.0));
        series.add(settled(typical(200.0), typical(200.0)), typical(240.0));
        series.add(settled(typical(300.0), typical(300.0)), typical(390.0));
        series.add(settled(typical(100.0), typical(150.0)), typical(999.0));
        series.add(Some(typical(100.0)), Figures { disturbed: true, ..typical(999.0) });
        let ratio = series.median(|floor, system| Some(system.typical / floor.typical)).unwrap();
        assert!((ratio - 1.2).abs() < 1e-9);
        assert_eq!((series.kept.len(), series.discarded), (3, 2));
    }
}
