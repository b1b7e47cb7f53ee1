//! A state of a ring: how it is created, and which processes live in it.

use super::making::Making;
use super::notes::Shape;

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
