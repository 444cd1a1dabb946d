//! From command line and files to a loop that is ready to run.

use crate::cli::Arguments;
use crate::config::{self, Address, Config, Problem, RefusedSite, SiteConfig, files};
use crate::listen::Sockets;
use crate::places::{ConfigPlace, Places};
use crate::reactor::{Reactor, Signals};
use crate::sys;
use crate::tls;

/// Reads what is to be served. The error: nothing can be, and why.
pub fn read_config(arguments: &Arguments, places: &Places) -> Result<Config, Vec<Problem>> {
    let surroundings = places.surroundings();
    let mut config = if arguments.sites.is_empty() {
        let found = match &places.config {
            ConfigPlace::Omd(folder) => files::find(folder),
            ConfigPlace::Folder(folder) => files::find_in_folder(folder),
            ConfigPlace::File(file) => files::find_listed(std::slice::from_ref(file)),
        };
        if !found.problems.is_empty() {
            return Err(found.problems);
        }
        config::read(&found.sources, &surroundings).map_err(|problem| vec![problem])?
    } else {
        config::from_site_options(&arguments.sites, &surroundings)
            .map_err(|text| vec![Problem::without_place(text)])?
    };
    see_to_tls(&mut config, places);
    see_to_ports(&mut config, places);
    Ok(config)
}

/// Names the file of trusted certificates to those sites that name none. Where
/// this build has no TLS, a site that wants it must not be reached without.
fn see_to_tls(config: &mut Config, places: &Places) {
    for site in &mut config.sites {
        if let Address::Tcp { tls: Some(tls), .. } = &mut site.address
            && tls.verify
        {
            tls.ca_file.get_or_insert_with(|| places.ca_file.clone());
        }
    }
    if tls::IS_BUILT_IN {
        return;
    }
    let wants_tls = |site: &SiteConfig| match (&site.address, &site.tcp) {
        (Address::Tcp { tls: Some(_), .. }, _) => Some("'tls'"),
        (_, Some(port)) if port.tls => Some("'tcp'"),
        _ => None,
    };
    for site in config
        .sites
        .extract_if(.., |site| wants_tls(site).is_some())
    {
        let (accepted, key) = match wants_tls(&site) {
            Some(key @ "'tcp'") => ("'tls': False", key),
            _ => ("('plain_text', {})", "'tls'"),
        };
        let text = format!(
            "site '{}': {key}: this daemon was built without TLS (cargo feature 'tls'); \
             accepted: {accepted}",
            site.name
        );
        let problem = Problem::without_place(text);
        config.errors.push(problem.clone());
        config.refused.push(RefusedSite {
            name: site.name,
            problem,
        });
    }
}

/// Says which ports anybody can use, and which nobody can.
fn see_to_ports(config: &mut Config, places: &Places) {
    let ports = config.sites.iter().filter_map(|site| {
        let tcp = site.tcp.as_ref()?;
        Some((&site.name, tcp))
    });
    let (mut warnings, mut want_certificate) = (Vec::new(), Vec::new());
    for (name, tcp) in ports {
        if tcp.tls {
            want_certificate.push(format!("'{name}'"));
        } else if tcp.only_from.is_none() {
            warnings.push(format!(
                "site '{name}', 'tcp': everybody can use port {}, and can read along; \
                 'only_from' says who may, 'tls' encrypts",
                tcp.port
            ));
        }
    }
    if !want_certificate.is_empty()
        && let Err(why) = places.identity.check()
    {
        warnings.push(format!(
            "'tcp' with 'tls' of {}: {why}; whoever connects there is turned away until this is mended",
            shortened(&want_certificate)
        ));
    }
    let problems = warnings.into_iter().map(Problem::without_place);
    config.warnings.extend(problems);
}

/// Names for one line.
fn shortened(names: &[String]) -> String {
    /// Nobody reads more of them.
    const MOST: usize = 5;
    let shown = names.iter().take(MOST).cloned().collect::<Vec<_>>();
    match names.len().saturating_sub(MOST) {
        0 => format!("site {}", shown.join(", ")),
        more => format!("site {} and {more} more", shown.join(", ")),
    }
}

/// Makes the folders of the sockets and of the state file. The error is one line for a person.
pub fn make_places(places: &Places) -> Result<(), String> {
    places.make_socket_dir().map_err(|error| {
        let (path, words) = (places.socket_dir.display(), sys::words(&error));
        format!("cannot make {path}: {words}")
    })?;
    // It may be made later, by somebody else; that it is not there is said then.
    if let Some(folder) = places.state_file.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    Ok(())
}

/// Makes the loop with all its sites. Their sockets are made, but not to be
/// found yet; those of `predecessor` may be replaced although it listens on
/// them. The error is one line for a person.
pub fn build(
    mut config: Config,
    places: &Places,
    predecessor: Option<i32>,
    signals: Signals,
) -> Result<Reactor, String> {
    fit_descriptors(&mut config);
    let sockets = Sockets {
        folder: places.socket_dir.clone(),
        access: places.access,
        predecessor,
    };
    sockets.sweep();
    let mut reactor = Reactor::new(sockets.clone(), signals)
        .map_err(|error| format!("cannot make the event loop: {}", sys::words(&error)))?;
    reactor.identify_by(places.identity.clone());
    reactor.hide();
    // First: who finds out on it that there is another daemon has done nothing yet.
    reactor.add_console(sockets.prepare_at(&places.control_socket)?);
    reactor.configure(config)?;
    Ok(reactor)
}

/// Descriptors beside those of channels, listeners and clients: standard
/// streams, log, lock, loop, signals, and some to spare.
const OTHER_DESCRIPTORS: usize = 16;

/// Sees to it that clients leave the sites their channels, and says at the
/// start what would otherwise be found out under load.
pub fn fit_descriptors(config: &mut Config) {
    let own = |site: &SiteConfig| site.channels + 2 + usize::from(site.tcp.is_some());
    let channels: usize = config.sites.iter().map(own).sum();
    let needed = channels + config.refused.len() + OTHER_DESCRIPTORS;
    let limit = match sys::raise_file_limit() {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            log::warn!(
                "cannot raise the limit of open files: {}",
                sys::words(&error)
            );
            return;
        }
    };
    let wanted: usize = config.sites.iter().map(|site| site.max_clients).sum();
    let wanted = wanted.min(config.limits.max_clients_total);
    // A fifth is for those who are told that there are too many.
    let left = (limit.saturating_sub(needed) / 5 * 4).max(1);
    if left < wanted {
        log::warn!(
            "the limit of open files is {limit} (ulimit -n); {needed} are needed for the sites, \
             so at most {left} clients are served at a time, not {wanted}"
        );
        config.limits.max_clients_total = left;
        config.limits.open_files = Some(limit);
    }
}
