//! What a state of a ring is: how it is made, who lives in it, and what is known of it outside the ring.

use std::time::Duration;

use quoit::{Options, WaitMode};
use serde::{Deserialize, Serialize};

use super::making::Making;
use super::oracle::Sent;

/// Bytes of most rings: the least there is, so that laps are short.
pub(crate) const CAPACITY: u64 = 4096;

/// Who lives beside the victim, attached anew for every kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// A lossy consumer that starts with the oldest record.
    Lossy,
    /// A gated one that starts with the next record.
    Gated,
    /// A gated one that starts where the stream began: for rings that have not lapped.
    GatedFirst,
    /// One that is evicted as soon as it holds the producer up, from where the stream began.
    Overdue,
    /// The state's first name, resumed.
    Resumed,
    /// A gated consumer asleep in a process of its own.
    Sleeper,
    /// A producer asleep in a process of its own, waiting for space that the victim holds.
    Blocked,
}

/// A step in the making of a state.
type Make = Box<dyn Fn(&mut Making)>;

/// One state of the grid.
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) make: Vec<Make>,
    pub(crate) live: Vec<Live>,
    /// A producer lives while a consumer is the victim.
    pub(crate) producing: bool,
    /// The last process of `make` is killed in its sleep, on this word of the control area.
    pub(crate) asleep: Option<u64>,
}

/// What the options of a state come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) capacity: u64,
    pub(crate) slots: u32,
    pub(crate) inline: bool,
    pub(crate) wait: WaitMode,
    pub(crate) gated_only: bool,
    pub(crate) hard_limit: bool,
    pub(crate) origin: (u64, u64),
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            capacity: CAPACITY,
            slots: 6,
            inline: true,
            wait: WaitMode::Membarrier,
            gated_only: false,
            hard_limit: false,
            origin: (0, 0),
        }
    }
}

impl Shape {
    pub(crate) fn options(&self) -> Options {
        let options = Options::new().capacity(self.capacity).slots(self.slots).inline(self.inline);
        let options = options.wait(self.wait).gated_only(self.gated_only);
        let options = options.origin(self.origin.0, self.origin.1);
        if self.hard_limit { options.hard_limit(Duration::from_secs(3600)) } else { options }
    }

    pub(crate) fn sent(&self) -> Sent {
        Sent::new(self.origin.0, self.origin.1, self.capacity)
    }
}

/// A name of the ring whose consumer is away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
    /// The record it goes on with.
    pub(crate) sequence: u64,
    pub(crate) gated: bool,
    /// Its gate stays shut.
    pub(crate) held: bool,
}

/// What is known of a state outside its ring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Notes {
    pub(crate) lens: Vec<usize>,
    pub(crate) names: Vec<Name>,
    pub(crate) epoch: u64,
    /// A dead producer may have been writing up to here.
    pub(crate) dirt: Option<u64>,
}

/// A long name: the slot has it in four words.
pub(crate) const LONG: &str = "the consumer with the long name!";

/// The victim's own name, where it has one; and names that it begins with, each to the end of a word of the slot.
pub(crate) const VICTIM: &str = "the victim, named in four words";
pub(super) const BEGINNINGS: [&str; 2] = ["the victim, name", "the vict"];

pub(super) fn state(name: impl Into<String>, make: impl Fn(&mut Making) + 'static) -> State {
    State {
        name: name.into(),
        shape: Shape::default(),
        make: vec![Box::new(make)],
        live: vec![Live::Lossy],
        producing: false,
        asleep: None,
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("name", &self.name).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn shape(self, change: impl Fn(&mut Shape)) -> Self {
        let mut shape = self.shape;
        change(&mut shape);
        Self { shape, ..self }
    }

    pub(super) fn live(self, live: &[Live]) -> Self {
        Self { live: live.to_vec(), ..self }
    }

    pub(super) fn producing(self) -> Self {
        Self { producing: true, ..self }
    }

    pub(super) fn then(mut self, make: impl Fn(&mut Making) + 'static) -> Self {
        self.make.push(Box::new(make));
        self
    }

    pub(super) fn asleep(self, word: u64) -> Self {
        Self { asleep: Some(word), ..self }
    }
}
