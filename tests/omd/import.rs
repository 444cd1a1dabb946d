//! `--import-sites` as an administrator runs it: files, exit codes, and what the daemon makes of the result.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::daemon::{Builder, Run};
use crate::support::{Daemon, Root};

const SITES: &str = "etc/check_mk/multisite.d/sites.mk";
const OURS: &str = "etc/check_mk/liveproxy.mk";

/// Written by a GUI: one site to be proxied, one that cannot be.
const GUI: &str = "# Written by Checkmk\n# encoding: utf-8\n\nsites.update({'muc': {'alias': 'München', 'socket': \
    ('tcp', {'address': ('10.1.1.2', 6557), 'tls': ('plain_text', {})}), 'proxy': None, 'timeout': 2},\n \
    'central': {'socket': ('local', None), 'proxy': None}})\n";

/// A run of the import on a root that is filled with these files; the root of an earlier run, if there is one.
fn import(earlier: Option<&Run>, files: &[(&str, &str)]) -> Run {
    let builder = Daemon::builder();
    if let Some(run) = earlier {
        // A new root for each run, with what the earlier one left.
        copy(&run.root, builder.root());
    }
    let builder = files
        .iter()
        .fold(builder, |builder, (name, text)| builder.file(name, text));
    run_import(builder)
}

/// Imports what lies on this root.
fn run_import(builder: Builder) -> Run {
    let sites = builder.root().file(SITES);
    let builder = builder.arg("--import-sites").arg(sites.to_str().unwrap());
    builder.run()
}

fn copy(from: &Root, to: &Root) {
    for name in [SITES, OURS, "etc/check_mk/liveproxy.mk.new"] {
        if let Ok(text) = fs::read_to_string(from.file(name)) {
            to.write(name, &text);
        }
    }
}

