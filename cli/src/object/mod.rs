//! Objects other than rings, in words: the same wherever they are shown.

mod document;

use quoit::sync::{Bytes, Participant, Reset, Snapshot, State};
use quoit::{Schema, Typed};

pub(crate) use self::document::Document;
use crate::{standing, units};

/// Its state in one line.
pub(crate) fn state(object: &Snapshot) -> String {
    let mut words = match &object.state {
        State::Mutex { is_abandoned, .. } => {
            let held = if holders(object).next().is_some() { "held" } else { "free" };
            let abandoned = if *is_abandoned { ", abandoned" } else { "" };
            format!("{held}{abandoned}")
        }
        State::Semaphore { permits, available, .. } => {
            format!("{available} of {} free", units::counted((*permits).into(), "permit"))
        }
        State::Event { reset, is_set, count, .. } => {
            let auto = if *reset == Reset::Auto { ", each signal for one" } else { "" };
            let set = if *is_set { "set" } else { "not set" };
            format!("{set}{auto}, {} in all", units::counted(*count, "time"))
        }
        State::Barrier { parties, arrived, round, is_broken, .. } => {
            let broken = if *is_broken { ", broken" } else { "" };
            format!("round {round}, {arrived} of {} here{broken}", parties_in_words(*parties))
        }
        State::Latch { is_open: true, .. } => "open".into(),
        State::Latch { parties, arrived, is_broken, .. } => {
            let broken = if *is_broken { ", broken" } else { "" };
            format!("{arrived} of {} here{broken}", parties_in_words(*parties))
        }
        State::Once { is_done: true, .. } => "done".into(),
        State::Once { attempts, .. } => {
            let done = if holders(object).next().is_some() { "being done" } else { "not done" };
            format!("{done}, {} failed", units::counted(*attempts, "attempt"))
        }
        State::RwLock { is_abandoned, readers, .. } => {
            let abandoned = if *is_abandoned { ", abandoned" } else { "" };
            let held = match holders(object).count() {
                0 => "free".into(),
                _ if *readers > 0 => units::counted((*readers).into(), "reader"),
                _ => "held to write".into(),
            };
            format!("{held}{abandoned}")
        }
        State::Table { rows, value, .. } => {
            format!("{}, {}", units::counted((*rows).into(), "row"), value_type(*value))
        }
        State::Latest { value, version, .. } => {
            format!("version {version}, {}", value_type(*value))
        }
        _ => "-".into(),
    };
    if object.garbage.is_some() {
        words.push_str(", corrupt");
    }
    words
}

fn parties_in_words(parties: u32) -> String {
    if parties == 1 { "1 party".into() } else { format!("{parties} parties") }
}

/// Those that hold something of it.
pub(crate) fn holders(object: &Snapshot) -> impl Iterator<Item = &Participant> {
    object.participants.iter().filter(|who| who.holds > 0)
}

/// Those that wait for it, and live.
pub(crate) fn waiting(object: &Snapshot) -> usize {
    object.participants.iter().filter(|who| who.is_waiting && who.is_alive).count()
}

/// For example "process 12, stopped", or "process 12, dead".
pub(crate) fn who(participant: &Participant) -> String {
    match (participant.pid, participant.is_alive) {
        (Some(pid), true) => standing::process(pid),
        (Some(pid), false) => format!("process {pid}, dead"),
        (None, _) => format!("an earlier one on seat {}, dead", participant.seat),
    }
}

/// Whether it lives, in one word.
pub(crate) fn life(participant: &Participant) -> &'static str {
    match participant.pid {
        _ if !participant.is_alive => "dead",
        Some(pid) if standing::is_unseen(pid) => "unseen",
        Some(pid) if standing::is_stopped(pid) => "stopped",
        _ => "alive",
    }
}

/// The type of a value.
pub(crate) fn value_type(schema: Schema) -> String {
    match schema.size.checked_sub(Schema::of::<Bytes<0>>().size) {
        Some(max) if schema.tag == Bytes::<0>::TAG => {
            format!("a byte string of at most {}", units::bytes(max.into()))
        }
        _ => schema.to_string(),
    }
}
