//! liveproxyd as it is measured, and HAProxy beside it.

use crate::Failure;
use crate::process::{self, Place, Running, Site};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;

/// What liveproxyd is to do.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Sites, each with a port of the same process.
    pub sites: u16,
    /// Channels to each.
    pub channels: usize,
    /// Whether channels go over TLS.
    pub tls: bool,
}

/// liveproxyd, running.
#[derive(Debug)]
pub struct Daemon {
    root: TempDir,
    process: Running,
    sites: u16,
}

/// The daemon's program.
pub fn program() -> String {
    std::env::var("LIVEPROXYD").unwrap_or_else(|_| "target/release/liveproxyd".into())
}

impl Daemon {
    /// Starts it for these sites, and waits until all of them have all their
    /// channels; `wrapper` is a program that is to run it.
    pub fn start(wrapper: &[&str], setup: &Setup, site: &Site) -> Result<Daemon, Failure> {
        let root = tempfile::Builder::new().prefix("lp").tempdir()?;
        for folder in ["etc/check_mk", "tmp/run", "var/log"] {
            fs::create_dir_all(root.path().join(folder))?;
        }
        let tls = match setup.tls {
            true => "('encrypted', {'verify': False})",
            false => "('plain_text', {})",
        };
        let mut text = String::new();
        for number in 0..setup.sites {
            text += &format!(
                "sites.update({{'s{number}': {{'socket': ('tcp', {{'address': ('127.0.0.1', {}), \
                 'tls': {tls}}}), 'channels': {}}}}})\n",
                site.port + number,
                setup.channels
            );
        }
        fs::write(root.path().join("etc/check_mk/liveproxyd.mk"), text)?;
        let (program, folder) = (program(), root.path().to_string_lossy().into_owned());
        let mut words = wrapper.to_vec();
        words.extend([&*program, "--foreground", "--root", &*folder]);
        let log = File::create(root.path().join("log"))?;
        let child = process::command(Place::Alone, &words)
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", words[0]))?;
        let mut process = Running::new(child);
        process::await_that("channels", || {
            process.check()?;
            Ok(site.census()? >= usize::from(setup.sites) * setup.channels)
        })?;
        Ok(Daemon {
            root,
            process,
            sites: setup.sites,
        })
    }

    /// Asks the control socket.
    pub fn control(&self, query: &str) -> Result<String, Failure> {
        let path = self.file("tmp/run/liveproxyd.ctl");
        let mut socket = UnixStream::connect(path)?;
        socket.write_all(query.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The sites' sockets.
    pub fn targets(&self) -> Vec<String> {
        let path = |number| self.file(&format!("tmp/run/liveproxy/s{number}"));
        let paths = (0..self.sites).map(path);
        paths
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    }

    /// A file below its root.
    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Ends it in good order.
    pub fn end(self) -> Result<(), Failure> {
        self.process.end()
    }
}

/// HAProxy in TCP mode: a connection to the site for each of a client's.
#[derive(Debug)]
pub struct HaProxy {
    folder: TempDir,
    process: Running,
}

impl HaProxy {
    /// Starts it for the first port of a site, for so many connections to it at a time.
    pub fn start(site: &Site, most: usize, tls: bool) -> Result<HaProxy, Failure> {
        let folder = tempfile::Builder::new().prefix("lp").tempdir()?;
        let path = folder.path().to_string_lossy().into_owned();
        let tls = if tls { " ssl verify none" } else { "" };
        let text = format!(
            "global\n maxconn 5000\n nbthread 1\n\
             defaults\n mode tcp\n timeout connect 10s\n timeout client 120s\n timeout server 120s\n \
             timeout queue 60s\n\
             listen site\n bind {path}/s0\n server site 127.0.0.1:{}{tls} maxconn {most}\n",
            site.port
        );
        fs::write(folder.path().join("cfg"), text)?;
        let words = ["haproxy", "-db", "-q", "-f", &format!("{path}/cfg")];
        let child = process::command(Place::Alone, &words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let process = Running::new(child);
        let socket = folder.path().join("s0");
        process::await_that("HAProxy", || Ok(UnixStream::connect(&socket).is_ok()))?;
        Ok(HaProxy { folder, process })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its socket.
    pub fn targets(&self) -> Vec<String> {
        let path = self.folder.path().join("s0");
        vec![path.to_string_lossy().into_owned()]
    }
}
