//! Listing directories: the names are taken once for each open directory.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::inode::{Node, StoreNode};
use super::watch::ListedLooks;
use super::{Entry, FileKind, FileSystem, FsError, FsResult, Handle, Ino, handle::Open, name};
use crate::engine::{Look, Scan};
use crate::model::{Error, Key, StoreName};

/// An open directory. Its names are taken at the first read and again after each rewind, so that what is
/// removed while it is read neither hides nor doubles anything. Those of a very large store are taken in portions,
/// so that the first do not wait for the last.
#[derive(Debug)]
pub(super) struct Listing {
    directory: Ino,
    /// Rank 1: held while names are taken, so that they are taken once.
    names: Mutex<Option<Names>>,
}

impl Listing {
    pub(super) fn new(directory: Ino) -> Self {
        Self { directory, names: Mutex::new(None) }
    }
}

/// Names, end to end in one buffer: a store of a million records is listed from here in its bytes plus eight
/// for each. First come directories, then files that are no records, then records by their keys. A cookie is the
/// number of names before the place where the listing goes on.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`.
    ends: Vec<usize>,
    /// So many of the first names are directories.
    directories: usize,
    /// So many of the first names stand for no record.
    others: usize,
    /// Whether the directory is a plain one.
    is_plain: bool,
    /// Where further records come from.
    rest: Option<Scan>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("taken", &self.ends.len()).finish_non_exhaustive()
    }
}

/// So many names are taken first: the first that are listed must not wait for a medium that seeks.
const FIRST_PORTION: usize = 1024;

/// So many names are taken at a time at most, each portion being twice the one before.
const LARGEST_PORTION: usize = 32 * 1024;

/// What every directory begins with.
const DOTS: [&[u8]; 2] = [b".", b".."];

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    /// Adds a directory, before anything else is added.
    fn push_directory(&mut self, name: &[u8]) {
        self.push_other(name);
        self.directories = self.ends.len();
    }

    /// Adds what is no record, before any record is added.
    fn push_other(&mut self, name: &[u8]) {
        self.push(name);
        self.others = self.ends.len();
    }

    /// Takes further records. Gives back whether there were any.
    fn take_more(&mut self) -> FsResult<bool> {
        let Some(rest) = &mut self.rest else { return Ok(false) };
        let before = self.ends.len();
        let portion = before.clamp(FIRST_PORTION, LARGEST_PORTION);
        for key in rest.take(portion) {
            self.bytes.extend_from_slice(key?.as_bytes());
            self.ends.push(self.bytes.len());
        }
        let taken = self.ends.len() - before;
        if taken < portion {
            self.rest = None;
        }
        Ok(taken > 0)
    }

    /// The bytes of a name, those of its key if it is a record's; of nothing if there are not so many names.
    fn get(&self, at: usize) -> &[u8] {
        let end = |at: usize| self.ends.get(at).copied().unwrap_or_default();
        let begin = at.checked_sub(1).map_or(0, end);
        self.bytes.get(begin..end(at)).unwrap_or_default()
    }

    fn is_record(&self, at: usize) -> bool {
        at >= self.others
    }

    /// A name as it is shown.
    fn shown(&self, at: usize) -> Cow<'_, [u8]> {
        match self.is_record(at) {
            true => name::shown_in(self.is_plain, self.get(at)),
            false => Cow::Borrowed(self.get(at)),
        }
    }

    /// Gives a name as a listing shows it to `add`.
    fn listed(&self, at: usize, add: impl FnOnce(Listed<'_>) -> bool) -> bool {
        let kind = if at < self.directories { FileKind::Directory } else { FileKind::File };
        add(Listed { name: &self.shown(at), kind, next: at as u64 + 1 })
    }
}

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

