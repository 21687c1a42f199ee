//! Looking names up.

use std::sync::Arc;
use std::time::Duration;

use super::attr::{PURGE_MODE, TEXT_MODE};
use super::entry::{Caller, Entry, FileAttr, FileKind};
use super::error::{FsError, FsResult};
use super::ino::{Ino, LOG, ROOT, STATUS, STORES};
use super::name::{self, MetadataName, Name};
use super::plain;
use super::processes::SystemCall;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::{Node, Ticket, VersionNode};
use super::writers::{Absence, Found, Join, Led, WriteSession};
use crate::engine::Value;
use crate::model::{Attributes, Error, Key, StoreName};

/// Longest name in bytes that the kernel has anywhere.
const NAME_MAX: usize = 255;

impl FileSystem {
    /// Looks a name up and counts the lookup. The kernel may trust the outcome for as long as it says.
    ///
    /// # Errors
    /// [`FsError::NotFound`], and what the storage says.
    pub fn lookup(&self, caller: &Caller, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        let looked_up = match name.len() {
            0..=NAME_MAX => self.lookup_for(caller, parent, name),
            _ => Err(FsError::NameTooLong),
        };
        if looked_up.is_err() {
            self.writers.announcements().note_failed_lookup(caller.thread);
        }
        looked_up
    }

    fn lookup_for(&self, caller: &Caller, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        if let Node::Store(store) = &*self.node(parent)? {
            match store.parse(name) {
                Ok(Name::Record(key)) => {
                    let key = self.key_meant(store, name, key);
                    match self.writers.announcements().of_lookup(caller.thread, store, &key) {
                        Led::Published => {}
                        Led::Writers => return self.announced_writer_entry(caller, store, &key),
                        Led::Held => return self.held_entry(caller, store, &key),
                        Led::Ticket => return self.ticket_entry(caller, store, &key),
                    }
                }
                Ok(Name::Metadata(MetadataName::Store)) if store.hides_metadata(caller.thread) => {
                    return Err(FsError::NotFound);
                }
                _ => {}
            }
        }
        self.trusted_entry_of(caller, parent, name)
    }

    /// The writers' inode of a record that is about to be opened for writing.
    fn announced_writer_entry(
        &self,
        caller: &Caller,
        store: &Arc<StoreNode>,
        key: &Key,
    ) -> FsResult<Entry> {
        // Who is just publishing holds the record, and need not be waited for to join him: whoever looks the name up
        // meanwhile would wait for this lookup, in the kernel.
        let join = Join::Announce(caller.thread);
        if self.writers.is_held(store, key)
            && let Some(session) = self.writers.join(store, key, join)
        {
            return self.writer_entry(&session);
        }
        self.writer_entry(&self.session_of_record(store, key, join)?)
    }

    /// The writers' inode. Only when asked for its attributes can we show the number that vim compares.
    pub(super) fn writer_entry(&self, session: &Arc<WriteSession>) -> FsResult<Entry> {
        self.versions.count_writer_lookup(session);
        self.told(self.counted(session.ino), |ino| {
            Ok(Entry::unkept(self.file(ino, session.attributes_soon()?)))
        })
    }

    /// The session that a record's name leads this caller to: one of a record that is in this mount alone, as it was
    /// never published, or of one that the caller writes himself. Nobody is led to what others have replaced meanwhile.
    fn draft(
        &self,
        caller: &Caller,
        store: &StoreNode,
        key: &Key,
    ) -> FsResult<Option<Arc<WriteSession>>> {
        let Some(session) = self.writers.get(store, key) else { return Ok(None) };
        let was_new = session.is_new();
        if !was_new && !session.is_written_by(caller.thread) {
            return Ok(None);
        }
        let is_its = session.is_of(self.published(store, key)?.as_ref());
        // The look may have told that the record is not as new as it was taken for.
        let is_seen = !was_new || session.is_new() || session.is_written_by(caller.thread);
        Ok((is_its && is_seen).then_some(session))
    }

