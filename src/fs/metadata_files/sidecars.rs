//! Sidecars that somebody has brought by their names, and what has become of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use crate::fs::error::{FsError, FsResult};
use crate::model::{AttributeChange, Attributes, ContentType, Key, Stamp, StoreName};
use crate::ranks::{Mutex, Table};

/// So many bytes of sidecars are held for values that are still to come. More are refused, as by a disk that is full.
const MOST_HELD_BYTES: usize = 64 * 1024 * 1024;

/// What a sidecar that is held takes besides its text, about.
const HELD_BESIDES: usize = 512;

/// So many sidecars whose values were removed are held. Who replaces a file by removing it and making it anew does the
/// one right after the other.
const MOST_LEFT: usize = 64;

/// So many sidecars are known to be in their places. With more, all are forgotten: then none is found by its name, and
/// whoever copies the storage once more brings them once more.
const MOST_PLACED: usize = 1 << 18;

/// The sidecars that were brought.
#[derive(Debug, Default)]
pub(in crate::fs) struct Sidecars {
    all: Mutex<Table, All>,
}

#[derive(Debug, Default)]
struct All {
    by_store: HashMap<StoreName, OfStore>,
    held_bytes: usize,
    placed: usize,
    /// Those that were left by their values, the oldest first.
    left: VecDeque<(StoreName, Box<[u8]>, Weak<HeldSidecar>)>,
}

#[derive(Debug, Default)]
struct OfStore {
    /// By the name of the value's file.
    by_file: HashMap<Box<[u8]>, Brought>,
    /// Which of them wait for a value, by its key.
    waiting: HashMap<Key, Box<[u8]>>,
}

/// What has become of a sidecar.
#[derive(Clone, Debug)]
pub(in crate::fs) enum Brought {
    /// It is held in memory: its value is still to come, or its record cannot have it to the letter.
    Held(Arc<HeldSidecar>),
    /// It is beside its value.
    Placed(Placed),
}

/// A sidecar that is in its place.
#[derive(Clone, Copy, Debug)]
pub(in crate::fs) struct Placed {
    /// The file that it is.
    pub(in crate::fs) stamp: Stamp,
    /// Whether the value that it was brought with may still come, in the place of the one that is there.
    pub(in crate::fs) may_be_followed: bool,
}

/// What a sidecar that is held waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fs) enum Waits {
    /// For its value.
    ForValue,
    /// For a value in the place of the one that was removed and has left it: it need not be for that one.
    AsLeft,
    /// For nothing but perhaps its value, in the place of one that it fits too.
    Perhaps,
}

/// A sidecar that is held.
#[derive(Clone, Debug)]
pub(in crate::fs) struct HeldSidecar {
    pub(in crate::fs) text: Vec<u8>,
    pub(in crate::fs) attributes: Attributes,
    /// What of the attributes it brings along.
    pub(in crate::fs) change: AttributeChange,
    /// What it waits for, if anything.
    pub(in crate::fs) waits_for: Option<Awaited>,
}

/// A value for which a sidecar waits.
#[derive(Clone, Debug)]
pub(in crate::fs) struct Awaited {
    pub(in crate::fs) key: Key,
    /// The type that the sidecar says.
    pub(in crate::fs) content_type: ContentType,
    /// The length that it says, in bytes.
    pub(in crate::fs) size: Option<u64>,
    pub(in crate::fs) waits: Waits,
}

impl Awaited {
    /// Whether a value of this length is what the sidecar is about.
    pub(in crate::fs) fn is_met_by(&self, size: u64) -> bool {
        self.size.is_none_or(|said| said == size)
    }
}

impl HeldSidecar {
    fn waits_perhaps(&self) -> bool {
        self.waits_for.as_ref().is_some_and(|awaited| awaited.waits == Waits::Perhaps)
    }

    fn bytes(&self) -> usize {
        self.text.len() + HELD_BESIDES
    }
}

impl Sidecars {
    /// Whether any sidecar of a store was brought that is still known.
    pub(in crate::fs) fn has_any(&self, store: &StoreName) -> bool {
        self.all.lock().by_store.contains_key(store)
    }

    /// What has become of the sidecar of this name.
    pub(in crate::fs) fn get(&self, store: &StoreName, file: &[u8]) -> Option<Brought> {
        self.all.lock().by_store.get(store)?.by_file.get(file).cloned()
    }

