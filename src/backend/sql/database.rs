//! What a storage asks of a database of Crawlee's SQL client.
//!
//! A [`Database`] knows the client's tables and how that client writes them (`SqlStorageClient` of crawlee-python 1.0 and
//! later), and nothing of files, inodes or content types. Each method is one transaction, or a part of none: what it
//! makes visible, it makes visible at once and whole. All methods may be called from several threads at once, while the
//! client and other mounts use the same database. None alters the schema, nor a setting that outlives the connection.
//!
//! Every method answers within the deadline that the database was opened with, or fails with
//! [`BackendErrorKind::TimedOut`](crate::model::BackendErrorKind::TimedOut) or
//! [`BackendErrorKind::Busy`](crate::model::BackendErrorKind::Busy); methods that stream a value have it for each part.

use std::fmt::Debug;
use std::fs::File;
use std::ops::ControlFlow;

use crate::backend::elsewhere::Sight;
use crate::backend::{Watchable, Work};
use crate::model::{Result, Timestamp};

/// Takes JSON texts one after the other, until it says that it wants no more.
pub(super) type TakeText<'a> = dyn FnMut(String) -> Result<ControlFlow<()>> + 'a;

/// The tables of a database of Crawlee's SQL client.
pub(super) trait Database: Debug + Send + Sync {
    /// What kind of database it is, and what it can.
    fn facts(&self) -> &Facts;

    // Stores

    /// All stores, each with times that tell of buffered rows too, in no particular order.
    fn stores(&self) -> Result<Vec<StoreRow>>;

    /// The store of a name, as [`Database::stores`] tells it.
    fn store(&self, internal_name: &str) -> Result<Option<StoreRow>>;

    /// When a store was changed last, as [`Database::store`] tells it. `known` is what was told of it before: then only the
    /// rows that were buffered since are looked at. `None` if there is no such store.
    fn changed(&self, internal_name: &str, known: Option<&Changed>) -> Result<Option<Changed>>;

    /// Makes an empty store. Gives back whether it did; if not, the name or the id is taken.
    fn create_store(&self, store: &StoreRow) -> Result<bool>;

    /// Replaces the row of a store, its records staying its own, also if its id changes. Buffered rows of the old one go.
    fn replace_store(&self, internal_name: &str, store: &StoreRow) -> Result<Outcome>;

    /// Gives a store another name. [`Outcome::Taken`] if there is one of that name.
    fn rename_store(&self, internal_name: &str, to: &str, name: Option<&str>) -> Result<Outcome>;

    /// Removes a store with its records and its buffered rows; if `only_empty`, only without records
    /// ([`Outcome::NotEmpty`]).
    fn drop_store(&self, internal_name: &str, only_empty: bool) -> Result<Outcome>;

    /// Removes all records that `spares` does not spare, folds the buffered rows, and sets accessed and modified to
    /// `at`. Gives back the keys that were spared and how many were removed; `None` if there is no such store.
    fn purge(
        &self,
        internal_name: &str,
        at: Timestamp,
        spares: &dyn Fn(&str) -> bool,
    ) -> Result<Option<PurgedRows>>;

    /// Notes that a store was read, or read and changed, as the client does: by a row in its buffer, or where there is no
    /// such table by moving the store's own times forward.
    fn touch(&self, internal_name: &str, touched: Touched) -> Result<Outcome>;

    // Records

