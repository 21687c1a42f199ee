//! The texts that are made of lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::sync::Arc;

use super::ItemsFormat;
use super::lines::Lines;
use super::table::Table;
use super::text::{Beginning, ItemsText};
use crate::backend::spool::Spool;
use crate::model::{Error, Result};

/// Bytes that are read or written at once.
const PORTION: usize = 256 * 1024;

/// Makes a text of the lines.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub(super) fn make(lines: &Lines, format: ItemsFormat, spool: &Spool) -> Result<ItemsText> {
    let write = match format {
        // The lines themselves: what follows them later is behind the end of this text.
        ItemsFormat::JsonLines => {
            return Ok(ItemsText::new(Arc::clone(lines.file()), lines.size(), lines.version()));
        }
        ItemsFormat::Json => write_array,
        ItemsFormat::Csv => write_table,
    };
    let file = spool.file()?;
    let written = write_to(&file, lines, write);
    let size =
        written.map_err(|error| Error::io("write the items of a dataset to the spool", error))?;
    Ok(ItemsText::new(Arc::new(file), size, lines.version()))
}

fn write_to(
    file: &File,
    lines: &Lines,
    write: fn(&Lines, &mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<u64> {
    let mut to = BufWriter::with_capacity(PORTION, file);
    write(lines, &mut to)?;
    to.into_inner().map_err(io::IntoInnerError::into_error)?.stream_position()
}

fn write_array(lines: &Lines, to: &mut BufWriter<&File>) -> io::Result<()> {
    to.write_all(b"[")?;
    let mut before: &[u8] = b"\n";
    for_each_line(lines, |line| {
        to.write_all(before)?;
        before = b",\n";
        to.write_all(line)
    })?;
    to.write_all(if lines.size() == 0 { b"]\n" } else { b"\n]\n" })
}

fn write_table(lines: &Lines, to: &mut BufWriter<&File>) -> io::Result<()> {
    let mut table = Table::default();
    for_each_line(lines, |line| Ok(table.add_columns(line)?))?;
    let mut rows = table.begin(to)?;
    for_each_line(lines, |line| rows.add(line))?;
    rows.end()
}

/// Gives each line to `act`, without its line end. One is held at a time.
fn for_each_line(lines: &Lines, mut act: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let beginning = Beginning { file: lines.file(), size: lines.size(), offset: 0 };
    let mut reader = BufReader::with_capacity(PORTION, beginning);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        act(line.strip_suffix(b"\n").unwrap_or(&line))?;
        line.clear();
    }
    Ok(())
}
