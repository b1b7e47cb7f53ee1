//! The consumer that holds the producer up, as shown to people.

use std::fmt;
use std::time::Duration;

use crate::atomics::at;
use crate::ring::Region;
use crate::ring::geometry::Areas;
use crate::ring::holding::{Hold, hold, limit};
use crate::ring::layout::Slot;
use crate::ring::names;
use crate::ring::protocol::gate;
use crate::ring::protocol::stalls::budget_ns;
use crate::ring::text::Time;

/// A consumer that holds the producer up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocker {
    /// Number of the consumer's slot.
    pub slot: u32,
    /// The name it attached under.
    pub name: Option<String>,
    /// Whether it is a group. Then it lives while a member does, and `GroupInspector` says which member has its oldest
    /// record.
    pub is_group: bool,
    /// Its process id, as the consumer wrote it; 0 for a group, whose members are several.
    pub pid: u32,
    /// Whether the consumer lives.
    pub life: Life,
    /// How long it has held the producer up so far, in this hold.
    pub since: Duration,
    /// How long it may hold the producer up in a lap.
    pub budget: Option<Duration>,
    /// How long its gate outlives it.
    pub hold: Option<Hold>,
    /// Whether its gate may be taken while it lives: see [`Attach::evictable`](crate::Attach::evictable).
    pub evictable: bool,
}

/// Whether a consumer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Life {
    /// It holds the lock of its slot.
    Alive,
    /// It holds the lock, and its process is stopped, according to `/proc`. A hint: each process writes its own id,
    /// which means another process in another namespace.
    Stopped,
    /// The lock is free: the consumer has left or died. Its gate is held for it, or is about to be taken.
    Gone,
}

impl Life {
    /// The life of a slot's consumer, from whether the slot is locked.
    pub(crate) fn of(is_locked: bool, pid: u32) -> Self {
        match is_locked {
            false => Self::Gone,
            true if is_stopped(pid) => Self::Stopped,
            true => Self::Alive,
        }
    }
}

#[cfg(not(loom))]
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command name in parentheses may contain anything; the state follows the last `)`.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

#[cfg(loom)]
fn is_stopped(_pid: u32) -> bool {
    false
}

/// Whether a slot is a group's. A sealed ring has none: any consumer could have written the word.
pub(crate) fn is_group(areas: Areas<'_>, slot: &Slot) -> bool {
    !areas.geometry.sealed && slot.who.group.load(at!(C_INSPECT, Relaxed)) != 0
}

/// The process of a slot's consumer, as it wrote it. A group has no such process: each member that joins writes its own, and
/// the slot lives while any of them does.
pub(crate) fn pid_of(areas: Areas<'_>, slot: &Slot) -> u32 {
    if is_group(areas, slot) { 0 } else { slot.who.pid.load(at!(C_INSPECT, Relaxed)) as u32 }
}

impl Blocker {
    /// The consumer in a slot. `None`: there is no such slot.
    pub(crate) fn new(region: &Region, number: u32, since: Duration) -> Option<Self> {
        let areas = region.areas();
        let slot = areas.slots.get(number as usize)?;
        let is_group = is_group(areas, slot);
        let pid = pid_of(areas, slot);
        let budget = budget_ns(areas, slot);
        Some(Self {
            slot: number,
            name: gate::has_name(areas, slot).then(|| names::text(&gate::name(slot))),
            is_group,
            pid,
            life: Life::of(region.is_alive(number), pid),
            since,
            budget: budget.and_then(limit),
            hold: hold(slot.gate.hold_ns.load(at!(C_INSPECT, Relaxed))),
            evictable: budget.is_some() || areas.geometry.sealed,
        })
    }

    /// A sentence that says how to free the producer.
    pub fn remedy(&self) -> String {
        let Self { slot, pid, is_group, .. } = self;
        let or_evict = match self.evictable {
            true => format!(", or evict it (`quoit evict RING --slot {slot}`)"),
            false => String::new(),
        };
        let by_itself = match self.budget {
            Some(budget) => format!("; by itself it is evicted once that makes {} in a lap", Time(budget)),
            None => String::new(),
        };
        match (self.life, self.hold) {
            (Life::Alive | Life::Stopped, _) if *is_group => format!(
                "have the group's members receive and acknowledge, or end the one that has the oldest record (`quoit info \
                 RING` shows which){or_evict}{by_itself}"
            ),
            (Life::Alive, _) => {
                format!("have process {pid} receive and release, or end it{or_evict}{by_itself}")
            }
            (Life::Stopped, _) => {
                format!("continue process {pid} (`kill -CONT {pid}`), or end it{or_evict}{by_itself}")
            }
            (Life::Gone, Some(hold)) if self.name.is_some() => {
                let ends = match hold {
                    Hold::For(time) => format!("wait for the end of its hold of {}", Time(time)),
                    Hold::Forever => "have it come back under its name".to_owned(),
                };
                format!(
                    "{ends}, or take its gate (`quoit evict RING --slot {slot}`: it keeps its place; `quoit forget`: it \
                     loses it)"
                )
            }
            (Life::Gone, _) => "nothing: the producer takes the gate when it next looks".to_owned(),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.slot)?;
        if let Some(name) = &self.name {
            // Another process wrote the name: escape it.
            write!(f, " '{}'", name.escape_debug())?;
        }
        match self.is_group {
            true => write!(f, " (a group, {})", self.life),
            false => write!(f, " (process {}, {})", self.pid, self.life),
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        })
    }
}
