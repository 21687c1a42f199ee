//! One file per group of promises.

mod by_name;
mod locks;
mod mapped;
mod open_files;
mod passthrough;
mod publishing;
mod reading;
mod sharing;
mod types;

use std::fs;
use std::path::PathBuf;

use crate::common::{TempMount, TempStorage, can_mount};

/// An empty storage that is mounted, with a store `default` made through the mount.
struct Mounted {
    // Dropped in this order: first the mount, then what it shows.
    mount: TempMount,
    storage: TempStorage,
}

impl Mounted {
    /// `None` where nothing can be mounted.
    fn new() -> Option<Self> {
        Self::with_options(&[])
    }

    fn with_options(options: &[&str]) -> Option<Self> {
        if !can_mount() {
            return None;
        }
        let storage = TempStorage::empty();
        let mount = TempMount::with_options(&storage, options);
        fs::create_dir(mount.store("default")).unwrap();
        Some(Self { mount, storage })
    }

    /// A record in the mount.
    fn record(&self, name: &str) -> PathBuf {
        self.mount.store("default").join(name)
    }

    /// A file of the store on disk.
    fn on_disk(&self, name: &str) -> PathBuf {
        self.storage.store("default").join(name)
    }
}
