//! The error of text that does not parse.

use core::fmt;

/// The error of text that does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    word: String,
    expected: &'static str,
}

impl ParseError {
    pub(crate) fn new(word: &str, expected: &'static str) -> Self {
        Self { word: word.to_owned(), expected }
    }

    /// The accepted forms.
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not understood; give {}", self.word, self.expected)
    }
}

impl std::error::Error for ParseError {}
