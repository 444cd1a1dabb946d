//! Which configuration files there are, and in which order they are read. The only part of the configuration that
//! touches the disk; it looks into no file.

use super::problem::Problem;
use super::source::Source;
use crate::regular;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Largest file, 16 MiB; Checkmk's file of 600 sites has about 100 kB.
const MAX_FILE_SIZE: u64 = 16 << 20;

/// Bytes of all files together; the bound keeps a folder full of something else out of the memory.
const MAX_TOTAL_SIZE: usize = 64 << 20;

/// How deep `liveproxyd.d` may nest; Checkmk itself uses one level.
const MAX_FOLDER_DEPTH: usize = 16;

/// Most files and folders that are looked at, so that a link to a large tree cannot delay the start.
const MAX_ENTRIES: usize = 10_000;

/// The files that were found, in the order they are to be read.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Their contents.
    pub sources: Vec<Source>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// The files of an OMD site: `liveproxy.mk`, `liveproxyd.mk`, then `liveproxyd.d/**/*.mk` by the bytes of their
/// paths. Each is optional.
pub fn find(etc_check_mk: &Path) -> Found {
    let mut found = Found::default();
    for name in ["liveproxy.mk", "liveproxyd.mk"] {
        found.read(&etc_check_mk.join(name), Absence::IsFine);
    }
    found.read_folder(&etc_check_mk.join("liveproxyd.d"), Subfolders::AreRead);
    found
}

/// The files `*.mk` of one folder, by the bytes of their paths, without its subfolders.
pub fn find_in_folder(folder: &Path) -> Found {
    let mut found = Found::default();
    found.read_folder(folder, Subfolders::AreLeftOut);
    found
}

