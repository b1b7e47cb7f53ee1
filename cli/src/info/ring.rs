//! `quoit info` of a ring.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use quoit::{GroupInspector, GroupSnapshot, Inspector, Snapshot};
use serde::Serialize;

use super::document::Document;
use super::look::Look;
use super::rates::Rates;
use super::{groups, table};
use crate::output::say;
use crate::standing::{self, Standing};
use crate::{shown, units};

/// A ring, and its groups.
#[derive(Debug)]
pub(super) struct Ring {
    inspector: Inspector,
    /// The groups that cannot be shown, as was told.
    told: RefCell<BTreeSet<String>>,
}

impl Look for Ring {
    type Snapshot = Snapshot;

    fn open(path: &Path) -> Result<Self, quoit::Error> {
        Ok(Self { inspector: Inspector::open(path)?, told: RefCell::default() })
    }

    fn snapshot(&self) -> Result<Snapshot, quoit::Error> {
        self.inspector.snapshot()
    }

    fn is_stale(&self) -> bool {
        self.inspector.is_stale()
    }

    fn text(&self, path: &Path, now: &Snapshot) -> String {
        let groups = self.groups(path, now);
        table::table(path, now, &groups) + &groups::text(&groups)
    }

    fn line(&self, path: &Path, now: &Snapshot, before: (&Snapshot, Duration)) -> String {
        line(now, Rates::between(before, now), &self.groups(path, now))
    }

    fn document(&self, path: &Path, now: &Snapshot, before: Option<(&Snapshot, Duration)>) -> impl Serialize {
        let rates = before.map(|before| Rates::between(before, now));
        Document::of(path, now, &self.groups(path, now), rates)
    }

    fn fault(now: &Snapshot) -> Option<quoit::Error> {
        now.corruption.map(quoit::Error::Corrupt)
    }
}

impl Ring {
    /// The groups of the ring. One that cannot be shown is told, once.
    fn groups(&self, path: &Path, ring: &Snapshot) -> Vec<GroupSnapshot> {
        let groups = ring.consumers.iter().filter(|consumer| consumer.is_group);
        let look = |name: &str| match GroupInspector::open(path, name).and_then(|group| group.snapshot()) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                if self.told.borrow_mut().insert(name.to_owned()) {
                    say(format_args!("group {}: {error}", shown::text(name)));
                }
                None
            }
        };
        groups.filter_map(|group| group.name.as_deref()).filter_map(look).collect()
    }
}

fn line(snapshot: &Snapshot, rates: Rates, groups: &[GroupSnapshot]) -> String {
    let mut line = format!(
        "{}  {} records/s  {}/s  next {}",
        standing::producer(snapshot).0,
        units::count(rates.records as u64),
        units::bytes(rates.bytes as u64),
        snapshot.next_sequence
    );
    for consumer in &snapshot.consumers {
        let name = consumer.name.as_deref().map_or_else(|| format!("#{}", consumer.slot), shown::text);
        let (lag, lost) = (units::count(consumer.lag_records), units::count(consumer.lost.records));
        // Writing to a string cannot fail.
        let _ = write!(line, "  {name}: lag {lag} lost {lost}");
        let group =
            groups.iter().find(|group| consumer.is_group && Some(&group.name) == consumer.name.as_ref());
        if let Some(group) = group {
            let _ = write!(line, ", {}", groups::in_a_line(group));
        }
        if Standing::of(consumer) == Standing::Stopped {
            line.push_str(" stopped");
        }
    }
    line
}
