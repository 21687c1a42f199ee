//! The only table from errors to errno; what a storage says has its number in [`number_of`].

use fuser::Errno;

use crate::fs::{FsError, number_of};

/// The errno of an error.
pub(super) fn of(error: &FsError) -> Errno {
    match error {
        FsError::Storage(error) => Errno::from_i32(number_of(error)),
        FsError::NotFound => Errno::ENOENT,
        FsError::Exists => Errno::EEXIST,
        FsError::NotDirectory => Errno::ENOTDIR,
        FsError::IsDirectory => Errno::EISDIR,
        FsError::NotEmpty => Errno::ENOTEMPTY,
        FsError::Invalid => Errno::EINVAL,
        FsError::NotUnicode => Errno::EILSEQ,
        FsError::Reserved | FsError::NotPermitted | FsError::NoDelete | FsError::NoOverwrite => {
            Errno::EPERM
        }
        FsError::Denied => Errno::EACCES,
        FsError::ReadOnly => Errno::EROFS,
        FsError::Stale => Errno::ESTALE,
        FsError::Locked => Errno::EAGAIN,
        FsError::Deadlock => Errno::EDEADLK,
        FsError::Interrupted => Errno::EINTR,
        FsError::BadHandle => Errno::EBADF,
        FsError::Failed(number) => Errno::from_i32(*number),
        FsError::Vanished | FsError::Cut => Errno::EIO,
        FsError::TooManyOpen => Errno::ENFILE,
        FsError::NoAttribute => Errno::NO_XATTR,
        FsError::NameTooLong => Errno::ENAMETOOLONG,
        FsError::NoData => Errno::ENXIO,
        FsError::TooLarge => Errno::EFBIG,
        FsError::Unsupported => Errno::EOPNOTSUPP,
        FsError::UnsupportedHere => Errno::ENOSYS,
    }
}

/// How loudly an errno is logged: what callers ask for all day is no news.
pub(super) fn level(errno: Errno) -> log::Level {
    match errno.code() {
        libc::ENOENT
        | libc::ENODATA
        | libc::ESTALE
        | libc::ENOSYS
        | libc::EAGAIN
        | libc::EINTR
        | libc::EEXIST
        | libc::ENOTEMPTY
        | libc::ENXIO => log::Level::Debug,
        libc::EIO | libc::ENOSPC | libc::EDQUOT => log::Level::Error,
        _ => log::Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::model::Error;

    #[test]
    fn every_kind_has_its_errno() {
        let text = String::new;
        let storage = |error| of(&FsError::Storage(error)).code();
        let rows = [
            (storage(Error::NoSuchStore { store: text() }), libc::ENOENT),
            (storage(Error::NoSuchStoreId { id: text() }), libc::ENOENT),
            (storage(Error::NoSuchRecord { store: text(), key: text() }), libc::ENOENT),
            (storage(Error::StoreExists { store: text() }), libc::EEXIST),
            (storage(Error::RecordExists { store: text(), key: text() }), libc::EEXIST),
            (storage(Error::RecordReplaced { store: text(), key: text() }), libc::ESTALE),
            (storage(Error::InvalidStoreName { name: text(), reason: "" }), libc::EINVAL),
            (storage(Error::InvalidKey { key: text(), reason: "" }), libc::EINVAL),
            (storage(Error::AmbiguousOpen { given: text() }), libc::EINVAL),
            (storage(Error::ContentTypeTooLong { limit: 0 }), libc::EINVAL),
            (storage(Error::DamagedMetadata { store: text(), reason: text() }), libc::EINVAL),
            (storage(Error::NotUnicode { name: text() }), libc::EILSEQ),
            (storage(Error::NameTooLong { name: text(), limit: 0 }), libc::ENAMETOOLONG),
            (storage(Error::ValueTooLarge { key: text(), size: 0, limit: 0 }), libc::EFBIG),
            (
                storage(Error::Undecodable { key: text(), wanted: "", source: text().into() }),
                libc::EILSEQ,
            ),
            (storage(Error::ReadOnly), libc::EROFS),
            (storage(Error::io("", io::Error::from_raw_os_error(libc::EDQUOT))), libc::EDQUOT),
            (storage(Error::io("", io::Error::other("no number"))), libc::EIO),
            (storage(Error::io("", io::Error::from(io::ErrorKind::StorageFull))), libc::ENOSPC),
            (of(&FsError::NotFound).code(), libc::ENOENT),
            (of(&FsError::Exists).code(), libc::EEXIST),
            (of(&FsError::NotDirectory).code(), libc::ENOTDIR),
            (of(&FsError::IsDirectory).code(), libc::EISDIR),
            (of(&FsError::NotEmpty).code(), libc::ENOTEMPTY),
            (of(&FsError::Invalid).code(), libc::EINVAL),
            (of(&FsError::NotUnicode).code(), libc::EILSEQ),
            (of(&FsError::Reserved).code(), libc::EPERM),
            (of(&FsError::NotPermitted).code(), libc::EPERM),
            (of(&FsError::NoDelete).code(), libc::EPERM),
            (of(&FsError::NoOverwrite).code(), libc::EPERM),
            (of(&FsError::Denied).code(), libc::EACCES),
            (of(&FsError::ReadOnly).code(), libc::EROFS),
            (of(&FsError::Stale).code(), libc::ESTALE),
            (of(&FsError::Locked).code(), libc::EAGAIN),
            (of(&FsError::Deadlock).code(), libc::EDEADLK),
            (of(&FsError::Interrupted).code(), libc::EINTR),
            (of(&FsError::BadHandle).code(), libc::EBADF),
            (of(&FsError::Failed(libc::EDQUOT)).code(), libc::EDQUOT),
            (of(&FsError::Vanished).code(), libc::EIO),
            (of(&FsError::Cut).code(), libc::EIO),
            (of(&FsError::TooManyOpen).code(), libc::ENFILE),
            (of(&FsError::NoAttribute).code(), libc::ENODATA),
            (of(&FsError::NameTooLong).code(), libc::ENAMETOOLONG),
            (of(&FsError::NoData).code(), libc::ENXIO),
            (of(&FsError::TooLarge).code(), libc::EFBIG),
            (of(&FsError::Unsupported).code(), libc::EOPNOTSUPP),
            (of(&FsError::UnsupportedHere).code(), libc::ENOSYS),
        ];
        for (at, (got, expected)) in rows.into_iter().enumerate() {
            assert_eq!(got, expected, "row {at}");
        }
    }
}
