//! Decides for each site of the GUI whether it goes through the proxy. Touches nothing.

use super::existing::{Existing, Pairs};
use super::gui::{self, GuiSite};
use super::text::file_text;
use super::{Here, python};
use crate::config::{self, Address, At, Config, Problem, Source, Surroundings, Variables};
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The entries of the file, in the order of the GUI.
    pub proxied: Vec<Proxied>,
    /// The sites that get none.
    pub left: Vec<Left>,
    /// Other variables of the file, kept as they are.
    pub others: Pairs,
}

/// A site with an entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxied {
    /// Its name, which is that of its socket.
    pub name: String,
    /// Its entry, keys and values in Python's syntax.
    pub entry: Pairs,
    /// Where that comes from.
    pub origin: Origin,
}

/// Where an entry comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// The GUI connects to this address; it is to be changed there.
    Gui {
        /// For people.
        address: String,
    },
    /// The GUI has a proxy configured for the site, and connects to the socket by itself.
    GuiWithProxy {
        /// For people.
        address: String,
    },
    /// The file: the GUI connects to our socket already, and knows no other address any more.
    File,
}

/// A site without an entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

/// Why a site gets no entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// It is the core of the GUI's own OMD site.
    Local,
    /// It is switched off in the GUI.
    Disabled,
    /// The GUI connects to our socket of this name, and the file has no entry for it.
    NoEntry(String),
    /// The file had an entry, and the GUI no longer has the site.
    Gone {
        /// The address it had, in Python's syntax.
        socket: String,
    },
}

/// Makes the plan from the GUI's file and from our own, if there is one. The errors are all that were found; each
/// names its place in the GUI's file.
pub fn plan(
    sites_mk: &Source,
    existing: Option<&Existing>,
    here: &Here,
) -> Result<Plan, Vec<Problem>> {
    let (sites, variables) = gui::read(sites_mk)?;
    let mut planner = Planner {
        variables: &variables,
        existing,
        here,
        proxied: Vec::new(),
        left: Vec::new(),
        problems: Vec::new(),
    };
    for site in &sites {
        planner.site(site);
    }
    planner.note_gone(&sites);
    planner.finish()
}

struct Planner<'p> {
    variables: &'p Variables,
    existing: Option<&'p Existing>,
    here: &'p Here,
    proxied: Vec<Proxied>,
    left: Vec<Left>,
    problems: Vec<Problem>,
}

