//! What an inode stands for.

use std::sync::Arc;

use super::items::ItemsNode;
use super::text::TextNode;
use super::ticket::Ticket;
use super::version::VersionNode;
use crate::fs::ino::Ino;
use crate::fs::metadata_files::MetadataNode;
use crate::fs::store_node::StoreNode;
use crate::fs::writers::WriteSession;

/// A directory that is nowhere but in this mount, by its place.
#[derive(Debug)]
pub(in crate::fs) struct PrivateNode {
    pub(super) parent: Ino,
    pub(super) name: Box<[u8]>,
}

/// What an inode stands for.
#[derive(Debug)]
pub(in crate::fs) enum Node {
    /// The root.
    Root,
    /// `key_value_stores`.
    Stores,
    /// `@status`.
    Status,
    /// `@log`.
    Log,
    /// A store, or a plain directory.
    Store(Arc<StoreNode>),
    /// `@purge` of a store.
    Purge(Arc<StoreNode>),
    /// `__metadata__.json` of a store, or a sidecar.
    Metadata(Arc<MetadataNode>),
    /// `.storefs`, as a copy of a storage brings it, or a directory in it. It is nowhere but in this mount, and holds no
    /// file.
    Private(Box<PrivateNode>),
    /// One published version of a record.
    Version(VersionNode),
    /// What the writers of a record see.
    Writer(Arc<WriteSession>),
    /// What one lookup found, for the open that follows.
    Ticket(Box<Ticket>),
    /// A text as it was when it was looked up, where the kernel opens files without asking.
    Text(Box<TextNode>),
    /// All items of a dataset, as they were when they were looked up.
    Items(Box<ItemsNode>),
}
