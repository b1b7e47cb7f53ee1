//! Rows of the tables, for every view: 79 columns wide, or less without ages.

use super::board::{Board, Presence, Row};
use super::cast::Role;
use super::evidence::Witness;
use super::text::{Pieces, Tone, percentiles};
use crate::units::count;

/// Name, state, three columns that differ from table to table, and those ages that have room.
fn cells(name: &str, state: &str, middle: [String; 3], ages: &[String; 4], width: usize) -> [String; 6] {
    let [a, b, c] = middle;
    let which: &[usize] = match width {
        79.. => &[0, 1, 2, 3],
        72.. => &[0, 1, 3],
        65.. => &[0, 3],
        _ => &[0],
    };
    let ages: Vec<String> = which.iter().map(|which| format!("{:>6}", ages[*which])).collect();
    [format!(" {name:<8} "), format!("{state:<11} "), a + " ", b + " ", c + " ", ages.join(" ")]
}

fn running_cells(rate: &str, lag: &str, lost: &str) -> [String; 3] {
    [format!("{rate:>9}"), format!("{lag:>8}"), format!("{lost:>10}")]
}

fn closing_cells(delivered: &str, lost: &str, because: &str) -> [String; 3] {
    [format!("{delivered:>10}"), format!("{lost:>10}"), format!("{because:>7}")]
}

fn header(name: &str, middle: [String; 3], width: usize) -> Pieces {
    let ages = ["p50", "p99", "p99.9", "max"].map(str::to_owned);
    vec![(Tone::Dim, cells(name, "", middle, &ages, width).concat())]
}

/// Heads of the running table. The plain view puts the time where the live one names the columns.
pub(crate) fn running_header(name: &str, width: usize) -> Pieces {
    header(name, running_cells("ticks/s", "lag", "lost"), width)
}

/// The producer's line of the running table.
pub(crate) fn producer(board: &Board) -> Pieces {
    let (tone, state) = match board.producer {
        Presence::Coming => (Tone::Dim, "starts".to_owned()),
        Presence::Killed => (Tone::Bad, "KILLED".to_owned()),
        Presence::Ended => (Tone::Dim, "closed".to_owned()),
        Presence::Here => {
            (Tone::Good, format!("epoch {}", board.reigns.last().map_or(0, |reign| reign.epoch)))
        }
    };
    let middle = running_cells(&count(board.rate.per_second()), "", "");
    let [name, state, rate, ..] = cells(Role::Producer.name(), &state, middle, &Default::default(), 0);
    vec![
        (Tone::Strong, name),
        (tone, state),
        (Tone::Strong, rate),
        (Tone::Plain, format!("  published {} ticks", count(board.snapshot.records))),
    ]
}

/// A consumer's line of the running table.
pub(crate) fn consumer(row: &Row, capacity_ticks: u64, width: usize) -> Pieces {
    let role = row.witness.role;
    let (tone, state) = match row.presence {
        Presence::Coming => (Tone::Dim, "starts"),
        Presence::Killed if role == Role::Gated => (Tone::Bad, "KILLED,held"),
        Presence::Killed => (Tone::Bad, "GONE"),
        Presence::Here | Presence::Ended if row.gate_lost => (Tone::Warn, "gate lost"),
        Presence::Here | Presence::Ended => (Tone::Plain, role.policy()),
    };
    let lost = row.witness.lost();
    let lag = if row.presence == Presence::Killed { "–".to_owned() } else { count(row.lag) };
    let middle = running_cells(&count(row.rate.per_second()), &lag, &count(lost));
    let [name, state, rate, lag, losses, ages] =
        cells(role.name(), state, middle, &percentiles(&row.recent_ages()), width);
    vec![
        (Tone::Strong, name),
        (tone, state),
        (Tone::Plain, rate),
        (if row.lag > capacity_ticks / 4 { Tone::Warn } else { Tone::Plain }, lag),
        (if lost > 0 { Tone::Warn } else { Tone::Plain }, losses),
        (Tone::Plain, ages),
    ]
}

/// Heads of the closing table.
pub(crate) fn closing_header(width: usize) -> Pieces {
    header("", closing_cells("delivered", "lost", "because"), width)
}

/// A consumer's line of the closing table.
pub(crate) fn closing(row: &Row, width: usize) -> Pieces {
    let witness = &row.witness;
    let middle = closing_cells(&count(witness.delivered()), &count(witness.lost()), because(witness));
    let role = witness.role;
    let [name, policy, delivered, lost, because, ages] =
        cells(role.name(), role.policy(), middle, &percentiles(&row.ages), width);
    let tone = if witness.lost() > 0 { Tone::Warn } else { Tone::Plain };
    vec![
        (Tone::Strong, name),
        (Tone::Plain, policy),
        (Tone::Plain, delivered),
        (tone, lost + &because),
        (Tone::Plain, ages),
    ]
}

fn because(witness: &Witness) -> &'static str {
    let sum = |of: fn(&super::ledger::Ledger) -> u64| witness.lives.iter().any(|life| of(&life.ledger) > 0);
    match (sum(|ledger| ledger.overrun), sum(|ledger| ledger.evicted), sum(|ledger| ledger.away)) {
        (false, false, false) => "–",
        (true, false, false) => "overrun",
        (false, true, false) => "evicted",
        (false, false, true) => "away",
        _ => "several",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::text::paint;

    #[test]
    fn tables_fit_the_terminal() {
        let widest = ["999 ms"; 4].map(str::to_owned);
        let running = || running_cells("9,999,999", "999,999", "99,999,999");
        let closing = || closing_cells("99,999,999", "99,999,999", "evicted");
        let whole = |cells: [String; 6]| vec![(Tone::Plain, cells.concat())];
        for (width, columns) in [(usize::MAX, 79), (79, 79), (78, 72), (72, 72), (71, 65), (65, 65), (64, 58)]
        {
            let rows = [
                running_header("t+12.0 s", width),
                closing_header(width),
                whole(cells("producer", "gated 50 ms", running(), &widest, width)),
                whole(cells("producer", "gated 50 ms", closing(), &widest, width)),
            ];
            for row in rows {
                assert_eq!(paint(&row, false).chars().count(), columns, "{}", paint(&row, false));
            }
        }
    }
}
