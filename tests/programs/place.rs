//! Where the two sides are: a directory on ext4 that holds the storage, the plain directories, and scratch room.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::{STORES, skipped, temp_dir};
use crate::help::{NOBODY, SmallDisk};

/// The magic number of ext2, ext3 and ext4 in statfs(2).
const EXT4: u64 = 0xEF53;

/// An ext4 in a file, where temporary directories are on something else.
const IMAGE: &str = "
    truncate -s 4G image; mkfs.ext4 -q -m 0 image; mount -o loop image disk; mkdir disk/storage
";

/// A directory on ext4, removed when dropped.
pub(crate) enum Place {
    Dir(TempDir),
    Disk(SmallDisk),
}

impl Place {
    /// `None`, and said so, where there is no ext4 and none can be made; where `CI` is set, that is a failure.
    #[track_caller]
    pub(crate) fn make() -> Option<Self> {
        let dir = temp_dir();
        let magic = rustix::fs::statfs(dir.path()).unwrap().f_type;
        if u64::try_from(magic).ok() == Some(EXT4) {
            fs::create_dir(dir.path().join("storage")).unwrap();
            return Some(Self::Dir(dir));
        }
        let disk = SmallDisk::made_by(IMAGE);
        if disk.is_none() {
            skipped("temporary files are not on ext4, and none can be mounted");
        }
        disk.map(Self::Disk)
    }

    /// Hands the directory and the storage over to [`NOBODY`], and with it all that scripts are run in.
    pub(crate) fn hand_over(&self) {
        let stores = self.storage().join(STORES);
        fs::create_dir(&stores).unwrap();
        for dir in [self.root(), self.storage(), stores] {
            chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// The storage that is to be mounted.
    pub(crate) fn storage(&self) -> PathBuf {
        match self {
            Self::Dir(dir) => dir.path().join("storage"),
            Self::Disk(disk) => disk.storage(),
        }
    }

    /// The directory that holds the storage.
    pub(crate) fn root(&self) -> PathBuf {
        self.storage().parent().map(Path::to_owned).unwrap()
    }
}
