//! Listing directories: the names are taken once for each open directory.

use parking_lot::Mutex;

use super::inode::Node;
use super::{Entry, FileKind, FileSystem, FsError, FsResult, Handle, Ino, handle::Open, name};
use crate::engine::Scan;
use crate::model::{Error, StoreName};

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
/// for each.
#[derive(Debug, Default)]
struct Names {
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`.
    ends: Vec<usize>,
    /// So many of the first names are directories.
    directories: usize,
    /// Where further names come from.
    rest: Option<Rest>,
}

/// The records of a store that are not listed yet.
struct Rest {
    store: StoreName,
    keys: Scan,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest").field("store", &self.store).finish_non_exhaustive()
    }
}

/// So many names are taken at a time: some ten milliseconds' worth.
const PORTION: usize = 32 * 1024;

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    /// Adds a directory, before any file is added.
    fn push_directory(&mut self, name: &[u8]) {
        self.push(name);
        self.directories = self.ends.len();
    }

    /// Takes further names. Gives back whether there were any.
    fn take_more(&mut self) -> FsResult<bool> {
        let Some(rest) = &mut self.rest else { return Ok(false) };
        let before = self.ends.len();
        for key in rest.keys.by_ref().take(PORTION) {
            let name = name::shown_in(&rest.store, &key?);
            self.bytes.extend_from_slice(&name);
            self.ends.push(self.bytes.len());
        }
        if self.ends.len() - before < PORTION {
            self.rest = None;
        }
        Ok(self.ends.len() > before)
    }

    fn kind(&self, index: usize) -> FileKind {
        if index < self.directories { FileKind::Directory } else { FileKind::File }
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let begin = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        self.bytes.get(begin.unwrap_or(0)..end)
    }
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

/// Cookies 0 and 1 are `.` and `..`.
const FIRST_NAME: u64 = 2;

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
        self.list(handle, cookie, |_, listed| Ok(add(listed)))
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
        self.list(handle, cookie, |directory, listed| {
            if matches!(listed.name, b"." | b"..") {
                let attr = self.getattr(directory)?;
                return Ok(add(listed, &self.entry(attr)));
            }
            let entry = match self.listed_entry(directory, listed.name) {
                Ok(entry) => entry,
                Err(FsError::NotFound | FsError::Reserved | FsError::InvalidName) => {
                    return Ok(false);
                }
                Err(FsError::Storage(error)) if error.is_not_found() => return Ok(false),
                Err(error) => return Err(error),
            };
            let full = add(listed, &entry);
            if full {
                self.forget(entry.attr.ino, 1);
            }
            Ok(full)
        })
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: Handle) {
        self.handles.remove(handle);
    }

    fn list(
        &self,
        handle: Handle,
        cookie: u64,
        mut add: impl FnMut(Ino, &Listed<'_>) -> FsResult<bool>,
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
        for (at, dots) in [b".".as_slice(), b".."].into_iter().enumerate() {
            let at = at as u64;
            let listed = Listed { name: dots, kind: FileKind::Directory, next: at + 1 };
            if cookie <= at && add(directory, &listed)? {
                return Ok(());
            }
        }
        let mut cookie = cookie.max(FIRST_NAME);
        while let Ok(at) = usize::try_from(cookie - FIRST_NAME) {
            let Some(name) = names.get(at) else {
                if names.take_more()? {
                    continue;
                }
                break;
            };
            cookie += 1;
            if add(directory, &Listed { name, kind: names.kind(at), next: cookie })? {
                break;
            }
        }
        Ok(())
    }

    fn names_of(&self, directory: Ino) -> FsResult<Names> {
        let mut names = Names::default();
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
                            names.push(name::METADATA);
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                names.rest = Some(Rest { store: own.clone(), keys: store.scan()? });
                names.take_more()?;
            }
            _ => return Err(FsError::NotDirectory),
        }
        Ok(names)
    }
}
