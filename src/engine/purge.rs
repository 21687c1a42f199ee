//! Purging a store, and undoing that.

use std::time::Duration;

use jiff::Timestamp;

use super::{Storage, Store};
use crate::backend::{Keep, KeptPurges, Purge, Purging, WouldPurge, is_input_key};
use crate::model::{
    BackendErrorKind, Error, KeptPurge, Key, PurgedBy, Result, StoreName, Unpurged,
};

/// How a store is purged.
#[derive(Clone, Debug, Default)]
pub struct PurgeOptions {
    /// For how long what is removed is kept aside, so that the purge can be undone. Without it, or if it is zero, nothing is
    /// kept.
    pub keep: Option<Duration>,
    /// Who purges, as is noted with what is kept; `None` is this process.
    pub by: Option<PurgedBy>,
    /// When the store is purged; `None` is now.
    pub at: Option<Timestamp>,
}

impl Store {
    /// Removes every record but the input, and what else the official SDK's purge removes; sets accessed and
    /// modified times to one new moment. An input that has no content type yet gets the one that the Apify SDK
    /// gives it when it opens a store, so that both leave the same files; if that fails, the purge has happened all
    /// the same, and says so in [`Purging::untyped`].
    ///
    /// In the directory of a dataset or a request queue, its items or requests go, and its metadata says so.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`]; then nothing is purged.
    pub fn purge(&self) -> Result<Purging> {
        self.purge_with(&PurgeOptions::default())
    }

    /// The same with options. What a purge of a key-value store removes can be kept for a while, out of the sight of every
    /// SDK, and [brought back](Self::unpurge):
    ///
    /// ```
    /// use std::time::Duration;
    /// use storefs::engine::{OpenStore, PurgeOptions, Storage};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::Builder::new().prefix("storefs-test-").tempdir()?;
    /// # let path = dir.path();
    /// let storage = Storage::open_directory(path, Default::default())?;
    /// let store = storage.open_store(&OpenStore::default())?;
    /// store.set_value(&"a".parse()?, "old", None)?;
    /// store.set_value(&"b".parse()?, "old", None)?;
    ///
    /// let keep = Some(Duration::from_secs(3600));
    /// store.purge_with(&PurgeOptions { keep, ..Default::default() })?;
    /// assert!(store.is_empty()?);
    /// store.set_value(&"a".parse()?, "new", None)?;
    ///
    /// let unpurged = store.unpurge()?;
    /// assert_eq!((unpurged.restored, unpurged.left), (1, vec!["a".parse()?]));
    /// assert_eq!(store.get_value(&"a".parse()?)?.ok_or("made since")?.text()?, "new");
    /// assert_eq!(store.get_value(&"b".parse()?)?.ok_or("back")?.text()?, "old");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Of datasets and request queues nothing is kept.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`]; [`Error::Backend`] if a storage of this kind keeps nothing, `EOPNOTSUPP` if
    /// this directory cannot. Then nothing is purged.
    pub fn purge_with(&self, options: &PurgeOptions) -> Result<Purging> {
        let at = options.at.unwrap_or_else(Timestamp::now);
        let purge = Purge { input_key: self.storage.input_key(), at };
        if self.name.is_plain() {
            return self.purge_collection(&purge);
        }
        let keep = match options.keep.filter(|keep| !keep.is_zero()) {
            Some(duration) => Some((self.storage.keeper(&self.name)?, keep(duration, options, at))),
            None => None,
        };
        self.complete_metadata(&super::new_metadata(self.name.metadata_name()))?;
        let purge = || match &keep {
            Some((keeper, keep)) => keeper.purge_and_keep(&self.name, &purge, keep),
            None => self.backend().purge_store(&self.name, &purge),
        };
        let purging = self.storage.instead_of_times(&self.name, purge, |_| true)?;
        let mut untyped = Vec::new();
        let is_input = |key: &&Key| is_input_key(key, self.storage.input_key());
        for key in purging.spared().iter().filter(is_input) {
            match self.adopt_input(key) {
                // Somebody has removed it since.
                Ok(()) | Err(Error::NoSuchRecord { .. }) => {}
                Err(error) => {
                    log::warn!("input '{key}' of store '{}' gets no type: {error}", self.name);
                    untyped.push(key.clone());
                }
            }
        }
        Ok(purging.leaving_untyped(untyped))
    }

    /// Tells of each record, and each piece of litter, whether a purge would remove it, and changes nothing. Sidecars, which
    /// go with their records, are not told of.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`]; what `tell` fails with.
    pub fn would_purge(&self, tell: &mut dyn FnMut(WouldPurge) -> Result<()>) -> Result<()> {
        self.backend().would_purge(&self.name, self.storage.input_key(), tell)
    }

    /// Undoes the last purge whose records are kept, in one step: [`purge_with`](Self::purge_with). What was made in the
    /// store since stays as it is, and what is kept under the same keys is then gone. Accessed and modified times become one
    /// new moment. The purge before that, if it is kept too, can be undone next.
    ///
    /// # Errors
    /// [`Error::NoKeptPurge`], [`Error::NoSuchStore`], [`Error::ReadOnly`], [`Error::Io`]; then nothing has changed.
    pub fn unpurge(&self) -> Result<Unpurged> {
        let none = || Error::NoKeptPurge { store: self.name.to_string() };
        let keeper = match self.backend().kept_purges() {
            Some(keeper) if !self.name.is_plain() => keeper,
            _ => return Err(none()),
        };
        let undo = Purge { input_key: self.storage.input_key(), at: Timestamp::now() };
        self.storage.instead_of_times(&self.name, || keeper.undo(&self.name, &undo), |_| true)
    }

    /// The last purge of the store whose records are kept.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn kept_purge(&self) -> Result<Option<KeptPurge>> {
        Ok(self.kept_purges()?.pop())
    }

    /// All purges of the store whose records are kept, the oldest first.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn kept_purges(&self) -> Result<Vec<KeptPurge>> {
        match self.backend().kept_purges() {
            Some(keeper) if !self.name.is_plain() => keeper.list_of(&self.name),
            _ => Ok(Vec::new()),
        }
    }
}

impl Storage {
    /// All purges whose records are kept, the oldest first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn kept_purges(&self) -> Result<Vec<KeptPurge>> {
        self.backend().kept_purges().map_or_else(|| Ok(Vec::new()), |keeper| keeper.list())
    }

    fn keeper(&self, store: &StoreName) -> Result<&dyn KeptPurges> {
        self.backend().kept_purges().ok_or_else(|| {
            Error::backend(
                BackendErrorKind::Unsupported,
                format!("keep what is purged of store '{store}'"),
                "only a storage directory can keep it",
            )
        })
    }
}

fn keep(duration: Duration, options: &PurgeOptions, at: Timestamp) -> Keep {
    let by = options.by.clone().unwrap_or_else(this_process);
    Keep { until: at.saturating_add(duration).unwrap_or(Timestamp::MAX), by }
}

fn this_process() -> PurgedBy {
    let command = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    PurgedBy {
        uid: rustix::process::getuid().as_raw(),
        pid: std::process::id(),
        command: command.trim_end().to_owned(),
    }
}
