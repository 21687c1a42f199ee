//! Listing directories: the names are taken once for each open directory.

use std::sync::Arc;

use super::entry::{Caller, Entry, FileKind};
use super::error::{FsError, FsResult};
use super::handle::{Handle, Open};
use super::ino::Ino;
use super::listings::{DOTS, Listing, Names};
use super::name;
use super::plain;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::trust::{ListedLooks, Moment};
use super::versions::Node;
use crate::engine::Look;
use crate::model::{Attributes, Key, StoreName};

/// How far a listing has come.
enum Step {
    /// It goes on here.
    Next(usize),
    /// There is no more room.
    Full,
    /// There is no more room for this inode, whose lookup is counted.
    NoRoomFor(Ino),
}

/// One name of a listing.
#[derive(Debug)]
pub struct Listed<'a> {
    /// The name.
    pub name: &'a [u8],
    /// Directory or file.
    pub kind: FileKind,
    /// The cookie from which the listing goes on behind this name.
    pub next: u64,
}

impl Listed<'_> {
    /// Whether it is `.` or `..`, of which no lookup is counted.
    #[must_use]
    pub fn is_dots(&self) -> bool {
        DOTS.contains(&self.name)
    }
}

impl FileSystem {
    /// Opens a directory.
    ///
    /// # Errors
    /// [`FsError::NotDirectory`], [`FsError::Stale`], [`crate::model::Error::NoSuchStore`].
    pub fn opendir(&self, ino: Ino) -> FsResult<Handle> {
        match &*self.node(ino)? {
            Node::Root | Node::Stores | Node::Private(_) => {}
            Node::Store(store) => {
                let store = self.store(store);
                store.attributes()?;
                store.accessed();
            }
            _ => return Err(FsError::NotDirectory),
        }
        Ok(self.handles.insert(Open::Directory(Listing::new(ino))))
    }

