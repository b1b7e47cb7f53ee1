//! The last page: what was published, delivered and lost, and whether the guarantees held.

use super::board::{Board, Entry};
use super::evidence::Evidence;
use super::table;
use super::text::{EVENT, Pieces, Tone, moment, wrap};
use super::tick;
use super::verdict::{Kept, Promise};
use crate::units::{bytes, count};

/// Every line of it. The events are printed again if they were on a screen that is gone.
pub(crate) fn lines(
    board: &Board,
    evidence: &Evidence,
    promises: &[Promise],
    events: bool,
    width: usize,
) -> Vec<Pieces> {
    let mut lines: Vec<Pieces> = Vec::new();
    if events {
        lines.extend(log(&board.log, width));
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
    lines.extend(kept(promises, width));
    lines
}

/// The events, with their times.
pub(super) fn log(entries: &[Entry], width: usize) -> Vec<Pieces> {
    let line = |entry: &Entry| {
        wrap(
            &vec![(Tone::Dim, format!(" {}  ", moment(entry.at))), (entry.tone, entry.text.clone())],
            width,
            EVENT,
        )
    };
    entries.iter().flat_map(line).collect()
}

/// The promises, each with its mark, and in one line whether all were kept.
pub(super) fn kept(promises: &[Promise], width: usize) -> Vec<Pieces> {
    let mut lines = vec![Vec::new()];
    lines.extend(promises.iter().flat_map(|one| promise(one, width)));
    let broken = promises.iter().filter(|promise| promise.kept == Kept::No).count();
    lines.push(Vec::new());
    lines.push(match broken {
        0 => vec![(Tone::Good, " All promises kept.".to_owned())],
        1 => vec![(Tone::Bad, " 1 promise broken.".to_owned())],
        _ => vec![(Tone::Bad, format!(" {broken} promises broken."))],
    });
    lines
}

/// What the ages are, and why they differ from the times that the benchmarks show.
fn ages() -> Pieces {
    let (processes, cores) = (Board::PROCESSES, cores());
    let share = if cores < processes { format!("share {cores} cores, ") } else { String::new() };
    let text = format!(
        " An age is from publish to receipt, of paced ticks. It takes microseconds here, since {processes} processes {share}\
         sleep, and wait to be woken; the nanoseconds of the README are those of two processes that never sleep, with a \
         core each (quoit bench)."
    );
    vec![(Tone::Dim, text)]
}

/// On one line, or the figure on a line of its own.
fn promise(promise: &Promise, width: usize) -> Vec<Pieces> {
    let (tone, mark) = match promise.kept {
        Kept::Yes => (Tone::Good, "✓"),
        Kept::Untried => (Tone::Dim, "–"),
        Kept::No => (Tone::Bad, "✗"),
    };
    let mark = (tone, format!(" {mark} "));
    let detail = (if promise.kept == Kept::No { Tone::Bad } else { Tone::Dim }, promise.detail.clone());
    let line = vec![mark.clone(), (Tone::Plain, format!("{:<42} ", promise.text)), detail.clone()];
    if line.iter().map(|(_, text)| text.chars().count()).sum::<usize>() <= width {
        return vec![line];
    }
    let mut lines = wrap(&vec![mark, (Tone::Plain, promise.text.to_owned())], width, 3);
    lines.extend(wrap(&vec![(Tone::Plain, "   ".to_owned()), detail], width, 3));
    lines
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
