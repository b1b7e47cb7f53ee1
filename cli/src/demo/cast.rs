//! The processes of the demo, and what each of them shows.

use std::time::Duration;

use clap::ValueEnum;
use quoit::Attach;

/// Budget of the consumer with a budget: how long it may block the producer.
pub(crate) const DEADLINE: Duration = Duration::from_millis(50);

/// The role of a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Publishes. It is killed and replaced.
    Producer,
    /// Gated, named, and held while away. It is killed and resumed, and must miss nothing.
    Gated,
    /// Gated with a budget. It is stopped: it must lose its gate and receive the event.
    Deadline,
    /// Permanently too slow. It must receive the exact count of what it missed.
    Lossy,
    /// Maps everything read-only. The producer does not know of it.
    Observer,
}

impl Role {
    pub(crate) const CONSUMERS: [Self; 4] = [Self::Gated, Self::Deadline, Self::Lossy, Self::Observer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Producer => "feed",
            Self::Gated => "risk",
            Self::Deadline => "alerts",
            Self::Lossy => "chart",
            Self::Observer => "tap",
        }
    }

    pub(crate) fn policy(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Gated => "gated, held",
            Self::Deadline => "gated 50 ms",
            Self::Lossy => "lossy, slow",
            Self::Observer => "observer",
        }
    }

    /// How it attaches. `None` for those that take no slot.
    pub(crate) fn attach(self) -> Option<Attach> {
        match self {
            Self::Producer | Self::Observer => None,
            Self::Gated => Some(Attach::gated().name(self.name()).hold_forever()),
            Self::Deadline => Some(Attach::gated_for(DEADLINE)),
            Self::Lossy => Some(Attach::lossy()),
        }
    }

    /// Ticks per second that it limits itself to. `None`: as fast as it can.
    pub(crate) fn pace(self, rate: u64) -> Option<u64> {
        (self == Self::Lossy).then_some(rate / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_fit_their_columns_and_the_facts() {
        for role in Role::CONSUMERS {
            assert!(role.name().len() <= 7 && role.policy().len() <= 11);
        }
        assert!(Role::Deadline.policy().ends_with(&format!("{} ms", DEADLINE.as_millis())));
    }
}
