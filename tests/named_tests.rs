//! The pages that promise something name the test that shows it; this finds each of these tests,
//! so that none is renamed or deleted while the promise stands.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// The pages, and how many tests each names at least: a page that is not read names none.
const PAGES: [(&str, usize); 2] = [("doc/faults.md", 40), ("doc/security.md", 60)];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file, as its path without the ending (that of a folder for `mod.rs`) and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        collect(&project().join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            // Tests in a file of their own belong to the module that they are beside.
            let is_of_folder = path
                .file_stem()
                .is_some_and(|stem| stem == "mod" || stem == "tests");
            let module = match is_of_folder {
                true => folder.to_path_buf(),
                false => path.with_extension(""),
            };
            found.push((module, text));
        }
    }
}

/// What stands between backticks and has the form `module::test`.
fn names(text: &str) -> Vec<&str> {
    let is_word = |word: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !word.is_empty() && word.bytes().all(fits)
    };
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| name.contains("::") && name.split("::").all(is_word))
        .collect()
}

/// Whether there is such a test: a function of that name with `#[test]` in front, in that module.
fn exists(name: &str, sources: &[(PathBuf, String)]) -> bool {
    let (module, test) = name.rsplit_once("::").unwrap();
    let module: PathBuf = module.split("::").collect();
    let head = format!("fn {test}() {{");
    let is_test = |text: &str| {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let pairs = lines.windows(2);
        pairs
            .into_iter()
            .any(|pair| pair[0] == "#[test]" && pair[1] == head)
    };
    let mut there = sources.iter().filter(|(path, _)| path.ends_with(&module));
    there.any(|(_, text)| is_test(text))
}

/// Rows of tables with a last column "test" that name none.
fn rows_without_test(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut has_tests = false;
    for line in text.lines() {
        if !line.starts_with('|') {
            has_tests = false;
            continue;
        }
        let last = line.trim_end_matches([' ', '|']).rsplit(" | ").next();
        let last = last.unwrap().trim();
        if last == "test" {
            has_tests = true;
        } else if has_tests
            && !line.starts_with("| ---")
            && last != "the same"
            && names(last).is_empty()
        {
            found.push(line);
        }
    }
    found
}

#[test]
fn each_test_that_a_page_names_exists() {
    let sources = sources();
    for (page, least) in PAGES {
        let text = fs::read_to_string(project().join(page)).unwrap();
        let names = names(&text);
        assert!(names.len() >= least, "{page} names {} tests", names.len());
        let missing: Vec<&&str> = names
            .iter()
            .filter(|name| !exists(name, &sources))
            .collect();
        assert!(
            missing.is_empty(),
            "{page} names what is no test: {missing:#?}"
        );
    }
}

#[test]
fn each_row_of_a_page_names_its_test() {
    for (page, _) in PAGES {
        let text = fs::read_to_string(project().join(page)).unwrap();
        assert_eq!(rows_without_test(&text), [""; 0], "{page}");
    }
}

/// A guard that takes everything for a test would hold for ever.
#[test]
fn what_is_no_test_is_not_found() {
    let sources = sources();
    let text = "`named_tests::what_is_no_test_is_not_found` `named_tests::no_such_test` \
                `named_tests::sources` `daemon::what_is_no_test_is_not_found` `--tls` \
                `Rust::path` `config::tests::field::assignments` `config::tests::statements::assignments`";
    let names = names(text);
    assert_eq!(names.len(), 6);
    let found = names.into_iter().filter(|name| exists(name, &sources));
    let found: Vec<&str> = found.collect();
    let real = [
        "named_tests::what_is_no_test_is_not_found",
        "config::tests::statements::assignments",
    ];
    assert_eq!(found, real);
    let table = "| a | test |\n| --- | --- |\n| b | `c::d` |\n| e | nothing |\n| f | the same |\n";
    assert_eq!(rows_without_test(table), ["| e | nothing |"]);
    assert_eq!(rows_without_test("| a | b |\n| c | d |\n"), [""; 0]);
}
