//! A made-up OMD site with a user of its own, and ways to run scripts as that user.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::daemon::signal;
use crate::support::{awaited, eventually};

/// Whom root becomes: a user whom nothing belongs to.
const USER: u32 = 65_534;

/// A site with `etc/omd/site.conf`, and the project's scripts beside it. Dropping it kills every process that was
/// started on it.
pub struct OmdSite {
    folder: TempDir,
}

/// What a script did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    fn of(output: Output) -> Done {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Asserts the exit code and the whole of standard output.
    #[track_caller]
    pub fn expect(&self, code: i32, stdout: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (code, stdout),
            "{self:?}"
        );
    }

    /// Asserts a failure that says these words on standard error.
    #[track_caller]
    pub fn expect_error(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(words), "no {words:?} in {self:?}");
    }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl OmdSite {
    /// A site that its user can work in; `None`, with a word why, where root cannot become such a user or the user
    /// cannot reach the daemon.
    pub fn new() -> Option<OmdSite> {
        // A short name: the path of a UNIX socket in it has to fit into 107 bytes.
        let folder = tempfile::Builder::new().prefix("lp").tempdir().unwrap();
        let site = OmdSite { folder };
        fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["omd-hook", "init"] {
            let copy = site.folder.path().join(name);
            fs::create_dir(&copy).unwrap();
            for file in fs::read_dir(project().join(name)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), copy.join(file.file_name())).unwrap();
            }
        }
        for name in [
            "etc/omd",
            "etc/init.d",
            "etc/rc.d",
            "etc/logrotate.d",
            "local/bin",
            "tmp",
            "var/log",
        ] {
            fs::create_dir_all(site.path(name)).unwrap();
        }
        fs::create_dir_all(site.path("etc/check_mk/multisite.d")).unwrap();
        site.write(
            "etc/omd/site.conf",
            "CONFIG_ADMIN_MAIL=''\nCONFIG_CORE='nagios'\n",
        );
        let program = env!("CARGO_BIN_EXE_liveproxyd");
        std::os::unix::fs::symlink(program, site.path("local/bin/liveproxyd")).unwrap();
        site.give_to_user();
        let reachable = site.command(program).arg("-V").output();
        if !reachable.is_ok_and(|output| output.status.success()) {
            eprintln!("left out: no user without root's rights can run {program}");
            return None;
        }
        Some(site)
    }

    /// Makes everything in the site the user's own.
    pub fn give_to_user(&self) {
        if is_root() {
            each(&self.root(), &mut |path| {
                lchown(path, Some(USER), Some(USER)).unwrap()
            });
        }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    /// A file of the site.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// A file beside the site.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.give_to_user();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn link(&self, target: impl AsRef<Path>, name: &str) {
        let path = self.path(name);
        let _ = fs::remove_dir(&path);
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// A program, run as the user with the environment that OMD gives.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = match is_root() {
            true => {
                let user = format!("--reuid={USER}");
                let group = format!("--regid={USER}");
                let mut command = Command::new("setpriv");
                command.args([&user, &group, "--clear-groups", "--"]);
                command.arg(program.as_ref());
                command
            }
            false => Command::new(program.as_ref()),
        };
        // Debian keeps logrotate where only root looks.
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("OMD_ROOT", self.root()).env("OMD_SITE", "site");
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    pub fn run(&self, command: &mut Command) -> Done {
        Done::of(command.output().unwrap())
    }

    /// Runs a script of `omd-hook`.
    pub fn hook(&self, name: &str, arguments: &[&str]) -> Done {
        let script = self.outside("omd-hook").join(name);
        self.run(self.command(script).args(arguments))
    }

    /// Runs the init script.
    pub fn init(&self, argument: &str) -> Done {
        self.run(&mut self.init_command(argument))
    }

    pub fn init_command(&self, argument: &str) -> Command {
        let mut command = self.command(self.outside("init/liveproxy"));
        command.arg(argument);
        command
    }

    /// Writes a configuration with one site at which nothing has to listen.
    pub fn configure(&self) {
        self.write(
            "etc/check_mk/liveproxy.mk",
            "sites.update({'muc': {'socket': ('127.0.0.1', 9)}})\n",
        );
    }

    /// Puts a line into `etc/omd/site.conf`.
    pub fn set(&self, line: &str) {
        let conf = self.read("etc/omd/site.conf");
        self.write("etc/omd/site.conf", &format!("{conf}{line}\n"));
    }

    /// The number in the pid file.
    pub fn pid(&self) -> u32 {
        self.read("tmp/run/liveproxyd.pid").trim().parse().unwrap()
    }

    /// A process that holds the pid file as a daemon does, and runs these commands once it has it.
    pub fn holder(&self, commands: &str) -> Holder {
        fs::create_dir_all(self.path("tmp/run")).unwrap();
        self.give_to_user();
        let pid_file = self.path("tmp/run/liveproxyd.pid");
        let script = format!(
            "exec 9>>\"$1\"; flock 9 || exit 1; {commands}; echo $$ >\"$1\"; while :; do sleep 0.05; done"
        );
        let mut command = self.command("sh");
        let child = command
            .args(["-c", &script, "holder"])
            .arg(&pid_file)
            .spawn()
            .unwrap();
        let holder = Holder(child);
        eventually("the pid file is held", || {
            fs::read_to_string(&pid_file).is_ok_and(|text| !text.is_empty())
        });
        holder
    }

    /// A process that has nothing to do with the daemon.
    pub fn bystander(&self) -> Holder {
        let mut command = self.command("sleep");
        Holder(command.arg("600").stdout(Stdio::null()).spawn().unwrap())
    }

    /// All files of the site with what they are: link, or mode and content.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        each(&self.root(), &mut |path| {
            let metadata = fs::symlink_metadata(path).unwrap();
            let what = match metadata.file_type() {
                kind if kind.is_symlink() => {
                    format!("-> {}", fs::read_link(path).unwrap().display())
                }
                kind if kind.is_dir() => "folder".to_string(),
                _ => format!(
                    "{:o} {}",
                    metadata.mode(),
                    String::from_utf8_lossy(&fs::read(path).unwrap())
                ),
            };
            found.insert(path.to_path_buf(), what);
        });
        found
    }
}

/// The path and everything below it, without following links.
fn each(path: &Path, act: &mut dyn FnMut(&Path)) {
    act(path);
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            each(&entry.unwrap().path(), act);
        }
    }
}

impl Drop for OmdSite {
    fn drop(&mut self) {
        let root = self.root().into_os_string().into_string().unwrap();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            // The root is this test's own, so whoever has it on the command line is too.
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&words).contains(&root) {
                let _ = Command::new("sh")
                    .args(["-c", &format!("kill -KILL {pid}")])
                    .output();
            }
        }
    }
}

/// A stand-in for the daemon, or a process beside it; it ends with this value.
pub struct Holder(Child);

impl Holder {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// The signal that ended it, or its exit code.
    pub fn end(&mut self) -> String {
        awaited("the stand-in ends", || self.0.try_wait().unwrap()).to_string()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if self.runs() {
            signal(self.pid(), "KILL");
            let _ = self.0.wait();
        }
    }
}
