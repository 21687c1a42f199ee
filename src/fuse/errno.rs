//! The only table from errors to errno.

use std::io;

use fuser::Errno;

use crate::fs::FsError;
use crate::model::Error;

/// The errno of an error.
pub(super) fn of(error: &FsError) -> Errno {
    match error {
        FsError::Storage(error) => of_storage(error),
        FsError::NotFound => Errno::ENOENT,
        FsError::Exists => Errno::EEXIST,
        FsError::NotDirectory => Errno::ENOTDIR,
        FsError::IsDirectory => Errno::EISDIR,
        FsError::NotEmpty => Errno::ENOTEMPTY,
        FsError::Invalid | FsError::InvalidName => Errno::EINVAL,
        FsError::NotUnicode => Errno::EILSEQ,
        FsError::Reserved | FsError::NotPermitted => Errno::EPERM,
        FsError::ReadOnly => Errno::EROFS,
        FsError::Stale => Errno::ESTALE,
        FsError::BadHandle => Errno::EBADF,
        FsError::Failed(number) => Errno::from_i32(*number),
        FsError::Vanished => Errno::EIO,
        FsError::TooManyOpen => Errno::ENFILE,
        FsError::NoAttribute => Errno::NO_XATTR,
        FsError::TooLarge => Errno::EFBIG,
        FsError::Unsupported => Errno::EOPNOTSUPP,
        FsError::UnsupportedHere => Errno::ENOSYS,
    }
}

fn of_storage(error: &Error) -> Errno {
    match error {
        Error::NoSuchStore { .. } | Error::NoSuchStoreId { .. } | Error::NoSuchRecord { .. } => {
            Errno::ENOENT
        }
        Error::StoreExists { .. } | Error::RecordExists { .. } => Errno::EEXIST,
        Error::InvalidStoreName { .. }
        | Error::InvalidKey { .. }
        | Error::AmbiguousOpen { .. }
        | Error::ContentTypeTooLong { .. }
        | Error::DamagedMetadata { .. } => Errno::EINVAL,
        Error::NotUnicode { .. } => Errno::EILSEQ,
        Error::NameTooLong { .. } => Errno::ENAMETOOLONG,
        Error::ReadOnly => Errno::EROFS,
        Error::Io { source, .. } => of_io(source),
    }
}

/// An error that the system gave keeps its number; one that was made up gets that of its kind.
fn of_io(error: &io::Error) -> Errno {
    let number = error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::NotFound => libc::ENOENT,
        io::ErrorKind::PermissionDenied => libc::EACCES,
        io::ErrorKind::AlreadyExists => libc::EEXIST,
        io::ErrorKind::InvalidInput => libc::EINVAL,
        io::ErrorKind::StorageFull => libc::ENOSPC,
        io::ErrorKind::QuotaExceeded => libc::EDQUOT,
        io::ErrorKind::FileTooLarge => libc::EFBIG,
        io::ErrorKind::TimedOut => libc::ETIMEDOUT,
        _ => libc::EIO,
    });
    Errno::from_i32(number)
}

/// How loudly an errno is logged: what callers ask for all day is no news.
pub(super) fn level(errno: Errno) -> log::Level {
    match errno.code() {
        libc::ENOENT
        | libc::ENODATA
        | libc::ESTALE
        | libc::ENOSYS
        | libc::EEXIST
        | libc::ENOTEMPTY => log::Level::Debug,
        libc::EIO | libc::ENOSPC | libc::EDQUOT => log::Level::Error,
        _ => log::Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (storage(Error::InvalidStoreName { name: text(), reason: "" }), libc::EINVAL),
            (storage(Error::InvalidKey { key: text(), reason: "" }), libc::EINVAL),
            (storage(Error::AmbiguousOpen { given: text() }), libc::EINVAL),
            (storage(Error::ContentTypeTooLong { limit: 0 }), libc::EINVAL),
            (storage(Error::DamagedMetadata { store: text(), reason: text() }), libc::EINVAL),
            (storage(Error::NotUnicode { name: text() }), libc::EILSEQ),
            (storage(Error::NameTooLong { name: text(), limit: 0 }), libc::ENAMETOOLONG),
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
            (of(&FsError::InvalidName).code(), libc::EINVAL),
            (of(&FsError::NotUnicode).code(), libc::EILSEQ),
            (of(&FsError::Reserved).code(), libc::EPERM),
            (of(&FsError::NotPermitted).code(), libc::EPERM),
            (of(&FsError::ReadOnly).code(), libc::EROFS),
            (of(&FsError::Stale).code(), libc::ESTALE),
            (of(&FsError::BadHandle).code(), libc::EBADF),
            (of(&FsError::Failed(libc::EDQUOT)).code(), libc::EDQUOT),
            (of(&FsError::Vanished).code(), libc::EIO),
            (of(&FsError::TooManyOpen).code(), libc::ENFILE),
            (of(&FsError::NoAttribute).code(), libc::ENODATA),
            (of(&FsError::TooLarge).code(), libc::EFBIG),
            (of(&FsError::Unsupported).code(), libc::EOPNOTSUPP),
            (of(&FsError::UnsupportedHere).code(), libc::ENOSYS),
        ];
        for (at, (got, expected)) in rows.into_iter().enumerate() {
            assert_eq!(got, expected, "row {at}");
        }
    }
}
