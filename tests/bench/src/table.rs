//! Tables for people, in Markdown.

use crate::Failure;
use std::fs::OpenOptions;
use std::io::Write;

/// Prints a table, and appends it to the file that `$BENCH_OUTPUT` names.
pub fn print(title: &str, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).enumerate();
        let padded = padded.map(|(column, (cell, width))| match column {
            0 => format!(" {cell:<width$} "),
            _ => format!(" {cell:>width$} "),
        });
        format!("|{}|\n", padded.collect::<Vec<_>>().join("|"))
    };
    let mut text = format!("\n{title}\n\n");
    text += &line(&mut head.iter().copied());
    let rule = widths.iter().enumerate().map(|(column, _)| match column {
        0 => " --- ",
        _ => " ---: ",
    });
    text += &format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    print!("{text}");
    if let Ok(path) = std::env::var("BENCH_OUTPUT") {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// A number with three digits that count.
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle one of several.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
