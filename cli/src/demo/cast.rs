//! Who plays in the demo, and what each of them is there to show.

use std::time::Duration;

use clap::ValueEnum;
use quoit::Attach;

/// How long the deadline consumer may hold up the producer.
pub(crate) const DEADLINE: Duration = Duration::from_millis(50);

/// A part that a child process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Publishes. Killed and succeeded.
    Producer,
    /// Gated, named and held while away. Killed and resumed: it must miss nothing.
    Gated,
    /// Gated for a time only. Made to stand still: it must lose its gate and be told.
    Deadline,
    /// Too slow for good. It must be told exactly what it missed.
    Lossy,
    /// Maps everything read-only. The producer never knows.
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

    /// How it attaches. `None` for those who take no slot.
    pub(crate) fn attach(self) -> Option<Attach> {
        match self {
            Self::Producer | Self::Observer => None,
            Self::Gated => Some(Attach::gated().name(self.name()).hold_forever()),
            Self::Deadline => Some(Attach::gated_for(DEADLINE)),
            Self::Lossy => Some(Attach::lossy()),
        }
    }

    /// Ticks a second it makes itself content with. `None`: as fast as it can.
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
