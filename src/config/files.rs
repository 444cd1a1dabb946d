//! Which configuration files there are, and in which order they are read. The only part of the configuration that
//! touches the disk; it looks into no file.

use super::problem::Problem;
use super::source::Source;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Largest file, 16 MiB; Checkmk's file of 600 sites has about 100 kB.
pub const MAX_FILE_SIZE: u64 = 16 << 20;

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
    found.read_folder(&etc_check_mk.join("liveproxyd.d"), MAX_FOLDER_DEPTH);
    found
}

/// The files `*.mk` of one folder, by the bytes of their paths, without its subfolders.
pub fn find_in_folder(folder: &Path) -> Found {
    let mut found = Found::default();
    found.read_folder(folder, 0);
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

impl Found {
    fn read(&mut self, path: &Path, absence: Absence) {
        match read_file(path) {
            Ok(text) => self.sources.push(Source::new(path, text)),
            Err(error) if error.kind() == ErrorKind::NotFound && absence == Absence::IsFine => {}
            Err(error) => self.problem(path, &error),
        }
    }

    fn problem(&mut self, path: &Path, error: &io::Error) {
        let text = format!("cannot read {}: {error}", path.display());
        self.problems.push(Problem::without_place(text));
    }

    fn read_folder(&mut self, folder: &Path, depth: usize) {
        let mut walk = Walk {
            files: Vec::new(),
            visited: HashSet::new(),
            entries: 0,
        };
        walk.folder(folder, depth, self);
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
        match depth.checked_sub(1) {
            Some(depth) => self.folder(folder, depth, found),
            // No subfolders were asked for.
            None if self.visited.len() == 1 => {}
            None => {
                let text = format!(
                    "cannot read {}: folders may be nested {MAX_FOLDER_DEPTH} deep, not deeper",
                    folder.display()
                );
                found.problems.push(Problem::without_place(text));
            }
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a FIFO would wait for a writer, perhaps for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_FILE_SIZE + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_SIZE {
        let message = format!("larger than {MAX_FILE_SIZE} bytes");
        return Err(io::Error::other(message));
    }
    Ok(text)
}
