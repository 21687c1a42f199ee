//! What a storage is: what it keeps of the promises, and what it has room for.

use std::time::Duration;

#[cfg(feature = "mount")]
use serde_json::{Value, json};

#[cfg(feature = "mount")]
use super::{Backend, capabilities_of};

/// What a storage keeps of the promises, and what its limits are. A backend declares it, and the shared suite checks
/// that it is so: no more is promised than is kept, and nothing is quietly weaker.
///
/// What is not said here holds for every storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traits {
    /// What kind of storage it is, in one word for people.
    pub kind: &'static str,
    /// Whether a network is between: then a call may take long, and fail for a while.
    pub is_remote: bool,
    /// What becomes of an open value when its record is replaced or removed (P1).
    pub open_values: OpenValues,
    /// Whether a purge is one step for every observer (P14).
    pub purge: Steps,
    /// Whether a rename of a record or store is one step for every observer.
    pub rename: Steps,
    /// Whether a publish over nothing ([`Over::Nothing`](super::Over::Nothing)) lets exactly one of several win,
    /// whoever they are.
    pub create_exclusive: Precision,
    /// Whether a publish over one version ([`Over::Version`](super::Over::Version)) loses nobody's update, whoever
    /// he is.
    pub replace_version: Precision,
    /// In which order [`Backend::scan`](super::Backend::scan) lists.
    pub key_order: KeyOrder,
    /// Whether owner and mode are kept: those of records and of stores.
    pub keeps_owner_and_mode: bool,
    /// Whether times that are set by hand are kept.
    pub keeps_times: bool,
    /// How far a time that is told may lie before the moment: what the storage's times are cut to.
    pub time_granularity: Duration,
    /// Whether each change of a record moves the times in the metadata of its store, in the same step. Else they are moved
    /// by a purge, and by [`Backend::touch_store`](super::Backend::touch_store).
    pub times_follow_changes: bool,
    /// Whether the name of a store may have a backslash, which some servers take for a slash.
    pub keeps_backslashes: bool,
    /// Whether [`Backend::record`](super::Backend::record) can tell two versions of a record apart, however soon the one followed the other.
    /// Else two of one length may have the same stamp.
    pub tells_versions: bool,
    /// The largest that it keeps.
    pub limits: Limits,
}

/// What becomes of an open value when its record is replaced or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenValues {
    /// It can be read to its end.
    Stay,
    /// What has not been fetched can be read no more: ESTALE. It is never mixed with another version.
    MayGoStale,
}

/// How a change of many things comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// All at once: an observer sees what was before or what is after.
    One,
    /// One after the other. What is broken off is completed later, or done again by who wants it done.
    Several,
}

/// How well a condition on what is there is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// The storage itself sees to it.
    Exact,
    /// It is looked at before: somebody may come in between.
    LookedAt,
}

/// The order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrder {
    /// None.
    None,
    /// That of the keys' bytes.
    Bytes,
    /// One of the storage's own, always the same.
    Own,
}

/// The largest that a storage keeps; `None` where nothing but room limits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Characters of a key.
    pub key_chars: Option<usize>,
    /// Bytes of a key, as the storage spells it.
    pub key_bytes: Option<usize>,
    /// Characters of a content type.
    pub content_type_chars: Option<usize>,
    /// Bytes of a value.
    pub value_bytes: Option<u64>,
}

impl Traits {
    /// Those of a storage that keeps everything, is at hand, and has no limits. A backend takes back from it what it
    /// does not keep.
    #[must_use]
    pub const fn all_kept(kind: &'static str) -> Self {
        Self {
            kind,
            is_remote: false,
            open_values: OpenValues::Stay,
            purge: Steps::One,
            rename: Steps::One,
            create_exclusive: Precision::Exact,
            replace_version: Precision::Exact,
            key_order: KeyOrder::None,
            keeps_owner_and_mode: true,
            keeps_times: true,
            time_granularity: Duration::ZERO,
            times_follow_changes: false,
            keeps_backslashes: true,
            tells_versions: true,
            limits: Limits {
                key_chars: None,
                key_bytes: None,
                content_type_chars: None,
                value_bytes: None,
            },
        }
    }
}

/// What a storage is, for people and programs.
#[cfg(feature = "mount")]
pub(crate) fn describe(backend: &dyn Backend) -> Value {
    let traits = backend.traits();
    let steps = |steps| match steps {
        Steps::One => "one step",
        Steps::Several => "several steps",
    };
    let precision = |precision| match precision {
        Precision::Exact => "exact",
        Precision::LookedAt => "looked at",
    };
    json!({
        "kind": traits.kind,
        "remote": traits.is_remote,
        "read_only": backend.why_read_only(),
        "open_values": match traits.open_values {
            OpenValues::Stay => "stay",
            OpenValues::MayGoStale => "may go stale",
        },
        "purge": steps(traits.purge),
        "rename": steps(traits.rename),
        "create_exclusive": precision(traits.create_exclusive),
        "replace_version": precision(traits.replace_version),
        "key_order": match traits.key_order {
            KeyOrder::None => "none",
            KeyOrder::Bytes => "bytes",
            KeyOrder::Own => "own",
        },
        "keeps_owner_and_mode": traits.keeps_owner_and_mode,
        "keeps_times": traits.keeps_times,
        "time_granularity_seconds": traits.time_granularity.as_secs_f64(),
        "times_follow_changes": traits.times_follow_changes,
        "keeps_backslashes": traits.keeps_backslashes,
        "tells_versions": traits.tells_versions,
        "most_key_chars": traits.limits.key_chars,
        "most_key_bytes": traits.limits.key_bytes,
        "most_content_type_chars": traits.limits.content_type_chars,
        "most_value_bytes": traits.limits.value_bytes,
        "capabilities": capabilities_of(backend),
    })
}
