//! Where everything is: relative to the root of an OMD site, or where the
//! packages put it, or where the command line says.

use crate::cli::Arguments;
use crate::config::Surroundings;
use crate::listen::Access;
use crate::sys;
use crate::tls::IdentityFiles;
use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf, absolute};

/// Who may connect, unless the command line says otherwise: the daemon's user and group.
const SOCKET_MODE: u32 = 0o660;

/// Which files are the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigPlace {
    /// `etc/check_mk` of an OMD site.
    Omd(PathBuf),
    /// All files `*.mk` of a folder.
    Folder(PathBuf),
    /// This file alone.
    File(PathBuf),
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigPlace::Omd(folder) => write!(
                f,
                "{0}/liveproxy.mk, {0}/liveproxyd.mk or {0}/liveproxyd.d",
                folder.display()
            ),
            ConfigPlace::Folder(folder) => write!(f, "{}/*.mk", folder.display()),
            ConfigPlace::File(file) => write!(f, "{}", file.display()),
        }
    }
}

/// Where everything is. All paths are absolute: a daemon leaves the folder it was started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The configuration.
    pub config: ConfigPlace,
    /// The folder of the sites' sockets.
    pub socket_dir: PathBuf,
    /// Who may connect to them.
    pub access: Access,
    /// The log of a daemon in the background.
    pub log_file: PathBuf,
    /// The file that says how everything is.
    pub state_file: PathBuf,
    /// The file with the number of the process.
    pub pid_file: PathBuf,
    /// The socket on which the daemon itself is asked.
    pub control_socket: PathBuf,
    /// The Livestatus socket of this OMD site's own core.
    pub local_core: PathBuf,
    /// The certificates that sites are trusted by.
    pub ca_file: PathBuf,
    /// What sites' TCP ports show.
    pub identity: IdentityFiles,
}

impl Places {
    /// The places that the command line and `$OMD_ROOT` name. The error is one line for a person.
    pub fn find(arguments: &Arguments) -> Result<Places, String> {
        let environment = env::var_os("OMD_ROOT").filter(|root| !root.is_empty());
        let root = arguments.root.clone().or(environment.map(PathBuf::from));
        let usual = match root {
            Some(root) => Places::of_omd_site(&whole(&root)?),
            None => Places::of_package(),
        };
        let or =
            |given: &Option<PathBuf>, usual: PathBuf| given.as_deref().map_or(Ok(usual), whole);
        // What stands beside a file that is elsewhere is there too.
        let beside = |other: &Option<PathBuf>, usual: PathBuf| match (other, usual.file_name()) {
            (Some(other), Some(name)) => other.with_file_name(name),
            (None, _) | (_, None) => usual,
        };
        let control_socket = beside(&arguments.pid_file, usual.control_socket);
        let state_file = beside(&arguments.log_file, usual.state_file);
        let config = match (&arguments.config_file, &arguments.config_dir) {
            (Some(file), _) => ConfigPlace::File(whole(file)?),
            (None, Some(folder)) => ConfigPlace::Folder(whole(folder)?),
            (None, None) => usual.config,
        };
        let group = match &arguments.socket_group {
            None => None,
            Some(name) => {
                Some(sys::group_id(name).ok_or_else(|| format!("There is no group '{name}'"))?)
            }
        };
        let given = |file: &Option<PathBuf>| file.as_deref().map(whole).transpose();
        let certificate = given(&arguments.tls_certificate)?;
        let key = given(&arguments.tls_key)?.or_else(|| certificate.clone());
        Ok(Places {
            config,
            socket_dir: or(&arguments.socket_dir, usual.socket_dir)?,
            access: Access {
                mode: arguments.socket_mode.unwrap_or(SOCKET_MODE),
                group,
            },
            log_file: or(&arguments.log_file, usual.log_file)?,
            state_file: or(&arguments.state_file, whole(&state_file)?)?,
            pid_file: or(&arguments.pid_file, usual.pid_file)?,
            control_socket: or(&arguments.control_socket, whole(&control_socket)?)?,
            local_core: usual.local_core,
            ca_file: or(&arguments.ca_file, usual.ca_file)?,
            identity: IdentityFiles {
                certificate: certificate.unwrap_or(usual.identity.certificate),
                key: key.unwrap_or(usual.identity.key),
            },
        })
    }

    /// The places of an OMD site, as Checkmk's GUI expects them.
    pub fn of_omd_site(root: &Path) -> Places {
        // The folder of a site is called as the site.
        let mut pem = root.file_name().unwrap_or_default().to_os_string();
        pem.push(".pem");
        Places {
            config: ConfigPlace::Omd(root.join("etc/check_mk")),
            socket_dir: root.join("tmp/run/liveproxy"),
            access: Access {
                mode: SOCKET_MODE,
                group: None,
            },
            log_file: root.join("var/log/livepd.log"),
            state_file: root.join("var/log/liveproxyd.state"),
            pid_file: root.join("tmp/run/liveproxyd.pid"),
            control_socket: root.join("tmp/run/liveproxyd.ctl"),
            local_core: root.join("tmp/run/live"),
            ca_file: root.join("var/ssl/ca-certificates.crt"),
            identity: in_one_file(root.join("etc/ssl/sites").join(pem)),
        }
    }

