//! The snapshot of a ring for people.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quoit::{ConsumerInfo, Hold, Snapshot};

use super::document::{is_for_huge_pages, state, wait};
use crate::units;

/// One word for the producer, and what more there is to say.
pub(super) fn producer_state(snapshot: &Snapshot) -> (&'static str, &'static str) {
    match (snapshot.producer_alive, snapshot.closed, snapshot.epoch) {
        (true, ..) if is_stopped(snapshot.producer_pid) => {
            ("stopped", "a stopped process is alive: nobody takes over")
        }
        (true, ..) => ("alive", ""),
        (false, _, 0) => ("none", "no producer has opened the ring yet"),
        (false, true, _) => ("closed", "ended cleanly: another producer may open the ring"),
        (false, false, _) => {
            ("dead", "died: another producer may open the ring and goes on where it stopped")
        }
    }
}

/// Whether the process is stopped, as far as can be seen from here. The lock says who is alive; this is a hint.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command in parentheses may hold anything; the state comes after the last one.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

pub(super) fn table(path: &Path, snapshot: &Snapshot) -> String {
    let s = snapshot;
    let (word, more) = producer_state(s);
    let mut text = String::new();
    let mut row = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:<10} {value}");
    };
    row("ring", format!("{}  (id {:032x}, created {})", path.display(), s.ring_id, ago(s.created_ns)));
    row(
        "geometry",
        format!(
            "{} in {} segments, {} slots, {} on disk, aligned to {}{}",
            units::bytes(s.capacity),
            s.segments,
            s.slots,
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
    row("published", format!("{} records, {} of payload", units::count(s.records), units::bytes(s.bytes)));
    row(
        "sequences",
        format!("{} up to, but not including, {} are in the ring", s.oldest_sequence, s.next_sequence),
    );
    row("positions", format!("published {}, reserved {}", s.published, s.reserve));
    row(
        "producer's",
        format!(
            "{} times full, waited {}, {} wakes, {} evictions, {} slots reclaimed",
            units::count(s.full),
            units::time(s.stall),
            units::count(s.wakes),
            units::count(s.evictions),
            units::count(s.reclaims)
        ),
    );
    if s.consumers.is_empty() {
        row("consumers", "none with a slot (observers have none)".into());
    } else {
        text.push('\n');
        text.push_str(&consumers(&s.consumers));
    }
    text
}

fn options(s: &Snapshot) -> String {
    let mut options = vec![if s.express { "express" } else { "no express" }.to_string()];
    options.push(if s.wait == s.mode || s.epoch == 0 {
        format!("wait by {}", wait(s.wait))
    } else {
        format!("wait by {} (asked for {})", wait(s.mode), wait(s.wait))
    });
    if let Some(limit) = s.hard_limit {
        options.push(format!("no consumer delays the producer by more than {}", units::time(limit)));
    }
    if s.gated_only {
        options.push("gated consumers only".into());
    }
    options.join(", ")
}

fn consumers(consumers: &[ConsumerInfo]) -> String {
    let mut rows = vec![
        ["slot", "name", "policy", "state", "process", "next", "lag", "lag bytes", "lost", "gaps"]
            .map(str::to_string),
    ];
    for c in consumers {
        rows.push([
            c.slot.to_string(),
            c.name.clone().unwrap_or_else(|| "-".into()),
            policy(c),
            match (c.alive, &c.name) {
                (true, _) => "alive",
                (false, Some(_)) => "away",
                (false, None) => "dead",
            }
            .into(),
            if c.alive { c.pid.to_string() } else { "-".into() },
            c.next_sequence.to_string(),
            units::count(c.lag_records),
            units::bytes(c.lag_bytes),
            units::count(c.lost.records),
            units::count(c.lost.gaps),
        ]);
    }
    let widths: [usize; 10] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Words to the left, numbers to the right.
            let _ = match column {
                1..=3 => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn policy(c: &ConsumerInfo) -> String {
    let mut policy = state(c.state).to_string();
    if let Some(deadline) = c.deadline {
        policy.push_str(&format!(" for {}", units::time(deadline)));
    }
    match c.hold {
        None => {}
        Some(Hold::Forever) => policy.push_str(", held forever"),
        Some(Hold::For(time)) => policy.push_str(&format!(", held {}", units::time(time))),
    }
    policy
}

fn ago(unix_ns: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_nanos(unix_ns);
    match SystemTime::now().duration_since(then) {
        Ok(age) => format!("{} ago", units::time(Duration::from_secs(age.as_secs()))),
        Err(_) => "in the future, by this clock".into(),
    }
}
