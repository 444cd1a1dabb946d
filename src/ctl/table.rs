//! Aligned tables for people. Must not know what is in them.

/// What output can take.
#[derive(Debug, Clone, Copy)]
pub struct Sheet {
    /// Whether it shows colours.
    pub paint: Paint,
    /// How wide its lines are, if they end anywhere.
    pub width: Option<usize>,
}

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// A terminal that shows them.
    Yes,
    /// Anything else.
    No,
}

/// How a cell is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As any other.
    Plain,
    /// All is well.
    Good,
    /// Somebody should look.
    Warning,
    /// It is broken.
    Bad,
    /// Not to be noticed first.
    Faint,
}

/// To which side a column leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// One value.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A value that means something good or bad.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Cell {
        Cell {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::toned(text, Tone::Plain)
    }
}

impl Paint {
    /// The text in the colour of its tone.
    pub fn tone(self, text: &str, tone: Tone) -> String {
        let code = match (self, tone) {
            (Paint::No, _) | (_, Tone::Plain) => return text.to_owned(),
            (_, Tone::Good) => "32",
            (_, Tone::Warning) => "33",
            (_, Tone::Bad) => "1;31",
            (_, Tone::Faint) => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A table with a line of heads.
#[derive(Debug)]
pub struct Grid {
    heads: &'static [(&'static str, Side)],
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// Without rows yet.
    pub fn new(heads: &'static [(&'static str, Side)]) -> Grid {
        Grid {
            heads,
            rows: Vec::new(),
        }
    }

    /// One more row, with a cell for each head.
    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.heads.len());
        self.rows.push(row);
    }

    /// The lines, heads first. Columns in which nothing stands are left out;
    /// lines that are too wide are cut.
    pub fn lines(&self, sheet: Sheet) -> Vec<String> {
        /// Between two columns.
        const GAP: &str = "  ";
        let shown: Vec<usize> = (0..self.heads.len())
            .filter(|index| self.cells(*index).any(|cell| !cell.text.is_empty()))
            .collect();
        let width = |index: &usize| {
            let cells = self.cells(*index).map(|cell| cell.text.chars().count());
            let head = self.heads[*index].0.chars().count();
            cells.max().unwrap_or_default().max(head)
        };
        let widths: Vec<usize> = shown.iter().map(width).collect();
        let heads: Vec<Cell> = self
            .heads
            .iter()
            .map(|(head, _)| Cell::toned(*head, Tone::Faint))
            .collect();
        let mut lines = Vec::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            let mut room = sheet.width.unwrap_or(usize::MAX);
            for (place, (index, width)) in shown.iter().zip(&widths).enumerate() {
                let Some(cell) = row.get(*index) else {
                    continue;
                };
                let is_last = place + 1 == shown.len();
                let pad = " ".repeat(width.saturating_sub(cell.text.chars().count()));
                let gap = if place == 0 { "" } else { GAP };
                let (before, after) = match self.heads[*index].1 {
                    Side::Left if is_last => ("", ""),
                    Side::Left => ("", pad.as_str()),
                    Side::Right => (pad.as_str(), ""),
                };
                let mut piece = |text: &str, tone| {
                    let cut: String = text.chars().take(room).collect();
                    room -= cut.chars().count();
                    if !cut.is_empty() {
                        line.push_str(&sheet.paint.tone(&cut, tone));
                    }
                };
                piece(gap, Tone::Plain);
                piece(before, Tone::Plain);
                piece(&cell.text, cell.tone);
                piece(after, Tone::Plain);
            }
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    /// The lines as one text.
    pub fn text(&self, sheet: Sheet) -> String {
        self.lines(sheet).join("\n") + "\n"
    }

    fn cells(&self, index: usize) -> impl Iterator<Item = &Cell> {
        self.rows.iter().filter_map(move |row| row.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: &[(&str, Side)] = &[
        ("SITE", Side::Left),
        ("N", Side::Right),
        ("NONE", Side::Left),
        ("WHY", Side::Left),
    ];

    fn grid() -> Grid {
        let mut grid = Grid::new(HEADS);
        let dead = Cell::toned("dead", Tone::Bad);
        grid.push(vec!["münchen".into(), "7".into(), "".into(), dead]);
        grid.push(vec!["b".into(), "1 000".into(), "".into(), "".into()]);
        grid
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let sheet = Sheet {
            paint: Paint::No,
            width: None,
        };
        let wanted = "SITE         N  WHY\nmünchen      7  dead\nb        1 000\n";
        assert_eq!(grid().text(sheet), wanted);
    }

    #[test]
    fn a_line_is_cut_at_the_width_and_colours_take_no_room() {
        let sheet = Sheet {
            paint: Paint::Yes,
            width: Some(18),
        };
        let lines = grid().lines(sheet);
        assert_eq!(lines[1], "münchen      7  \x1b[1;31mde\x1b[0m");
    }
}
