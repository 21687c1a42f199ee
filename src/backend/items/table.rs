//! Items as a table: a column for each key that any of them has, in the order in which the keys appear.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The column of items that have no keys, since they are no objects.
const VALUE: &str = "value";

/// The columns of a table.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The place of each column.
    columns: HashMap<String, usize>,
}

/// The rows of a table, as they are written.
pub(super) struct Rows<W: Write> {
    columns: HashMap<String, usize>,
    writer: csv::Writer<W>,
    /// The cells of a row, which keep their room for the next one.
    cells: Vec<String>,
}

impl Table {
    /// Adds the columns that an item needs.
    ///
    /// # Errors
    /// If it is no JSON.
    pub(super) fn add_columns(&mut self, item: &[u8]) -> serde_json::Result<()> {
        for_each_cell(item, |key, _| {
            if !self.columns.contains_key(key) {
                self.columns.insert(key.to_owned(), self.columns.len());
            }
        })
    }

    /// Writes the header. No item has a key: then there is none.
    ///
    /// # Errors
    /// What the writer says.
    pub(super) fn begin<W: Write>(self, to: W) -> io::Result<Rows<W>> {
        let mut header: Vec<(&String, &usize)> = self.columns.iter().collect();
        header.sort_unstable_by_key(|(_, place)| **place);
        let mut writer = csv::Writer::from_writer(to);
        if !header.is_empty() {
            writer.write_record(header.iter().map(|(key, _)| key.as_bytes()))?;
        }
        let cells = vec![String::new(); header.len()];
        Ok(Rows { columns: self.columns, writer, cells })
    }
}

impl<W: Write> Rows<W> {
    /// Writes the row of an item.
    ///
    /// # Errors
    /// What the writer says, and if the item is no JSON.
    pub(super) fn add(&mut self, item: &[u8]) -> io::Result<()> {
        self.cells.iter_mut().for_each(String::clear);
        for_each_cell(item, |key, value| {
            let cell = self.columns.get(key).and_then(|place| self.cells.get_mut(*place));
            if let Some(cell) = cell {
                cell.clear();
                cell.push_str(&shown(value));
            }
        })?;
        if !self.cells.is_empty() {
            self.writer.write_record(&self.cells)?;
        }
        Ok(())
    }

    /// All rows are written.
    ///
    /// # Errors
    /// What the writer says.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A value in its cell: a string as it is, nothing for `null`, and all else as JSON.
fn shown(value: &RawValue) -> Cow<'_, str> {
    match value.get() {
        "null" => Cow::Borrowed(""),
        // Half a surrogate pair is no text: it stays as it is written.
        text if text.starts_with('"') => {
            serde_json::from_str(text).map_or(Cow::Borrowed(text), Cow::Owned)
        }
        text => Cow::Borrowed(text),
    }
}

/// Gives each key of an item and its value to `act`. Of a key that is there twice, the last one counts.
fn for_each_cell(item: &[u8], mut act: impl FnMut(&str, &RawValue)) -> serde_json::Result<()> {
    if item.first() == Some(&b'{') {
        serde_json::Deserializer::from_slice(item).deserialize_map(Cells(act))
    } else {
        act(VALUE, serde_json::from_slice(item)?);
        Ok(())
    }
}

struct Cells<F>(F);

impl<'de, F: FnMut(&str, &RawValue)> Visitor<'de> for Cells<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((key, value)) = object.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            (self.0)(&key, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(items: &[&str]) -> String {
        let mut table = Table::default();
        items.iter().for_each(|item| table.add_columns(item.as_bytes()).unwrap());
        let mut text = Vec::new();
        let mut rows = table.begin(&mut text).unwrap();
        items.iter().for_each(|item| rows.add(item.as_bytes()).unwrap());
        rows.end().unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn columns_are_those_of_all_items_in_the_order_in_which_they_appear() {
        let items =
            [r#"{"url":"a","n":1.50}"#, r#"{"n":2,"more":null}"#, r#"{"url":"b","more":true}"#];
        assert_eq!(table(&items), "url,n,more\na,1.50,\n,2,\nb,,true\n");
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let items = [r#"{"a b":"x,y","q":"say \"hi\"\nthere","list":[1,{"k":"v"}]}"#];
        let expected =
            "a b,q,list\n\"x,y\",\"say \"\"hi\"\"\nthere\",\"[1,{\"\"k\"\":\"\"v\"\"}]\"\n";
        assert_eq!(table(&items), expected);
    }

    #[test]
    fn items_that_are_no_objects_have_a_column() {
        assert_eq!(table(&["5", "\"x\"", "[1,2]", "null"]), "value\n5\nx\n\"[1,2]\"\n\"\"\n");
        assert_eq!(table(&[]), "");
        assert_eq!(table(&["{}", "{}"]), "");
    }

    #[test]
    fn keys_and_strings_are_read_as_json_has_them() {
        assert_eq!(table(&[r#"{"\u0061":"\u00fc","a":"z"}"#]), "a\nz\n");
        assert_eq!(table(&[r#"{"half":"\ud800"}"#]), "half\n\"\"\"\\ud800\"\"\"\n");
    }
}
