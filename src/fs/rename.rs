//! Renaming stores, directories and records.

use std::sync::Arc;

use super::error::{FsError, FsResult};
use super::ino::Ino;
use super::inputs;
use super::locks::On;
use super::lookup::store_name;
use super::name::Name;
use super::plain;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::Node;
use crate::engine::{Over, PublishAs};
use crate::failpoint;
use crate::model::{ContentType, Key, StoreName};

impl FileSystem {
    /// Renames a store or a record; `exclusive` refuses to replace.
    ///
    /// # Errors
    /// [`FsError::NotPermitted`] where neither can be; [`FsError::Exists`]; [`FsError::NoOverwrite`]; what the storage says.
    pub fn rename(
        &self,
        parent: Ino,
        name: &[u8],
        new_parent: Ino,
        new_name: &[u8],
        exclusive: bool,
    ) -> FsResult<()> {
        self.refuse_if_read_only()?;
        match (&*self.node(parent)?, &*self.node(new_parent)?) {
            (Node::Stores, Node::Stores) => {
                self.rename_store(&store_name(name)?, &store_name(new_name)?)
            }
            (Node::Store(from), Node::Store(to)) => {
                let key = match from.parse(name).map_err(|_| FsError::NotFound)? {
                    Name::Record(key) => key,
                    Name::Metadata(own) => {
                        let new = to.parse(new_name)?;
                        return self.rename_metadata((from, &own), (to, &new), exclusive);
                    }
                    Name::Purge | Name::Status | Name::Log | Name::Items(_) => {
                        return Err(FsError::NotPermitted);
                    }
                };
                if let Some(directory) = self.is_directory(from, name)? {
                    let target = plain::child(to, new_name)?;
                    let replaces = !exclusive && !self.options.no_overwrite;
                    self.storage.rename_directory(&directory, &target, replaces)?;
                    self.versions.move_directory(&directory, &target);
                    return Ok(());
                }
                match to.parse(new_name)? {
                    Name::Record(new_key) => {
                        self.rename_record((from, &key), (to, &new_key), exclusive)
                    }
                    Name::Metadata(new) => {
                        self.rename_to_metadata((from, &key), (to, &new), exclusive)
                    }
                    Name::Purge | Name::Status | Name::Log | Name::Items(_) => {
                        Err(FsError::NotPermitted)
                    }
                }
            }
            _ => Err(FsError::NotPermitted),
        }
    }

    /// Renames a store with all of its records held: what is published meanwhile goes to the store under its old name or
    /// under its new one.
    fn rename_store(&self, from: &StoreName, to: &StoreName) -> FsResult<()> {
        let known = self.versions.known_store(from);
        let other = self.versions.known_store(to);
        let _held = known.as_ref().map(|known| self.writers.hold_stores(known, other.as_deref()));
        failpoint::pass("rename store: records held");
        self.storage.rename_store(from, to)?;
        self.versions.rename_store(from, to);
        for (_, session) in known.iter().flat_map(|known| self.writers.of_store(known)) {
            session.store_renamed();
        }
        self.writers.types().rename_store(from, to);
        self.purges.rename_store(from, to);
        self.sidecars.rename_store(from, to);
        // What is watched and trusted goes by the store's name.
        self.trust.distrust_names();
        Ok(())
    }

    /// Renames a record with both names held, from the first look to the last effect: a close of either happens before or
    /// after, and goes where the record is then.
    pub(super) fn rename_record(
        &self,
        from: (&Arc<StoreNode>, &Key),
        to: (&Arc<StoreNode>, &Key),
        exclusive: bool,
    ) -> FsResult<()> {
        let _held = self.writers.hold_both((from.0, from.1), (to.0, to.1));
        failpoint::pass("rename: records held");
        if exclusive && self.writers.new_record(to.0, to.1).is_some() {
            return Err(FsError::Exists);
        }
        let (from_store, to_store) = (self.store(from.0), self.store(to.0));
        let own_type = self.writers.types().get(&from_store, from.1)?;
        // What was written so far has a name in this mount already, and is to be seen under the new one.
        if let Some(session) = self.writers.get(from.0, from.1) {
            self.publish_held(&session, from.0, from.1, |target| session.publish_closed(target))?;
        }
        let by_hand = match own_type {
            None => self.writers.types().get(&to_store, to.1)?,
            own_type => own_type,
        };
        let size = || Ok(from_store.record(from.1)?.size);
        let waiting = self.waiting_type(to.0, to.1, size)?;
        let content_type = by_hand.as_ref().or(waiting.as_ref());
        let is_itself = from.0.ino == to.0.ino && from.1 == to.1;
        let over = match is_itself {
            true if !exclusive => Over::Anything,
            _ => self.put_over(to.0, to.1, exclusive)?,
        };
        let publish = PublishAs { content_type, over, durable: false };
        let _own = self.begin_own(&[from, to]);
        self.expect_record(to.0, to.1);
        from_store
            .rename_record(from.1, &to_store, to.1, &publish)
            .map_err(inputs::rename_failure)?;
        failpoint::pass("rename: moved");
        if is_itself {
            return Ok(());
        }
        self.renamed(from, to, by_hand);
        self.end_waiting(to.0, to.1);
        self.place_waiting(to.0, to.1);
        match to_store.record(to.1) {
            Ok(attributes) => {
                if !self.versions.rename_version(from, to, attributes) {
                    self.trust.distrust_names();
                }
            }
            // Gone again; the next lookup will tell.
            Err(_) => {
                self.versions.unlink_version(from.0, from.1);
                self.versions.unlink_version(to.0, to.1);
            }
        }
        Ok(())
    }

    /// Sessions and types follow a record that was renamed.
    fn renamed(
        &self,
        from: (&Arc<StoreNode>, &Key),
        to: (&Arc<StoreNode>, &Key),
        by_hand: Option<ContentType>,
    ) {
        self.trust.note_removed(from.0, from.1);
        let types = self.writers.types();
        types.forget(&from.0.name(), from.1);
        self.forget_aliases(from.0, from.1);
        match by_hand {
            Some(content_type) => types.set(&to.0.name(), to.1, content_type, true),
            None => types.forget(&to.0.name(), to.1),
        }
        self.writers.rename((from.0, from.1), to);
        self.locks.rename(&On::Record(from.0.record(from.1)), On::Record(to.0.record(to.1)));
    }
}
