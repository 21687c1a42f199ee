//! Making, listing and emptying stores and plain directories.
//!
//! In a bucket a directory is there as long as any object lies in it. What keeps a store that is empty is its metadata; what
//! keeps one without metadata, and a plain directory, is an empty object whose key is that of the directory, as other tools
//! make them, too. It is written before the last object may go, and stays.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use futures_util::{StreamExt, TryStreamExt};

use super::failure::Failure;
use super::known_stores::{KnownStore, LATE};
use super::listing::{AT_ONCE, ListedObject, Listing};
use super::looks::is_empty;
use super::requests::{Condition, Written};
use super::shared::{Conditions, Shared, no_such_store};
use super::tree::Place;
use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::layout;
use crate::backend::document::Document;
use crate::backend::elsewhere::file_time;
use crate::model::{
    BackendErrorKind, ContentType, Error, RecordType, Result, StoreMetadata, StoreName,
};

impl Shared {
    /// All pages of the directories in a directory, by the keys with which they end in a slash.
    pub(super) fn directories(&self, directory: &str) -> Result<Vec<String>> {
        let list = async {
            let mut names = Vec::new();
            let mut pages = pin!(self.calls.pages(Listing::of(directory)));
            while let Some(page) = pages.try_next().await? {
                let own = page.prefixes.iter().filter_map(|prefix| {
                    let name = prefix.strip_prefix(directory)?.strip_suffix('/')?;
                    Some(name.to_owned())
                });
                names.extend(own);
            }
            Ok::<_, Failure>(names)
        };
        self.calls.wait(|| "list directories of the bucket".to_owned(), list)
    }

    /// Names of all stores.
    pub(super) fn store_names(&self) -> Result<Vec<StoreName>> {
        let mut names = Vec::new();
        for name in self.directories(&self.tree.stores())? {
            match StoreName::new(&name) {
                Ok(name) if name.as_str() != layout::PRIVATE => names.push(name),
                Ok(_) => {}
                Err(error) => log::debug!("a store that can be no directory is not shown: {error}"),
            }
        }
        if self.keeps_names.load(Ordering::Relaxed) { self.those_there(names) } else { Ok(names) }
    }

    /// Those of some stores in which there is anything.
    fn those_there(&self, names: Vec<StoreName>) -> Result<Vec<StoreName>> {
        let looks = names.into_iter().map(|name| async move {
            let is_there = self.is_there(&name, self.calls.deadline()).await?;
            Ok::<_, Failure>(is_there.then_some(name))
        });
        let there = futures_util::stream::iter(looks).buffered(AT_ONCE).try_collect::<Vec<_>>();
        let there = self.calls.wait(|| "look which stores are there".to_owned(), there)?;
        Ok(there.into_iter().flatten().collect())
    }

