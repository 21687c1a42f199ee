//! Values on their way: small ones as a whole, large ones in parts.
//!
//! Out, the server makes the parts, and the connection holds what one part takes until it is asked for the next: some MiB
//! whatever the value's length. In, a part is read from the file when the one before has been taken.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use deadpool_postgres::Object;
use futures_util::{SinkExt, TryStreamExt};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::PostgresDatabase;
use super::calls::{Attempt, Needs, Repeat};
use super::failure::Failure;
use super::rows;
use super::texts::STAGE;
use crate::backend::sql::database::{Put, Version};
use crate::model::{Error, Result};

/// Bytes of a part.
const PART: usize = 1 << 20;
/// Parts that are fetched before they are asked for.
const PARTS_AHEAD: usize = 1;
/// What a binary COPY begins with: its signature, no flags, no extension; then a row of one field.
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01";
/// What it ends with: a row of as many fields as none has.
const COPY_TAIL: &[u8] = &[0xff, 0xff];

impl PostgresDatabase {
    /// The parts are fetched by a thread of their own, and `sink` is called by the caller's: it may use this database, or
    /// another, which a thread that drives connections may not.
    pub(super) fn stream_value(
        &self,
        internal_name: &str,
        key: &str,
        version: Version,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (give, parts) = mpsc::sync_channel::<Row>(PARTS_AHEAD);
        thread::scope(|scope| {
            let fetching = thread::Builder::new()
                .name("storefs-stream".to_owned())
                .spawn_scoped(scope, || self.fetch(internal_name, key, version, give))
                .map_err(|error| Error::io("start a thread", error))?;
            // Dropped at the end of this, also if the sink panics: then the fetching thread has nobody to give to.
            let parts = parts;
            for row in &parts {
                if let Some(bytes) =
                    part_of(&row).map_err(|it| it.into_error(String::new(), false))?
                {
                    sink(bytes)?;
                }
            }
            fetching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A connection that is lost in between is replaced, and the parts go on from where they have come to: the version is
    /// the same.
    fn fetch(
        &self,
        internal_name: &str,
        key: &str,
        version: Version,
        give: SyncSender<Row>,
    ) -> Result<()> {
        let action = || format!("read record '{key}' of store '{internal_name}'");
        let done = Cell::new(0_i32);
        self.calls.stream(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let from = done.get();
            // The server sends as fast as it is read: its own limit for a statement would be one for the reader.
            attempt.begins();
            let begin =
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";
            attempt.part(client.batch_execute(begin)).await?;
            let statement = attempt.part(client.prepare_cached(&self.texts.parts)).await?;
            let length = i32::try_from(PART).unwrap_or(i32::MAX);
            let version = rows::number_of(version)?;
            let parameters: [&(dyn ToSql + Sync); 5] =
                [&internal_name, &key, &version, &from, &length];
            let mut parts = pin!(attempt.part(client.query_raw(&statement, parameters)).await?);
            let mut is_there = false;
            while let Some(row) = attempt.part(parts.try_next()).await? {
                is_there = true;
                let size = part_of(&row)?.map_or(0, <[u8]>::len);
                if give.send(row).is_err() {
                    // Who reads has stopped, and has his own reason.
                    return Err(Failure::Late);
                }
                done.set(done.get().saturating_add(i32::try_from(size).unwrap_or(i32::MAX)));
                attempt.extend();
            }
            attempt.part(client.batch_execute("COMMIT")).await?;
            attempt.ends();
            if is_there {
                return Ok(());
            }
            Err(Failure::Own(Error::RecordReplaced {
                store: internal_name.to_owned(),
                key: key.to_owned(),
            }))
        })
    }
}

fn part_of(row: &Row) -> Result<Option<&[u8]>, Failure> {
    Ok(row.try_get(0)?)
}

/// The whole of a value that is about to be put.
pub(super) fn read(put: &Put<'_>) -> Result<Vec<u8>> {
    let size = usize::try_from(put.size).unwrap_or(usize::MAX);
    let mut value = vec![0; size];
    put.value.read_exact_at(&mut value, 0).map_err(|error| unreadable(put, error))?;
    Ok(value)
}

/// Begins a transaction, and sends the value into a table of this transaction alone.
pub(super) async fn stage(
    attempt: &Attempt<'_>,
    client: &Object,
    put: &Put<'_>,
) -> Result<(), Failure> {
    let begin = format!("BEGIN; SET LOCAL statement_timeout = 0; {STAGE}");
    attempt.part(client.batch_execute(&begin)).await?;
    let copying = client
        .copy_in::<_, Cursor<Vec<u8>>>("COPY pg_temp.storefs_staged FROM STDIN (FORMAT binary)");
    let mut sink = pin!(attempt.part(copying).await?);
    let length = u32::try_from(put.size).map_err(|_| rows::damaged("a length is out of range"))?;
    let mut part = [COPY_HEAD, &length.to_be_bytes()].concat();
    let mut at = 0;
    loop {
        attempt.part(sink.send(Cursor::new(part))).await?;
        if at == put.size {
            break;
        }
        let size = usize::try_from(put.size - at).unwrap_or(usize::MAX).min(PART);
        part = vec![0; size];
        read_at(put.value, &mut part, at).map_err(|error| unreadable(put, error))?;
        at += size as u64;
    }
    attempt.part(sink.send(Cursor::new(COPY_TAIL.to_vec()))).await?;
    attempt.part(sink.finish()).await?;
    Ok(())
}

fn read_at(file: &File, part: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(part, at)
}

fn unreadable(put: &Put<'_>, error: io::Error) -> Error {
    Error::io(
        format!("read what is to be record '{}' of store '{}'", put.key, put.internal_name),
        error,
    )
}