    /// What is published of a record, if it is.
    pub(super) fn published(&self, store: &StoreNode, key: &Key) -> FsResult<Option<Attributes>> {
        match self.store(store).record(key) {
            Ok(published) => Ok(Some(published)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The current version of a record that is about to be opened for reading, held until it is.
    fn held_entry(&self, caller: &Caller, store: &Arc<StoreNode>, key: &Key) -> FsResult<Entry> {
        if let Some(session) = self.draft(caller, store, key)? {
            return self.writer_entry(&session);
        }
        self.opened_entry(store, key, |ino, value| {
            self.writers.announcements().hold(caller.thread, ino, value);
        })
    }

    /// The current version of a record that the caller is opening for reading, with its bytes: the open needs no look of
    /// its own.
    fn foreseen_entry(
        &self,
        caller: &Caller,
        call: SystemCall,
        store: &Arc<StoreNode>,
        key: &Key,
    ) -> FsResult<Entry> {
        let opened = self.opened_entry(store, key, |ino, value| {
            self.writers.announcements().foresee(caller.thread, call, Found::Version(ino, value));
        });
        match opened {
            Err(FsError::Storage(Error::NoSuchRecord { .. })) => Err(FsError::NotFound),
            entry => entry,
        }
    }

    /// The entry of a record's current version, of which `hold` is given the bytes.
    fn opened_entry(
        &self,
        store: &Arc<StoreNode>,
        key: &Key,
        hold: impl FnOnce(Ino, Arc<dyn Value>),
    ) -> FsResult<Entry> {
        let value = self.store(store).open_value(key)?;
        let attributes = value.attributes()?;
        let counted = self.counted(self.versions.version(store, key, attributes));
        // Shared already, so that it counts as open if the kernel asks for attributes before it opens it.
        let value = match self.versions.get(counted.ino()).as_deref() {
            Some(Node::Version(version)) => version.share_value(value),
            _ => value,
        };
        hold(counted.ino(), value);
        self.told(counted, |ino| Ok(self.entry(self.file(ino, attributes)).untrusted()))
    }

    /// An inode of its own, for a caller that cannot be told from others who are about to open the record.
    fn ticket_entry(&self, caller: &Caller, store: &Arc<StoreNode>, key: &Key) -> FsResult<Entry> {
        if let Some(session) = self.draft(caller, store, key)? {
            return self.writer_entry(&session);
        }
        let value = self.store(store).open_value(key)?;
        let attributes = value.attributes()?;
        let version = VersionNode::new(Arc::clone(store), key.clone(), &attributes);
        let ino = self.versions.ticket(Ticket::new(version, value));
        Ok(Entry::unkept(self.file(ino, attributes)))
    }

    /// The entry of a name, counting a lookup.
    pub(super) fn entry_of(&self, caller: &Caller, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        match &*self.node(parent)? {
            Node::Root => match name {
                name::STORES => self.fixed_entry(STORES),
                name::STATUS => self.status_entry(),
                name::LOG => self.log_entry(),
                name::PRIVATE => self.private_entry(parent, name),
                _ => self.directory_entry(&plain::top(name).ok_or(FsError::NotFound)?),
            },
            Node::Private(_) => self.private_entry(parent, name),
            Node::Stores if name == name::PRIVATE => self.private_entry(parent, name),
            Node::Stores => self.directory_entry(&store_name(name).map_err(|_| FsError::NotFound)?),
            Node::Store(store) => match store.parse(name) {
                Ok(Name::Status) => self.status_entry(),
                Ok(Name::Log) => self.log_entry(),
                Ok(Name::Metadata(name)) => self.metadata_entry(store, &name),
                Ok(Name::Purge) => self.purge_entry(store),
                Ok(Name::Items(format)) => self.items_entry(store, format),
                Ok(Name::Record(key)) => match self.record_entry(caller, store, &key) {
                    Err(FsError::NotFound) if store.is_plain() => {
                        self.directory_entry(&plain::child(store, name)?)
                    }
                    entry => entry,
                },
                Err(_) => Err(FsError::NotFound),
            },
            _ => Err(FsError::NotDirectory),
        }
    }

    /// The entry of a store or plain directory.
    fn directory_entry(&self, name: &StoreName) -> FsResult<Entry> {
        let attributes = self.storage.store(name).attributes()?;
        let store = self.versions.store(name);
        self.told(self.counted(store.ino), |ino| Ok(self.entry(self.directory(ino, attributes))))
    }

    fn purge_entry(&self, store: &Arc<StoreNode>) -> FsResult<Entry> {
        if self.is_without_opens() {
            let directory = self.store(store).attributes()?;
            let shown = self.made_up(PURGE_MODE, Some(&directory));
            return Ok(self.text_entry(store.ino, name::PURGE, self.purge_text(store), shown));
        }
        let counted = self.counted(self.versions.purge(store));
        self.told(counted, |ino| Ok(self.entry(self.getattr(ino)?)))
    }

    fn status_entry(&self) -> FsResult<Entry> {
        if self.is_without_opens() {
            let shown = self.made_up(TEXT_MODE, None);
            return Ok(self.text_entry(ROOT, name::STATUS, self.status_text(), shown));
        }
        self.fixed_entry(STATUS)
    }

    /// Where the kernel opens files without asking, it is not to be read as it grows.
    fn log_entry(&self) -> FsResult<Entry> {
        if self.is_without_opens() {
            return Err(FsError::Unsupported);
        }
        self.versions.count_lookup(LOG);
        self.told(self.counted(LOG), |_| {
            let size = self.log_attr_now().map_or(0, |attr| attr.attributes.size);
            Ok(Entry::unkept(self.log_attr(size)))
        })
    }

    fn fixed_entry(&self, ino: Ino) -> FsResult<Entry> {
        self.versions.count_lookup(ino);
        self.told(self.counted(ino), |ino| Ok(self.entry(self.getattr(ino)?)))
    }

    /// The entry of a record: its published version, or what its writers have written so far, if the caller is one of
    /// them or it was never published.
    fn record_entry(&self, caller: &Caller, store: &Arc<StoreNode>, key: &Key) -> FsResult<Entry> {
        if let Some(pinned) = self.pinned.get() {
            return self.pinned_record_entry(pinned, store, key);
        }
        let session = self.writers.get(store, key);
        if let Some(session) = &session {
            if !session.is_written_by(caller.thread) {
                session.wait_for_release();
            }
            if let Some(session) = self.draft(caller, store, key)? {
                return self.writer_entry(&session);
            }
        }
        let is_foreseen = self.is_remote && session.is_none();
        let creating = match is_foreseen.then(|| SystemCall::of(caller.thread)).flatten() {
            Some(call) if call.opens_to_read() => {
                return self.foreseen_entry(caller, call, store, key);
            }
            call => call.filter(SystemCall::opens_to_create),
        };
        if let Some(call) = creating.as_ref().filter(|call| call.opens_to_replace())
            && !store.is_plain()
            && !self.store(store).may_have_made(key)
            && !self.storage.is_failing()
        {
            let nothing = Found::Nothing(store.record(key), Absence::Supposed);
            self.writers.announcements().foresee(caller.thread, call.clone(), nothing);
            return Err(FsError::NotFound);
        }
        let attributes = match self.store(store).record(key) {
            Err(Error::NoSuchRecord { .. }) => {
                if let Some(call) = creating {
                    let nothing = Found::Nothing(store.record(key), Absence::Seen);
                    self.writers.announcements().foresee(caller.thread, call, nothing);
                }
                return Err(FsError::NotFound);
            }
            record => record?,
        };
        let counted = self.counted(self.versions.version(store, key, attributes));
        self.told(counted, |ino| {
            let entry = self.entry(self.file(ino, attributes));
            // Once a session publishes, the name stands for another inode; until then the kernel asks each time.
            Ok(if session.is_some() { entry.untrusted() } else { entry })
        })
    }

    /// The inode's entry, with the time to live that the options say.
    pub(super) fn entry(&self, attr: FileAttr) -> Entry {
        let attr_ttl = self.attr_ttl(attr.ino);
        Entry { attr, entry_ttl: self.trust.untold_ttl(), attr_ttl }
    }

    /// The entry of a name, which the kernel may trust for long where each change of it is told.
    fn trusted_entry_of(&self, caller: &Caller, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        let look = self.begin_look(parent, name);
        let entry = self.entry_of(caller, parent, name)?;
        if name.contains(&b'%')
            && let Node::Store(store) = &*self.node(parent)?
            && store.is_alias(name)
        {
            return Ok(entry.untrusted());
        }
        if matches!(self.versions.get(entry.attr.ino).as_deref(), Some(Node::Items(_))) {
            return Ok(entry);
        }
        Ok(match look {
            Some(look) => self.trust.trusted(&look, entry, self.trust.watched_ttl()),
            // The kernel would open it for as long without asking.
            None if self.is_without_opens() && entry.attr.kind == FileKind::File => {
                Entry { entry_ttl: Duration::ZERO, ..entry }
            }
            None => entry,
        })
    }
}

/// Reads the name of a store.
pub(super) fn store_name(name: &[u8]) -> FsResult<StoreName> {
    let text = std::str::from_utf8(name).map_err(|_| FsError::NotUnicode)?;
    Ok(StoreName::new(text)?)
}
