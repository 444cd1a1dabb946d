//! A temporary root directory with the folders that a site of OMD has.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The root; it is removed when this value is dropped.
#[derive(Debug)]
pub struct Root {
    folder: TempDir,
}

impl Root {
    /// A fresh root with empty `etc/check_mk`, `tmp/run` and `var/log`.
    pub fn new() -> Root {
        // A short name: the path of a UNIX socket in it has to fit into 107 bytes.
        let folder = tempfile::Builder::new().prefix("lp").tempdir().unwrap();
        let root = Root { folder };
        for name in ["etc/check_mk", "tmp/run", "var/log"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
        }
        root
    }

    /// The root directory itself.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file below it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The listening socket of a site.
    pub fn socket(&self, site: &str) -> PathBuf {
        self.file("tmp/run/liveproxy").join(site)
    }

    /// Writes a file below the root, and the folders to it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
