//! `--import-sites`: reads the two files, writes one, tells what happened. The only part with a disk and a terminal.

use super::existing::{Author, Existing};
use super::plan::{Plan, plan};
use super::text::file_text;
use super::{Here, report};
use crate::cli::Arguments;
use crate::config::{Problem, Source, files};
use crate::places::{ConfigPlace, Places};
use crate::replace::replace_for_good;
use crate::sys;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The file's name where the places name a folder.
const FILE_NAME: &str = "liveproxy.mk";

/// Imports the sites of a GUI's `sites.mk` into the configuration of the daemon that has these arguments. Nothing is
/// written after an error. The error is one line for a person.
pub fn run(arguments: &Arguments, sites_mk: &Path) -> Result<(), String> {
    let places = Places::find(arguments)?;
    let target = target(&places.config);
    // A link is followed, not replaced: somebody keeps the file elsewhere on purpose.
    let target = fs::canonicalize(&target).unwrap_or(target);
    if fs::canonicalize(sites_mk).is_ok_and(|path| path == target) {
        return Err(format!("{} is the file to be written", target.display()));
    }
    let here = Here {
        surroundings: places.surroundings(),
        other_socket_dirs: fs::canonicalize(&places.socket_dir).into_iter().collect(),
    };
    let existing = match target.exists() {
        true => Some(read(&target)?),
        false => None,
    };
    let parsed = existing.as_ref().map(Existing::read).transpose();
    let parsed = parsed.map_err(|problem| told(vec![problem]))?;
    let plan = plan(&read(sites_mk)?, parsed.as_ref(), &here).map_err(told)?;
    let outcome = save(&target, &plan, parsed.as_ref())?;
    println!("{}", outcome.words(&target, &plan));
    print!("{}", report(&plan, &here));
    match outcome {
        Outcome::Written | Outcome::Same => Ok(()),
        Outcome::Beside(new) => Err(format!(
            "{0} was written or changed by hand and is left as it is; compare it with {1}, \
             and move that over it, or delete it",
            target.display(),
            new.display()
        )),
    }
}

enum Outcome {
    Written,
    Same,
    /// The file is a person's; ours has this name.
    Beside(PathBuf),
}

impl Outcome {
    fn words(&self, target: &Path, plan: &Plan) -> String {
        let sites = plan.proxied.len();
        let plural = if sites == 1 { "" } else { "s" };
        match self {
            Outcome::Written => format!("Written: {} ({sites} site{plural})", target.display()),
            Outcome::Same => format!("Not changed: {} ({sites} site{plural})", target.display()),
            Outcome::Beside(new) => format!("Written: {} ({sites} site{plural})", new.display()),
        }
    }
}

fn target(config: &ConfigPlace) -> PathBuf {
    match config {
        ConfigPlace::Omd(folder) | ConfigPlace::Folder(folder) => folder.join(FILE_NAME),
        ConfigPlace::File(file) => file.clone(),
    }
}

fn read(path: &Path) -> Result<Source, String> {
    let mut found = files::find_listed(&[path.to_path_buf()]);
    match found.sources.pop() {
        Some(source) => Ok(source),
        None => {
            let words = found.problems.iter().map(ToString::to_string);
            Err(words.collect::<Vec<_>>().join("; "))
        }
    }
}

/// Says on standard error what is wrong.
fn told(problems: Vec<Problem>) -> String {
    for problem in problems {
        eprintln!("{problem}");
        if let Some(lines) = problem.excerpt_lines() {
            eprintln!("{lines}");
        }
    }
    "nothing was imported".to_string()
}

fn save(target: &Path, plan: &Plan, existing: Option<&Existing>) -> Result<Outcome, String> {
    let text = file_text(plan);
    let ours = Existing::read(&Source::new(target, text.as_str()));
    let ours = ours.map_err(|problem| problem.to_string())?;
    let (path, outcome) = match existing {
        Some(existing) if existing.says_the_same(&ours) => return Ok(Outcome::Same),
        Some(existing) if existing.author == Author::Person => {
            let mut new = OsString::from(target);
            new.push(".new");
            let new = PathBuf::from(new);
            (new.clone(), Outcome::Beside(new))
        }
        _ => (target.to_path_buf(), Outcome::Written),
    };
    replace_for_good(&path, &text).map_err(|error| {
        let (path, words) = (path.display(), sys::words(&error));
        format!("cannot write {path}: {words}")
    })?;
    Ok(outcome)
}
