//! What is done to many objects of one store: purge, drop, rename.

use std::collections::HashSet;
use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::failure::Failure;
use super::intents::{Intent, Operation};
use super::listing::{AT_ONCE, ListedObject, Listing, MOST_DELETED};
use super::pieces::MOST_COPIED_AT_ONCE;
use super::requests::{Condition, Object, Written};
use super::shared::{Conditions, Shared};
use super::stores::check_name;
use super::tree::Place;
use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::layout;
use crate::backend::{Purge, Purged, Purging, is_item, is_spared};
use crate::model::{Error, Result, StoreName};

/// What a purge does with the objects of a directory.
#[derive(Debug, Default)]
struct Sorted {
    /// Keys of objects that go.
    goes: Vec<String>,
    purged: Purged,
    /// Values that were seen on pages before, whose sidecars follow.
    spared: HashSet<String>,
}

impl Shared {
    // Purge

    /// Empties a store but for what a purge spares.
    pub(super) fn purge(&self, store: &StoreName, purge: &Purge<'_>) -> Result<Purging> {
        // Before anything is written: of a store that is not there, nothing is.
        self.store(store)?;
        let earlier = self.intents()?;
        let operation = Operation::Purge {
            store: store.to_string(),
            input_key: purge.input_key.to_owned(),
            at: purge.at.to_string(),
        };
        let intent = self.begin(operation)?;
        let purged = self.run_purge(store, purge.input_key, purge.at, &intent)?;
        self.end_earlier(&intent, &earlier)?;
        self.end(&intent)?;
        Ok(Purging::done(purged))
    }

    /// The steps of a purge: records go, then the times are set.
    pub(super) fn run_purge(
        &self,
        store: &StoreName,
        input_key: &str,
        at: Timestamp,
        intent: &Intent,
    ) -> Result<Purged> {
        let place = self.place(store)?;
        let purged = self.remove_objects(store, intent, |objects, sorted| {
            for object in objects {
                sort(&place, input_key, object, sorted);
            }
        })?;
        self.versions.forget_store(store, &purged.spared);
        self.note_purged(store, at)?;
        self.stores.forget(store);
        Ok(purged)
    }

    /// Goes through the objects of a directory and removes what `sort` says, a page while the next is fetched.
    fn remove_objects(
        &self,
        store: &StoreName,
        intent: &Intent,
        mut sort: impl FnMut(Vec<ListedObject>, &mut Sorted),
    ) -> Result<Purged> {
        let directory = self.tree.directory(store);
        let calls = &self.calls;
        let remove = async {
            let (mut sorted, mut next) = (Sorted::default(), None::<String>);
            loop {
                let listing = Listing::of(&directory);
                let page = calls.list(listing, next.as_deref(), calls.deadline()).await?;
                let objects = page.objects.into_iter().filter(|object| is_before(object, intent));
                sort(objects.collect(), &mut sorted);
                next = page.next;
                if sorted.goes.len() >= AT_ONCE * MOST_DELETED || next.is_none() {
                    let goes = std::mem::take(&mut sorted.goes);
                    calls.delete_all(&goes, calls.deadline()).await?;
                }
                if next.is_none() {
                    return Ok::<_, Failure>(sorted.purged);
                }
            }
        };
        calls.wait(|| format!("empty '{store}'"), remove)
    }

    // Drop

    /// Removes a store with all that it holds.
    pub(super) fn drop_store(&self, store: &StoreName) -> Result<()> {
        self.store(store)?;
        let earlier = self.intents()?;
        let intent = self.begin(Operation::Drop { store: store.to_string() })?;
        self.run_drop(store, &intent)?;
        self.end_earlier(&intent, &earlier)?;
        self.end(&intent)
    }

    /// The steps of a drop: its records go, and what keeps the store goes last.
    pub(super) fn run_drop(&self, store: &StoreName, intent: &Intent) -> Result<()> {
        let directory = self.tree.directory(store);
        let last = [self.tree.metadata(store), directory.clone()];
        let calls = &self.calls;
        let remove = async {
            let mut next = None::<String>;
            let (mut goes, mut goes_last) = (Vec::new(), Vec::new());
            loop {
                let listing = Listing::below(&directory);
                let page = calls.list(listing, next.as_deref(), calls.deadline()).await?;
                for object in page.objects.into_iter().filter(|object| is_before(object, intent)) {
                    let is_last = last.contains(&object.key);
                    if is_last { &mut goes_last } else { &mut goes }.push(object.key);
                }
                next = page.next;
                if goes.len() >= AT_ONCE * MOST_DELETED || next.is_none() {
                    calls.delete_all(&std::mem::take(&mut goes), calls.deadline()).await?;
                }
                if next.is_none() {
                    break;
                }
            }
            calls.delete_all(&goes_last, calls.deadline()).await?;
            self.remove_keeper(&directory).await
        };
        calls.wait(|| format!("remove '{store}'"), remove)?;
        self.stores.forget(store);
        self.versions.forget_store(store, &[]);
        Ok(())
    }

