//! One entry of what is kept, and how it is written down: numbers of the machine's own order, and a name.

use crate::model::Stamp;

/// The length of a slot, in bytes.
pub(super) const SLOT_BYTES: usize = 512;

/// Where an entry's name begins; before it are its numbers.
const NAME_AT: usize = 72;

/// Where a reader has the number of its backing file, which comes after the rest.
pub(super) const BACKING_AT: u64 = 64;

/// What an entry is found by: its kind, and the number that is its own.
pub(super) type Id = (u32, u64);

/// Kinds of entries, as they are written down; 0 is a slot that is free.
const STORE: u32 = 1;
const READER: u32 = 2;
const REQUEST: u32 = 3;

/// A file that is open for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::fs) struct Reader {
    /// The number of the open file.
    pub(in crate::fs) handle: u64,
    pub(in crate::fs) ino: u64,
    /// The inode of the store.
    pub(in crate::fs) store: u64,
    /// The version that is open.
    pub(in crate::fs) stamp: Stamp,
    pub(in crate::fs) key: Vec<u8>,
    /// The kernel's number of the file that it reads itself; 0 if it asks.
    pub(in crate::fs) backing: u32,
}

/// A file that the kernel reads by itself, as an earlier worker has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftBacking {
    /// The open file, by its number.
    pub handle: u64,
    /// The inode, by its number.
    pub ino: u64,
    /// The kernel's number for it.
    pub id: u32,
    /// Whether the handle is open again.
    pub is_open: bool,
}

/// Something that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::fs) enum Entry {
    /// A store, or a plain directory, that is found by its name.
    Store { ino: u64, name: Vec<u8> },
    /// A file that is open for reading.
    Reader(Reader),
    /// A request that has come again: how many workers have begun it since, and the last of them.
    Request { unique: u64, begun: u64, worker: u64 },
}

impl Entry {
    pub(super) fn id(&self) -> Id {
        match self {
            Self::Store { ino, .. } => (STORE, *ino),
            Self::Reader(reader) => (READER, reader.handle),
            Self::Request { unique, .. } => (REQUEST, *unique),
        }
    }

    pub(super) fn store_id(ino: u64) -> Id {
        (STORE, ino)
    }

    pub(super) fn reader_id(handle: u64) -> Id {
        (READER, handle)
    }

    pub(super) fn request_id(unique: u64) -> Id {
        (REQUEST, unique)
    }

    /// The entry as a slot. `None` if its name is too long for one.
    pub(super) fn to_slot(&self) -> Option<Vec<u8>> {
        let (kind, _) = self.id();
        let (numbers, name): ([u64; 8], &[u8]) = match self {
            Self::Store { ino, name } => ([*ino, 0, 0, 0, 0, 0, 0, 0], name),
            Self::Reader(reader) => {
                let stamp = &reader.stamp;
                let (modified, changed) =
                    (stamp.modified_ns.cast_unsigned(), stamp.changed_ns.cast_unsigned());
                let numbers = [reader.handle, reader.ino, reader.store];
                let [handle, ino, store] = numbers;
                (
                    [
                        handle,
                        ino,
                        store,
                        stamp.object,
                        stamp.size,
                        modified,
                        changed,
                        reader.backing.into(),
                    ],
                    reader.key.as_slice(),
                )
            }
            Self::Request { unique, begun, worker } => {
                ([*unique, *begun, *worker, 0, 0, 0, 0, 0], &[])
            }
        };
        let length = u32::try_from(name.len()).ok()?;
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.extend(kind.to_ne_bytes());
        slot.extend(length.to_ne_bytes());
        numbers.iter().for_each(|number| slot.extend(number.to_ne_bytes()));
        slot.extend(name);
        (slot.len() <= SLOT_BYTES).then_some(slot)
    }

    /// The entry of a slot. `None` if it is free, or of a kind that this program does not know.
    pub(super) fn of_slot(slot: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u32::from_ne_bytes(slot.get(at..at + 4)?.try_into().ok()?));
        let number = |index: usize| {
            let at = 8 + 8 * index;
            Some(u64::from_ne_bytes(slot.get(at..at + 8)?.try_into().ok()?))
        };
        let length = usize::try_from(half(4)?).ok()?;
        let name = || Some(slot.get(NAME_AT..NAME_AT.checked_add(length)?)?.to_vec());
        match half(0)? {
            STORE => Some(Self::Store { ino: number(0)?, name: name()? }),
            READER => Some(Self::Reader(Reader {
                handle: number(0)?,
                ino: number(1)?,
                store: number(2)?,
                stamp: Stamp {
                    object: number(3)?,
                    size: number(4)?,
                    modified_ns: number(5)?.cast_signed(),
                    changed_ns: number(6)?.cast_signed(),
                },
                key: name()?,
                backing: u32::try_from(number(7)?).unwrap_or_default(),
            })),
            REQUEST => {
                Some(Self::Request { unique: number(0)?, begun: number(1)?, worker: number(2)? })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again() {
        let stamp = Stamp { object: 9, size: 1 << 40, modified_ns: -5, changed_ns: i64::MAX };
        let key = "k".repeat(SLOT_BYTES - NAME_AT).into_bytes();
        let reader = Reader { handle: 1 << 32, ino: 17, store: 16, stamp, key, backing: 7 };
        for entry in [
            Entry::Store { ino: 16, name: b"default".to_vec() },
            Entry::Reader(reader),
            Entry::Request { unique: u64::MAX, begun: 2, worker: 7 },
        ] {
            let slot = entry.to_slot().unwrap();
            assert_eq!(Entry::of_slot(&slot).as_ref(), Some(&entry));
            // What is written of it before its process dies is no entry, or a whole one.
            let whole = [slot.as_slice(), &[0; SLOT_BYTES]].concat();
            assert_eq!(Entry::of_slot(&whole), Some(entry));
        }
        let name = vec![b'n'; SLOT_BYTES - NAME_AT + 1];
        assert_eq!(Entry::Store { ino: 16, name }.to_slot(), None);
        assert_eq!(Entry::of_slot(&[0; SLOT_BYTES]), None);
        assert_eq!(Entry::of_slot(&[]), None);
    }
}