/// Files that were asked for by name, in the given order; each must exist.
pub fn find_listed(files: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for file in files {
        found.read(file, Absence::IsAProblem);
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    IsFine,
    IsAProblem,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Subfolders {
    AreRead,
    AreLeftOut,
}

impl Found {
    fn read(&mut self, path: &Path, absence: Absence) {
        match regular::read(path, MAX_FILE_SIZE) {
            Ok(text) if self.total_size() + text.len() > MAX_TOTAL_SIZE => {
                let text = format!(
                    "cannot read {}: all files together are larger than {MAX_TOTAL_SIZE} bytes",
                    path.display()
                );
                self.problems.push(Problem::without_place(text));
            }
            Ok(text) => self.sources.push(Source::new(path, text)),
            Err(error) if error.kind() == ErrorKind::NotFound && absence == Absence::IsFine => {}
            Err(error) => self.problem(path, &error),
        }
    }

    fn total_size(&self) -> usize {
        self.sources.iter().map(|source| source.text.len()).sum()
    }

    fn problem(&mut self, path: &Path, error: &io::Error) {
        let text = format!(
            "cannot read {}: {}",
            path.display(),
            crate::sys::words(error)
        );
        self.problems.push(Problem::without_place(text));
    }

    fn read_folder(&mut self, folder: &Path, subfolders: Subfolders) {
        let mut walk = Walk {
            files: Vec::new(),
            visited: HashSet::new(),
            entries: 0,
            subfolders,
        };
        walk.folder(folder, 0, self);
        let mut files = walk.files;
        files.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        for file in files {
            self.read(&file, Absence::IsFine);
        }
    }
}

/// A walk through a folder and those below it.
struct Walk {
    files: Vec<PathBuf>,
    /// Folders by their real paths: a link may lead back to one.
    visited: HashSet<PathBuf>,
    entries: usize,
    subfolders: Subfolders,
}

impl Walk {
    fn folder(&mut self, folder: &Path, depth: usize, found: &mut Found) {
        let entries = fs::canonicalize(folder).and_then(|real| match self.visited.insert(real) {
            true => fs::read_dir(folder).map(Some),
            false => Ok(None),
        });
        let entries = match entries {
            Ok(Some(entries)) => entries,
            Ok(None) => return,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return found.problem(folder, &error),
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(entry.path(), depth, found),
                Err(error) => found.problem(folder, &error),
            }
        }
    }

    fn entry(&mut self, path: PathBuf, depth: usize, found: &mut Found) {
        // Hidden names are left-overs of editors and version control.
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_bytes().starts_with(b"."));
        if is_hidden {
            return;
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            if self.entries == MAX_ENTRIES + 1 {
                let text = format!(
                    "more than {MAX_ENTRIES} files; {} is left out",
                    path.display()
                );
                found.problems.push(Problem::without_place(text));
            }
            return;
        }
        if path.is_dir() {
            self.subfolder(&path, depth, found);
        } else if path.extension() == Some(OsStr::new("mk")) {
            self.files.push(path);
        }
    }

    fn subfolder(&mut self, folder: &Path, depth: usize, found: &mut Found) {
        match self.subfolders {
            Subfolders::AreLeftOut => {}
            Subfolders::AreRead if depth < MAX_FOLDER_DEPTH => {
                self.folder(folder, depth + 1, found);
            }
            Subfolders::AreRead => {
                let text = format!(
                    "cannot read {}: folders may be nested {MAX_FOLDER_DEPTH} deep, not deeper",
                    folder.display()
                );
                found.problems.push(Problem::without_place(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("# {file}\n")).unwrap();
        }
        folder
    }

    /// The files that were read, each proved by its content.
    fn names(found: &Found) -> Vec<String> {
        let text = |source: &Source| String::from_utf8(source.text.clone()).unwrap();
        found
            .sources
            .iter()
            .map(|source| text(source).trim_start_matches("# ").trim_end().to_string())
            .collect()
    }

    #[test]
    fn the_files_of_a_site_come_in_their_order() {
        let folder = folder(&[
            "liveproxyd.mk",
            "liveproxyd.d/b.mk",
            "liveproxyd.d/wato/global.mk",
            "liveproxyd.d/wato.mk",
            "liveproxyd.d/a.mk",
            "liveproxyd.d/Z.mk",
            "liveproxyd.d/.hidden.mk",
            "liveproxyd.d/.git/x.mk",
            "liveproxyd.d/a.mk~",
            "liveproxyd.d/README",
            "liveproxy.mk",
            "multisite.mk",
        ]);
        let found = find(folder.path());
        assert_eq!(found.problems, []);
        assert_eq!(
            names(&found),
            [
                "liveproxy.mk",
                "liveproxyd.mk",
                "liveproxyd.d/Z.mk",
                "liveproxyd.d/a.mk",
                "liveproxyd.d/b.mk",
                "liveproxyd.d/wato.mk",
                "liveproxyd.d/wato/global.mk",
            ]
        );
    }

    #[test]
    fn every_file_is_optional() {
        let empty = folder(&[]);
        let found = find(empty.path());
        assert_eq!((found.sources.len(), found.problems.len()), (0, 0));
        let missing = find(&empty.path().join("nowhere"));
        assert_eq!((missing.sources.len(), missing.problems.len()), (0, 0));
    }

    #[test]
    fn a_listed_file_must_exist() {
        let folder = folder(&["b.mk", "a.mk"]);
        let list = ["b.mk", "none.mk", "a.mk"].map(|name| folder.path().join(name));
        let found = find_listed(&list);
        assert_eq!(names(&found), ["b.mk", "a.mk"]);
        assert_eq!(found.problems.len(), 1);
        let text = found.problems[0].to_string();
        assert!(text.contains("none.mk: No such file"), "{text}");
    }

    #[test]
    fn one_folder_alone_is_read_without_its_subfolders() {
        let folder = folder(&["b.mk", "a.mk", "sub/c.mk", "d.txt"]);
        let found = find_in_folder(folder.path());
        assert_eq!(names(&found), ["a.mk", "b.mk"]);
        assert_eq!(found.problems, []);
    }

    #[test]
    fn links_that_lead_in_a_circle_end() {
        let folder = folder(&["liveproxyd.d/a/x.mk"]);
        let below = folder.path().join("liveproxyd.d");
        symlink(&below, below.join("a/back")).unwrap();
        symlink(below.join("a"), below.join("b")).unwrap();
        symlink(below.join("nowhere"), below.join("dangling.mk")).unwrap();
        let found = find(folder.path());
        assert_eq!(names(&found), ["liveproxyd.d/a/x.mk"]);
        assert_eq!(found.problems, []);
    }

    #[test]
    fn a_link_to_a_file_is_read() {
        let folder = folder(&["real", "liveproxyd.d/a.mk"]);
        let link = folder.path().join("liveproxyd.d/link.mk");
        symlink(folder.path().join("real"), link).unwrap();
        assert_eq!(names(&find(folder.path())), ["liveproxyd.d/a.mk", "real"]);
    }

    #[test]
    fn folders_nested_too_deep_are_a_problem() {
        let deep = |depth| format!("liveproxyd.d/{}x.mk", "d/".repeat(depth));
        let within = folder(&[&deep(MAX_FOLDER_DEPTH)]);
        let found = find(within.path());
        assert_eq!((found.sources.len(), found.problems.len()), (1, 0));
        let beyond = folder(&[&deep(MAX_FOLDER_DEPTH + 1)]);
        let found = find(beyond.path());
        assert_eq!((found.sources.len(), found.problems.len()), (0, 1));
    }

    #[test]
    fn a_folder_that_is_none_is_a_problem() {
        let folder = folder(&["liveproxyd.d"]);
        let found = find(folder.path());
        assert_eq!(found.sources.len(), 0);
        let texts: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(
            texts[0].contains("liveproxyd.d: Not a directory"),
            "{texts:?}"
        );
    }

    #[test]
    fn of_more_files_than_there_may_be_the_rest_is_left_out_and_told_once() {
        for (files, problems) in [(MAX_ENTRIES, 0), (MAX_ENTRIES + 3, 1)] {
            let folder = tempfile::tempdir().unwrap();
            for number in 0..files {
                fs::File::create(folder.path().join(format!("{number}.mk"))).unwrap();
            }
            let found = find_in_folder(folder.path());
            assert_eq!(found.sources.len(), MAX_ENTRIES);
            assert_eq!(found.problems.len(), problems, "{:?}", found.problems);
        }
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let folder = folder(&["liveproxyd.d/a.mk"]);
        let socket = folder.path().join("liveproxyd.mk");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        fs::create_dir(folder.path().join("liveproxy.mk")).unwrap();
        let found = find(folder.path());
        assert_eq!(names(&found), ["liveproxyd.d/a.mk"]);
        let texts: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(
            texts
                .iter()
                .all(|text| text.ends_with("not a regular file")),
            "{texts:?}"
        );
    }

    #[test]
    fn files_larger_than_the_bounds_are_a_problem() {
        let folder = folder(&[]);
        let path = folder.path().join("big.mk");
        let file = fs::File::create(&path).unwrap();
        file.set_len(MAX_FILE_SIZE).unwrap();
        assert_eq!(find_listed(std::slice::from_ref(&path)).problems, []);
        let many = vec![path.clone(); 5];
        let found = find_listed(&many);
        assert_eq!((found.sources.len(), found.problems.len()), (4, 1));
        file.set_len(MAX_FILE_SIZE + 1).unwrap();
        let found = find_listed(&[path]);
        assert_eq!(found.sources.len(), 0);
        assert!(
            found.problems[0].text.contains("larger than"),
            "{:?}",
            found.problems
        );
    }
}