    // Rename

    /// Gives a store another name, and its metadata another `name`.
    pub(super) fn rename_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        name: Option<&str>,
    ) -> Result<()> {
        self.store(from)?;
        check_name(to)?;
        self.rename_all(from, to, name)
    }

    /// Moves a plain directory; an empty one may be replaced if `replace` is set.
    pub(super) fn rename_directory(
        &self,
        from: &StoreName,
        to: &StoreName,
        replace: bool,
    ) -> Result<()> {
        self.require_parent(from)?;
        self.require_parent(to)?;
        self.store(from)?;
        self.keep_parent(from)?;
        if replace {
            match self.remove_directory(to) {
                Ok(()) | Err(Error::NoSuchStore { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.rename_all(from, to, None)
    }

    fn rename_all(&self, from: &StoreName, to: &StoreName, name: Option<&str>) -> Result<()> {
        let action = || format!("look at '{to}'");
        if self.calls.wait(action, self.is_there(to, &self.calls, self.calls.deadline()))? {
            return Err(Error::StoreExists { store: to.to_string() });
        }
        let intent = self.begin(Operation::Rename {
            from: from.to_string(),
            to: to.to_string(),
            name: name.map(str::to_owned),
        })?;
        self.run_rename(from, to, name, &intent)?;
        self.end(&intent)
    }

    /// The steps of a rename: each object is copied, then removed under its old name if it is still the same. What others
    /// write under the old name meanwhile is moved by another round, or stays.
    pub(super) fn run_rename(
        &self,
        from: &StoreName,
        to: &StoreName,
        name: Option<&str>,
        intent: &Intent,
    ) -> Result<()> {
        let (source, target) = (self.tree.directory(from), self.tree.directory(to));
        let move_all = async {
            let mut next = None::<String>;
            loop {
                let listing = Listing::below(&source);
                let page = self.calls.list(listing, next.as_deref(), self.calls.deadline()).await?;
                let objects = page.objects.into_iter().filter(|object| is_before(object, intent));
                futures_util::stream::iter(objects)
                    .map(|object| self.copy_to(&source, &target, object))
                    .buffer_unordered(AT_ONCE)
                    .try_for_each(|()| async { Ok(()) })
                    .await?;
                next = page.next;
                if next.is_none() {
                    return Ok::<_, Failure>(());
                }
            }
        };
        self.calls.wait(|| format!("rename '{from}' to '{to}'"), move_all)?;
        if !from.is_plain() {
            self.stores.forget(to);
            self.edit_if(to, |document| {
                document.set_name(name);
                true
            })?;
        }
        self.remove_moved(from, &source, &target, intent)?;
        self.versions.rename_store(from, to);
        self.stores.forget(from);
        self.stores.forget(to);
        Ok(())
    }

    /// Copies an object into another directory, unless something has its name there already: that is a copy that was made
    /// before, or what others have written since.
    async fn copy_to(
        &self,
        source: &str,
        target: &str,
        listed: ListedObject,
    ) -> Result<(), Failure> {
        let name = listed.key.strip_prefix(source).unwrap_or_default();
        let to = format!("{target}{name}");
        let told = super::mark::Told::Nothing;
        let ListedObject { size, tag, modified, .. } = listed.clone();
        let mut object = Object { size, tag, modified, told };
        loop {
            if object.size > MOST_COPIED_AT_ONCE {
                // It cannot take its type along.
                let Some(now) = self.calls.head(&listed.key, self.calls.deadline()).await? else {
                    return Ok(());
                };
                object = now;
            }
            let condition = match self.conditions {
                Conditions::Enforced => Condition::Nothing,
                _ => {
                    if self.calls.head(&to, self.calls.deadline()).await?.is_some() {
                        return Ok(());
                    }
                    Condition::Anything
                }
            };
            match self.copy(&listed.key, &object, &to, None, condition).await? {
                Written::NoSource => {
                    let now = self.calls.head(&listed.key, self.calls.deadline()).await?;
                    // Removed meanwhile, or moved by another who completes the same.
                    let Some(now) = now else { return Ok(()) };
                    object = now;
                }
                Written::Done(..) | Written::Refused => return Ok(()),
            }
        }
    }

    /// Removes what has another name now: values before their sidecars, and what keeps the store last.
    fn remove_moved(
        &self,
        from: &StoreName,
        source: &str,
        target: &str,
        intent: &Intent,
    ) -> Result<()> {
        let last = [self.tree.metadata(from), source.to_owned()];
        let calls = &self.calls;
        let remove = async {
            let (mut next, mut goes_last) = (None::<String>, Vec::new());
            loop {
                let listing = Listing::below(source);
                let page = calls.list(listing, next.as_deref(), calls.deadline()).await?;
                let mut goes = Vec::new();
                for object in page.objects.into_iter().filter(|object| is_before(object, intent)) {
                    if last.contains(&object.key) {
                        goes_last.push(object.key);
                    } else {
                        goes.push(object);
                    }
                }
                // Nothing goes that has come since, and is not there.
                let there = self.moved(goes, source, target).await?;
                calls.delete_all(&there, calls.deadline()).await?;
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
            calls.delete_all(&goes_last, calls.deadline()).await?;
            self.remove_keeper(source).await
        };
        calls.wait(|| format!("remove what was renamed from '{from}'"), remove)
    }

    /// Those of some objects that are in the other directory too. What was replaced since its copy was made is copied
    /// again in its place.
    async fn moved(
        &self,
        objects: Vec<ListedObject>,
        source: &str,
        target: &str,
    ) -> Result<Vec<String>, Failure> {
        let looks = objects.into_iter().map(|listed| async move {
            let name = listed.key.strip_prefix(source).unwrap_or_default();
            let to = format!("{target}{name}");
            let there = self.calls.head(&to, self.calls.deadline()).await?;
            let is_same = there.is_some_and(|there| is_copy(&there, &listed));
            if !is_same {
                let Some(now) = self.calls.head(&listed.key, self.calls.deadline()).await? else {
                    return Ok(None);
                };
                let copied = self.copy(&listed.key, &now, &to, None, Condition::Anything).await?;
                if !super::intents::is_done(&copied) {
                    return Ok(None);
                }
            }
            Ok::<_, Failure>(Some(listed.key))
        });
        let there: Vec<Option<String>> =
            futures_util::stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(there.into_iter().flatten().collect())
    }
}

/// Whether an object is a copy of another. One that was written in parts has another tag as a copy; then it is of the same
/// length, and no older.
fn is_copy(copy: &Object, of: &ListedObject) -> bool {
    let may_differ = of.tag.contains('-');
    copy.tag == of.tag || (may_differ && copy.size == of.size && copy.modified >= of.modified)
}

/// Whether an object was there when an operation began.
fn is_before(object: &ListedObject, intent: &Intent) -> bool {
    intent.since.is_none_or(|since: SystemTime| object.modified <= since)
}

/// Says of an object what a purge does with it.
fn sort(place: &Place, input_key: &str, object: ListedObject, sorted: &mut Sorted) {
    let name = object.key.strip_prefix(&place.directory).unwrap_or_default();
    if name.is_empty() || name == layout::METADATA {
        return;
    }
    if place.dialect == Dialect::Plain {
        // Of datasets and queues, what the SDK's purge removes.
        if is_item(name.as_bytes()) {
            sorted.purged.removed += 1;
            sorted.purged.bytes += object.size;
            sorted.goes.push(object.key);
        }
        return;
    }
    if let Some(value) = layout::value_of_sidecar(name.as_bytes()) {
        // A sidecar's name begins with its value's, so it is listed behind it.
        let value = String::from_utf8_lossy(value);
        let is_spared = sorted.spared.contains(&*value) || {
            let key = place.dialect.key(value.as_bytes());
            key.is_ok_and(|key| is_spared(&key, input_key))
        };
        if !is_spared {
            sorted.goes.push(object.key);
        }
        return;
    }
    match place.record(&object.key) {
        Some(key) if is_spared(&key, input_key) => {
            sorted.spared.insert(name.to_owned());
            sorted.purged.spared.push(key);
        }
        _ => {
            sorted.purged.removed += 1;
            sorted.purged.bytes += object.size;
            sorted.goes.push(object.key);
        }
    }
}
