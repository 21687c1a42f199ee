//! What a file-system call can fail with.

use std::io;

use crate::model::{BackendErrorKind, Error};

/// The result of a file-system call.
pub type FsResult<T> = std::result::Result<T, FsError>;

/// Why a file-system call failed. The FUSE adapter's one table turns each kind into an errno.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// The storage said no.
    #[error(transparent)]
    Storage(#[from] Error),
    /// There is nothing of this name.
    #[error("no such file")]
    NotFound,
    /// There is something of this name.
    #[error("the file exists")]
    Exists,
    /// A directory was called for.
    #[error("not a directory")]
    NotDirectory,
    /// A file was called for.
    #[error("is a directory")]
    IsDirectory,
    /// The store still has records.
    #[error("the store has records")]
    NotEmpty,
    /// An argument makes no sense here.
    #[error("invalid argument")]
    Invalid,
    /// The name is not UTF-8.
    #[error("the name is not UTF-8")]
    NotUnicode,
    /// The name is a sidecar's or a control file's.
    #[error("the name is reserved")]
    Reserved,
    /// Nobody may do this here.
    #[error("not permitted here")]
    NotPermitted,
    /// The record's owner and mode do not allow this any more.
    #[error("permission denied")]
    Denied,
    /// The mount deletes nothing.
    #[error("this mount deletes nothing (--no-delete)")]
    NoDelete,
    /// The mount changes no record that is there.
    #[error("this mount changes no record that is there (--no-overwrite)")]
    NoOverwrite,
    /// The mount is for reading only.
    #[error("mounted for reading only")]
    ReadOnly,
    /// The inode stands for a version that is no longer what its name shows: the kernel looks again.
    #[error("replaced meanwhile")]
    Stale,
    /// Others have locked it.
    #[error("locked by others")]
    Locked,
    /// Whoever waits for it would wait for himself.
    #[error("who has it waits for this caller")]
    Deadlock,
    /// A signal has ended the waiting.
    #[error("interrupted")]
    Interrupted,
    /// The handle does not allow this.
    #[error("the file is not open for this")]
    BadHandle,
    /// It was opened by a process that has died, and what it had not published is kept aside.
    #[error(
        "the process that had opened the file has died; storefs rescue lists what it had not published"
    )]
    Cut,
    /// An earlier write or publish of this file failed, with this error number of the system. It is told again:
    /// of a write that the kernel has split, the caller may not have heard it.
    #[error("an earlier write of this file failed")]
    Failed(i32),
    /// The storage has been removed under the mount.
    #[error("the storage has been removed")]
    Vanished,
    /// As many files are open as can be.
    #[error(
        "too many files are open in this mount: the limit of open files (RLIMIT_NOFILE) is too low"
    )]
    TooManyOpen,
    /// No such extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// No file system has so long a name.
    #[error("the name is too long")]
    NameTooLong,
    /// The offset lies behind all data of the file.
    #[error("no data there")]
    NoData,
    /// More bytes than this file can hold.
    #[error("too large")]
    TooLarge,
    /// Not supported for this file.
    #[error("not supported for this file")]
    Unsupported,
    /// Not supported by this mount: the kernel need not ask again.
    #[error("not supported by this mount")]
    UnsupportedHere,
}

/// The system's number of a storage's error, as a caller is told it.
pub(crate) fn number_of(error: &Error) -> i32 {
    match error {
        Error::NoSuchStore { .. }
        | Error::NoSuchStoreId { .. }
        | Error::NoSuchRecord { .. }
        | Error::NoSuchUnpublished { .. } => libc::ENOENT,
        Error::NoKeptPurge { .. } => libc::ENODATA,
        Error::StoreExists { .. }
        | Error::RecordExists { .. }
        | Error::RecordChanged { .. }
        | Error::SecondInput { .. } => libc::EEXIST,
        Error::RecordReplaced { .. } => libc::ESTALE,
        Error::InvalidStoreName { .. }
        | Error::InvalidKey { .. }
        | Error::AmbiguousOpen { .. }
        | Error::InvalidContentType { .. }
        | Error::ContentTypeTooLong { .. }
        | Error::InvalidSource { .. }
        | Error::DamagedMetadata { .. }
        | Error::DamagedSidecar { .. } => libc::EINVAL,
        Error::NotUnicode { .. } | Error::Undecodable { .. } => libc::EILSEQ,
        Error::NameTooLong { .. } => libc::ENAMETOOLONG,
        Error::ValueTooLarge { .. } => libc::EFBIG,
        Error::ReadOnly => libc::EROFS,
        Error::Backend { kind, .. } => number_of_kind(*kind),
        Error::Io { source, .. } => number_of_io(source),
    }
}

/// The number of what a storage said that is no directory.
fn number_of_kind(kind: BackendErrorKind) -> i32 {
    match kind {
        BackendErrorKind::Unsupported => libc::EOPNOTSUPP,
        BackendErrorKind::Denied => libc::EACCES,
        BackendErrorKind::ReadOnly => libc::EROFS,
        BackendErrorKind::Busy => libc::EAGAIN,
        BackendErrorKind::TimedOut => libc::ETIMEDOUT,
        BackendErrorKind::TooLarge => libc::EFBIG,
        BackendErrorKind::Full => libc::ENOSPC,
        BackendErrorKind::Unreachable | BackendErrorKind::Damaged | BackendErrorKind::Other => {
            libc::EIO
        }
    }
}

/// An error that the system gave keeps its number; one that was made up gets that of its kind.
fn number_of_io(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::NotFound => libc::ENOENT,
        io::ErrorKind::PermissionDenied => libc::EACCES,
        io::ErrorKind::AlreadyExists => libc::EEXIST,
        io::ErrorKind::InvalidInput => libc::EINVAL,
        io::ErrorKind::StorageFull => libc::ENOSPC,
        io::ErrorKind::QuotaExceeded => libc::EDQUOT,
        io::ErrorKind::FileTooLarge => libc::EFBIG,
        io::ErrorKind::TimedOut => libc::ETIMEDOUT,
        _ => libc::EIO,
    })
}

#[cfg(test)]
impl PartialEq for FsError {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
