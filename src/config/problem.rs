//! What is said about a configuration file: a place, a sentence, and the line with a caret under it.
//! Knows nothing of sites or of Python.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A position in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named when it was read.
    pub path: Arc<Path>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column, counted from 1, in characters (not bytes).
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// The line a problem stands in, cut to a readable width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line; tabs and control characters are replaced by blanks so that the caret stays in line.
    pub line: String,
    /// How many characters stand before the caret.
    pub caret: usize,
}

/// What begins both lines of an excerpt, and no other line of ours.
pub(crate) const INDENT: &str = "    ";

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{INDENT}{}\n{INDENT}{:caret$}^",
            self.line,
            "",
            caret = self.caret
        )
    }
}

/// One finding, an error or a warning. It prints as `file:line:column: text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is; absent for what has no line, as a file that cannot be opened or a command line option.
    pub place: Option<Place>,
    /// What was found and what would be accepted, one line without a full stop.
    pub text: String,
    /// The line at that place, to be shown below the text.
    pub excerpt: Option<Excerpt>,
}

impl Problem {
    /// A problem that stands in no line of a file.
    pub fn without_place(text: impl Into<String>) -> Problem {
        Problem {
            place: None,
            text: text.into(),
            excerpt: None,
        }
    }

    /// The source line and the caret below it, two lines without a final newline.
    pub fn excerpt_lines(&self) -> Option<String> {
        self.excerpt.as_ref().map(Excerpt::to_string)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for Problem {}

/// Why a text cannot be read. It becomes a [`Problem`] once it meets the name of its file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    /// Byte offset.
    pub at: usize,
    pub text: String,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// Something else was expected here; a bracket that was never closed may be the real reason.
    Unexpected,
    /// A bracket was never closed.
    Unclosed,
    /// Anything whose reason stands in the text.
    Plain,
}

impl Fault {
    pub fn plain(at: usize, text: impl Into<String>) -> Fault {
        Fault {
            at,
            text: text.into(),
            kind: FaultKind::Plain,
        }
    }

    pub fn unexpected(at: usize, text: impl Into<String>) -> Fault {
        Fault {
            at,
            text: text.into(),
            kind: FaultKind::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_place_prints_the_text_alone() {
        assert_eq!(Problem::without_place("no file").to_string(), "no file");
    }
}
