//! From the variables of the files to the checked configuration: every site, its defaults, its errors.
//! Knows no syntax and touches no file.

use super::address;
use super::checks::{self, Finding};
use super::conflicts::{Culprit, conflicts};
use super::limits::{LIMITS, LOG_LEVELS, limits, log_level};
use super::names::{check_name, check_socket_length};
use super::problem::Problem;
use super::settings::SETTINGS;
use super::types::{Address, Config, Limits, LogLevel, RefusedSite, SiteConfig, Surroundings};
use super::unknown::{MAX_UNKNOWN, UnknownKeys, note_unknown};
use super::value::{At, Dict, Entry, Node, Value};
use super::variables::Variables;
use std::path::PathBuf;

/// Most sites. Ten times the largest installation this is built for; each costs a socket.
const MAX_SITES: usize = 10_000;

const SITES: &str = "sites";
const DEFAULTS: &str = "liveproxyd_default_connection_params";

/// Keys of a site that mean nothing to a proxy and are no mistake: Checkmk 1.6 and 2.0 wrote the GUI's own
/// connect time-out into its file.
const IGNORED_KEYS: [&str; 1] = ["connect_timeout"];

/// Checks everything that the files assigned.
pub(super) fn check(variables: &Variables, surroundings: &Surroundings) -> Config {
    let mut checker = Checker {
        variables,
        surroundings,
        errors: Vec::new(),
        unknown: UnknownKeys::default(),
    };
    let (limits, log_level) = checker.globals();
    let template = checker.template();
    let (sites, refused) = checker.sites(&template);
    let mut warnings = variables.warnings().to_vec();
    warnings.extend(checker.unknown_variables());
    warnings.extend(checker.unknown.into_problems(variables));
    Config {
        sites,
        refused,
        limits,
        log_level,
        warnings,
        errors: checker.errors,
    }
}

struct Checker<'v> {
    variables: &'v Variables,
    surroundings: &'v Surroundings,
    errors: Vec<Problem>,
    unknown: UnknownKeys,
}

/// A site that is good by itself, and where its values stand.
struct Candidate {
    config: SiteConfig,
    socket_at: At,
    tcp_at: At,
}

enum Outcome {
    Good(Box<Candidate>),
    Refused(RefusedSite),
    /// Not even a socket can tell of the error.
    Nameless,
}

