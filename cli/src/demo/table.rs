//! Rows of the tables, for every view: 78 columns wide.

use quoit::Snapshot;

use super::board::{Board, Presence, Row};
use super::cast::Role;
use super::evidence::Witness;
use super::text::{Pieces, Tone, count, percentiles};

/// The first columns and the last ones; what stands between them differs from table to table.
fn frame(name: &str, policy: &str, middle: [&str; 3], ages: &[String; 4]) -> [String; 4] {
    let [a, b, c] = middle;
    let [p50, p99, p999, max] = ages;
    [
        format!(" {name:<7} "),
        format!("{policy:<11} "),
        format!("{a:>10} {b:>9} {c:>9} "),
        format!("{p50:>6} {p99:>6} {p999:>6} {max:>6}"),
    ]
}

fn ages_header() -> [String; 4] {
    ["p50", "p99", "p99.9", "max"].map(str::to_owned)
}

fn header(name: &str, policy: &str, middle: [&str; 3]) -> Pieces {
    vec![(Tone::Dim, frame(name, policy, middle, &ages_header()).concat())]
}

/// Heads of the running table. The plain view puts the time where the live one names the columns.
pub(crate) fn running_header(name: &str, policy: &str) -> Pieces {
    header(name, policy, ["ticks/s", "lag", "lost"])
}

/// The producer's line of the running table.
pub(crate) fn producer(board: &Board) -> Pieces {
    let (tone, state) = match board.producer {
        Presence::Coming => (Tone::Dim, "starts".to_owned()),
        Presence::Killed => (Tone::Bad, "KILLED".to_owned()),
        Presence::Ended => (Tone::Dim, "closed".to_owned()),
        Presence::Here => (Tone::Good, format!("epoch {}", board.reigns.last().map_or(0, |reign| reign.epoch))),
    };
    vec![
        (Tone::Strong, format!(" {:<7} ", Role::Producer.name())),
        (tone, format!("{state:<11} ")),
        (Tone::Strong, format!("{:>10} ", count(board.rate.per_second()))),
        (Tone::Plain, format!("  published {} ticks", count(published(&board.snapshot)))),
    ]
}

fn published(snapshot: &Snapshot) -> u64 {
    snapshot.records
}

/// A consumer's line of the running table.
pub(crate) fn consumer(row: &Row, capacity_ticks: u64) -> Pieces {
    let role = row.witness.role;
    let (tone, state) = match row.presence {
        Presence::Coming => (Tone::Dim, "starts"),
        Presence::Killed => (Tone::Bad, "KILLED,held"),
        Presence::Here | Presence::Ended if row.gate_lost => (Tone::Warn, "gate lost"),
        Presence::Here | Presence::Ended => (Tone::Plain, role.policy()),
    };
    let (rate, lost) = (count(row.rate.per_second()), row.witness.lost());
    let lag = if row.presence == Presence::Killed { "–".to_owned() } else { count(row.lag) };
    let ages = percentiles(&row.recent_ages());
    let [name, policy, _, tail] = frame(role.name(), state, [""; 3], &ages);
    vec![
        (Tone::Strong, name),
        (tone, policy),
        (Tone::Plain, format!("{rate:>10} ")),
        (if row.lag > capacity_ticks / 4 { Tone::Warn } else { Tone::Plain }, format!("{lag:>9} ")),
        (if lost > 0 { Tone::Warn } else { Tone::Plain }, format!("{:>9} ", count(lost))),
        (Tone::Plain, tail),
    ]
}

/// Heads of the closing table.
pub(crate) fn closing_header() -> Pieces {
    header("", "", ["delivered", "lost", "because"])
}

/// A consumer's line of the closing table.
pub(crate) fn closing(row: &Row) -> Pieces {
    let witness = &row.witness;
    let role = witness.role;
    let lost = count(witness.lost());
    let parts = [&count(witness.delivered()), &lost, because(witness)];
    let [name, policy, _, tail] = frame(role.name(), role.policy(), [""; 3], &percentiles(&row.ages));
    vec![
        (Tone::Strong, name),
        (Tone::Plain, policy),
        (Tone::Plain, format!("{:>10} ", parts[0])),
        (if witness.lost() > 0 { Tone::Warn } else { Tone::Plain }, format!("{:>9} {:>9} ", parts[1], parts[2])),
        (Tone::Plain, tail),
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
    fn tables_fit_eighty_columns() {
        for header in [running_header("consumer", "policy"), closing_header()] {
            assert!(paint(&header, false).chars().count() < 80, "{}", paint(&header, false));
        }
        let widest = ["999 ms"; 4].map(str::to_owned);
        let row = frame("alerts", "gated 50 ms", ["10,000,000", "1,000,000", "1,000,000"], &widest).concat();
        assert!(row.chars().count() < 80, "{row}");
    }
}
