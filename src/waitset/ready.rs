//! `Ready`: what came of a wait.

/// The things that a wait found ready: their tokens, in order. A token is the place of a thing in the list that was
/// waited for, from 0. Empty: the time was over, or the list was empty.
///
/// *Ready* means: try. Another event may have been meant, so a try may find nothing; then wait again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says what is ready"]
pub struct Ready<'a> {
    tokens: &'a [usize],
}

impl<'a> Ready<'a> {
    pub(super) fn new(tokens: &'a [usize]) -> Self {
        Self { tokens }
    }

    /// Whether nothing is ready.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// How many things are ready.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether the thing at this place in the list is ready.
    pub fn contains(&self, token: usize) -> bool {
        self.tokens.binary_search(&token).is_ok()
    }

    /// The tokens, in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + 'a {
        self.tokens.iter().copied()
    }
}

impl<'a> IntoIterator for Ready<'a> {
    type Item = usize;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, usize>>;

    fn into_iter(self) -> Self::IntoIter {
        self.tokens.iter().copied()
    }
}