    /// The sidecar that waits for a record, and the name of the value's file that it was brought for.
    pub(in crate::fs) fn waiting(
        &self,
        store: &StoreName,
        key: &Key,
    ) -> Option<(Box<[u8]>, Arc<HeldSidecar>)> {
        let all = self.all.lock();
        if all.held_bytes == 0 {
            return None;
        }
        let of_store = all.by_store.get(store)?;
        let file = of_store.waiting.get(key)?;
        match of_store.by_file.get(file)? {
            Brought::Held(held) => Some((file.clone(), Arc::clone(held))),
            Brought::Placed(_) => None,
        }
    }

    /// The records of a store for which sidecars wait.
    pub(in crate::fs) fn waited_for(&self, store: &StoreName) -> Vec<Key> {
        let all = self.all.lock();
        let of_store = all.by_store.get(store);
        of_store.map(|of_store| of_store.waiting.keys().cloned().collect()).unwrap_or_default()
    }

    /// Holds a sidecar.
    ///
    /// # Errors
    /// ENOSPC if too many are held.
    pub(in crate::fs) fn hold(
        &self,
        store: &StoreName,
        file: &[u8],
        held: HeldSidecar,
    ) -> FsResult<()> {
        let mut all = self.all.lock();
        all.remove(store, file);
        if all.held_bytes + held.bytes() > MOST_HELD_BYTES {
            return Err(FsError::Failed(libc::ENOSPC));
        }
        all.held_bytes += held.bytes();
        let of_store = all.by_store.entry(store.clone()).or_default();
        if let Some(awaited) = &held.waits_for {
            of_store.waiting.insert(awaited.key.clone(), file.into());
        }
        of_store.by_file.insert(file.into(), Brought::Held(Arc::new(held)));
        Ok(())
    }

    /// Holds a sidecar whose value was removed.
    pub(in crate::fs) fn leave(&self, store: &StoreName, file: &[u8], held: HeldSidecar) {
        // Where there is no room, it is removed with its value.
        if self.hold(store, file, held).is_err() {
            return;
        }
        let mut all = self.all.lock();
        let Some(held) = all.held(store, file) else { return };
        let held = Arc::downgrade(held);
        all.left.push_back((store.clone(), file.into(), held));
        if all.left.len() > MOST_LEFT
            && let Some((store, file, oldest)) = all.left.pop_front()
            && all.held(&store, &file).is_some_and(|held| Arc::downgrade(held).ptr_eq(&oldest))
        {
            all.remove(&store, &file);
        }
    }

    /// A sidecar is in its place.
    pub(in crate::fs) fn note_placed(&self, store: &StoreName, file: &[u8], placed: Placed) {
        let mut all = self.all.lock();
        all.remove(store, file);
        if all.placed >= MOST_PLACED {
            all.forget_placed();
        }
        all.placed += 1;
        let of_store = all.by_store.entry(store.clone()).or_default();
        of_store.by_file.insert(file.into(), Brought::Placed(placed));
    }

    /// A value has come: the next one is not what a sidecar that did not need one was brought with.
    pub(in crate::fs) fn note_followed(&self, store: &StoreName, file: &[u8]) {
        let mut all = self.all.lock();
        let Some(of_store) = all.by_store.get_mut(store) else { return };
        let ended = match of_store.by_file.get_mut(file) {
            Some(Brought::Placed(placed)) => {
                placed.may_be_followed = false;
                None
            }
            Some(Brought::Held(held)) if held.waits_perhaps() => {
                Arc::make_mut(held).waits_for.take()
            }
            _ => None,
        };
        if let Some(ended) = ended {
            of_store.waiting.remove(&ended.key);
        }
    }

    /// Nothing is left of a sidecar under this name.
    pub(in crate::fs) fn forget(&self, store: &StoreName, file: &[u8]) {
        self.all.lock().remove(store, file);
    }

    /// A store is no more, or was purged of all that waits.
    pub(in crate::fs) fn forget_store(&self, store: &StoreName) {
        let mut all = self.all.lock();
        if let Some(of_store) = all.by_store.remove(store) {
            all.discount(&of_store);
        }
    }

    /// A store has another name.
    pub(in crate::fs) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut all = self.all.lock();
        if let Some(moved) = all.by_store.remove(from)
            && let Some(replaced) = all.by_store.insert(to.clone(), moved)
        {
            all.discount(&replaced);
        }
    }
}

impl All {
    fn remove(&mut self, store: &StoreName, file: &[u8]) {
        let Some(of_store) = self.by_store.get_mut(store) else { return };
        match of_store.by_file.remove(file) {
            Some(Brought::Held(held)) => {
                self.held_bytes -= held.bytes();
                if let Some(Awaited { key, .. }) = &held.waits_for
                    && of_store.waiting.get(key).is_some_and(|waiting| **waiting == *file)
                {
                    of_store.waiting.remove(key);
                }
            }
            Some(Brought::Placed(_)) => self.placed -= 1,
            None => {}
        }
        if of_store.by_file.is_empty() {
            self.by_store.remove(store);
        }
    }

