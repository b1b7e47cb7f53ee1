//! The state of the demo so far, as the views show it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::cast::{Part, Role};
use super::lines::{Figures, Line};
use crate::demo::board::Entry;
use crate::demo::text::{Pieces, Tone};
use crate::units::count;

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Coming,
    Here,
    Killed,
    Done,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) presence: Presence,
    pub(crate) figures: Figures,
}

pub(crate) struct Board {
    pub(crate) directory: PathBuf,
    pub(crate) total: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) parts: BTreeMap<Part, State>,
    pub(crate) log: Vec<Entry>,
    pub(crate) mishaps: Vec<String>,
    /// All were asked to end: what they are told of each other's end is no news.
    pub(crate) is_ending: bool,
}

impl Board {
    pub(crate) fn new(directory: PathBuf, total: Duration) -> Self {
        Self {
            directory,
            total,
            elapsed: Duration::ZERO,
            parts: BTreeMap::new(),
            log: Vec::new(),
            mishaps: Vec::new(),
            is_ending: false,
        }
    }

    pub(crate) fn note(&mut self, tone: Tone, text: impl Into<String>) {
        self.log.push(Entry { at: self.elapsed, tone, text: text.into() });
    }

    /// An event that breaks a guarantee by itself.
    pub(crate) fn mishap(&mut self, what: String) {
        self.note(Tone::Bad, what.clone());
        self.mishaps.push(what);
    }

    pub(crate) fn enter(&mut self, part: Part) {
        self.parts.insert(part, State { presence: Presence::Coming, figures: Figures::default() });
    }

    pub(crate) fn presence(&self, part: Part) -> Option<Presence> {
        self.parts.get(&part).map(|state| state.presence)
    }

    pub(crate) fn set(&mut self, part: Part, presence: Presence) {
        if let Some(state) = self.parts.get_mut(&part) {
            state.presence = presence;
        }
    }

    /// Whether nobody is in this phase of life.
    pub(crate) fn nobody_is(&self, presence: Presence) -> bool {
        self.parts.values().all(|state| state.presence != presence)
    }

    pub(crate) fn hear(&mut self, part: Part, line: Line) {
        match line {
            Line::Here => self.set(part, Presence::Here),
            Line::Progress(figures) => {
                if let Some(state) = self.parts.get_mut(&part) {
                    state.figures = figures;
                }
            }
            Line::Told { .. } if self.is_ending => {}
            Line::Told { what } => self.note(Tone::Warn, format!("{} is told: {what}", part.name())),
            Line::Broken { what } => self.mishap(format!("{}: {what}", part.name())),
            Line::Done => self.set(part, Presence::Done),
        }
    }

    fn of(&self, role: Role) -> impl Iterator<Item = (&Part, &State)> {
        self.parts.iter().filter(move |(part, _)| part.role == role)
    }

    fn sum(&self, role: Role, figure: impl Fn(&Figures) -> u64) -> String {
        count(self.of(role).map(|(_, state)| figure(&state.figures)).sum())
    }

    /// The phases are the same for all parties; one that came later has seen fewer.
    fn most(&self, figure: impl Fn(&Figures) -> u64) -> u64 {
        self.of(Role::Party).map(|(_, state)| figure(&state.figures)).max().unwrap_or(0)
    }

    /// The processes of some roles: alive, waited for, dead.
    fn cast(&self, roles: &[Role]) -> Pieces {
        let parts = roles.iter().flat_map(|role| self.of(*role));
        let piece = |(part, state): (&Part, &State)| {
            let name = part.name();
            match state.presence {
                Presence::Coming => (Tone::Dim, format!("  … {name}")),
                Presence::Here => (Tone::Good, format!("  ● {name}")),
                Presence::Killed => (Tone::Bad, format!("  ✗ {name}")),
                Presence::Done => (Tone::Dim, format!("  ○ {name}")),
            }
        };
        parts.map(piece).collect()
    }

    /// Two lines for each of the three: what is done, and who does it.
    pub(crate) fn lines(&self) -> Vec<Pieces> {
        let done = |figures: &Figures| figures.done;
        let other = |figures: &Figures| figures.other;
        let service = format!(
            "{} calls ended, {} of them without a reply",
            self.sum(Role::Caller, done),
            self.sum(Role::Caller, other)
        );
        let group = format!(
            "{} records sent, {} acknowledged, {} handed out again",
            self.sum(Role::Feed, done),
            self.sum(Role::Worker, done),
            self.sum(Role::Worker, other)
        );
        let barrier = format!("{} phases passed, {} broken", count(self.most(done)), count(self.most(other)));
        let rows: [(&str, String, &[Role]); 3] = [
            ("service", service, &[Role::Server, Role::Caller]),
            ("group", group, &[Role::Feed, Role::Worker]),
            ("barrier", barrier, &[Role::Party]),
        ];
        let mut lines = Vec::new();
        for (name, text, roles) in rows {
            lines.push(vec![(Tone::Strong, format!(" {name:<8}")), (Tone::Plain, text)]);
            let mut cast = vec![(Tone::Plain, "       ".to_owned())];
            cast.extend(self.cast(roles));
            lines.push(cast);
        }
        lines
    }
}