impl Planner<'_> {
    fn site(&mut self, site: &GuiSite) {
        let address = match self.address(site) {
            Ok(address) => address,
            Err(problem) => return self.problems.push(problem),
        };
        // Before anything else: the file alone knows where such a site really is.
        if let Some(name) = address.as_ref().and_then(|address| self.own(address)) {
            return self.keep(site, name);
        }
        let is_local = match &address {
            None => true,
            Some(address) => *address == Address::Unix(self.here.surroundings.local_core.clone()),
        };
        if site.is_disabled {
            return self.leave(&site.name, Reason::Disabled);
        }
        if is_local && !site.has_proxy {
            return self.leave(&site.name, Reason::Local);
        }
        let socket = site.socket.as_deref().unwrap_or(LOCAL);
        let mut entry = vec![("'socket'".to_string(), socket.to_string())];
        let settings = site.settings.iter();
        entry.extend(settings.map(|(key, value)| (format!("'{key}'"), value.clone())));
        if let Err(problem) = self.check(
            &site.name,
            &entry,
            site.settings_at,
            &self.here.surroundings,
        ) {
            return self.problems.push(problem);
        }
        let address = match address {
            Some(address) if !is_local => address.to_string(),
            _ => "the core of this OMD site".to_string(),
        };
        let origin = match site.has_proxy {
            true => Origin::GuiWithProxy { address },
            false => Origin::Gui { address },
        };
        self.add(&site.name, entry, origin);
    }

    /// The address that the GUI's file gives; `None` is the local core.
    fn address(&self, site: &GuiSite) -> Result<Option<Address>, Problem> {
        let socket = |text: &str| vec![("'socket'".to_string(), text.to_string())];
        let name_only = socket(LOCAL);
        self.check(
            &site.name,
            &name_only,
            site.name_at,
            &self.here.surroundings,
        )?;
        let Some(text) = &site.socket else {
            return Ok(None);
        };
        // Our own sockets are no error here: the site goes through the proxy already.
        let surroundings = Surroundings {
            // No path in the file can begin so.
            socket_dir: PathBuf::from("/\0"),
            ..self.here.surroundings.clone()
        };
        let config = self.check(&site.name, &socket(text), site.socket_at, &surroundings)?;
        Ok(config.sites.into_iter().next().map(|site| site.address))
    }

    /// Lets the daemon's own reader judge an entry; what it does not like is told at `at`.
    fn check(
        &self,
        name: &str,
        entry: &Pairs,
        at: At,
        surroundings: &Surroundings,
    ) -> Result<Config, Problem> {
        let pairs: Vec<String> = entry.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        let text = format!(
            "sites[{}] = {{{}}}\n",
            python::quoted(name),
            pairs.join(", ")
        );
        let config = config::read(&[Source::new("", text)], surroundings);
        let error = match &config {
            Ok(config) => config.errors.first(),
            Err(problem) => Some(problem),
        };
        match error {
            Some(problem) => Err(self.variables.problem(at, &*problem.text)),
            None => config,
        }
    }

    fn own(&self, address: &Address) -> Option<String> {
        match address {
            Address::Unix(path) => self.here.own_socket(path),
            Address::Tcp { .. } => None,
        }
    }

    fn keep(&mut self, site: &GuiSite, socket: String) {
        match self.existing.and_then(|existing| existing.site(&socket)) {
            Some(entry) => self.add(&socket, entry.clone(), Origin::File),
            None => self.leave(&site.name, Reason::NoEntry(socket)),
        }
    }

    /// Adds an entry, once for each name; what the GUI says is newer than what the file says.
    fn add(&mut self, name: &str, entry: Pairs, origin: Origin) {
        let new = Proxied {
            name: name.to_string(),
            entry,
            origin,
        };
        match self.proxied.iter_mut().find(|site| site.name == name) {
            Some(site) if new.origin != Origin::File => *site = new,
            Some(_) => {}
            None => self.proxied.push(new),
        }
    }

    fn leave(&mut self, name: &str, reason: Reason) {
        let name = name.to_string();
        self.left.push(Left { name, reason });
    }

    fn note_gone(&mut self, sites: &[GuiSite]) {
        let existing = self.existing;
        for (name, entry) in existing.iter().flat_map(|existing| &existing.sites) {
            let is_proxied = self.proxied.iter().any(|site| site.name == *name);
            if is_proxied || sites.iter().any(|site| site.name == *name) {
                continue;
            }
            let socket = entry.iter().find(|(key, _)| key == "'socket'");
            let socket = socket.map_or(String::new(), |(_, value)| value.clone());
            self.leave(name, Reason::Gone { socket });
        }
    }

    /// Checks all entries together: two sites on one port, a port that leads back to us.
    fn finish(mut self) -> Result<Plan, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let plan = Plan {
            proxied: self.proxied,
            left: self.left,
            others: self
                .existing
                .map_or(Vec::new(), |existing| existing.others.clone()),
        };
        let source = Source::new("", file_text(&plan));
        match config::read(&[source], &self.here.surroundings) {
            Ok(config) => self.problems.extend(config.errors),
            Err(problem) => self.problems.push(problem),
        }
        // Their places are those of a file that is not there.
        let without_place = |problem: Problem| Problem::without_place(problem.text);
        match self.problems.is_empty() {
            true => Ok(plan),
            false => Err(self.problems.into_iter().map(without_place).collect()),
        }
    }
}

/// The core of the GUI's own OMD site, in today's form.
const LOCAL: &str = "('local', None)";
