//! The last page: what was published, delivered and lost, and whether the promises were kept.

use super::board::Board;
use super::evidence::Evidence;
use super::table;
use super::text::{EVENT, Pieces, Tone, moment, wrap};
use super::tick;
use super::verdict::{Kept, Promise};
use crate::units::{bytes, count};

/// Every line of it. The events are told again where they were seen on a screen that is gone.
pub(crate) fn lines(
    board: &Board,
    evidence: &Evidence,
    promises: &[Promise],
    events: bool,
    width: usize,
) -> Vec<Pieces> {
    let mut lines: Vec<Pieces> = Vec::new();
    if events {
        for entry in &board.log {
            let line =
                vec![(Tone::Dim, format!(" {}  ", moment(entry.at))), (entry.tone, entry.text.clone())];
            lines.extend(wrap(&line, width, EVENT));
        }
    }
    lines.push(Vec::new());
    let weight = bytes(tick::span_bytes(evidence.origin, evidence.end()));
    lines.push(vec![
        (Tone::Strong, format!(" {} ticks published", count(evidence.published()))),
        (
            Tone::Plain,
            format!(
                ", {weight}, in {:.1} s, by {} producers",
                board.total.as_secs_f64(),
                evidence.reigns.len()
            ),
        ),
    ]);
    lines.push(table::closing_header(width));
    lines.extend(board.rows.iter().map(|row| table::closing(row, width)));
    lines.extend(wrap(&ages(), width, 1));
    lines.push(Vec::new());
    lines.extend(promises.iter().flat_map(|one| wrap(&promise(one), width, 3)));
    let broken = promises.iter().filter(|promise| promise.kept == Kept::No).count();
    lines.push(Vec::new());
    lines.push(match broken {
        0 => vec![(Tone::Good, " All promises kept.".to_owned())],
        1 => vec![(Tone::Bad, " 1 promise broken.".to_owned())],
        _ => vec![(Tone::Bad, format!(" {broken} promises broken."))],
    });
    lines
}

/// What the ages are, and why they are not the times that the benchmarks show.
fn ages() -> Pieces {
    let (processes, cores) = (Board::PROCESSES, cores());
    let why = if cores < processes {
        "processes that share cores, sleep, and wait to be woken and to get a core"
    } else {
        "processes that sleep when they have caught up, and wait to be woken"
    };
    let text = format!(
        " Ages from publish to receipt, of paced ticks; {processes} processes on {cores} cores. They are those of {why}: \
         microseconds. The nanoseconds of the README are those of two processes with a core each that never sleep, as \
         `quoit bench` measures them here."
    );
    vec![(Tone::Dim, text)]
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
