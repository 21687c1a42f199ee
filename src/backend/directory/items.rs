//! The items of a dataset in their order (FORMAT 9).

use std::fs::File;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use crate::backend::items::{Item, ItemBytes, ItemsOf, is_dataset, item_name, item_number};
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
        self.shared.item_texts.text(&spool, dataset, format, &|| self.items_now(dataset))
    }

    fn items_now(&self, dataset: &StoreName) -> Result<ItemsOf<'static>> {
        // All of them are listed before a purge. It does not wait until they are read: what it has taken is gone then.
        let (dir, numbers) = self.in_store(dataset, |dir| {
            let own = dir.fd.try_clone().map_err(|error| failed("open", &dir.name, error))?;
            Ok((StoreDir { fd: own, name: dir.name.clone() }, item_numbers(dir)?))
        })?;
        let dir = Rc::new(dir);
        Ok(Box::new(numbers.into_iter().map(move |number| item(&dir, number))))
    }
}

/// The numbers of all items, in order.
fn item_numbers(dir: &StoreDir) -> Result<Vec<u64>> {
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

/// An item that is to be read.
fn item(dir: &Rc<StoreDir>, number: u64) -> Result<Item<'static>> {
    let stamp = match tree::stat_file(&dir.fd, item_name(number).as_bytes()) {
        Err(Errno::NOENT) => GONE,
        Err(error) => return Err(failed("look into", &dir.name, error)),
        Ok(stat) => tree::attributes(&stat).stamp,
    };
    let dir = Rc::clone(dir);
    let read = move || read(&dir, number);
    Ok(Item { number, bytes: ItemBytes::File(stamp, Box::new(read)) })
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
