//! What is said about a configuration file: a place, a sentence, and the line with a caret under it.
//! Knows nothing of sites or of Python; it only turns offsets into something a person can find.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Longest part of a source line that an excerpt shows, in characters. Checkmk writes the whole dictionary
/// of sites into a single line, so a line can be a hundred kilobytes long.
const EXCERPT_WIDTH: usize = 100;

/// How many characters before the caret an excerpt of a long line keeps.
const EXCERPT_BEFORE: usize = 60;

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

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "    {}\n    {:caret$}^",
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

/// Line and column (both from 1, the column in characters) of a byte offset.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
    (line, column)
}

/// A problem at a byte offset of a file's text.
pub(super) fn problem_at(path: &Arc<Path>, text: &str, offset: usize, message: String) -> Problem {
    let (line, column) = line_and_column(text, offset);
    Problem {
        place: Some(Place {
            path: Arc::clone(path),
            line,
            column,
        }),
        text: message,
        excerpt: Some(excerpt(text, offset, column - 1)),
    }
}

fn excerpt(text: &str, offset: usize, caret: usize) -> Excerpt {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let rest = text.get(line_start..).unwrap_or("");
    let line = rest.split('\n').next().unwrap_or("");
    let hidden = caret.saturating_sub(EXCERPT_BEFORE);
    let shown = line.chars().skip(hidden).take(EXCERPT_WIDTH);
    let line: String = shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    Excerpt {
        line: line.trim_end().to_string(),
        caret: caret - hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, offset: usize) -> Problem {
        problem_at(
            &Arc::from(Path::new("a.mk")),
            text,
            offset,
            "wrong".to_string(),
        )
    }

    #[test]
    fn prints_file_line_and_column_in_characters() {
        let problem = at("x = 1\ny = 'ä' ?", "x = 1\ny = 'ä' ".len());
        assert_eq!(problem.to_string(), "a.mk:2:9: wrong");
        assert_eq!(
            problem.excerpt_lines().as_deref(),
            Some("    y = 'ä' ?\n            ^")
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}?{}", "a".repeat(5000), "b".repeat(5000));
        let excerpt = at(&text, 5000).excerpt.expect("an excerpt");
        assert_eq!(excerpt.line.chars().count(), EXCERPT_WIDTH);
        assert_eq!(excerpt.line.chars().nth(excerpt.caret), Some('?'));
    }

    #[test]
    fn tabs_do_not_move_the_caret() {
        let excerpt = at("\t\tx", 2).excerpt.expect("an excerpt");
        assert_eq!((excerpt.line.as_str(), excerpt.caret), ("  x", 2));
    }

    #[test]
    fn the_end_of_the_text_is_a_place() {
        assert_eq!(at("ab\n", 3).to_string(), "a.mk:2:1: wrong");
        assert_eq!(at("", 0).to_string(), "a.mk:1:1: wrong");
    }

    #[test]
    fn without_place_prints_the_text_alone() {
        assert_eq!(Problem::without_place("no file").to_string(), "no file");
    }
}
