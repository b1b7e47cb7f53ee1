//! Relations between the events of one execution, as bit matrices.

/// Most events of an execution.
pub(super) const MOST: usize = 32;

/// A set of pairs of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relation([u32; MOST]);

/// A set of events.
pub(super) type Set = u32;

impl Relation {
    pub(super) const EMPTY: Self = Self([0; MOST]);

    pub(super) fn add(&mut self, from: usize, to: usize) {
        self.0[from] |= 1 << to;
    }

    pub(super) fn has(&self, from: usize, to: usize) -> bool {
        self.0[from] & (1 << to) != 0
    }

    pub(super) fn union(mut self, other: &Self) -> Self {
        for (row, with) in self.0.iter_mut().zip(&other.0) {
            *row |= with;
        }
        self
    }

    /// First this relation, then `next`.
    pub(super) fn then(&self, next: &Self) -> Self {
        let mut result = Self::EMPTY;
        for (row, successors) in result.0.iter_mut().zip(&self.0) {
            let mut rest = *successors;
            while rest != 0 {
                *row |= next.0[rest.trailing_zeros() as usize];
                rest &= rest - 1;
            }
        }
        result
    }

    /// This relation, or nothing.
    pub(super) fn maybe(mut self) -> Self {
        for (event, row) in self.0.iter_mut().enumerate() {
            *row |= 1 << event;
        }
        self
    }

    /// One or more times this relation.
    pub(super) fn plus(&self) -> Self {
        let mut result = *self;
        for through in 0..MOST {
            let row = result.0[through];
            for from in 0..MOST {
                if result.has(from, through) {
                    result.0[from] |= row;
                }
            }
        }
        result
    }

    /// The pairs whose first event is in `from` and whose second is in `to`.
    pub(super) fn between(mut self, from: Set, to: Set) -> Self {
        for (event, row) in self.0.iter_mut().enumerate() {
            *row = if from & (1 << event) != 0 { *row & to } else { 0 };
        }
        self
    }

    /// The pairs that `keep` accepts.
    pub(super) fn filter(mut self, keep: impl Fn(usize, usize) -> bool) -> Self {
        for from in 0..MOST {
            for to in 0..MOST {
                if self.has(from, to) && !keep(from, to) {
                    self.0[from] &= !(1 << to);
                }
            }
        }
        self
    }

    pub(super) fn is_irreflexive(&self) -> bool {
        (0..MOST).all(|event| !self.has(event, event))
    }

    pub(super) fn is_acyclic(&self) -> bool {
        self.plus().is_irreflexive()
    }
}