    fn held(&self, store: &StoreName, file: &[u8]) -> Option<&Arc<HeldSidecar>> {
        match self.by_store.get(store)?.by_file.get(file)? {
            Brought::Held(held) => Some(held),
            Brought::Placed(_) => None,
        }
    }

    fn forget_placed(&mut self) {
        for of_store in self.by_store.values_mut() {
            of_store.by_file.retain(|_, brought| matches!(brought, Brought::Held(_)));
        }
        self.by_store.retain(|_, of_store| !of_store.by_file.is_empty());
        self.placed = 0;
    }

    /// What is said of a store's sidecars is said no more.
    fn discount(&mut self, of_store: &OfStore) {
        for brought in of_store.by_file.values() {
            match brought {
                Brought::Held(held) => self.held_bytes -= held.bytes(),
                Brought::Placed(_) => self.placed -= 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn held(key: &str, waits: Waits) -> HeldSidecar {
        let now = SystemTime::now();
        let stamp = Stamp { object: 0, size: 0, modified_ns: 0, changed_ns: 0 };
        let attributes = Attributes {
            size: 0,
            blocks: 0,
            links: 1,
            mode: 0o644,
            uid: 0,
            gid: 0,
            accessed: now,
            modified: now,
            changed: now,
            stamp,
        };
        let (key, content_type) = (Key::new(key).unwrap(), ContentType::text());
        HeldSidecar {
            text: b"{}".to_vec(),
            attributes,
            change: AttributeChange::default(),
            waits_for: Some(Awaited { key, content_type, size: None, waits }),
        }
    }

    fn waits(sidecars: &Sidecars, key: &str) -> bool {
        sidecars.waiting(&StoreName::default_store(), &Key::new(key).unwrap()).is_some()
    }

    #[test]
    fn the_sidecars_that_were_left_last_are_held() {
        let (sidecars, store) = (Sidecars::default(), StoreName::default_store());
        sidecars.hold(&store, b"brought", held("brought", Waits::ForValue)).unwrap();
        sidecars.leave(&store, b"again", held("again", Waits::AsLeft));
        for at in 0..MOST_LEFT - 1 {
            sidecars.leave(&store, at.to_string().as_bytes(), held(&at.to_string(), Waits::AsLeft));
        }
        // Once more, and as the newest.
        sidecars.leave(&store, b"again", held("again", Waits::AsLeft));
        assert!(waits(&sidecars, "again") && waits(&sidecars, "0"));
        sidecars.leave(&store, b"last", held("last", Waits::AsLeft));
        assert!(!waits(&sidecars, "0"));
        assert!(waits(&sidecars, "again") && waits(&sidecars, "last"));
        assert!(waits(&sidecars, "brought"), "it was left by nothing");
    }

    #[test]
    fn sidecars_that_wait_are_bounded_and_counted() {
        let (sidecars, store) = (Sidecars::default(), StoreName::default_store());
        let mut count = 0;
        while sidecars
            .hold(&store, format!("{count}").as_bytes(), held("k", Waits::ForValue))
            .is_ok()
        {
            count += 1;
        }
        assert!(count > 100_000, "{count}");
        sidecars.forget(&store, b"0");
        sidecars.hold(&store, b"0", held("k", Waits::ForValue)).unwrap();
        sidecars.forget_store(&store);
        let all = sidecars.all.lock();
        assert_eq!((all.held_bytes, all.by_store.len()), (0, 0));
    }

    #[test]
    fn a_sidecar_that_is_held_goes_with_its_store() {
        let (sidecars, old) = (Sidecars::default(), StoreName::default_store());
        let new = StoreName::new("new").unwrap();
        let stamp = Stamp { object: 1, size: 2, modified_ns: 3, changed_ns: 4 };
        sidecars.hold(&old, b"k", held("k", Waits::ForValue)).unwrap();
        sidecars.note_placed(&old, b"l", Placed { stamp, may_be_followed: true });
        sidecars.rename_store(&old, &new);
        assert!(sidecars.get(&old, b"k").is_none() && !waits(&sidecars, "k"));
        assert!(matches!(sidecars.get(&new, b"k"), Some(Brought::Held(_))));
        assert!(matches!(sidecars.get(&new, b"l"), Some(Brought::Placed(_))));
        assert_eq!(sidecars.waited_for(&new), [Key::new("k").unwrap()]);
    }
}
