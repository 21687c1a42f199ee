//! The datasets of a database as read-only directories: a file for each item, named as the file client names them.

use std::sync::Arc;
use std::time::SystemTime;
use std::vec;

use super::shared::Shared;
use crate::backend::elsewhere::{Bytes, RemoteValue};
use crate::backend::items::{
    DATASETS, Item, ItemBytes, ItemTexts, TakeItem, item_name, item_number,
};
use crate::backend::{ItemsFormat, Listed, PlainDirectories, Scan, Value};
use crate::model::{Attributes, ContentType, Error, Key, RecordType, Result, StoreName};

/// So many items are asked for at once.
const PAGE: usize = 100;

/// What a plain directory is.
enum Place<'a> {
    /// That of the storage.
    Root,
    /// That of all datasets.
    All,
    /// One dataset.
    Dataset(&'a str),
}

/// The datasets of a database.
#[derive(Debug)]
pub(super) struct Datasets {
    shared: Arc<Shared>,
    /// The database tells no time of an item that an SDK would not move: this one stays.
    opened: SystemTime,
    texts: ItemTexts,
}

impl Datasets {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, opened: SystemTime::now(), texts: ItemTexts::default() }
    }

    /// Attributes of a plain directory.
    pub(super) fn attributes(&self, directory: &StoreName) -> Result<Attributes> {
        self.find(directory)?;
        Ok(self.shared.store_attributes(self.opened))
    }

    /// The items of a dataset. Above them are no files.
    pub(super) fn scan(&self, directory: &StoreName) -> Result<Scan> {
        let Place::Dataset(name) = self.find(directory)? else {
            return Ok(Box::new(std::iter::empty()));
        };
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        let page = Vec::new().into_iter();
        Ok(Box::new(Items { shared, name, page, next: 0, opened: self.opened, is_last: false }))
    }

    /// Attributes of an item.
    pub(super) fn record(&self, directory: &StoreName, key: &Key) -> Result<Attributes> {
        let (number, text) = self.item(directory, key)?;
        Ok(attributes(&self.shared, number, &text, self.opened))
    }

    /// An item as it is in the database.
    pub(super) fn open(&self, directory: &StoreName, key: &Key) -> Result<Arc<dyn Value>> {
        let (number, text) = self.item(directory, key)?;
        let attributes = attributes(&self.shared, number, &text, self.opened);
        let record_type = RecordType::given(ContentType::json());
        let bytes = Bytes::Memory(text.into_bytes().into());
        let record_type = Some(record_type);
        Ok(Arc::new(RemoteValue { bytes, attributes, record_type }))
    }

    fn item(&self, directory: &StoreName, key: &Key) -> Result<(u64, String)> {
        let found = match (self.find(directory)?, item_number(key.as_bytes())) {
            (Place::Dataset(name), Some(number)) => {
                let items = self.shared.database.dataset_items(name, number - 1, 1)?;
                items.and_then(|mut items| items.pop()).map(|text| (number, text))
            }
            _ => None,
        };
        found.ok_or_else(|| Error::NoSuchRecord {
            store: directory.to_string(),
            key: key.to_string(),
        })
    }

    /// What a directory is, if it is there.
    fn find<'a>(&self, directory: &'a StoreName) -> Result<Place<'a>> {
        let mut path = directory.components();
        let place = match (path.next(), path.next(), path.next()) {
            (None, ..) => directory.is_plain().then_some(Place::Root),
            (Some(DATASETS), None, _) => Some(Place::All),
            (Some(DATASETS), Some(name), None) => {
                let is_there = self.names()?.iter().any(|other| other == name);
                is_there.then_some(Place::Dataset(name))
            }
            _ => None,
        };
        place.ok_or_else(|| self.shared.no_such_store(directory))
    }

    fn give_items(&self, dataset: &StoreName, take: &mut TakeItem<'_>) -> Result<()> {
        let Place::Dataset(name) = self.find(dataset)? else {
            return Err(self.shared.no_such_store(dataset));
        };
        let mut number = 0;
        let is_there = self.shared.database.each_item(name, &mut |text| {
            number += 1;
            take(Item { number, bytes: ItemBytes::Known(text.into_bytes()) })
        })?;
        is_there.then_some(()).ok_or_else(|| self.shared.no_such_store(dataset))
    }

    fn names(&self) -> Result<Vec<String>> {
        let datasets = self.shared.database.datasets()?.into_iter().map(|(name, _)| name);
        Ok(datasets.filter(|name| StoreName::new(name).is_ok()).collect())
    }
}

impl PlainDirectories for Datasets {
    fn directories(&self, directory: &StoreName) -> Result<Vec<String>> {
        match self.find(directory)? {
            Place::Root => Ok(vec![DATASETS.to_owned()]),
            Place::All => self.names(),
            Place::Dataset(_) => Ok(Vec::new()),
        }
    }

    fn items(&self, dataset: &StoreName, format: ItemsFormat) -> Result<Arc<dyn Value>> {
        let items = |take: &mut TakeItem<'_>| self.give_items(dataset, take);
        self.texts.text(&self.shared.spool, dataset, format, &items)
    }

    fn create_directory(&self, _directory: &StoreName) -> Result<()> {
        Err(Error::ReadOnly)
    }

    fn remove_directory(&self, _directory: &StoreName) -> Result<()> {
        Err(Error::ReadOnly)
    }

    fn rename_directory(&self, _from: &StoreName, _to: &StoreName, _replace: bool) -> Result<()> {
        Err(Error::ReadOnly)
    }
}

/// The items of a dataset, page by page.
struct Items {
    shared: Arc<Shared>,
    name: String,
    page: vec::IntoIter<String>,
    /// How many items are behind.
    next: u64,
    opened: SystemTime,
    is_last: bool,
}

impl Iterator for Items {
    type Item = Result<Listed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && !self.is_last {
            match self.shared.database.dataset_items(&self.name, self.next, PAGE) {
                Ok(items) => {
                    let items = items.unwrap_or_default();
                    self.is_last = items.len() < PAGE;
                    self.page = items.into_iter();
                }
                Err(error) => {
                    self.is_last = true;
                    return Some(Err(error));
                }
            }
        }
        let text = self.page.next()?;
        self.next += 1;
        let key = Key::new(&item_name(self.next));
        let attributes = attributes(&self.shared, self.next, &text, self.opened);
        let record_type = Some(RecordType::given(ContentType::json()));
        Some(key.map(|key| Listed { key, attributes: Some(attributes), record_type }))
    }
}

/// An item is never changed: its number and its length tell it from all others.
fn attributes(shared: &Shared, number: u64, text: &str, opened: SystemTime) -> Attributes {
    shared.item_attributes(number, text.len() as u64, opened)
}
