//! What a consumer requested when it attached, apart from its present state.

use quoit::{ConsumerInfo, ConsumerState, Hold, Snapshot};

use crate::{shown, units};

/// What happens when it is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lossy,
    Gated,
    /// Away, and the ring does not say what it was: it does not block the producer, and chooses a policy when it
    /// comes back.
    Unknown,
}

impl Kind {
    pub(super) fn of(ring: &Snapshot, consumer: &ConsumerInfo) -> Self {
        match consumer.state {
            ConsumerState::Lossy => Self::Lossy,
            ConsumerState::Gated | ConsumerState::Evicted => Self::Gated,
            // Only gated consumers have a hold or a budget. The ring's own limit is stored for every consumer.
            _ => {
                let own = match ring.hard_limit {
                    None => consumer.evictable,
                    Some(hard) => consumer.budget.is_some_and(|own| own < hard),
                };
                if own || consumer.hold.is_some() { Self::Gated } else { Self::Unknown }
            }
        }
    }

    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Lossy => Some("lossy"),
            Self::Gated => Some("gated"),
            Self::Unknown => None,
        }
    }
}

/// As text: "gated for 5 ms, held 10 s, 7.2 s left, after journal".
pub(super) fn words(ring: &Snapshot, consumer: &ConsumerInfo) -> String {
    let kind = Kind::of(ring, consumer);
    let Some(word) = kind.word() else { return "-".into() };
    let mut words = word.to_owned();
    if kind == Kind::Gated {
        if let Some(deadline) = consumer.budget {
            words.push_str(&format!(" for {}", units::time(deadline)));
        }
        match consumer.hold {
            None => {}
            Some(Hold::For(time)) => words.push_str(&format!(", held {}", units::time(time))),
            Some(_) => words.push_str(", held forever"),
        }
        if let Some(left) = consumer.hold_left {
            words.push_str(&format!(", {} left", units::time(left)));
        }
    }
    if let Some(stage) = &consumer.after {
        let name = stage.name.as_deref().map_or_else(|| format!("slot {}", stage.slot), shown::text);
        words.push_str(&format!(", after {name}{}", if stage.stands { "" } else { " (gone)" }));
    }
    words
}
