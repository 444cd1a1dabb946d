//! The import of the GUI's sites.

use liveproxyd::config::{Source, read};
use liveproxyd::import::{Author, Existing, Here, Plan, file_text, plan, report};

use super::{BETWEEN_FILES, surroundings};

pub const WORDS: &[&str] = &[
    "sites.update({",
    "})\n",
    "'muc': {",
    "}, ",
    "'alias': 'X', ",
    "'socket': ",
    "('tcp', {'address': ('10.1.1.2', 6557), 'tls': ('encrypted', {'verify': True})})",
    "('unix', {'path': '/omd/sites/x/tmp/run/liveproxy/muc'})",
    "('unix', {'path': '/opt/omd/sites/x/tmp/run/liveproxy/../liveproxy/ber'})",
    "('local', None)",
    "None",
    "'unix:/run/x'",
    "'tcp:host:6557'",
    "'disabled': True, ",
    "'proxy': None, ",
    "'proxy': {'params': {'channels': 6, 'heartbeat': (5, 2.0)}, 'tcp': {'port': 6560}}, ",
    "'proxy': {'params': None}, ",
    "'timeout': 2, ",
    "max_query = 1024\n",
    "liveproxyd_default_connection_params = {'channels': 3}\n",
    "# Written by liveproxyd --import-sites, checksum ",
    "\x1c",
];

/// The GUI's file, and perhaps the one that is there already.
pub fn run(input: &[u8]) {
    let mut files = input.splitn(2, |byte| *byte == BETWEEN_FILES);
    let sites = Source::new("sites.mk", files.next().unwrap_or_default());
    let existing = match files.next() {
        None => None,
        Some(text) => match Existing::read(&Source::new("liveproxy.mk", text)) {
            Ok(existing) => Some(existing),
            Err(problem) => return assert!(!problem.to_string().contains('\n')),
        },
    };
    let here = Here {
        surroundings: surroundings(),
        other_socket_dirs: vec!["/opt/omd/sites/x/tmp/run/liveproxy".into()],
    };
    let planned = match plan(&sites, existing.as_ref(), &here) {
        Ok(planned) => planned,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            return assert!(problems.iter().all(|p| !p.to_string().contains('\n')));
        }
    };
    let text = file_text(&planned);
    check_file(&planned, &text, &here);
    let lines = report(&planned, &here);
    let told = planned.proxied.len() + planned.left.len();
    assert!(lines.lines().count() >= told, "{lines}");

    let written = Existing::read(&Source::new("liveproxy.mk", text.as_str())).unwrap();
    let again = plan(&sites, Some(&written), &here);
    let again = again.unwrap_or_else(|problems| panic!("not a second time: {problems:?}"));
    assert_eq!(entries(&again), entries(&planned), "{text}");
    assert_eq!(again.others, planned.others);
}

/// The entries by name. Their order may change, for it is that of the GUI.
fn entries(plan: &Plan) -> Vec<(&str, &[(String, String)])> {
    let sites = plan.proxied.iter();
    let mut entries: Vec<_> = sites
        .map(|site| (site.name.as_str(), site.entry.as_slice()))
        .collect();
    entries.sort();
    entries
}

/// What is written is what was planned, to us and to the daemon.
fn check_file(planned: &Plan, text: &str, here: &Here) {
    let written = Existing::read(&Source::new("liveproxy.mk", text)).unwrap();
    assert_eq!(written.author, Author::Import);
    assert_eq!(written.others, planned.others, "{text}");
    let sites = written.sites.iter();
    let mut found: Vec<_> = sites
        .map(|(name, pairs)| (name.as_str(), pairs.as_slice()))
        .collect();
    found.sort();
    assert_eq!(found, entries(planned), "{text}");
    let config = read(&[Source::new("liveproxy.mk", text)], &here.surroundings).unwrap();
    assert!(config.errors.is_empty(), "{:?}\n{text}", config.errors);
    assert_eq!(config.sites.len(), planned.proxied.len(), "{text}");
}
