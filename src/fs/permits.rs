//! Whether a record's present owner and mode let somebody do what he has it open for (P6b).
//!
//! The kernel asks owner and mode when a file is opened. What has changed since then is asked here: an open descriptor
//! gives no right to what a record has become.

use super::entry::Caller;
use super::options::FsOptions;
use crate::model::Attributes;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fs) enum Access {
    Read,
    Write,
}

impl Access {
    /// The bit among those of others.
    fn bit(self) -> u32 {
        match self {
            Self::Read => 0o4,
            Self::Write => 0o2,
        }
    }
}

impl FsOptions {
    /// Whether the caller may. The owner always may, since he can change the mode, and does so while he writes
    /// (`install -m 444`).
    pub(in crate::fs) fn permit(
        &self,
        caller: &Caller,
        attributes: &Attributes,
        access: Access,
    ) -> bool {
        let file = self.shown_file(*attributes);
        if caller.is_privileged() || caller.uid == file.uid {
            return true;
        }
        let others = file.mode & access.bit() != 0;
        let group = (file.mode >> 3) & access.bit() != 0;
        if others == group || !caller.is_in_group(file.gid) { others } else { group }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::model::Stamp;

    #[test]
    fn p06b_owner_and_mode_say_who_may() {
        let options = FsOptions::default();
        let at = SystemTime::UNIX_EPOCH;
        let stamp = Stamp { object: 0, size: 0, modified_ns: 0, changed_ns: 0 };
        let file = |uid, gid, mode| {
            let (size, blocks, links, accessed, modified, changed) = (0, 0, 1, at, at, at);
            Attributes { size, blocks, links, mode, uid, gid, accessed, modified, changed, stamp }
        };
        let somebody = Caller { uid: 1000, gid: 100, thread: 0 };
        let rows = [
            (file(0, 0, 0o600), false, false),
            (file(0, 0, 0o644), true, false),
            (file(0, 0, 0o666), true, true),
            (file(0, 100, 0o660), true, true),
            (file(0, 100, 0o606), false, false),
            (file(0, 7, 0o660), false, false),
            (file(1000, 7, 0o400), true, true),
        ];
        for (file, reads, writes) in rows {
            assert_eq!(options.permit(&somebody, &file, Access::Read), reads, "{file:?}");
            assert_eq!(options.permit(&somebody, &file, Access::Write), writes, "{file:?}");
            let root = Caller { uid: 0, ..somebody };
            assert!(options.permit(&root, &file, Access::Write));
        }
        let shown_as_his = FsOptions { uid: Some(1000), ..FsOptions::default() };
        assert!(shown_as_his.permit(&somebody, &file(0, 0, 0o600), Access::Write));
    }
}
