//! The snapshot of a ring as text.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use quoit::{ConsumerInfo, ConsumerState, GroupSnapshot, Snapshot};

use super::document::is_for_huge_pages;
use super::{groups, policy};
use crate::standing::{self, Standing};
use crate::{columns, shown, units};

pub(super) fn table(path: &Path, snapshot: &Snapshot, groups: &[GroupSnapshot]) -> String {
    let s = snapshot;
    let (word, more) = standing::producer(s);
    let mut text = String::new();
    let mut row = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:<10} {value}");
    };
    row(
        "ring",
        format!("{}  (id {:032x}, created {})", shown::path(path), s.ring_id, units::ago(s.created_ns)),
    );
    row(
        "geometry",
        format!(
            "{} in {}, {}, {} on disk, aligned to {}{}",
            units::bytes(s.capacity),
            units::counted(s.segments, "segment"),
            units::counted(s.slots.into(), "slot"),
            units::bytes(s.file_bytes),
            units::bytes(s.alignment),
            if is_for_huge_pages(s) { " for huge pages" } else { "" }
        ),
    );
    row("options", options(s));
    let pid = if s.producer_alive { format!(" (process {})", s.producer_pid) } else { String::new() };
    let more = if more.is_empty() { String::new() } else { format!("; {more}") };
    row("producer", format!("{word}{pid}, epoch {}{more}", s.epoch));
    if let Some(corruption) = s.corruption {
        row(
            "corrupt",
            format!(
                "{} at position {}; records are counted up to there",
                corruption.what, corruption.position
            ),
        );
    }
    if let Some(blocker) = &s.blocked {
        row("BLOCKED", format!("for {} by {blocker}", units::time(blocker.since)));
        row("", format!("to free it: {}", blocker.remedy()));
        let by_name = |group: &&GroupSnapshot| blocker.is_group && Some(&group.name) == blocker.name.as_ref();
        if let Some(group) = groups.iter().find(by_name) {
            row("", groups::oldest(group));
        }
    }
    row(
        "published",
        format!("{}, {} of payload", units::counted(s.records, "record"), units::bytes(s.bytes)),
    );
    row(
        "sequences",
        format!("{} up to, but not including, {} are in the ring", s.oldest_sequence, s.next_sequence),
    );
    if let Some(time) = s.newest_time {
        row("newest", format!("published {} ago", units::time(time.elapsed())));
    }
    row("positions", format!("published {}, reserved {}", s.published, s.reserve));
    row(
        "producer's",
        format!(
            "{} full, waited {}, {}, {}, {} reclaimed",
            units::counted(s.full, "time"),
            units::time(s.stall),
            units::counted(s.wakes, "wake"),
            units::counted(s.evictions, "eviction"),
            units::counted(s.reclaims, "slot")
        ),
    );
    if s.consumers.is_empty() {
        row("consumers", "none with a slot (observers have none)".into());
    } else {
        text.push('\n');
        text.push_str(&consumers(s));
    }
    text
}

fn options(s: &Snapshot) -> String {
    let mut options = vec![if s.inline { "inline" } else { "no inline" }.to_string()];
    options.push(if s.wait == s.mode || s.epoch == 0 {
        format!("wait by {}", s.wait)
    } else {
        format!("wait by {} (asked for {})", s.mode, s.wait)
    });
    if s.times {
        options.push("times".into());
    }
    if let Some(limit) = s.hard_limit {
        options.push(format!("no consumer delays the producer by more than {}", units::time(limit)));
    }
    if let Some(schema) = s.schema {
        options.push(format!("records of {schema}"));
    }
    if s.gated_only {
        options.push("gated consumers only".into());
    }
    options.join(", ")
}

/// Part of the lag; "gone" counts what is overwritten already.
fn consumers(ring: &Snapshot) -> String {
    let head = [
        "slot",
        "name",
        "policy",
        "state",
        "process",
        "next",
        "lag",
        "lag bytes",
        "gone",
        "lost",
        "gaps",
        "skipped",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for consumer in &ring.consumers {
        rows.push([
            consumer.slot.to_string(),
            consumer.name.as_deref().map_or_else(|| "-".into(), shown::text),
            policy::words(ring, consumer),
            state(consumer),
            // A group has several, which are shown with it.
            if consumer.alive && !consumer.is_group { consumer.pid.to_string() } else { "-".into() },
            consumer.next_sequence.to_string(),
            units::count(consumer.lag_records),
            units::bytes(consumer.lag_bytes),
            units::count(consumer.lost_already),
            units::count(consumer.lost.records),
            units::count(consumer.lost.gaps),
            units::count(consumer.lost.skipped.records),
        ]);
    }
    let is_left = [false, true, true, true, false, false, false, false, false, false, false, false];
    if !ring.times {
        return columns::aligned(&rows, &is_left);
    }
    let ages = ring.consumers.iter().map(|consumer| match consumer.next_time {
        Some(time) => units::time(time.elapsed()),
        None => "-".into(),
    });
    let ages = std::iter::once("lag time".to_owned()).chain(ages);
    let rows: Vec<_> = rows.into_iter().zip(ages).map(|(row, age)| with(row, age)).collect();
    columns::aligned(&rows, &with(is_left, false))
}

/// A row with one more cell, behind the lag in bytes.
fn with<T: Default>(row: [T; 12], cell: T) -> [T; 13] {
    let mut cells = row.into_iter();
    let mut cell = Some(cell);
    std::array::from_fn(|at| if at == 8 { cell.take() } else { cells.next() }.unwrap_or_default())
}

/// Its state, and whether it keeps its gate.
fn state(consumer: &ConsumerInfo) -> String {
    let mut word = Standing::of(consumer).word().to_owned();
    if let Some(time) = consumer.away_for.filter(|time| time.as_secs() > 0) {
        word.push_str(&format!(" for {}", units::time(Duration::from_secs(time.as_secs()))));
    }
    match consumer.state {
        ConsumerState::Evicted => format!("{word}, gate lost"),
        // Its hold is over, and its name is still kept.
        ConsumerState::Away if consumer.hold.is_some() => format!("{word}, hold over"),
        _ => word,
    }
}
