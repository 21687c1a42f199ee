//! What is done to many objects of one store: purge, drop, rename.

use std::pin::pin;
use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::failure::Failure;
use super::intents::{Intent, Operation};
use super::listing::{AT_ONCE, ListedObject, Listing};
use super::pieces::MOST_COPIED_AT_ONCE;
use super::requests::{Condition, Object, Written};
use super::shared::{Conditions, Shared};
use super::stores::check_name;
use super::tree::Place;
use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::layout;
use crate::backend::{Purge, Purged, Purging, is_item, is_spared};
use crate::model::{Error, Result, StoreName};

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
        let mut purged = Purged::default();
        let remove = self.remove_each(Listing::of(&place.directory), intent, |object| {
            sort(&place, input_key, object, &mut purged)
        });
        self.calls.wait(|| format!("empty '{store}'"), remove)?;
        self.versions.forget_store(store, &purged.spared);
        self.note_purged(store, at)?;
        self.stores.forget(store);
        Ok(purged)
    }

    /// Removes the objects that `sort` gives back, of a page while the next ones are fetched.
    async fn remove_each(
        &self,
        listing: Listing<'_>,
        intent: &Intent,
        mut sort: impl FnMut(ListedObject) -> Option<String>,
    ) -> Result<(), Failure> {
        let pages = self.calls.pages(listing).map_ok(|page| {
            let objects = page.objects.into_iter().filter(|object| is_before(object, intent));
            objects.filter_map(&mut sort).collect::<Vec<String>>()
        });
        pages
            .try_for_each_concurrent(AT_ONCE, |goes| async move {
                self.calls.delete_all(&goes, self.calls.deadline()).await
            })
            .await
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
        let remove = async {
            let mut goes_last = Vec::new();
            self.remove_each(Listing::below(&directory), intent, |object| {
                if last.contains(&object.key) {
                    goes_last.push(object.key);
                    return None;
                }
                Some(object.key)
            })
            .await?;
            self.calls.delete_all(&goes_last, self.calls.deadline()).await?;
            self.remove_keeper(&directory).await
        };
        self.calls.wait(|| format!("remove '{store}'"), remove)?;
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
        if self.calls.wait(action, self.is_there(to, self.calls.deadline()))? {
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
            let mut pages = pin!(self.calls.pages(Listing::below(&source)));
            while let Some(page) = pages.try_next().await? {
                let objects = page.objects.into_iter().filter(|object| is_before(object, intent));
                futures_util::stream::iter(objects)
                    .map(|object| self.copy_to(&source, &target, object))
                    .buffer_unordered(AT_ONCE)
                    .try_for_each(|()| async { Ok(()) })
                    .await?;
            }
            Ok::<_, Failure>(())
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
            let mut goes_last = Vec::new();
            let mut pages = pin!(calls.pages(Listing::below(source)));
            while let Some(page) = pages.try_next().await? {
                let objects = page.objects.into_iter().filter(|object| is_before(object, intent));
                let (keeping, goes): (Vec<_>, Vec<_>) =
                    objects.partition(|object| last.contains(&object.key));
                goes_last.extend(keeping.into_iter().map(|object| object.key));
                let there = self.moved(goes, source, target).await?;
                calls.delete_all(&there, calls.deadline()).await?;
            }
            calls.delete_all(&goes_last, calls.deadline()).await?;
            self.remove_keeper(source).await
        };
        calls.wait(|| format!("remove what was renamed from '{from}'"), remove)
    }

    /// Those of some objects that may go, since the other directory has what they have, or something newer.
    async fn moved(
        &self,
        objects: Vec<ListedObject>,
        source: &str,
        target: &str,
    ) -> Result<Vec<String>, Failure> {
        let looks = objects.into_iter().map(|listed| async move {
            let name = listed.key.strip_prefix(source).unwrap_or_default();
            let may_go = self.is_moved(&listed, &format!("{target}{name}")).await?;
            Ok::<_, Failure>(may_go.then_some(listed.key))
        });
        let may_go: Vec<Option<String>> =
            futures_util::stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(may_go.into_iter().flatten().collect())
    }

    /// Whether an object may go that was copied to another key. What others have written there since is newer, and stays. What
    /// they have written here since the copy is copied again, in the place of that copy only. Which of two of one second is
    /// the newer nobody can tell: then both stay.
    async fn is_moved(&self, listed: &ListedObject, to: &str) -> Result<bool, Failure> {
        let there = self.calls.head(to, self.calls.deadline()).await?;
        let condition = match &there {
            // It has come since the others were copied.
            None => self.over_nothing(),
            Some(there) if is_copy(there, listed) || there.modified > listed.modified => {
                return Ok(true);
            }
            Some(there) if there.modified == listed.modified => {
                let key = &listed.key;
                log::warn!("'{key}' is left where it is: '{to}' was written in the same second");
                return Ok(false);
            }
            Some(there) if self.conditions == Conditions::Enforced => Condition::Only(&there.tag),
            Some(_) => Condition::Anything,
        };
        let Some(now) = self.calls.head(&listed.key, self.calls.deadline()).await? else {
            return Ok(false);
        };
        let copied = self.copy(&listed.key, &now, to, None, condition).await?;
        Ok(matches!(copied, Written::Done(..)))
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

/// The key of an object that a purge removes, which is counted; `None` for one that stays.
fn sort(
    place: &Place,
    input_key: &str,
    object: ListedObject,
    purged: &mut Purged,
) -> Option<String> {
    let name = object.key.strip_prefix(&place.directory).unwrap_or_default().as_bytes();
    if name.is_empty() || name == layout::METADATA.as_bytes() {
        return None;
    }
    if place.dialect == Dialect::Plain {
        // Of datasets and queues, what the SDK's purge removes.
        if !is_item(name) {
            return None;
        }
    } else if let Some(value) = layout::value_of_sidecar(name) {
        let stays = place.dialect.key(value).is_ok_and(|key| is_spared(&key, input_key));
        return (!stays).then_some(object.key);
    } else if let Some(key) = place.record(&object.key).filter(|key| is_spared(key, input_key)) {
        purged.spared.push(key);
        return None;
    }
    purged.removed += 1;
    purged.bytes += object.size;
    Some(object.key)
}
