//! What a storage can besides what every storage can.
//!
//! Each capability is a trait of its own, which a backend has or has not:
//! [`Backend::posix`](super::Backend::posix) and its like give it. A backend implements none that it would have to
//! feign. What holds without one, the engine knows; each trait says it.

mod dialects;
mod durability;
mod kept_purges;
mod metadata_files;
mod plain_directories;
mod posix;
mod repair;
mod watchable;

pub use dialects::Dialects;
pub use durability::Durability;
pub use kept_purges::{Keep, KeptPurges};
pub use metadata_files::MetadataFiles;
pub use plain_directories::PlainDirectories;
pub use posix::Posix;
pub use repair::{Findings, Repair};
pub use watchable::Watchable;

use super::Backend;

/// The names of the capabilities that a backend has, as its traits are called, in words with hyphens.
#[must_use]
pub fn capabilities_of(backend: &dyn Backend) -> Vec<&'static str> {
    let all = [
        ("posix", backend.posix().is_some()),
        ("durability", backend.durability().is_some()),
        ("metadata-files", backend.metadata_files().is_some()),
        ("plain-directories", backend.plain_directories().is_some()),
        ("repair", backend.repair().is_some()),
        ("dialects", backend.dialects().is_some()),
        ("watchable", backend.watchable().is_some()),
        ("kept-aside", backend.kept_aside().is_some()),
        ("kept-purges", backend.kept_purges().is_some()),
    ];
    all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}