    /// Makes an empty store.
    pub(super) fn create_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        let taken = || Error::StoreExists { store: store.to_string() };
        let action = || format!("make store '{store}'");
        check_name(store)?;
        // One of several here makes it, also where the server would let all.
        let _alone = (self.conditions != Conditions::Enforced).then(|| self.making.lock());
        let deadline = self.calls.deadline();
        if self.calls.wait(action, self.is_there(store, deadline))? {
            return Err(taken());
        }
        let looked = Instant::now();
        let dialect = self.calls.wait(action, self.dialect_of_others(store, deadline))?;
        let has_metadata = dialect != Dialect::Js3;
        let condition = self.over_nothing();
        let written = if has_metadata {
            let text = Document::new(metadata).to_bytes();
            self.put_text(&self.tree.metadata(store), text, condition)?
        } else {
            self.put_keeper(store, condition)?
        };
        let Written::Done(..) = written else { return Err(taken()) };
        self.stores.forget(store);
        let modified = file_time(metadata.times.modified_at);
        self.stores.note(store, KnownStore { dialect, has_metadata, modified }, looked);
        Ok(())
    }

    /// Writes the object that keeps an empty directory.
    pub(super) fn put_keeper(
        &self,
        store: &StoreName,
        condition: Condition<'_>,
    ) -> Result<Written> {
        let action = || format!("keep directory '{store}'");
        if !self.keeps_directories()? {
            let reason = "this server keeps no directory in which nothing is";
            return Err(Error::backend(BackendErrorKind::Unsupported, action(), reason));
        }
        let key = self.tree.directory(store);
        self.calls.wait(action, self.put_directory(&key, condition))
    }

    async fn put_directory(&self, key: &str, condition: Condition<'_>) -> Result<Written, Failure> {
        let of = RecordType::given(ContentType::new("application/x-directory"));
        let body = bytes::Bytes::new();
        self.calls.put(key, body, &of, condition, self.calls.deadline()).await
    }

    /// Whether the server keeps an object whose key is that of a directory. Some make a file of it. Tried once, with an object
    /// of our own that is gone afterwards.
    fn keeps_directories(&self) -> Result<bool> {
        if let Some(known) = self.keeps_directories.get() {
            return Ok(*known);
        }
        let private = self.tree.private();
        let key = format!("{private}directory-{}/", super::requests::nonce());
        let action = || "try whether the server keeps empty directories".to_owned();
        let keeps = self.calls.wait(action, async {
            self.put_directory(&key, Condition::Anything).await?;
            let listing = Listing::of(&private);
            let page = self.calls.list(listing, None, self.calls.deadline()).await?;
            self.calls.delete(&key, self.calls.deadline()).await?;
            Ok::<_, Failure>(page.prefixes.contains(&key))
        })?;
        Ok(*self.keeps_directories.get_or_init(|| keeps))
    }

    /// Removes what keeps a directory from which all else was removed: the object that was made for that, or a directory that
    /// the server has by itself for what was in it, and shows as an object.
    pub(super) async fn remove_keeper(&self, directory: &str) -> Result<(), Failure> {
        let listing = Listing::of(directory).at_most(2);
        let page = self.calls.list(listing, None, self.calls.deadline()).await?;
        let is_alone = page.prefixes.is_empty() && page.objects.len() == 1;
        if is_alone && page.objects.iter().all(|object| object.key == directory) {
            self.calls.delete(directory, self.calls.deadline()).await?;
        }
        Ok(())
    }

    /// Sees to it that a store or directory stays when its last object goes.
    pub(super) fn keep_store(&self, store: &StoreName) -> Result<()> {
        let known = self.store_of_late(store, LATE)?;
        let is_root = store.is_plain() && store.components().next().is_none();
        if known.has_metadata || is_root || !self.keeps_directories()? {
            return Ok(());
        }
        self.put_keeper(store, Condition::Anything).map(drop)
    }

    /// Removes a store if it holds no records.
    pub(super) fn drop_store_if_empty(&self, store: &StoreName) -> Result<bool> {
        let place = self.place(store)?;
        let Some(keys) = self.keys_of_empty(store, &place)? else { return Ok(false) };
        let metadata = self.metadata_object(store)?;
        let action = || format!("remove store '{store}'");
        let deadline = self.calls.deadline();
        let remove = async {
            self.calls.delete_all(&keys, deadline).await?;
            self.remove_keeper(&place.directory).await
        };
        self.calls.wait(action, remove)?;
        self.stores.forget(store);
        // Who has published meanwhile keeps the store, and its metadata.
        if self.calls.wait(action, self.is_there(store, self.calls.deadline()))? {
            if let Some((_, text)) = metadata {
                let key = self.tree.metadata(store);
                self.put_text(&key, text.to_vec(), self.over_nothing())?;
            }
            return Ok(false);
        }
        self.versions.forget_store(store, &[]);
        Ok(true)
    }

    /// The keys of all objects in a store that holds no records; `None` if it holds any. What lies deeper is no record, but
    /// somebody's.
    fn keys_of_empty(&self, store: &StoreName, place: &Place) -> Result<Option<Vec<String>>> {
        let look = async {
            let mut keys = Vec::new();
            let mut pages = pin!(self.calls.pages(Listing::of(&place.directory)));
            while let Some(page) = pages.try_next().await? {
                let is_record = |object: &ListedObject| place.record(&object.key).is_some();
                if !page.prefixes.is_empty() || page.objects.iter().any(is_record) {
                    return Ok(None);
                }
                keys.extend(page.objects.into_iter().map(|object| object.key));
            }
            Ok::<_, Failure>(Some(keys))
        };
        self.calls.wait(|| format!("list store '{store}'"), look)
    }

    // Plain directories

    /// Makes a plain directory in one that is there.
    pub(super) fn create_directory(&self, directory: &StoreName) -> Result<()> {
        self.require_parent(directory)?;
        let action = || format!("make directory '{directory}'");
        let (deadline, looked) = (self.calls.deadline(), Instant::now());
        if self.calls.wait(action, self.is_there(directory, deadline))?
            || self.is_file(directory)?
        {
            return Err(Error::StoreExists { store: directory.to_string() });
        }
        self.put_keeper(directory, Condition::Anything)?;
        let (dialect, modified) = (Dialect::Plain, SystemTime::now());
        self.stores.note(directory, KnownStore { dialect, has_metadata: false, modified }, looked);
        Ok(())
    }

    /// Removes a plain directory that is empty.
    pub(super) fn remove_directory(&self, directory: &StoreName) -> Result<()> {
        let key = self.tree.directory(directory);
        self.require_parent(directory)?;
        let action = || format!("remove directory '{directory}'");
        let list = self.calls.list(Listing::of(&key).at_most(2), None, self.calls.deadline());
        let page = self.calls.wait(action, list)?;
        if is_empty(&page, &key) {
            return Err(no_such_store(directory));
        }
        if !page.prefixes.is_empty() || page.objects.iter().any(|object| object.key != key) {
            return Err(Error::io(action(), rustix::io::Errno::NOTEMPTY));
        }
        self.keep_parent(directory)?;
        self.calls.wait(action, self.calls.delete(&key, self.calls.deadline()))?;
        self.stores.forget(directory);
        Ok(())
    }

    /// The directory in which another is, which stays when that goes.
    pub(super) fn keep_parent(&self, directory: &StoreName) -> Result<()> {
        match parent_of(directory)? {
            Some(parent) if parent.components().next().is_some() => self.keep_store(&parent),
            _ => Ok(()),
        }
    }

    /// Refuses what is in no directory, or is our own.
    pub(super) fn require_parent(&self, directory: &StoreName) -> Result<()> {
        let is_ours = directory.components().next() == Some(layout::PRIVATE);
        let parent = parent_of(directory)?.filter(|_| !is_ours);
        let Some(parent) = parent else {
            return Err(Error::io(
                format!("change directory '{directory}'"),
                rustix::io::Errno::PERM,
            ));
        };
        if parent.components().next().is_some() {
            self.store_of_late(&parent, LATE)?;
        }
        Ok(())
    }

    /// Whether a file has the name of a directory.
    fn is_file(&self, directory: &StoreName) -> Result<bool> {
        let key = self.tree.directory(directory);
        let key = key.trim_end_matches('/');
        let action = || format!("look at '{directory}'");
        Ok(self.calls.wait(action, self.calls.head(key, self.calls.deadline()))?.is_some())
    }
}

/// Checks the name of a store that is to be made.
pub(super) fn check_name(store: &StoreName) -> Result<()> {
    let invalid = |reason| Err(Error::InvalidStoreName { name: store.to_string(), reason });
    if store.as_str() == layout::PRIVATE {
        return invalid("storefs keeps something else under this name");
    }
    if store.as_str().contains('\\') {
        return invalid("some servers of buckets take a backslash for a slash");
    }
    Ok(())
}

/// The plain directory in which another is; `None` for the storage's own.
fn parent_of(directory: &StoreName) -> Result<Option<StoreName>> {
    let path: Vec<&str> = directory.components().collect();
    let Some((_, parents)) = path.split_last() else { return Ok(None) };
    parents.iter().try_fold(StoreName::plain_root(), |dir, own| dir.child(own)).map(Some)
}
