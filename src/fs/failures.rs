//! What the log tells of requests that failed: what was asked, of which record, and why; each problem once (`problems`). What
//! is logged for debugging is not limited.

use std::time::Instant;

use log::Level;
use nix::errno::Errno;

use super::error::FsError;
use super::ino::Ino;
use super::insight::Asked;
use super::name::{self, Name};
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::Node;
use crate::model::Key;

impl FileSystem {
    /// Tells the log of a request that failed. `errno` is what the caller is told.
    pub fn log_failure(&self, asked: &Asked, errno: i32, level: Level, error: &FsError) {
        if !log::log_enabled!(level) {
            return;
        }
        let (operation, ino) = (asked.operation.name(), asked.ino);
        let (store, key) = self.described(ino, asked.changed.as_deref());
        let more = match level {
            Level::Debug | Level::Trace => Some(0),
            _ => self.problems.judge((operation, store.clone(), errno), Instant::now()),
        };
        let Some(more) = more else { return };
        let number = Errno::from_raw(errno);
        let of = match (store.as_str(), key.as_str()) {
            ("", "") => format!("inode {ino}"),
            ("", key) => format!("'{key}'"),
            (store, "") => format!("store '{store}'"),
            (store, key) => format!("'{key}' in store '{store}'"),
        };
        let since =
            if more == 0 { String::new() } else { format!(", and {more} more like it since") };
        log::log!(
            level,
            operation = operation,
            store = store.as_str(),
            key = key.as_str(),
            errno = errno,
            more = more;
            "{operation} of {of}: {error} ({number:?}){since}"
        );
    }

    /// Tells how many problems there were of which nothing was told.
    pub fn log_other_failures(&self) {
        for ((operation, store, errno), more) in self.problems.take_rest() {
            let number = Errno::from_raw(errno);
            log::log!(
                Level::Info,
                operation = operation,
                store = store.as_str(),
                errno = errno,
                more = more;
                "{operation} in store '{store}' has failed {more} times more ({number:?})"
            );
        }
    }

    /// The store and the key that an inode, or a name in it, stands for; empty texts where there is none.
    fn described(&self, ino: Ino, name: Option<&[u8]>) -> (String, String) {
        let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let of = |store: &StoreNode, key: &Key| (store.name().to_string(), key.to_string());
        match (self.versions.get(ino).as_deref(), name) {
            (Some(Node::Stores), Some(store)) => (shown(store), String::new()),
            (Some(Node::Store(store)), Some(name)) => match store.parse(name) {
                Ok(Name::Record(key)) => of(store, &key),
                _ => (store.name().to_string(), shown(name)),
            },
            (Some(Node::Store(store)), None) => (store.name().to_string(), String::new()),
            (Some(Node::Purge(store)), _) => (store.name().to_string(), "@purge".to_owned()),
            (Some(Node::Items(items)), _) => {
                (items.store.name().to_string(), shown(name::items_name(items.format)))
            }
            (Some(Node::Version(version)), _) => of(&version.store, &version.key()),
            (Some(Node::Ticket(ticket)), _) => of(&ticket.version.store, &ticket.version.key()),
            (Some(Node::Writer(session)), _) => {
                session.record().map_or_else(Default::default, |(store, key)| of(&store, &key))
            }
            (Some(Node::Metadata(node)), _) => (node.store.name().to_string(), String::new()),
            (_, name) => (String::new(), name.map(shown).unwrap_or_default()),
        }
    }
}
