//! The mounted tree: what is shown and under which name, what can be made, removed, renamed and changed, and
//! what is answered to bad input, all through a kernel mount.
//!
//! The tests run the program as a user would and look at both sides: at the mount, and at the files on disk that
//! an SDK sees.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "mount_tree/attributes.rs"]
mod attributes;
#[path = "mount_tree/backup.rs"]
mod backup;
#[path = "mount_tree/collections.rs"]
mod collections;
#[path = "mount_tree/disks.rs"]
mod disks;
#[path = "mount_tree/environment.rs"]
mod environment;
#[path = "mount_tree/faults.rs"]
mod faults;
#[path = "mount_tree/groups.rs"]
mod groups;
#[path = "mount_tree/help.rs"]
mod help;
#[path = "mount_tree/holes.rs"]
mod holes;
#[path = "mount_tree/hostile.rs"]
mod hostile;
#[path = "mount_tree/items.rs"]
mod items;
#[path = "mount_tree/large.rs"]
mod large;
#[path = "mount_tree/layouts.rs"]
mod layouts;
#[path = "mount_tree/listing.rs"]
mod listing;
#[path = "mount_tree/logged.rs"]
mod logged;
#[path = "mount_tree/metadata.rs"]
mod metadata;
#[path = "mount_tree/names.rs"]
mod names;
#[path = "mount_tree/old_descriptors.rs"]
mod old_descriptors;
#[path = "mount_tree/pid_namespaces.rs"]
mod pid_namespaces;
#[path = "mount_tree/plain.rs"]
mod plain;
#[path = "mount_tree/planted.rs"]
mod planted;
#[path = "mount_tree/purge.rs"]
mod purge;
#[path = "mount_tree/read_only.rs"]
mod read_only;
#[path = "mount_tree/remade.rs"]
mod remade;
#[path = "mount_tree/rename.rs"]
mod rename;
#[path = "mount_tree/sidecars.rs"]
mod sidecars;
#[path = "mount_tree/slow_purge.rs"]
mod slow_purge;
#[path = "mount_tree/stores.rs"]
mod stores;
#[path = "mount_tree/tree.rs"]
mod tree;
#[path = "mount_tree/users.rs"]
mod users;
#[path = "mount_tree/volumes.rs"]
mod volumes;
#[path = "mount_tree/xattrs.rs"]
mod xattrs;
