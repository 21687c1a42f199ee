//! All items of a dataset as one text: lines of JSON, one JSON array, or a table.
//!
//! A text is a file of the spool, complete when it is first seen, so that its size is true and it stays what it is
//! whatever becomes of the dataset (P1). Memory holds one item at a time.
//!
//! | file | owns |
//! | --- | --- |
//! | `lines` | the items as lines, which follow the dataset: what was read is not read again |
//! | `compact` | one item as one line |
//! | `shapes` | the other texts, made of the lines |
//! | `table` | the columns and rows of a table |
//! | `text` | a text that is read |
//!
//! Not chosen: an index of sizes, and items that are made while they are read. A purge, or an item that is written
//! anew, would reach whoever has the text open.

mod compact;
mod lines;
mod shapes;
mod table;
mod text;

use std::collections::HashMap;
use std::hash::RandomState;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use lines::Lines;
use text::ItemsText;

use super::spool::Spool;
use super::versions::Value;
use crate::model::{Result, Stamp, StoreName};
use crate::ranks::{Mutex, OpenFile, Table};

/// So many datasets are followed; beyond that, those that nobody looks at are begun anew.
const MOST_DATASETS: usize = 64;

/// How the items of a dataset are shown as one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemsFormat {
    /// A line of JSON for each item.
    JsonLines,
    /// One JSON array, with an item in each line.
    Json,
    /// A table with a header, as RFC 4180 has it but for the line ends, which are `\n`.
    Csv,
}

/// An item, as its source tells of it.
pub(super) struct Item<'a> {
    /// Its number, counted from 1.
    pub(super) number: u64,
    pub(super) bytes: ItemBytes<'a>,
}

/// The bytes of an item.
pub(super) enum ItemBytes<'a> {
    /// Those of a file that is read if need be: its stamp tells whether it is the same as before. Reads `None` if it is
    /// gone by then.
    File(Stamp, Box<dyn FnOnce() -> Result<Option<Vec<u8>>> + 'a>),
    /// Those that have come with the item.
    Known(Vec<u8>),
}

/// Where the datasets are in a storage (FORMAT 9).
pub(super) const DATASETS: &str = "datasets";

/// Digits of an item's number in its name, at least (FORMAT 9).
const DIGITS: usize = 9;

/// Whether a plain directory is that of a dataset.
pub(super) fn is_dataset(directory: &StoreName) -> bool {
    let mut path = directory.components();
    (path.next(), path.next().is_some(), path.next()) == (Some(DATASETS), true, None)
}

/// The name of an item's file.
pub(super) fn item_name(number: u64) -> String {
    format!("{number:0DIGITS$}.json")
}

/// The number of the item that has a name, counted from 1.
pub(super) fn item_number(name: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(name.strip_suffix(b".json")?).ok()?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (item_name(number).as_bytes() == name).then_some(number)
}

/// Takes items one after the other, in their order, until it says that it wants no more.
pub(super) type TakeItem<'a> = dyn FnMut(Item<'_>) -> Result<ControlFlow<()>> + 'a;

/// Gives the items of a dataset, all of one state of it, and fails where taking them fails.
pub(super) type GiveItems<'a> = dyn Fn(&mut TakeItem<'_>) -> Result<()> + 'a;

/// The texts of datasets, as they were when they were last asked for.
#[derive(Debug, Default)]
pub(super) struct ItemTexts {
    /// Item by item, what the lines are made of is told by its hash.
    hashes: RandomState,
    datasets: Mutex<Table, HashMap<StoreName, Arc<Mutex<OpenFile, Known>>>>,
}

/// What is known of one dataset. Held while its items are read.
#[derive(Debug, Default)]
struct Known {
    lines: Option<Lines>,
    made: HashMap<ItemsFormat, Made>,
}

/// A text that somebody may have, and the version of the lines that it was made of.
#[derive(Debug)]
struct Made {
    version: u64,
    text: Weak<ItemsText>,
}

impl ItemTexts {
    /// The text of a dataset as it is now; the same value as before if nothing has changed. `items` may be called again.
    ///
    /// # Errors
    /// What `items` says; [`Error::Io`](crate::Error::Io) for an item that is no JSON though others follow it, and if the
    /// spool has no room.
    pub(super) fn text(
        &self,
        spool: &Spool,
        dataset: &StoreName,
        format: ItemsFormat,
        items: &GiveItems<'_>,
    ) -> Result<Arc<dyn Value>> {
        let known = self.known(dataset);
        let mut known = known.lock();
        let Known { lines, made } = &mut *known;
        let lines = match lines::follow(lines.take(), &self.hashes, spool, items) {
            Ok(followed) => lines.insert(followed),
            Err(error) => {
                // What was made of them stays with those who have it open.
                made.clear();
                return Err(error);
            }
        };
        let is_same = |made: &&Made| made.version == lines.version();
        if let Some(text) = made.get(&format).filter(is_same).and_then(|made| made.text.upgrade()) {
            return Ok(text);
        }
        let text = Arc::new(shapes::make(lines, format, spool)?);
        made.insert(format, Made { version: lines.version(), text: Arc::downgrade(&text) });
        Ok(text)
    }

    fn known(&self, dataset: &StoreName) -> Arc<Mutex<OpenFile, Known>> {
        let mut datasets = self.datasets.lock();
        if datasets.len() >= MOST_DATASETS && !datasets.contains_key(dataset) {
            // The others are just being looked at.
            datasets.retain(|_, known| Arc::strong_count(known) > 1);
        }
        Arc::clone(datasets.entry(dataset.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_named_as_the_file_client_names_them() {
        let number = |name: &str| item_number(name.as_bytes());
        assert_eq!(number("000000001.json"), Some(1));
        assert_eq!(number("1000000000.json"), Some(1_000_000_000));
        for name in ["000000000.json", "1.json", "0000000001.json", "000000001", "+00000001.json"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
