//! Which version a record is, although SQLite tells none.
//!
//! A [`Version`] is a hash of the value's bytes, under a key of this process's own. It is remembered, so that a value
//! whose version was told once is not read again to tell it. What is remembered is right as long as nobody has committed
//! anything else, and that is told by the database's **generation**.
//!
//! `PRAGMA data_version` tells a connection whether any *other* has committed since it was last asked. One connection,
//! the witness, does nothing but ask, so each commit is another's to it, and each change of its number begins a
//! generation. A transaction is of a generation if the witness tells the same before it began and after its first read
//! ([`Versions::generation`] is asked twice). A commit of our own begins one too; but if the writer's own number says
//! that nobody else has committed meanwhile, all records but the one that it made are what they were
//! ([`Versions::committed`]).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use rusqlite::Connection;

use super::super::database::Version;
use crate::ranks::{Mutex, TableEntry};

/// Most versions that are remembered; each takes about 60 bytes.
const MOST_REMEMBERED: usize = 1 << 17;

/// A state of the whole database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u64);

impl Generation {
    /// As a number in SQL.
    pub(super) fn to_bits(self) -> i64 {
        self.0.cast_signed()
    }

    pub(super) fn from_bits(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }
}

/// The versions of an open database.
#[derive(Debug)]
pub(super) struct Versions {
    key: RandomState,
    /// With `key`, makes 128 bits of a record's names.
    other_key: RandomState,
    /// Held for one look at the witness, which waits for nobody: its busy timeout is zero.
    seen: Mutex<TableEntry, Seen>,
}

#[derive(Debug)]
struct Seen {
    witness: Connection,
    data_version: i64,
    now: u64,
    /// The oldest generation since which nothing has changed that is not noted in `remembered`.
    floor: u64,
    remembered: HashMap<u128, Remembered>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    generation: u64,
    version: Version,
}

/// What a transaction that writes has begun with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    generation: u64,
    floor: u64,
    /// The writer's own.
    pub(super) data_version: i64,
}

/// A record and its version, for [`Versions::remember`].
pub(super) type Told<'a> = (&'a str, Version);

impl Versions {
    /// Begins with what `witness` sees. It must not be used for anything else.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn new(witness: Connection) -> rusqlite::Result<Self> {
        let data_version = data_version(&witness)?;
        let remembered = HashMap::new();
        let seen = Seen { witness, data_version, now: 0, floor: 0, remembered };
        let (key, other_key) = (RandomState::new(), RandomState::new());
        Ok(Self { key, other_key, seen: Mutex::new(seen) })
    }

    /// The version of a value that is in memory.
    pub(super) fn of(&self, value: &[u8]) -> Version {
        let mut hasher = self.hasher();
        hasher.write(value);
        Version(hasher.finish())
    }

    /// Takes a value in parts; [`Hasher::finish`] gives the number of the version that [`Versions::of`] tells.
    pub(super) fn hasher(&self) -> impl Hasher + use<> {
        self.key.build_hasher()
    }

    /// The generation of now; `None` if it cannot be told, since others hold the database.
    pub(super) fn generation(&self) -> Option<Generation> {
        self.seen.lock().look()
    }

    /// The version of a record as it was in a generation, if it is remembered and nobody else has committed since.
    pub(super) fn remembered(
        &self,
        store_id: &str,
        key: &str,
        generation: Option<Generation>,
    ) -> Option<Version> {
        let name = self.name(store_id, key);
        let generation = generation?.0;
        let seen = self.seen.lock();
        let found = seen.remembered.get(&name)?;
        (seen.floor..=generation).contains(&found.generation).then_some(found.version)
    }

    /// Remembers versions that were found in a generation, unless another has begun since.
    pub(super) fn remember<'a>(
        &self,
        store_id: &str,
        told: impl Iterator<Item = Told<'a>>,
        generation: Option<Generation>,
    ) {
        let Some(Generation(generation)) = generation else {
            return;
        };
        // The names are hashed before anybody has to wait for the lock.
        let named: Vec<_> =
            told.map(|(key, version)| (self.name(store_id, key), version)).collect();
        let mut seen = self.seen.lock();
        if seen.now == generation {
            for (name, version) in named {
                seen.insert(name, version);
            }
        }
    }

    /// Notes that a transaction on `writer` has begun which holds off all others that write.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn begun(&self, writer: &Connection) -> rusqlite::Result<Option<Begun>> {
        let data_version = data_version(writer)?;
        let mut seen = self.seen.lock();
        let looked = seen.look();
        Ok(looked.map(|Generation(generation)| Begun {
            generation,
            floor: seen.floor,
            data_version,
        }))
    }

    /// The generation that a transaction has begun in.
    pub(super) fn generation_of(begun: Option<&Begun>) -> Option<Generation> {
        begun.map(|begun| Generation(begun.generation))
    }

    /// Notes that the transaction has been committed, and what became of the records that it gave bytes to: all others
    /// are gone or what they were.
    pub(super) fn committed(
        &self,
        writer: &Connection,
        begun: Option<&Begun>,
        made: &[(String, String, Version)],
    ) {
        let mut seen = self.seen.lock();
        let now = seen.look();
        for (store_id, key, _) in made {
            seen.remembered.remove(&self.name(store_id, key));
        }
        let (Some(begun), Some(Generation(now))) = (begun, now) else {
            return;
        };
        // The writer is asked after the witness: what it has not seen, that has not either.
        let alone = data_version(writer).is_ok_and(|number| number == begun.data_version);
        if alone && now <= begun.generation + 1 {
            seen.floor = begun.floor;
            for (store_id, key, version) in made {
                seen.insert(self.name(store_id, key), *version);
            }
        }
    }

    /// 128 bits that stand for a record.
    fn name(&self, store_id: &str, key: &str) -> u128 {
        let half = |state: &RandomState| u128::from(state.hash_one((store_id, key)));
        half(&self.key) << 64 | half(&self.other_key)
    }
}

impl Seen {
    /// Asks the witness. If it cannot tell, it may have missed a commit, so nothing that is remembered holds.
    fn look(&mut self) -> Option<Generation> {
        let Ok(data_version) = data_version(&self.witness) else {
            self.now += 1;
            self.floor = self.now;
            return None;
        };
        if data_version != self.data_version {
            self.data_version = data_version;
            self.now += 1;
            self.floor = self.now;
        }
        Some(Generation(self.now))
    }

    fn insert(&mut self, name: u128, version: Version) {
        if self.remembered.len() >= MOST_REMEMBERED && !self.remembered.contains_key(&name) {
            let floor = self.floor;
            self.remembered.retain(|_, kept| kept.generation >= floor);
            if self.remembered.len() >= MOST_REMEMBERED {
                self.remembered.clear();
            }
        }
        self.remembered.insert(name, Remembered { generation: self.now, version });
    }
}

/// A number that changes when another connection has committed.
pub(super) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
