//! The datasets of a database as read-only directories: a file for each item, named as the file client names them.

use std::sync::Arc;
use std::time::SystemTime;
use std::vec;

use super::shared::Shared;
use super::value::{Bytes, SqlValue};
use crate::backend::{Listed, PlainDirectories, Scan, Value};
use crate::model::{Attributes, ContentType, Error, Key, RecordType, Result, StoreName};

/// Where the datasets are in a storage (FORMAT 9).
const DATASETS: &str = "datasets";

/// So many items are asked for at once.
const PAGE: usize = 100;

/// Digits of an item's number in its name (FORMAT 9).
const DIGITS: usize = 9;

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
}

impl Datasets {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, opened: SystemTime::now() }
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
        Ok(Arc::new(SqlValue { bytes, attributes, record_type }))
    }

    fn item(&self, directory: &StoreName, key: &Key) -> Result<(u64, String)> {
        let found = match (self.find(directory)?, number_of(key)) {
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
        let key = Key::new(&format!("{:0DIGITS$}.json", self.next));
        let attributes = attributes(&self.shared, self.next, &text, self.opened);
        let record_type = Some(RecordType::given(ContentType::json()));
        Some(key.map(|key| Listed { key, attributes: Some(attributes), record_type }))
    }
}

/// The number of the item that has a name, counted from 1.
fn number_of(key: &Key) -> Option<u64> {
    let digits = key.as_str()?.strip_suffix(".json")?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (format!("{number:0DIGITS$}") == digits).then_some(number)
}

/// An item is never changed: its number and its length tell it from all others.
fn attributes(shared: &Shared, number: u64, text: &str, opened: SystemTime) -> Attributes {
    shared.item_attributes(number, text.len() as u64, opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_named_as_the_file_client_names_them() {
        let number = |name: &str| number_of(&Key::new(name).unwrap());
        assert_eq!(number("000000001.json"), Some(1));
        assert_eq!(number("1000000000.json"), Some(1_000_000_000));
        for name in ["000000000.json", "1.json", "0000000001.json", "000000001", "+00000001.json"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
