//! The items of a dataset in their order (FORMAT 9).

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use crate::backend::items::{Item, ItemBytes, TakeItem, is_dataset, item_name, item_number};
use crate::backend::spool::Spool;
use crate::backend::{ItemsFormat, Value};
use crate::model::{Error, Result, Stamp, StoreName};

/// That of an item that is gone before it was looked at.
const GONE: Stamp = Stamp { object: 0, size: 0, modified_ns: 0, changed_ns: 0 };

impl DirectoryBackend {
    pub(super) fn items(&self, dataset: &StoreName, format: ItemsFormat) -> Result<Arc<dyn Value>> {
        if !is_dataset(dataset) {
            return Err(Error::NoSuchStore { store: dataset.to_string() });
        }
        let spool = Spool::open(self.shared.options.cache_dir.as_deref())?;
        self.shared.item_texts.text(&spool, dataset, format, &|take| self.give_items(dataset, take))
    }

    fn give_items(&self, dataset: &StoreName, take: &mut TakeItem<'_>) -> Result<()> {
        // All of them are listed before a purge. It does not wait until they are read: what it has taken is gone then.
        let (dir, numbers) = self.in_store(dataset, |dir| {
            let own = dir.fd.try_clone().map_err(|error| failed("open", &dir.name, error))?;
            Ok((StoreDir { fd: own, name: dir.name.clone() }, item_numbers(dir)?))
        })?;
        for number in numbers {
            let bytes = ItemBytes::File(stamp(&dir, number)?, Box::new(|| read(&dir, number)));
            if take(Item { number, bytes })?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The numbers of all items, in order. None is left out before another one that was made after it.
fn item_numbers(dir: &StoreDir) -> Result<Vec<u64>> {
    let listed = listed_numbers(dir)?;
    let Some(last) = listed.last().copied().filter(|last| *last > listed.len() as u64) else {
        return Ok(listed);
    };
    // One that is made while a directory is listed may be passed over, and the next one not. All up to the last one were
    // there when that was listed, so they are listed now; what is lacking then is not there.
    let mut again = listed_numbers(dir)?;
    again.retain(|number| *number <= last);
    Ok(again)
}

/// The numbers of the items that one listing shows, in order.
fn listed_numbers(dir: &StoreDir) -> Result<Vec<u64>> {
    let failed = |error: Errno| failed("list", &dir.name, error);
    let mut numbers = Vec::new();
    for entry in tree::entries(&dir.fd).map_err(failed)? {
        let (name, listed) = entry.map_err(failed)?;
        if let Some(number) = item_number(&name)
            && tree::kind(&dir.fd, &name, listed) == FileType::RegularFile
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What tells whether an item is the same as before.
fn stamp(dir: &StoreDir, number: u64) -> Result<Stamp> {
    match tree::stat_file(&dir.fd, item_name(number).as_bytes()) {
        Err(Errno::NOENT) => Ok(GONE),
        Err(error) => Err(failed("look into", &dir.name, error)),
        Ok(stat) => Ok(tree::attributes(&stat).stamp),
    }
}

/// The bytes of an item; `None` if it is gone.
fn read(dir: &StoreDir, number: u64) -> Result<Option<Vec<u8>>> {
    let file = match tree::open_file(&dir.fd, item_name(number).as_bytes()) {
        Err(Errno::NOENT) => return Ok(None),
        file => file.map_err(|error| failed("open an item of", &dir.name, error))?,
    };
    let mut bytes = Vec::new();
    match File::from(file).read_to_end(&mut bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) => Err(Error::io(format!("read item {number} of '{}'", dir.name), error)),
    }
}

fn failed(action: &str, dataset: &StoreName, error: Errno) -> Error {
    Error::io(format!("{action} dataset '{dataset}'"), error)
}
