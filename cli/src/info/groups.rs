//! The groups of a ring, as text and as JSON.

use std::fmt::Write as _;

use quoit::sync::Participant;
use quoit::{GroupSnapshot, Unacknowledged};
use serde::Serialize;

use crate::json::nanos;
use crate::object::{life, who};
use crate::{columns, shown, units};

/// As text, after the table of consumers.
pub(super) fn text(groups: &[GroupSnapshot]) -> String {
    let mut text = String::new();
    for group in groups {
        text.push('\n');
        let mut row = |key: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key:<10} {value}");
        };
        let alive = group.members.iter().filter(|member| member.is_alive).count();
        row(
            "group",
            format!(
                "{}: {} of {}",
                shown::text(&group.name),
                alive,
                units::counted(group.seats.into(), "member")
            ),
        );
        row("options", options(group));
        row(
            "leases",
            format!(
                "{} of {} out, with {} not acknowledged; {} with nobody",
                group.leases,
                group.most_leases,
                units::counted(group.unacknowledged, "record"),
                group.returned
            ),
        );
        if let Some(oldest) = &group.oldest {
            row("oldest", oldest_in_words(group, oldest));
        }
        row(
            "counts",
            format!(
                "{} handed out again, {} lost, {}",
                units::counted(group.redelivered, "time"),
                units::counted(group.lost, "record"),
                units::counted(group.dead_letters, "dead letter")
            ),
        );
        if group.is_shelved {
            row("", "a record could not be put aside; the members' messages say why".into());
        }
        if let Some(garbage) = group.garbage {
            row("corrupt", garbage.into());
        }
        if !group.members.is_empty() {
            text.push_str(&members(group));
        }
    }
    text
}

/// As part of a line: what changes, and what went wrong if something did.
pub(super) fn in_a_line(group: &GroupSnapshot) -> String {
    let alive = group.members.iter().filter(|member| member.is_alive).count() as u64;
    let mut line = format!(
        "{}, {} not acknowledged",
        units::counted(alive, "member"),
        units::count(group.unacknowledged)
    );
    if let Some(oldest) = &group.oldest {
        // Writing to a string cannot fail.
        let _ = write!(line, ", the oldest for {}", units::time(oldest.since));
    }
    if group.redelivered > 0 {
        let _ = write!(line, ", {} handed out again", units::count(group.redelivered));
    }
    if group.dead_letters > 0 {
        let _ = write!(line, ", {}", units::counted(group.dead_letters, "dead letter"));
    }
    if group.garbage.is_some() {
        line.push_str(", corrupt");
    }
    line
}

fn options(group: &GroupSnapshot) -> String {
    let mut options = vec![match (group.is_lossy, group.budget) {
        (true, _) => "lossy".to_owned(),
        (_, Some(budget)) => format!("gated for {}", units::time(budget)),
        _ => "gated".to_owned(),
    }];
    if let Some(most) = group.max_deliveries {
        options.push(format!("handed out {} at most, then put aside", units::counted(most.into(), "time")));
    }
    if let Some(time) = group.lease_time {
        options.push(format!("lease time {}", units::time(time)));
    }
    if let Some(limit) = group.limit {
        options.push(format!("{} a member at most", units::counted(limit.into(), "record")));
    }
    options.join(", ")
}

/// Which member has the oldest record, which holds the producer up.
pub(super) fn oldest(group: &GroupSnapshot) -> String {
    match &group.oldest {
        Some(oldest) => format!("its oldest record: {}", oldest_in_words(group, oldest)),
        None => format!("its oldest record: sequence {}, which no member has had yet", group.next_sequence),
    }
}

fn oldest_in_words(group: &GroupSnapshot, oldest: &Unacknowledged) -> String {
    let with = match group.members.iter().find(|member| Some(member.seat) == oldest.seat) {
        Some(member) => who(member),
        None => "nobody".into(),
    };
    let times = units::counted(oldest.deliveries.into(), "time");
    format!(
        "sequence {}, handed out {times}, the last one {} ago; with {with}",
        oldest.sequence,
        units::time(oldest.since)
    )
}

fn members(group: &GroupSnapshot) -> String {
    let head = ["seat", "process", "state", "leases", "waits", "since"];
    let mut rows = vec![head.map(str::to_owned)];
    for member in &group.members {
        rows.push([
            member.seat.to_string(),
            member.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            life(member).into(),
            member.holds.to_string(),
            if member.is_waiting { "waits" } else { "-" }.into(),
            member.since_ns.map_or_else(|| "-".into(), units::ago),
        ]);
    }
    columns::aligned(&rows, &[false, false, true, false, true, true])
}

#[derive(Debug, Serialize)]
pub(super) struct Group {
    name: String,
    id: String,
    slot: u32,
    seats: u32,
    lossy: bool,
    budget_ns: Option<u64>,
    max_deliveries: Option<u32>,
    lease_time_ns: Option<u64>,
    limit: Option<u32>,
    most_leases: u32,
    leases: u32,
    /// Leases that no member has.
    returned: u32,
    unacknowledged_records: u64,
    oldest: Option<Oldest>,
    next_sequence: u64,
    redelivered: u64,
    lost_records: u64,
    dead_letters: u64,
    /// A record could not be put aside.
    shelved: bool,
    members: Vec<Member>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corruption: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Oldest {
    sequence: u64,
    deliveries: u32,
    since_ns: u64,
    seat: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Member {
    seat: u32,
    pid: Option<u32>,
    /// `alive`, `stopped`, or `dead`.
    state: &'static str,
    leases: u32,
    waits: bool,
    since_unix_ns: Option<u64>,
}

impl Group {
    pub(super) fn of(group: &GroupSnapshot) -> Self {
        Self {
            name: group.name.clone(),
            id: format!("{:032x}", group.id),
            slot: group.slot,
            seats: group.seats,
            lossy: group.is_lossy,
            budget_ns: group.budget.map(nanos),
            max_deliveries: group.max_deliveries,
            lease_time_ns: group.lease_time.map(nanos),
            limit: group.limit,
            most_leases: group.most_leases,
            leases: group.leases,
            returned: group.returned,
            unacknowledged_records: group.unacknowledged,
            oldest: group.oldest.map(|oldest| Oldest {
                sequence: oldest.sequence,
                deliveries: oldest.deliveries,
                since_ns: nanos(oldest.since),
                seat: oldest.seat,
            }),
            next_sequence: group.next_sequence,
            redelivered: group.redelivered,
            lost_records: group.lost,
            dead_letters: group.dead_letters,
            shelved: group.is_shelved,
            members: group.members.iter().map(Member::of).collect(),
            corruption: group.garbage,
        }
    }
}

impl Member {
    fn of(member: &Participant) -> Self {
        Self {
            seat: member.seat,
            pid: member.pid,
            state: life(member),
            leases: member.holds,
            waits: member.is_waiting,
            since_unix_ns: member.since_ns,
        }
    }
}