    /// The next records of a store behind `after`, at most `limit`, in the database's own order; without values. Fewer
    /// only at the end. `None` if there is no such store.
    fn page(
        &self,
        internal_name: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<RecordRow>>>;

    /// One record without its value. [`Lookup::NoStore`] and [`Lookup::NoRecord`] are told apart.
    fn head(&self, internal_name: &str, key: &str) -> Result<Lookup<RecordRow>>;

    /// The same, and when its store was changed last: for one that nobody has looked at before. In one round trip.
    fn head_and_changed(
        &self,
        internal_name: &str,
        key: &str,
        known: Option<&Changed>,
    ) -> Result<(Lookup<RecordRow>, Option<Changed>)> {
        let head = self.head(internal_name, key)?;
        let changed = match &head {
            Lookup::Found(_) => self.changed(internal_name, known)?,
            Lookup::NoRecord | Lookup::NoStore => None,
        };
        Ok((head, changed))
    }

    /// One record with its value, of one version. The value comes along if it has at most `inline` bytes and is not
    /// the version `known`, in the same round trip.
    fn open(
        &self,
        internal_name: &str,
        key: &str,
        inline: u64,
        known: Option<Version>,
    ) -> Result<Lookup<Opened>>;

    /// The same, and when its store was changed last: for one that nobody has looked at before. In one round trip.
    fn open_and_changed(
        &self,
        internal_name: &str,
        key: &str,
        inline: u64,
        known: Option<&Changed>,
    ) -> Result<(Lookup<Opened>, Option<Changed>)> {
        let opened = self.open(internal_name, key, inline, None)?;
        let changed = match &opened {
            Lookup::Found(_) => self.changed(internal_name, known)?,
            Lookup::NoRecord | Lookup::NoStore => None,
        };
        Ok((opened, changed))
    }

    /// Streams a record's value, of one version, from its first byte on; holds no more than some MiB of it in memory.
    /// `sink` is called with each part in order. It fails with
    /// [`Error::RecordReplaced`](crate::model::Error::RecordReplaced) before the first part if the record is of another
    /// version by now.
    fn stream(
        &self,
        internal_name: &str,
        key: &str,
        version: Version,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()>;

    /// Makes a version of a record, with its buffered row, in one transaction.
    fn put(&self, put: &Put<'_>) -> Result<Written>;

    /// Gives a record another content type, its value staying; with its buffered row.
    fn set_type(&self, internal_name: &str, key: &str, content_type: &str) -> Result<Written>;

    /// Removes a record, with its buffered row.
    fn delete(&self, internal_name: &str, key: &str) -> Result<Outcome>;

    /// Moves a record to another key or store, replacing what is there unless `replace` is false
    /// ([`Written::Refused`]); with buffered rows of both stores.
    fn rename(&self, rename: &Rename<'_>) -> Result<Written>;

    // What else it holds

    /// Names of the datasets, and how many items each has.
    fn datasets(&self) -> Result<Vec<(String, u64)>>;

    /// The items of a dataset as JSON texts, at most `limit` from the one with the number `from` on, counted from 0 in
    /// the order in which they were put in. `None` if there is no such dataset.
    fn dataset_items(&self, name: &str, from: u64, limit: usize) -> Result<Option<Vec<String>>>;

    /// Gives all items of a dataset to `take`, as JSON texts and in the order in which they were put in, all of one state
    /// of the dataset, until it wants no more. Gives back whether there is such a dataset. Fails with what `take` says.
    fn each_item(&self, name: &str, take: &mut TakeText<'_>) -> Result<bool>;

    /// Bytes that the database takes, and that its medium has free, as far as it tells.
    fn space(&self) -> Result<(u64, Option<u64>)>;

    /// Makes durable what was committed before, by whom ever.
    fn sync(&self) -> Result<()>;

    /// What was asked of it so far.
    fn work(&self) -> Work;

    /// What tells that others have committed, if the database does.
    fn watchable(&self) -> Option<&dyn Watchable> {
        None
    }
}

/// What a database is and can.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// For people: `SQLite 3.50.2`, `PostgreSQL 15.18`.
    pub(super) server: String,
    /// Longest key and store name in characters.
    pub(super) most_key_chars: usize,
    /// Longest content type in characters.
    pub(super) most_type_chars: usize,
    /// Longest value in bytes.
    pub(super) most_value_bytes: u64,
    /// Why nothing can be written, if so: a line for people.
    pub(super) read_only: Option<String>,
    /// Whether a network is between, so that each call costs a round trip.
    pub(super) is_remote: bool,
    /// Whether [`Database::head`] tells the version of every record, however large.
    pub(super) tells_versions: bool,
}

/// A store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreRow {
    /// 17 letters and digits.
    pub(super) id: String,
    /// Its name in the tree: name, alias or `default`.
    pub(super) internal_name: String,
    /// Its name, if it has one.
    pub(super) name: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) accessed_at: Timestamp,
    pub(super) modified_at: Timestamp,
}

/// When a store was changed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// The store's id.
    pub(super) id: String,
    /// The newest of its buffered rows that was looked at.
    pub(super) last: i64,
    pub(super) at: Timestamp,
}

/// Which version of a record this is: equal only for the same bytes, and for the same transaction where the database
/// tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Version(pub(super) u64);

/// A record without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordRow {
    pub(super) key: String,
    /// The value's own length in bytes, whatever the column `size` says.
    pub(super) size: u64,
    pub(super) content_type: String,
    /// `None` where telling it would cost reading a large value: then whoever needs it opens the record.
    pub(super) version: Option<Version>,
    /// When this version was made, where the database tells.
    pub(super) committed_at: Option<Timestamp>,
}

impl Sight<Version> for RecordRow {
    fn size(&self) -> u64 {
        self.size
    }

    fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }
}

/// A record that was opened.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// Its version is always told.
    pub(super) row: RecordRow,
    /// The value, unless it is large or known.
    pub(super) bytes: Option<Vec<u8>>,
}

/// What a look at a record found.
#[derive(Clone, Debug)]
pub(super) enum Lookup<T> {
    Found(T),
    NoRecord,
    NoStore,
}

/// A version of a record in the making.
#[derive(Debug)]
pub(super) struct Put<'a> {
    pub(super) internal_name: &'a str,
    pub(super) key: &'a str,
    pub(super) content_type: &'a str,
    /// Holds the value from its first byte on.
    pub(super) value: &'a File,
    pub(super) size: u64,
    pub(super) over: PutOver,
    /// The moment of the publish.
    pub(super) at: Timestamp,
    /// Whether it must be durable when the call returns, whatever the database is set to.
    pub(super) durable: bool,
}

/// What a version may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PutOver {
    Anything,
    Nothing,
    /// Nothing, as is hoped: if it is refused, it is asked for again in another way. So it may be done twice.
    Hoped,
    Version(Version),
}

/// What became of a version.
#[derive(Clone, Debug)]
pub(super) enum Written {
    /// It is the record now; its version is told.
    Done(RecordRow),
    /// There is no such store.
    NoStore,
    /// There is no such record, and one had to be.
    NoRecord,
    /// There is another version, or one at all where none must be.
    Refused,
}

/// What became of a change of a store, or of the removal of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    NoStore,
    NoRecord,
    /// The name is another store's.
    Taken,
    NotEmpty,
}

/// How a store was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) accessed_at: Timestamp,
    pub(super) modified_at: Option<Timestamp>,
}

/// What a purge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PurgedRows {
    pub(super) spared: Vec<String>,
    pub(super) removed: u64,
    /// The bytes of the removed values.
    pub(super) bytes: u64,
}

/// Where a record moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rename<'a> {
    pub(super) from_store: &'a str,
    pub(super) from_key: &'a str,
    pub(super) to_store: &'a str,
    pub(super) to_key: &'a str,
    pub(super) content_type: &'a str,
    pub(super) replace: bool,
    pub(super) at: Timestamp,
}
