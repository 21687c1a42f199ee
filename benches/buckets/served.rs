//! A SeaweedFS of the harness's own, its buckets, and what it keeps in the kernel's memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::Advice;

use crate::buckets::{self, Place, Server, Who};
use crate::sys::{Result, run_quiet};
use crate::weed::Cluster;

/// A server, until it is dropped.
pub(crate) enum Served {
    One(Server),
    Many(Cluster),
}

impl Served {
    pub(crate) fn start(is_cluster: bool) -> Result<Self> {
        let missing = "the servers are missing: run scripts/install-test-deps --only buckets";
        let served = if is_cluster {
            Cluster::start().map(Self::Many)
        } else {
            buckets::own().map(Self::One)
        };
        Ok(served.ok_or(missing)?)
    }

    /// The port that speaks S3.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::One(server) => server.port(),
            Self::Many(cluster) => cluster.gateway(0),
        }
    }

    /// The ports of its filer, as its programs want them.
    pub(crate) fn filer(&self) -> Option<String> {
        match self {
            Self::One(server) => server.filer(),
            Self::Many(cluster) => Some(cluster.filer()),
        }
    }

    fn directory(&self) -> &Path {
        match self {
            Self::One(server) => server.directory(),
            Self::Many(cluster) => cluster.directory(),
        }
    }

    /// Has the kernel forget the server's files, so that who reads next has them read from the disk, whoever that is.
    pub(crate) fn evict(&self) -> Result<()> {
        let mut left = vec![self.directory().to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory)? {
                let path: PathBuf = entry?.path();
                if path.is_dir() {
                    left.push(path);
                // What the server has removed meanwhile is no matter.
                } else if let Ok(file) = File::open(&path) {
                    rustix::fs::fdatasync(&file)?;
                    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
                }
            }
        }
        Ok(())
    }

    /// A bucket that has had its first object, which costs some time.
    pub(crate) fn bucket(&self, name: &str) -> Result<Place> {
        buckets::make_bucket(self.port(), name);
        let place = Place {
            port: self.port(),
            bucket: name.to_owned(),
            prefix: "scrapes".to_owned(),
            who: Who::All,
        };
        crate::own::Own::new(&place)?.write("first", &["object".to_owned()], b"x", 1)?;
        Ok(place)
    }

    /// Removes a bucket with all that is in it. The room on disk is free at once, as it is not after removals of objects.
    pub(crate) fn drop_bucket(&self, place: &Place) -> Result<()> {
        let (key, secret) = place.who.keys();
        run_quiet(
            Command::new("curl")
                .args(["-sS", "--fail", "--max-time", "60", "-X", "DELETE"])
                .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &format!("{key}:{secret}")])
                .arg(format!("http://127.0.0.1:{}/{}", self.port(), place.bucket)),
            &[0],
        )
    }
}