impl Checker<'_> {
    fn error(&mut self, finding: Finding) -> Problem {
        let problem = self.variables.problem(finding.at, finding.text);
        self.errors.push(problem.clone());
        problem
    }

    fn globals(&mut self) -> (Limits, LogLevel) {
        let (mut findings, mut unknown) = (Vec::new(), Vec::new());
        let limits = limits(self.variables, &mut findings);
        let level = log_level(self.variables, &mut findings, &mut unknown);
        for finding in findings {
            self.error(finding);
        }
        self.unknown.add("", unknown);
        (limits, level)
    }

    /// A site that has what `liveproxyd_default_connection_params` says, and the built-in defaults for the rest.
    fn template(&mut self) -> SiteConfig {
        let mut template = SiteConfig::new("", Address::Unix(PathBuf::new()));
        let Some(node) = self.variables.get(DEFAULTS) else {
            return template;
        };
        match checks::dict(node, "a dictionary such as {'channels': 10}") {
            Ok(dict) => {
                self.settings(dict, DEFAULTS, &mut template);
                self.unknown_settings(dict, DEFAULTS, &[]);
            }
            Err(finding) => {
                self.error(Finding {
                    text: format!("{DEFAULTS}: {}", finding.text),
                    ..finding
                });
            }
        }
        template
    }

    /// Takes over every setting of a dictionary that is good; returns the first that is not.
    fn settings(&mut self, dict: &Dict, owner: &str, site: &mut SiteConfig) -> Option<Problem> {
        let mut first = None;
        for setting in &SETTINGS {
            let old = setting.old_name.map(|old| (old, dict.get(old)));
            let found = match (dict.get(setting.name), old) {
                (Some(node), _) => Some((setting.name, node)),
                (None, Some((old, Some(node)))) => Some((old, node)),
                (None, _) => None,
            };
            let Some((key, node)) = found else {
                continue;
            };
            let mut unknown = Vec::new();
            if let Err(finding) = setting.kind.read(node, site, &mut unknown) {
                let text = format!("{owner}, '{key}': {}", finding.text);
                let problem = self.error(Finding { text, ..finding });
                first.get_or_insert(problem);
            }
            self.unknown.add(owner, unknown);
        }
        first
    }

    fn unknown_settings(&mut self, dict: &Dict, owner: &str, further: &[&str]) {
        let mut known: Vec<&str> = further.to_vec();
        known.extend(SETTINGS.iter().map(|setting| setting.name));
        let shown = known.join(", ");
        known.extend(SETTINGS.iter().filter_map(|setting| setting.old_name));
        known.extend(IGNORED_KEYS);
        let mut unknown = Vec::new();
        note_unknown(dict, &known, "", &mut unknown);
        for key in &mut unknown {
            key.known.clone_from(&shown);
        }
        self.unknown.add(owner, unknown);
    }

    fn sites(&mut self, template: &SiteConfig) -> (Vec<SiteConfig>, Vec<RefusedSite>) {
        let variables = self.variables;
        let Some(node) = variables.get(SITES) else {
            return (Vec::new(), Vec::new());
        };
        let entries = match checks::dict(node, "a dictionary such as {'muc': {'socket': ...}}") {
            Ok(dict) => dict.entries(),
            Err(finding) => {
                let text = format!("{SITES}: {}", finding.text);
                self.error(Finding { text, ..finding });
                return (Vec::new(), Vec::new());
            }
        };
        if let Some(entry) = entries.get(MAX_SITES) {
            let text = format!("more than {MAX_SITES} sites; those from here on are left out");
            self.error(Finding::new(&entry.key, text));
        }
        let outcomes = entries
            .iter()
            .take(MAX_SITES)
            .map(|entry| self.site(entry, template))
            .collect();
        self.without_conflicts(outcomes)
    }

    /// Sorts the sites into good ones and refused ones, each in order.
    fn without_conflicts(&mut self, outcomes: Vec<Outcome>) -> (Vec<SiteConfig>, Vec<RefusedSite>) {
        let good: Vec<SiteConfig> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Good(candidate) => Some(candidate.config.clone()),
                _ => None,
            })
            .collect();
        let mut conflicts = conflicts(&good, &self.surroundings.socket_dir).into_iter();
        let (mut sites, mut refused) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Outcome::Nameless => {}
                Outcome::Refused(site) => refused.push(site),
                Outcome::Good(candidate) => match conflicts.next().flatten() {
                    None => sites.push(candidate.config),
                    Some((culprit, text)) => {
                        refused.push(self.conflicting(*candidate, culprit, &text));
                    }
                },
            }
        }
        (sites, refused)
    }

    fn conflicting(&mut self, site: Candidate, culprit: Culprit, text: &str) -> RefusedSite {
        let name = site.config.name;
        let (key, at) = match culprit {
            Culprit::Socket => ("socket", site.socket_at),
            Culprit::Tcp => ("tcp", site.tcp_at),
        };
        let text = format!("site '{name}', '{key}': {text}");
        let problem = self.error(Finding { at, text });
        RefusedSite { name, problem }
    }

    fn site(&mut self, entry: &Entry, template: &SiteConfig) -> Outcome {
        let Value::Text(name) = &entry.key.value else {
            self.error(Finding::expected(
                &entry.key,
                "the name of a site in quotes",
            ));
            return Outcome::Nameless;
        };
        let length = || check_socket_length(name, &self.surroundings.socket_dir);
        if let Err(text) = check_name(name).and_then(|()| length()) {
            let text = format!("site {}: {text}", entry.key.value.in_words());
            self.error(Finding::new(&entry.key, text));
            return Outcome::Nameless;
        }
        match self.named_site(name, &entry.value, template) {
            Ok(candidate) => Outcome::Good(Box::new(candidate)),
            Err(problem) => Outcome::Refused(RefusedSite {
                name: name.clone(),
                problem,
            }),
        }
    }

    /// The error is the first one of the site; all are noted.
    fn named_site(
        &mut self,
        name: &str,
        node: &Node,
        template: &SiteConfig,
    ) -> Result<Candidate, Problem> {
        let owner = format!("site '{name}'");
        let dict = match checks::dict(node, "a dictionary such as {'socket': ('10.1.1.2', 6557)}") {
            Ok(dict) => dict,
            Err(finding) => {
                let text = format!("{owner}: {}", finding.text);
                return Err(self.error(Finding { text, ..finding }));
            }
        };
        let mut config = template.clone();
        config.name = name.to_string();
        config.channels_from_site = dict.get("channels").is_some();
        let address = self.address(dict, node, &owner);
        let bad_setting = self.settings(dict, &owner, &mut config);
        self.unknown_settings(dict, &owner, &["socket"]);
        config.address = address?;
        match bad_setting {
            Some(problem) => Err(problem),
            None => Ok(Candidate {
                config,
                socket_at: dict.get("socket").map_or(node.at, |node| node.at),
                tcp_at: dict.get("tcp").map_or(node.at, |node| node.at),
            }),
        }
    }

    fn address(&mut self, dict: &Dict, site: &Node, owner: &str) -> Result<Address, Problem> {
        let Some(node) = dict.get("socket") else {
            let text =
                format!("{owner}: 'socket' is missing; expected 'socket': ('10.1.1.2', 6557)");
            return Err(self.error(Finding::new(site, text)));
        };
        let mut unknown = Vec::new();
        let address = address::from_node(node, &self.surroundings.local_core, &mut unknown);
        self.unknown.add(owner, unknown);
        address.map_err(|finding| {
            let text = format!("{owner}, 'socket': {}", finding.text);
            self.error(Finding { text, ..finding })
        })
    }

    fn unknown_variables(&self) -> Vec<Problem> {
        let is_known = |name: &str| {
            matches!(name, SITES | DEFAULTS | LOG_LEVELS)
                || LIMITS.iter().any(|limit| limit.name == name)
        };
        let names = LIMITS.iter().map(|limit| limit.name);
        let known: Vec<&str> = [SITES, DEFAULTS, LOG_LEVELS]
            .into_iter()
            .chain(names)
            .collect();
        let known = known.join(", ");
        self.variables
            .all()
            .iter()
            .filter(|variable| !is_known(&variable.name))
            .take(MAX_UNKNOWN)
            .map(|variable| {
                let name = &variable.name;
                let text = format!("unknown variable '{name}' is ignored; known are {known}");
                self.variables.problem(variable.at, text)
            })
            .collect()
    }
}