    /// Lists names from a cookie on, until `add` says that it is full.
    ///
    /// # Errors
    /// [`FsError::BadHandle`], and what the storage says.
    pub fn readdir(
        &self,
        handle: Handle,
        cookie: u64,
        mut add: impl FnMut(&Listed<'_>) -> bool,
    ) -> FsResult<()> {
        self.list(handle, cookie, |_, names, at| {
            let full = listed(names, at, |listed| add(listed));
            Ok(if full { Step::Full } else { Step::Next(at + 1) })
        })
    }

    /// Lists names with their attributes, counting a lookup of each but `.` and `..`, until `add` says that it
    /// is full. A name that has gone meanwhile is passed over.
    ///
    /// # Errors
    /// [`FsError::BadHandle`], and what the storage says.
    pub fn readdirplus(
        &self,
        caller: &Caller,
        handle: Handle,
        cookie: u64,
        mut add: impl FnMut(&Listed<'_>, &Entry) -> bool,
    ) -> FsResult<()> {
        self.list(handle, cookie, |directory, names, at| {
            if names.is_record(at)
                && let Node::Store(store) = &*self.node(directory)?
            {
                match self.list_records(store, names, at, &mut add)? {
                    // This one is a matter for itself.
                    Step::Next(same) if same == at => {}
                    step => return Ok(step),
                }
            }
            self.list_one(caller, directory, names, at, &mut add)
        })
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: Handle) {
        self.handles.remove(handle);
    }

    /// Calls `step` with the place of each name from a cookie on, or of the first of those that it will list.
    ///
    /// What fails behind names that are listed already is told by the next call, since these would be lost with it, and
    /// the lookups that they count.
    fn list(
        &self,
        handle: Handle,
        cookie: u64,
        mut step: impl FnMut(Ino, &Names, usize) -> FsResult<Step>,
    ) -> FsResult<()> {
        let open = self.handles.get(handle).ok_or_else(|| self.unknown(handle))?;
        let Open::Directory(listing) = &*open else { return Err(FsError::BadHandle) };
        let directory = listing.directory();
        let Ok(first) = usize::try_from(cookie) else { return Ok(()) };
        let mut at = first;
        let listed = listing.with_names(
            cookie == 0,
            || self.names_of(directory),
            |names| loop {
                while at >= names.len() {
                    if !names.take_more(self.trust.moment())? {
                        return Ok(());
                    }
                }
                match step(directory, names, at)? {
                    Step::Next(next) => at = next,
                    Step::Full => return Ok(()),
                    Step::NoRoomFor(ino) => {
                        self.forget(ino, 1);
                        return Ok(());
                    }
                }
            },
        );
        match listed {
            Err(error) if at > first => {
                log::debug!("a listing ends early: {error}");
                Ok(())
            }
            listed => listed,
        }
    }

    /// Lists one name with its attributes.
    fn list_one(
        &self,
        caller: &Caller,
        directory: Ino,
        names: &Names,
        at: usize,
        add: &mut impl FnMut(&Listed<'_>, &Entry) -> bool,
    ) -> FsResult<Step> {
        if at < DOTS.len() {
            let entry = self.entry(self.getattr(directory)?);
            let full = listed(names, at, |listed| add(listed, &entry));
            return Ok(if full { Step::Full } else { Step::Next(at + 1) });
        }
        let name = names.shown(at);
        let entry = match self.listed_entry(caller, directory, &name) {
            Err(FsError::NotFound | FsError::Reserved) => {
                return Ok(Step::Next(at + 1));
            }
            Err(FsError::Storage(error)) if error.is_not_found() => {
                return Ok(Step::Next(at + 1));
            }
            // One bad record must not hide the others: it is listed, and whoever asks for it is told.
            Err(FsError::Storage(error)) if names.is_record(at) => {
                log::warn!("'{}' is listed by its name alone: {error}", name.escape_ascii());
                self.bad_entry(directory, &Key::from_bytes(names.get(at))?)?
            }
            entry => entry?,
        };
        Ok(match listed(names, at, |listed| add(listed, &entry)) {
            true => Step::NoRoomFor(entry.attr.ino),
            false => Step::Next(at + 1),
        })
    }

    /// Lists records with their attributes, one look at each, up to the first that needs more: whose writers may
    /// have to be waited for, or whose place in a plain directory another file or directory may have taken.
    fn list_records(
        &self,
        store: &Arc<StoreNode>,
        names: &Names,
        from: usize,
        add: &mut impl FnMut(&Listed<'_>, &Entry) -> bool,
    ) -> FsResult<Step> {
        let mut outcome = Ok(Step::Next(from));
        // Before the store is opened: what is told of from here on is not trusted.
        let looks = self.trust.begin_listed(store);
        let looked = self.store(store).look_at_records(&mut |look| {
            outcome = self.list_looked_at(store, names, from, &looks, look, add);
        });
        match looked {
            Ok(()) => outcome,
            // All that is left of it has gone.
            Err(error) if error.is_not_found() => Ok(Step::Next(names.len())),
            Err(error) => Err(error.into()),
        }
    }

    fn list_looked_at(
        &self,
        store: &Arc<StoreNode>,
        names: &Names,
        from: usize,
        looks: &ListedLooks,
        look: &mut Look<'_>,
        add: &mut impl FnMut(&Listed<'_>, &Entry) -> bool,
    ) -> FsResult<Step> {
        for at in from..names.len() {
            let key = Key::from_bytes(names.get(at))?;
            if self.writers.get(store, &key).is_some() {
                return Ok(Step::Next(at));
            }
            let told = names.told(at).filter(|told| self.still_holds(store, &key, told));
            let taken_at = told.map(|(_, taken_at)| taken_at);
            let attributes = match told.map_or_else(|| look(&key), |(told, _)| Ok(told)) {
                Err(error) if error.is_not_found() && names.is_plain => return Ok(Step::Next(at)),
                Err(error) if error.is_not_found() => continue,
                // A matter for itself.
                Err(_) => return Ok(Step::Next(at)),
                Ok(attributes) => attributes,
            };
            let ino = self.versions.version(store, &key, attributes);
            let attr = self.file(ino, attributes);
            let entry = self.trust.listed_record(looks, taken_at, &key, attr);
            if listed(names, at, |listed| add(listed, &entry)) {
                return Ok(Step::NoRoomFor(ino));
            }
        }
        Ok(Step::Next(names.len()))
    }

    /// Whether what a listing told of a record a moment ago is what this mount knows of it: it has not removed the record
    /// since, and knows no other version.
    fn still_holds(
        &self,
        store: &Arc<StoreNode>,
        key: &Key,
        (told, taken_at): &(Attributes, Moment),
    ) -> bool {
        !self.trust.is_removed_since(store, key, *taken_at)
            && self.versions.knows_no_other(store, key, &told.stamp)
    }

    /// The entry of a record that cannot be looked at, of which the kernel may keep nothing.
    fn bad_entry(&self, directory: Ino, key: &Key) -> FsResult<Entry> {
        let store = self.store_node(directory)?;
        let attributes = self.made_up(0, None);
        let ino = self.versions.version(&store, key, attributes);
        Ok(Entry::unkept(self.file(ino, attributes)))
    }

    fn names_of(&self, directory: Ino) -> FsResult<Names> {
        let mut names = Names::default();
        DOTS.iter().for_each(|dots| names.push_directory(dots));
        match &*self.node(directory)? {
            Node::Root => {
                names.push_directory(name::STORES);
                for top in plain::TOP {
                    if self.storage.store(&StoreName::plain_root().child(top)?).attributes().is_ok()
                    {
                        names.push_directory(top.as_bytes());
                    }
                }
            }
            Node::Private(_) => {
                for name in self.versions.private_names(directory) {
                    names.push_directory(&name);
                }
            }
            Node::Stores => {
                let stores: Vec<StoreName> = match self.storage.stores() {
                    // The C library takes ENOENT for the end of the directory.
                    Err(error) if error.is_not_found() => return Err(FsError::Vanished),
                    stores => stores?,
                };
                stores.iter().for_each(|store| names.push_directory(store.as_str().as_bytes()));
            }
            Node::Store(node) => {
                // Before those on the disk, where they may be a moment later.
                let new = self.writers.new_records(node);
                let store = self.store(node);
                let own = store.name();
                if own.is_plain() {
                    for directory in self.storage.directories(own)? {
                        names.push_directory(directory.as_bytes());
                    }
                } else {
                    node.show_metadata();
                    if self.has_metadata(node)? {
                        names.push_other(name::METADATA);
                    }
                }
                let now = self.trust.moment();
                names.begin_records(own.is_plain(), new, store.scan()?);
                names.take_more(now)?;
            }
            _ => return Err(FsError::NotDirectory),
        }
        Ok(names)
    }
}

/// Gives a name as a listing shows it to `add`.
fn listed(names: &Names, at: usize, add: impl FnOnce(&Listed<'_>) -> bool) -> bool {
    let kind = if names.is_directory(at) { FileKind::Directory } else { FileKind::File };
    add(&Listed { name: &names.shown(at), kind, next: at as u64 + 1 })
}
