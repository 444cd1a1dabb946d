//! Keeps `doc/control-socket.md` in step with what the control socket
//! understands: the tables there are made from the declarations. With
//! `LIVEPROXYD_UPDATE_DOC=1` this writes them anew.
#![allow(clippy::unwrap_used)]

use liveproxyd::console::{self, HEADERS, ORDERS, TABLES};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What stands around a part that is made.
fn marks(part: &str) -> (String, String) {
    (
        format!("<!-- made: {part} -->\n"),
        format!("<!-- end: {part} -->\n"),
    )
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/control-socket.md")
}

/// The text with the part between its marks replaced.
fn with_part(text: &str, part: &str, made: &str) -> String {
    let (begin, end) = marks(part);
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{before}{begin}\n{made}\n{end}{after}")
}

fn columns() -> String {
    let (report, events) = console::sample();
    let mut out = String::new();
    for (table, meaning) in TABLES {
        let request = format!(
            "GET columns\nColumns: name type description\nFilter: table = {table}\nSeparators: 10 0\n\n"
        );
        let answer = console::answer(console::MAX_ANSWER, request.as_bytes(), &report, &events);
        assert_eq!(answer.code, 200);
        let body = String::from_utf8(answer.body).unwrap();
        assert!(!body.is_empty(), "{table}");
        let _ = write!(
            out,
            "### {table}\n\n{meaning}\n\n| column | type | meaning |\n| --- | --- | --- |\n"
        );
        for line in body.lines() {
            let cells: Vec<&str> = line.split('\0').collect();
            let [name, kind, description] = cells[..] else {
                panic!("{line}")
            };
            let _ = writeln!(out, "| {name} | {kind} | {description} |");
        }
        out.push('\n');
    }
    out.pop();
    out
}

fn headers() -> String {
    let mut out = "| header | meaning |\n| --- | --- |\n".to_string();
    for header in HEADERS {
        let example = format!("{}: {}", header.name, header.example);
        let _ = writeln!(out, "| `{}` | {} |", example.trim_end(), header.meaning);
    }
    out
}

fn orders() -> String {
    let mut out = "| order | what it does |\n| --- | --- |\n".to_string();
    for order in ORDERS {
        let _ = writeln!(
            out,
            "| `{}{}` | {} |",
            order.name, order.arguments, order.meaning
        );
    }
    out
}

#[test]
fn the_page_on_the_control_socket_says_what_the_code_says() {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut made = text.clone();
    for (part, content) in [
        ("columns", columns()),
        ("headers", headers()),
        ("orders", orders()),
    ] {
        made = with_part(&made, part, &content);
    }
    if std::env::var_os("LIVEPROXYD_UPDATE_DOC").is_some_and(|value| value == "1") {
        std::fs::write(path(), &made).unwrap();
        return;
    }
    assert!(
        text == made,
        "doc/control-socket.md is out of step; LIVEPROXYD_UPDATE_DOC=1 cargo test --test control_doc"
    );
}