impl FileSystem {
    /// Opens a directory.
    ///
    /// # Errors
    /// [`FsError::NotDirectory`], [`FsError::Stale`], [`Error::NoSuchStore`].
    pub fn opendir(&self, ino: Ino) -> FsResult<Handle> {
        match &*self.node(ino)? {
            Node::Root | Node::Stores => {}
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
            let full = names.listed(at, |listed| add(&listed));
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
            self.list_one(directory, names, at, &mut add)
        })
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: Handle) {
        self.handles.remove(handle);
    }

    /// Calls `step` with the place of each name from a cookie on, or of the first of those that it will list.
    fn list(
        &self,
        handle: Handle,
        cookie: u64,
        mut step: impl FnMut(Ino, &Names, usize) -> FsResult<Step>,
    ) -> FsResult<()> {
        let open = self.handles.get(handle).ok_or(FsError::BadHandle)?;
        let Open::Directory(listing) = &*open else { return Err(FsError::BadHandle) };
        let directory = listing.directory;
        let mut names = listing.names.lock();
        if cookie == 0 {
            *names = None;
        }
        let names = match &mut *names {
            Some(names) => names,
            names => names.insert(self.names_of(directory)?),
        };
        let Ok(mut at) = usize::try_from(cookie) else { return Ok(()) };
        loop {
            while at >= names.ends.len() {
                if !names.take_more()? {
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
        }
    }

    /// Lists one name with its attributes.
    fn list_one(
        &self,
        directory: Ino,
        names: &Names,
        at: usize,
        add: &mut impl FnMut(&Listed<'_>, &Entry) -> bool,
    ) -> FsResult<Step> {
        if at < DOTS.len() {
            let entry = self.entry(self.getattr(directory)?);
            let full = names.listed(at, |listed| add(&listed, &entry));
            return Ok(if full { Step::Full } else { Step::Next(at + 1) });
        }
        let name = names.shown(at);
        let entry = match self.listed_entry(directory, &name) {
            Err(FsError::NotFound | FsError::Reserved | FsError::InvalidName) => {
                return Ok(Step::Next(at + 1));
            }
            Err(FsError::Storage(error)) if error.is_not_found() => {
                return Ok(Step::Next(at + 1));
            }
            entry => entry?,
        };
        Ok(match names.listed(at, |listed| add(&listed, &entry)) {
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
        let looks = self.begin_listed(store);
        let looked = self.store(store).look_at_records(&mut |look| {
            outcome = self.list_looked_at(store, names, from, &looks, look, add);
        });
        match looked {
            Ok(()) => outcome,
            // All that is left of it has gone.
            Err(error) if error.is_not_found() => Ok(Step::Next(names.ends.len())),
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
        for at in from..names.ends.len() {
            let key = Key::from_bytes(names.get(at))?;
            if self.sessions.get(store, &key).is_some() {
                return Ok(Step::Next(at));
            }
            let attributes = match look(&key) {
                Err(error) if error.is_not_found() && names.is_plain => return Ok(Step::Next(at)),
                Err(error) if error.is_not_found() => continue,
                attributes => attributes?,
            };
            let ino = self.inodes.version(store, &key, attributes);
            let entry = self.listed_record(looks, &key, self.file(ino, attributes));
            if names.listed(at, |listed| add(&listed, &entry)) {
                return Ok(Step::NoRoomFor(ino));
            }
        }
        Ok(Step::Next(names.ends.len()))
    }

    fn names_of(&self, directory: Ino) -> FsResult<Names> {
        let mut names = Names::default();
        DOTS.iter().for_each(|dots| names.push_directory(dots));
        match &*self.node(directory)? {
            Node::Root => {
                names.push_directory(super::STORES_NAME);
                for top in super::plain::TOP {
                    if self.storage.store(&StoreName::plain_root().child(top)?).attributes().is_ok()
                    {
                        names.push_directory(top.as_bytes());
                    }
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
                for session in self.sessions.of_store(node) {
                    session.settle();
                }
                let store = self.store(node);
                let own = store.name();
                if own.is_plain() {
                    for directory in self.storage.directories(own)? {
                        names.push_directory(directory.as_bytes());
                    }
                } else {
                    match store.metadata_text() {
                        Ok(None) => {}
                        Ok(Some(_)) | Err(Error::DamagedMetadata { .. }) => {
                            names.push_other(name::METADATA);
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                names.is_plain = own.is_plain();
                names.rest = Some(store.scan()?);
                names.take_more()?;
            }
            _ => return Err(FsError::NotDirectory),
        }
        Ok(names)
    }
}