fn ours(run: &Run) -> String {
    fs::read_to_string(run.root.file(OURS)).unwrap()
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_plain_setup_becomes_a_proxied_one() {
    let first = import(None, &[(SITES, GUI)]);
    assert_eq!((first.code(), first.stderr.as_str()), (0, ""), "{first:?}");
    let socket = first.root.socket("muc");
    for words in [
        format!("Written: {} (1 site)", first.root.file(OURS).display()),
        format!("muc      tcp:10.1.1.2:6557 -> {}\n", socket.display()),
        "central  the core of this OMD site".to_string(),
    ] {
        assert!(first.stdout.contains(&words), "no {words:?} in {first:?}");
    }
    assert_eq!(
        files_in(&first.root.file("etc/check_mk")),
        ["liveproxy.mk", "multisite.d"]
    );

    let check = Daemon::builder().file(OURS, &ours(&first)).arg("-t").run();
    assert_eq!((check.code(), check.stderr.as_str()), (0, ""), "{check:?}");
    assert!(
        check.stdout.contains("sites['muc']") && check.stdout.contains("10.1.1.2"),
        "{check:?}"
    );

    let again = import(Some(&first), &[]);
    assert_eq!(again.code(), 0, "{again:?}");
    assert!(again.stdout.contains("Not changed: "), "{again:?}");
    assert_eq!(ours(&again), ours(&first));
}

#[test]
fn after_the_change_in_the_gui_the_file_stays_as_it_is() {
    let first = import(None, &[(SITES, GUI)]);
    let builder = Daemon::builder();
    copy(&first.root, builder.root());
    let socket = builder.root().socket("muc");
    let changed = GUI.replace(
        "('tcp', {'address': ('10.1.1.2', 6557), 'tls': ('plain_text', {})})",
        &format!("('unix', {{'path': '{}'}})", socket.display()),
    );
    assert_ne!(changed, GUI);
    let run = run_import(builder.file(SITES, &changed));
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(
        run.stdout.contains("connected to this socket already"),
        "{run:?}"
    );
    assert_eq!(ours(&run), ours(&first));
}

#[test]
fn a_file_written_by_hand_is_left_alone() {
    let by_hand =
        "# mine\nmax_query = 1000000\nsites.update({'muc': {'socket': ('10.1.1.2', 6557)}})\n";
    let run = import(None, &[(SITES, GUI), (OURS, by_hand)]);
    assert_eq!(run.code(), 1, "{run:?}");
    assert!(run.stderr.contains("is left as it is"), "{run:?}");
    assert_eq!(ours(&run), by_hand);
    let new = fs::read_to_string(run.root.file("etc/check_mk/liveproxy.mk.new")).unwrap();
    assert!(
        new.contains("\nmax_query = 1000000\n") && new.contains("'muc': {"),
        "{new}"
    );

    // As the message says: moved into place, it is ours from then on.
    let moved = import(None, &[(SITES, GUI), (OURS, &new)]);
    assert_eq!(moved.code(), 0, "{moved:?}");
    assert!(moved.stdout.contains("Not changed: "), "{moved:?}");
}

#[test]
fn a_file_written_by_hand_that_says_the_same_is_fine() {
    let by_hand = "# mine\nsites = {'muc': {\n 'socket': ('tcp', {'address': ('10.1.1.2', 6557), \
        'tls': ('plain_text', {})})}}\n";
    let run = import(None, &[(SITES, GUI), (OURS, by_hand)]);
    assert_eq!((run.code(), run.stderr.as_str()), (0, ""), "{run:?}");
    assert_eq!(ours(&run), by_hand);
    assert_eq!(
        files_in(&run.root.file("etc/check_mk")),
        ["liveproxy.mk", "multisite.d"]
    );
}

#[test]
fn an_error_names_its_place_and_nothing_is_written() {
    let place = |run: &Run, name: &str, place: &str| {
        assert_eq!((run.code(), run.stdout.as_str()), (1, ""), "{run:?}");
        let at = format!("{}{place}", run.root.file(name).display());
        assert!(run.stderr.contains(&at), "no {at} in {run:?}");
    };
    let wrong = import(None, &[(SITES, &GUI.replace("6557", "65570"))]);
    place(&wrong, SITES, ":4:53: site 'muc', 'socket': ");
    assert!(!wrong.root.file(OURS).exists());
    let syntax = import(None, &[(SITES, "sites = {}\nimport os\n")]);
    place(&syntax, SITES, ":2:1: ");
    let old = "sites.update({\n";
    let existing = import(None, &[(SITES, GUI), (OURS, old)]);
    place(&existing, OURS, ":1:");
    assert_eq!(ours(&existing), old);
    let missing = import(None, &[]);
    place(&missing, SITES, ": No such file");
}

#[test]
fn the_places_are_those_of_the_daemon() {
    let builder = Daemon::builder().file(SITES, GUI);
    let other = builder.root().file("other.mk");
    let elsewhere = builder
        .arg("--config")
        .arg(other.to_str().unwrap())
        .arg("--socket-dir")
        .arg("/run/x");
    let run = run_import(elsewhere);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(run.stdout.contains(" -> /run/x/muc\n"), "{run:?}");
    assert!(fs::read_to_string(other).unwrap().contains("'muc'"));
    assert!(!run.root.file(OURS).exists());

    let builder = Daemon::builder().file(SITES, GUI);
    let sites = builder.root().file(SITES);
    let run = run_import(builder.arg("-c").arg(sites.to_str().unwrap()));
    assert_eq!(run.code(), 1, "{run:?}");
    assert!(run.stderr.contains("is the file to be written"), "{run:?}");
    assert_eq!(fs::read_to_string(sites).unwrap(), GUI);
}

#[test]
fn a_link_is_kept_and_rights_are_too() {
    let first = import(None, &[(SITES, &GUI.replace("10.1.1.2", "10.9.9.9"))]);
    let builder = Daemon::builder()
        .file(SITES, GUI)
        .file("kept/real.mk", &ours(&first));
    let real: PathBuf = builder.root().file("kept/real.mk");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../../kept/real.mk", builder.root().file(OURS)).unwrap();
    let run = run_import(builder);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(
        fs::symlink_metadata(run.root.file(OURS))
            .unwrap()
            .is_symlink()
    );
    assert!(fs::read_to_string(&real).unwrap().contains("10.1.1.2"));
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(files_in(&run.root.file("kept")), ["real.mk"]);
}
