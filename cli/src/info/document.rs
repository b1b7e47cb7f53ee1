//! The snapshot of a ring as JSON. Additions keep the schema number; anything else raises it.

use std::path::Path;

use quoit::{ConsumerInfo, ConsumerState, GroupSnapshot, Hold, LossAccount, Snapshot};
use serde::Serialize;

use super::groups::Group;
use super::policy::Kind;
use super::rates::Rates;
use crate::json::{Name, nanos};
use crate::standing::{self, Standing};

#[derive(Debug, Serialize)]
pub(super) struct Document {
    schema: u32,
    kind: &'static str,
    path: Name,
    ring_id: String,
    created_unix_ns: u64,
    geometry: Geometry,
    options: Options,
    producer: Producer,
    position: Position,
    /// Position at which the ring contradicts itself; sequences, lags and counts of records end there.
    corruption: Option<Corruption>,
    /// The consumer that blocks the producer; `null`: none does.
    blocked: Option<Blocked>,
    counters: Counters,
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<PerSecond>,
    consumers: Vec<Consumer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Geometry {
    capacity: u64,
    file_bytes: u64,
    alignment: u64,
    /// Created for huge pages. Whether it got them is not shown: the kernel reports only pages that a process has
    /// faulted in, and reading must not fault in every page of the ring.
    huge_pages: bool,
    slots: u32,
    segments: u64,
}

#[derive(Debug, Serialize)]
struct Options {
    inline: bool,
    /// Records carry the time at which they were published.
    times: bool,
    gated_only: bool,
    hard_limit_ns: Option<u64>,
    wait: String,
    wait_in_use: String,
    /// Of a ring of typed records.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Schema>,
}

#[derive(Debug, Serialize)]
struct Schema {
    size: u32,
    tag: u32,
}

#[derive(Debug, Serialize)]
struct Producer {
    state: &'static str,
    alive: bool,
    pid: u32,
    epoch: u64,
}

#[derive(Debug, Serialize)]
struct Position {
    published: u64,
    reserve: u64,
    oldest_sequence: u64,
    next_sequence: u64,
    /// How long ago the newest record was published, if records carry times and there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_age_ns: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Corruption {
    position: u64,
    what: &'static str,
}

#[derive(Debug, Serialize)]
struct Blocked {
    slot: u32,
    name: Option<String>,
    pid: u32,
    /// `alive`, `stopped`, or `gone`.
    state: String,
    for_ns: u64,
    remedy: String,
}

#[derive(Debug, Serialize)]
struct Counters {
    records: u64,
    bytes: u64,
    full: u64,
    stall_ns: u64,
    wakes: u64,
    evictions: u64,
    reclaims: u64,
}

#[derive(Debug, Serialize)]
struct PerSecond {
    records_per_second: f64,
    bytes_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Stage {
    slot: u32,
    /// `null`: it was forgotten.
    name: Option<String>,
    /// It can still be followed.
    stands: bool,
}

#[derive(Debug, Serialize)]
struct Consumer {
    slot: u32,
    name: Option<String>,
    /// `lossy` or `gated`; `null` for a consumer that is away if the ring does not say.
    policy: Option<&'static str>,
    /// `attaching`, `alive`, `stopped`, `away`, or `dead`.
    state: &'static str,
    alive: bool,
    /// It is a group, and alive while a member is.
    group: bool,
    /// The stage that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Stage>,
    /// Its gate was taken by the producer.
    evicted: bool,
    pid: u32,
    attached_unix_ns: u64,
    /// Gated only: its budget, how long it may block the producer in one lap; the smaller of its own and the ring's
    /// limit.
    budget_ns: Option<u64>,
    /// How long its gate is kept after it is gone. `null`: not at all, or without limit if `hold_forever`.
    hold_ns: Option<u64>,
    hold_forever: bool,
    /// How much of the hold is left, for a consumer that is away and held for a time.
    hold_left_ns: Option<u64>,
    /// Its gate can be taken while it is alive.
    evictable: bool,
    next_sequence: u64,
    lag_records: u64,
    lag_bytes: u64,
    /// How long ago the first record of the lag was published, if records carry times and it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_ns: Option<u64>,
    /// Records of the lag that are overwritten already.
    lost_already_records: u64,
    /// How long ago it left; `null`: it is alive, or it was killed and no process has noted when.
    away_ns: Option<u64>,
    lost: Loss,
    /// What it skipped on request; not lost.
    skipped: Skipped,
}

#[derive(Debug, Serialize)]
struct Skipped {
    records: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Loss {
    records: u64,
    bytes: u64,
    gaps: u64,
    largest_gap: u64,
    first: u64,
    last: u64,
    overrun: u64,
    evicted: u64,
    away: u64,
}

/// The file has no flag for it: huge pages need only the alignment.
pub(super) fn is_for_huge_pages(snapshot: &Snapshot) -> bool {
    snapshot.alignment >= 2 << 20
}

impl Document {
    pub(super) fn of(
        path: &Path,
        snapshot: &Snapshot,
        groups: &[GroupSnapshot],
        rates: Option<Rates>,
    ) -> Self {
        let s = snapshot;
        Self {
            schema: 2,
            kind: "ring",
            path: Name::of(path),
            ring_id: format!("{:032x}", s.ring_id),
            created_unix_ns: s.created_ns,
            geometry: Geometry {
                capacity: s.capacity,
                file_bytes: s.file_bytes,
                alignment: s.alignment,
                huge_pages: is_for_huge_pages(s),
                slots: s.slots,
                segments: s.segments,
            },
            options: Options {
                inline: s.inline,
                times: s.times,
                gated_only: s.gated_only,
                hard_limit_ns: s.hard_limit.map(nanos),
                wait: s.wait.to_string(),
                wait_in_use: s.mode.to_string(),
                schema: s.schema.map(|schema| Schema { size: schema.size, tag: schema.tag }),
            },
            producer: Producer {
                state: standing::producer(s).0,
                alive: s.producer_alive,
                pid: s.producer_pid,
                epoch: s.epoch,
            },
            position: Position {
                published: s.published,
                reserve: s.reserve,
                oldest_sequence: s.oldest_sequence,
                next_sequence: s.next_sequence,
                newest_age_ns: s.newest_time.map(|time| nanos(time.elapsed())),
            },
            corruption: s
                .corruption
                .map(|corruption| Corruption { position: corruption.position, what: corruption.what }),
            blocked: s.blocked.as_ref().map(|blocker| Blocked {
                slot: blocker.slot,
                name: blocker.name.clone(),
                pid: blocker.pid,
                state: blocker.life.to_string(),
                for_ns: nanos(blocker.since),
                remedy: blocker.remedy(),
            }),
            counters: Counters {
                records: s.records,
                bytes: s.bytes,
                full: s.full,
                stall_ns: nanos(s.stall),
                wakes: s.wakes,
                evictions: s.evictions,
                reclaims: s.reclaims,
            },
            rates: rates
                .map(|rates| PerSecond { records_per_second: rates.records, bytes_per_second: rates.bytes }),
            consumers: s.consumers.iter().map(|consumer| Consumer::of(s, consumer)).collect(),
            groups: groups.iter().map(Group::of).collect(),
        }
    }
}

impl Consumer {
    fn of(ring: &Snapshot, info: &ConsumerInfo) -> Self {
        let kind = Kind::of(ring, info);
        Self {
            slot: info.slot,
            name: info.name.clone(),
            policy: kind.word(),
            state: Standing::of(info).word(),
            group: info.is_group,
            alive: info.alive,
            after: info.after.as_ref().map(|stage| Stage {
                slot: stage.slot,
                name: stage.name.clone(),
                stands: stage.stands,
            }),
            evicted: info.state == ConsumerState::Evicted,
            pid: info.pid,
            attached_unix_ns: info.attached_ns,
            budget_ns: info.budget.filter(|_| kind == Kind::Gated).map(nanos),
            hold_ns: match info.hold {
                Some(Hold::For(time)) => Some(nanos(time)),
                _ => None,
            },
            hold_forever: info.hold == Some(Hold::Forever),
            hold_left_ns: info.hold_left.map(nanos),
            evictable: info.evictable,
            next_sequence: info.next_sequence,
            lag_records: info.lag_records,
            lag_bytes: info.lag_bytes,
            lag_ns: info.next_time.map(|time| nanos(time.elapsed())),
            lost_already_records: info.lost_already,
            away_ns: info.away_for.map(nanos),
            lost: Loss::of(&info.lost),
            skipped: Skipped { records: info.lost.skipped.records, bytes: info.lost.skipped.bytes },
        }
    }
}

impl Loss {
    fn of(account: &LossAccount) -> Self {
        let LossAccount { records, bytes, gaps, largest_gap, first, last, overrun, evicted, away, .. } =
            *account;
        Self { records, bytes, gaps, largest_gap, first, last, overrun, evicted, away }
    }
}
