//! Removing a directory with all that is in it.

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::tree::{self, Directory};

/// Removes a directory with all that is in it, following no link.
pub(super) fn remove_tree(parent: &Directory, name: &[u8]) -> rustix::io::Result<()> {
    let directory = tree::open_dir(parent, name)?;
    for entry in tree::entries(&directory)? {
        let (inner, listed) = entry?;
        let removed = if tree::kind(&directory, &inner, listed) == FileType::Directory {
            remove_tree(&directory, &inner)
        } else {
            rustix::fs::unlinkat(&directory, inner.as_slice(), AtFlags::empty())
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
