//! What a look through a storage found that is not as the SDKs would have it.

use super::{Key, RecordType, StoreName};

/// One thing that is wrong with a storage, or worth knowing about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort of thing it is.
    pub kind: FindingKind,
    /// The store; `None` if it is about the storage as a whole.
    pub store: Option<StoreName>,
    /// The file it is about, by the name that the backend has for it, which may be no Unicode. `None` if it is
    /// about the store as a whole.
    pub file: Option<Box<[u8]>>,
    /// What is wrong, in one line.
    pub problem: String,
    /// What would mend it; `None` where there is no one right answer.
    pub remedy: Option<Remedy>,
    /// What has been done about it.
    pub state: FindingState,
}

impl Finding {
    /// Something in a store that nothing has been done about.
    #[must_use]
    pub fn in_store(kind: FindingKind, store: &StoreName, problem: impl Into<String>) -> Self {
        let (store, problem) = (Some(store.clone()), problem.into());
        Self { kind, store, file: None, problem, remedy: None, state: FindingState::Found }
    }

    /// Something in the storage outside all stores.
    #[must_use]
    pub fn in_storage(kind: FindingKind, file: &[u8], problem: impl Into<String>) -> Self {
        let (file, problem) = (Some(file.into()), problem.into());
        Self { kind, store: None, file, problem, remedy: None, state: FindingState::Found }
    }

    /// The same about a file.
    #[must_use]
    pub fn of_file(self, file: &[u8]) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// The same with something that would mend it.
    #[must_use]
    pub fn with_remedy(self, remedy: Option<Remedy>) -> Self {
        Self { remedy, ..self }
    }

    /// Whether something is wrong and has not been mended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.kind.is_note() && self.state != FindingState::Repaired
    }
}

/// What mends a finding without a choice to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A bare file gets the content type that it shows.
    Adopt {
        /// The key that it stands for.
        key: Key,
    },
    /// What is kept beside a record's value is written anew.
    Rewrite {
        /// The record.
        key: Key,
        /// The content type that could be read; else the record gets the one that its name and bytes say.
        record_type: Option<RecordType>,
    },
    /// The store gets the metadata that it lacks.
    Metadata,
    /// What the finding is about is removed; it is no record.
    Remove,
    /// What a process that died was at is completed or undone, and what it left is removed.
    Heal,
}

/// What has been done about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindingState {
    /// Nothing.
    Found,
    /// It is mended.
    Repaired,
    /// It could not be mended, for this reason.
    Failed(String),
}

/// The sorts of findings. Their words are a promise to scripts (docs/CLI.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// A sidecar without a value.
    DanglingSidecar,
    /// A sidecar that SDKs cannot read.
    CorruptSidecar,
    /// A sidecar that holds JSON within a JSON text, as Crawlee JS 3 writes it.
    DoublyEncodedSidecar,
    /// A sidecar or metadata with one field in both spellings.
    BothSpellings,
    /// A sidecar without a size.
    MissingSize,
    /// A sidecar whose size is not the value's.
    WrongSize,
    /// A sidecar whose key is not the record's.
    MismatchedKey,
    /// A value that cannot be decoded under its content type.
    UndecodableValue,
    /// A value without a sidecar.
    BareFile,
    /// A value file with a name that no SDK would have given it.
    ForeignName,
    /// A value file that another one of the same key hides.
    HiddenFile,
    /// What an SDK that died left of a write.
    Temporary,
    /// A lock of Crawlee JS 3 that its owner left.
    Lock,
    /// What Crawlee JS 3 left of a purge.
    PurgeLeftover,
    /// What a process of storefs that died left.
    Abandoned,
    /// What a writer had not published when its process ended.
    Unpublished,
    /// A directory within a store.
    SubDirectory,
    /// A symbolic link.
    Link,
    /// A pipe, socket or device.
    SpecialFile,
    /// A value file with more than one name.
    HardLink,
    /// Store metadata that an SDK refuses.
    DamagedMetadata,
    /// A store with sidecars but without metadata.
    MissingMetadata,
    /// A store whose metadata has another name than its directory.
    MismatchedName,
    /// Two stores with one id.
    DuplicateId,
    /// More than one input file.
    SeveralInputs,
    /// An input file that an SDK refuses.
    BrokenInput,
    /// A file that keeps Crawlee JS 3 from listing the store.
    UnlistedExtension,
    /// A `.json` file of Crawlee JS 3 that is no JSON.
    BrokenJson,
    /// Something in the place of a store that is none.
    ForeignStore,
    /// Something that may not be read.
    Unreadable,
    /// An upload in parts that nobody has completed.
    UnfinishedUpload,
    /// An upload in parts that was begun of late: it may be on its way.
    RecentUpload,
    /// A server that takes no conditions into account.
    IgnoredConditions,
}

impl FindingKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DanglingSidecar => "dangling-sidecar",
            Self::CorruptSidecar => "corrupt-sidecar",
            Self::DoublyEncodedSidecar => "doubly-encoded-sidecar",
            Self::BothSpellings => "both-spellings",
            Self::MissingSize => "missing-size",
            Self::WrongSize => "wrong-size",
            Self::MismatchedKey => "mismatched-key",
            Self::UndecodableValue => "undecodable-value",
            Self::BareFile => "bare-file",
            Self::ForeignName => "foreign-name",
            Self::HiddenFile => "hidden-file",
            Self::Temporary => "temporary",
            Self::Lock => "lock",
            Self::PurgeLeftover => "purge-leftover",
            Self::Abandoned => "abandoned",
            Self::Unpublished => "unpublished",
            Self::SubDirectory => "sub-directory",
            Self::Link => "link",
            Self::SpecialFile => "special-file",
            Self::HardLink => "hard-link",
            Self::DamagedMetadata => "damaged-metadata",
            Self::MissingMetadata => "missing-metadata",
            Self::MismatchedName => "mismatched-name",
            Self::DuplicateId => "duplicate-id",
            Self::SeveralInputs => "several-inputs",
            Self::BrokenInput => "broken-input",
            Self::UnlistedExtension => "unlisted-extension",
            Self::BrokenJson => "broken-json",
            Self::ForeignStore => "foreign-store",
            Self::Unreadable => "unreadable",
            Self::UnfinishedUpload => "unfinished-upload",
            Self::RecentUpload => "recent-upload",
            Self::IgnoredConditions => "ignored-conditions",
        }
    }

    /// Whether nothing is wrong and it is only worth knowing.
    #[must_use]
    pub fn is_note(self) -> bool {
        matches!(self, Self::HardLink | Self::IgnoredConditions | Self::RecentUpload)
    }
}