    fn of_package() -> Places {
        Places {
            config: ConfigPlace::Folder("/etc/liveproxyd".into()),
            socket_dir: "/run/liveproxyd".into(),
            log_file: "/var/log/liveproxyd/livepd.log".into(),
            state_file: "/var/log/liveproxyd/liveproxyd.state".into(),
            // No site is called so: names have no dots.
            pid_file: "/run/liveproxyd/liveproxyd.pid".into(),
            ca_file: of_system(),
            identity: in_one_file("/etc/liveproxyd/liveproxyd.pem".into()),
            control_socket: "/run/liveproxyd/liveproxyd.ctl".into(),
            ..Places::of_omd_site(Path::new("/"))
        }
    }

    /// What the configuration has to know of this.
    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            local_core: self.local_core.clone(),
            socket_dir: self.socket_dir.clone(),
        }
    }

    /// Makes the folder of the sockets. Whoever may use a socket must be able
    /// to search its folder.
    pub fn make_socket_dir(&self) -> io::Result<()> {
        let mode = folder_mode(self.access.mode);
        if let Some(parent) = self.socket_dir.parent() {
            make_searchable(parent)?;
        }
        let is_new = !self.socket_dir.exists();
        if is_new {
            fs::create_dir(&self.socket_dir)?;
        }
        if self.access.group.is_some() {
            chown(&self.socket_dir, None, self.access.group)?;
        }
        if is_new || self.access.group.is_some() {
            // The umask does not know who is to use the sockets.
            fs::set_permissions(&self.socket_dir, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

/// Makes a folder and those above it so that everybody can get through.
fn make_searchable(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_searchable(parent)?;
    }
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

/// Where the system keeps the certificates that it trusts.
fn of_system() -> PathBuf {
    const DEBIAN: &str = "/etc/ssl/certs/ca-certificates.crt";
    const RED_HAT: &str = "/etc/pki/tls/certs/ca-bundle.crt";
    let places = [DEBIAN, RED_HAT];
    let there = places.iter().find(|place| Path::new(place).exists());
    there.unwrap_or(&DEBIAN).into()
}

fn in_one_file(path: PathBuf) -> IdentityFiles {
    IdentityFiles {
        certificate: path.clone(),
        key: path,
    }
}

fn whole(path: &Path) -> Result<PathBuf, String> {
    absolute(path).map_err(|error| format!("'{}': {}", path.display(), sys::words(&error)))
}

/// All rights for the owner; reading and searching for each class that has any right on the sockets.
fn folder_mode(socket_mode: u32) -> u32 {
    let class = |mask: u32, rights: u32| if socket_mode & mask == 0 { 0 } else { rights };
    0o700 | class(0o070, 0o050) | class(0o007, 0o005)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_root() {
        let places = Places::find(&Arguments {
            root: Some("/omd/sites/x".into()),
            pid_file: Some("/run/other.pid".into()),
            config_file: Some("/etc/other.mk".into()),
            socket_mode: Some(0o600),
            ..Arguments::default()
        })
        .unwrap();
        assert_eq!(
            places.socket_dir,
            Path::new("/omd/sites/x/tmp/run/liveproxy")
        );
        assert_eq!(
            places.log_file,
            Path::new("/omd/sites/x/var/log/livepd.log")
        );
        assert_eq!(places.pid_file, Path::new("/run/other.pid"));
        assert_eq!(places.control_socket, Path::new("/run/liveproxyd.ctl"));
        let state = "/omd/sites/x/var/log/liveproxyd.state";
        assert_eq!(places.state_file, Path::new(state));
        assert_eq!(
            places.ca_file,
            Path::new("/omd/sites/x/var/ssl/ca-certificates.crt")
        );
        assert_eq!(places.config, ConfigPlace::File("/etc/other.mk".into()));
        assert_eq!(places.access.mode, 0o600);
    }

    #[test]
    fn the_key_stands_with_its_certificate_unless_it_is_named() {
        let files = |certificate: Option<&str>, key: Option<&str>| {
            let places = Places::find(&Arguments {
                root: Some("/omd/sites/x".into()),
                tls_certificate: certificate.map(PathBuf::from),
                tls_key: key.map(PathBuf::from),
                ..Arguments::default()
            });
            let files = places.unwrap().identity;
            (files.certificate, files.key)
        };
        let usual = PathBuf::from("/omd/sites/x/etc/ssl/sites/x.pem");
        let (crt, key) = (PathBuf::from("/own.crt"), PathBuf::from("/own.key"));
        assert_eq!(files(None, None), (usual.clone(), usual.clone()));
        assert_eq!(files(Some("/own.crt"), None), (crt.clone(), crt.clone()));
        assert_eq!(
            files(Some("/own.crt"), Some("/own.key")),
            (crt, key.clone())
        );
        assert_eq!(files(None, Some("/own.key")), (usual, key));
    }

    #[test]
    fn an_unknown_group_is_told() {
        let error = Places::find(&Arguments {
            root: Some("/".into()),
            socket_group: Some("no such group".into()),
            ..Arguments::default()
        })
        .unwrap_err();
        assert!(error.contains("no such group"), "{error}");
    }

    #[test]
    fn who_may_use_the_sockets_may_search_their_folder() {
        for (socket, folder) in [(0o660, 0o750), (0o600, 0o700), (0o666, 0o755)] {
            let dir = tempfile::tempdir().unwrap();
            let mut places = Places::of_omd_site(dir.path());
            places.access.mode = socket;
            places.make_socket_dir().unwrap();
            let made = fs::metadata(&places.socket_dir)
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(made & 0o777, folder);
        }
    }
}
