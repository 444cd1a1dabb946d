//! The text of a file, and how a person finds a place in it: line, column, and the line with a caret under it.
//! Knows nothing of sites or of Python.
//!
//! Checkmk writes all sites into one line, and all of them may be wrong; so nothing counts from the beginning of the
//! text or of the line each time.

use super::problem::{Excerpt, Place, Problem};
use std::path::Path;
use std::sync::Arc;

/// Longest part of a source line that an excerpt shows, in characters. Checkmk writes the whole dictionary
/// of sites into a single line, so a line can be a hundred kilobytes long.
const EXCERPT_WIDTH: usize = 100;

/// How many characters before the caret an excerpt of a long line keeps.
const EXCERPT_BEFORE: usize = 60;

/// How many bytes may have to be counted again to find a column.
const BLOCK: usize = 4096;

/// A file's text, decoded, with every line end a single newline.
#[derive(Debug)]
pub(super) struct Text {
    pub path: Arc<Path>,
    pub text: String,
    places: Places,
}

impl Text {
    pub fn new(path: Arc<Path>, text: String) -> Text {
        let places = Places::of(&text);
        Text { path, text, places }
    }

    /// A problem at a byte offset of this text.
    pub fn problem(&self, offset: usize, message: String) -> Problem {
        let (line, column) = self.places.line_and_column(&self.text, offset);
        Problem {
            place: Some(Place {
                path: Arc::clone(&self.path),
                line,
                column,
            }),
            text: message,
            excerpt: Some(self.excerpt(offset)),
        }
    }

    fn excerpt(&self, offset: usize) -> Excerpt {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let in_line = |c: &char| *c != '\n';
        let kept = before.chars().rev().take_while(in_line);
        let (mut caret, mut begin) = (0, before.len());
        for c in kept.take(EXCERPT_BEFORE) {
            caret += 1;
            begin -= c.len_utf8();
        }
        let rest = self.text.get(begin..).unwrap_or("");
        let shown = rest.chars().take_while(in_line).take(EXCERPT_WIDTH);
        let line: String = shown
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Excerpt {
            line: line.trim_end().to_string(),
            caret,
        }
    }
}

/// What is counted once of a text.
#[derive(Debug)]
pub(super) struct Places {
    /// Offsets of the beginnings of lines.
    lines: Vec<usize>,
    /// How many characters begin before each block.
    blocks: Vec<usize>,
}

impl Places {
    pub fn of(text: &str) -> Places {
        let newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let mut count = 0;
        let blocks = text.as_bytes().chunks(BLOCK).map(|block| {
            let before = count;
            count += characters(block);
            before
        });
        Places {
            blocks: blocks.collect(),
            lines: std::iter::once(0).chain(newlines).collect(),
        }
    }

    /// Line and column (both from 1, the column in characters) of a byte offset of that text.
    pub fn line_and_column(&self, text: &str, offset: usize) -> (usize, usize) {
        let offset = offset.min(text.len());
        let line = self.lines.partition_point(|begin| *begin <= offset);
        let begin = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.before(text, offset) - self.before(text, begin) + 1;
        (line, column)
    }

    /// How many characters begin before an offset.
    fn before(&self, text: &str, offset: usize) -> usize {
        let block = offset / BLOCK;
        match self.blocks.get(block) {
            Some(before) => {
                let rest = text.as_bytes().get(block * BLOCK..offset);
                before + characters(rest.unwrap_or(&[]))
            }
            // The end of a text that ends with a block.
            None => text.chars().count(),
        }
    }
}

/// How many characters begin in these bytes of a text.
fn characters(bytes: &[u8]) -> usize {
    let begins = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
    bytes.iter().filter(begins).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, offset: usize) -> Problem {
        let path = Arc::from(Path::new("a.mk"));
        Text::new(path, text.to_string()).problem(offset, "wrong".to_string())
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
    fn lines_and_columns_are_those_that_counting_finds() {
        let unit = "ab\u{e4}\u{20ac}\u{1f600}";
        let long = unit.repeat(BLOCK / unit.len() + 1);
        let text = format!("\n{long}\n\n{long}{long}\nx\n{}", "y".repeat(BLOCK));
        let (mut line, mut column) = (1, 1);
        let places = Places::of(&text);
        for (offset, c) in text.char_indices() {
            let found = places.line_and_column(&text, offset);
            assert_eq!(found, (line, column), "at {offset}");
            (line, column) = match c {
                '\n' => (line + 1, 1),
                _ => (line, column + 1),
            };
        }
        for end in [text.len(), text.len() + 1, usize::MAX] {
            assert_eq!(places.line_and_column(&text, end), (line, column));
        }
        let block = "z".repeat(BLOCK);
        let end = Places::of(&block).line_and_column(&block, BLOCK);
        assert_eq!(end, (1, BLOCK + 1));
    }
}
