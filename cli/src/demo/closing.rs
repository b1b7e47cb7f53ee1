//! The last page: what was published, delivered and lost, and whether the promises were kept.

use super::board::Board;
use super::evidence::Evidence;
use super::table;
use super::text::{Pieces, Tone, count, moment};
use super::tick;
use super::verdict::{Kept, Promise};

/// Every line of it. The events are told again where they were seen on a screen that is gone.
pub(crate) fn lines(board: &Board, evidence: &Evidence, promises: &[Promise], events: bool) -> Vec<Pieces> {
    let mut lines: Vec<Pieces> = Vec::new();
    if events {
        for entry in &board.log {
            lines.push(vec![
                (Tone::Dim, format!(" {}  ", moment(entry.at))),
                (entry.tone, entry.text.clone()),
            ]);
        }
    }
    lines.push(Vec::new());
    let megabytes = tick::span_bytes(evidence.origin, evidence.end()) as f64 / 1e6;
    lines.push(vec![
        (Tone::Strong, format!(" {} ticks published", count(evidence.published()))),
        (
            Tone::Plain,
            format!(
                ", {megabytes:.1} MB, in {:.1} s, by {} producers",
                board.total.as_secs_f64(),
                evidence.reigns.len()
            ),
        ),
    ]);
    lines.push(table::closing_header());
    lines.extend(board.rows.iter().map(table::closing));
    lines.push(vec![(
        Tone::Dim,
        format!(
            " Ages from publish to receipt, of paced ticks; {} processes on {} cores.",
            Board::PROCESSES,
            cores()
        ),
    )]);
    lines.push(Vec::new());
    lines.extend(promises.iter().map(promise));
    let broken = promises.iter().filter(|promise| promise.kept == Kept::No).count();
    lines.push(Vec::new());
    lines.push(match broken {
        0 => vec![(Tone::Good, " All promises kept.".to_owned())],
        1 => vec![(Tone::Bad, " 1 promise broken.".to_owned())],
        _ => vec![(Tone::Bad, format!(" {broken} promises broken."))],
    });
    lines
}

fn promise(promise: &Promise) -> Pieces {
    let (tone, mark) = match promise.kept {
        Kept::Yes => (Tone::Good, "✓"),
        Kept::Untried => (Tone::Dim, "–"),
        Kept::No => (Tone::Bad, "✗"),
    };
    let detail = if promise.kept == Kept::No { Tone::Bad } else { Tone::Dim };
    vec![
        (tone, format!(" {mark} ")),
        (Tone::Plain, format!("{:<42} ", promise.text)),
        (detail, promise.detail.clone()),
    ]
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
