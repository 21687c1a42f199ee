//! Bytes of writers whose process ended before they were published: kept aside for a week (P21).
//!
//! `.storefs/rescued` holds a file for each, named by its id, and beside it a link that leads nowhere, `<id>.of`, whose
//! target tells when it was written, for which record. The link is made first and removed last, so that no file is ever
//! without one; its own time says how long the file has been kept.
//!
//! Not every staging file of a dead process is worth keeping. Left out is what holds no byte of a writer's: an empty
//! file, one that is all hole, a copy of the published version that was not complete yet (its name tells how long it was
//! to be) or over which nothing else was written, and a version that a publish had just exchanged for a new one.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode};
use rustix::io::Errno;

use super::layout;
use super::places::private_directories;
use super::records::FileValue;
use super::staged_name::{StagedName, read_record, write_record};
use super::staging::{self, StagedFile, move_entry};
use super::state::DirectoryBackend;
use super::tree::{self, Directory};
use crate::backend::{KeptAside, Value};
use crate::failpoint;
use crate::model::{Error, Key, Result, StoreName, Unpublished, system_time};

/// The directory in `.storefs`.
pub(super) const RESCUED: &str = "rescued";

/// What the name of the link beside a file has behind the file's.
const LINK_SUFFIX: &[u8] = b".of";

/// So long is kept what nobody asks for.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// So many bytes are compared with those that are published; what is larger is kept without a look.
const MOST_COMPARED: u64 = 64 * 1024 * 1024;

/// So often the directory is made anew that another process removes because it has become empty.
const ATTEMPTS: u32 = 8;

/// A staging file that holds what was never published.
pub(super) struct Leftover {
    serial: u64,
    store: StoreName,
    key: Key,
    size: u64,
    /// Nanoseconds since the epoch.
    written_ns: i64,
}

/// What is kept, and where it is.
struct Kept {
    what: Unpublished,
    directory: Directory,
    name: Vec<u8>,
}

impl Leftover {
    /// What is kept of the staging directory of this name.
    fn unpublished(self, process: &str, kept_until: Option<SystemTime>) -> Unpublished {
        let Self { serial, store, key, size, written_ns } = self;
        // The number of the process says nothing once it has ended, and what is random behind it tells it from others.
        let process = process.rsplit('-').next().unwrap_or(process);
        let (id, written) = (format!("{process}-{serial}"), system_time(written_ns));
        Unpublished { id, store, key, size, written, kept_until }
    }
}

impl DirectoryBackend {
    /// What an entry of a staging directory holds that was never published; `None` if it is nothing of the kind.
    pub(super) fn leftover(
        &self,
        directory: &Directory,
        name: &[u8],
    ) -> rustix::io::Result<Option<Leftover>> {
        let Some(staged) = StagedName::parse(name) else { return Ok(None) };
        let read_link = |link: &str| rustix::fs::readlinkat(directory, link, Vec::new()).ok();
        let link = |link: &str| read_link(link).map(|target| target.into_bytes());
        let Some((store, key)) = staged.record(link) else { return Ok(None) };
        let stat = match tree::stat_file(directory, name) {
            Err(Errno::NOENT) => return Ok(None),
            stat => tree::attributes(&stat?),
        };
        let is_version = staged.base == Some(stat.stamp.object);
        if stat.size == 0 || stat.size < staged.copied || is_version {
            return Ok(None);
        }
        // What may not be read is kept, and not looked at.
        if let Ok(file) = tree::open_file(directory, name) {
            let is_hole = staging::next_data(&file, 0) == Ok(stat.size);
            if is_hole || self.is_published(&FileValue::new(Arc::new(file)), (&store, &key)) {
                return Ok(None);
            }
        }
        let (serial, written_ns) = (staged.serial, stat.stamp.changed_ns);
        Ok(Some(Leftover { serial, store, key, size: stat.size, written_ns }))
    }

    /// Whether a record holds these very bytes.
    fn is_published(&self, staged: &FileValue, (store, key): (&StoreName, &Key)) -> bool {
        let published = self.in_store(store, |dir| self.open_record(dir, key));
        published.is_ok_and(|published| {
            let size = |value: &FileValue| value.attributes().map(|attributes| attributes.size);
            let sizes = (size(staged), size(&published));
            matches!(sizes, (Ok(one), Ok(other)) if one == other && one <= MOST_COMPARED)
                && have_same_bytes(staged, &published).unwrap_or(false)
        })
    }

    /// Keeps aside what is staged in this process, which is about to end.
    pub(super) fn keep_aside(&self, staged: &StagedFile) -> Result<Option<Unpublished>> {
        let session = staged.session();
        let kept = self
            .leftover(session.directory(), staged.name())
            .and_then(|leftover| {
                let Some(leftover) = leftover else { return Ok(None) };
                let process = session.directory_name();
                keep(session.private(), (session.directory(), process), staged.name(), leftover)
                    .map(Some)
            })
            .map_err(|error| Error::io("keep aside a staging file", error))?;
        if kept.is_some() {
            staged.has_left(true);
        }
        Ok(kept)
    }

    /// Removes what was kept for long enough.
    pub(super) fn expire_rescued(&self, private: &Directory) -> io::Result<()> {
        let Some(directory) = open_rescued(private)? else { return Ok(()) };
        for kept in list_rescued(&directory)? {
            let is_over = kept.what.kept_until.is_some_and(|until| until < SystemTime::now());
            if is_over {
                let Unpublished { store, key, .. } = &kept.what;
                log::info!(
                    "what was kept of record '{key}' of store '{store}' is removed after a week"
                );
                remove(private, &kept)?;
            }
        }
        Ok(())
    }

    /// Every directory in which something may be kept.
    fn privates(&self) -> Result<Vec<Directory>> {
        let found = private_directories(&self.root()).map_err(|error| look(error.into()))?;
        Ok(found.into_iter().map(|(_, private)| private).collect())
    }

    /// All that is kept, and what processes have left that died since somebody healed.
    fn all_kept(&self) -> Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for private in self.privates()? {
            self.list_kept(&private, &mut kept).map_err(look)?;
        }
        Ok(kept)
    }

    fn list_kept(&self, private: &Directory, kept: &mut Vec<Kept>) -> io::Result<()> {
        if let Some(directory) = open_rescued(private)? {
            kept.extend(list_rescued(&directory)?);
        }
        for entry in tree::entries(private)? {
            let (name, listed) = entry?;
            if tree::kind(private, &name, listed) == FileType::Directory
                && let Ok(process) = String::from_utf8(name)
                && let Ok(session) = tree::open_dir(private, &process)
                && rustix::fs::flock(&session, FlockOperation::NonBlockingLockShared).is_ok()
            {
                self.list_left(&session, &process, kept)?;
            }
        }
        Ok(())
    }

    fn list_left(
        &self,
        session: &Directory,
        process: &str,
        kept: &mut Vec<Kept>,
    ) -> io::Result<()> {
        for entry in tree::entries(session)? {
            let (name, _) = entry?;
            if let Some(leftover) = self.leftover(session, &name)? {
                let what = leftover.unpublished(process, None);
                kept.push(Kept { what, directory: session.try_clone()?, name });
            }
        }
        Ok(())
    }
}

impl KeptAside for DirectoryBackend {
    fn list(&self) -> Result<Vec<Unpublished>> {
        Ok(self.all_kept()?.into_iter().map(|kept| kept.what).collect())
    }

    fn open(&self, id: &str) -> Result<Arc<dyn Value>> {
        let kept = self.all_kept()?.into_iter().find(|kept| kept.what.id == id);
        let Some(kept) = kept else { return Err(none(id)) };
        let file = tree::open_file(&kept.directory, &kept.name)
            .map_err(|error| Error::io(format!("open what is kept as '{id}'"), error))?;
        Ok(Arc::new(FileValue::new(Arc::new(file))))
    }

    fn forget(&self, id: &str) -> Result<()> {
        self.refuse_if_read_only()?;
        for private in self.privates()? {
            let Some(directory) = open_rescued(&private).map_err(look)? else { continue };
            let kept = list_rescued(&directory).map_err(look)?;
            if let Some(kept) = kept.into_iter().find(|kept| kept.what.id == id) {
                return remove(&private, &kept)
                    .map_err(|error| Error::io(format!("remove what is kept as '{id}'"), error));
            }
        }
        Err(none(id))
    }
}

/// Moves a staging file aside. `session` is the directory in which it is, and its name.
pub(super) fn keep(
    private: &Directory,
    (session, process): (&Directory, &str),
    name: &[u8],
    leftover: Leftover,
) -> rustix::io::Result<Unpublished> {
    let label = [
        leftover.written_ns.to_string().as_bytes(),
        b",",
        &write_record(&leftover.store, &leftover.key),
    ]
    .concat();
    let kept = leftover.unpublished(process, SystemTime::now().checked_add(KEPT_FOR));
    let link = [kept.id.as_bytes(), LINK_SUFFIX].concat();
    let mut attempt = 1;
    loop {
        let noted = open_or_make(private).and_then(|directory| {
            failpoint::fail("rescue: note")?;
            match rustix::fs::symlinkat(label.as_slice(), &directory, link.as_slice()) {
                // Of an attempt that came no further.
                Ok(()) | Err(Errno::EXIST) => Ok(directory),
                Err(error) => Err(error),
            }
        });
        let directory = match noted {
            Err(Errno::NOENT) if attempt < ATTEMPTS => {
                attempt += 1;
                continue;
            }
            noted => noted?,
        };
        failpoint::pass("rescue: noted");
        move_entry(session, name, &directory, kept.id.as_bytes(), false)?;
        return Ok(kept);
    }
}

/// What is kept, with what its links tell.
fn list_rescued(directory: &Directory) -> io::Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for entry in tree::entries(directory)? {
        let (name, _) = entry?;
        let link = [name.as_slice(), LINK_SUFFIX].concat();
        let Ok(target) = rustix::fs::readlinkat(directory, link.as_slice(), Vec::new()) else {
            continue;
        };
        let Some((written_ns, (store, key))) = read_label(target.to_bytes()) else { continue };
        let is_link = AtFlags::SYMLINK_NOFOLLOW;
        let stats = (
            tree::stat_file(directory, &name),
            rustix::fs::statat(directory, link.as_slice(), is_link),
            String::from_utf8(name.clone()),
        );
        // Gone meanwhile; or no file of ours.
        let (Ok(file), Ok(link), Ok(id)) = stats else { continue };
        let (size, written) = (tree::attributes(&file).size, system_time(written_ns));
        let kept_until = tree::attributes(&link).modified.checked_add(KEPT_FOR);
        let what = Unpublished { id, store, key, size, written, kept_until };
        kept.push(Kept { what, directory: directory.try_clone()?, name });
    }
    Ok(kept)
}

fn read_label(text: &[u8]) -> Option<(i64, (StoreName, Key))> {
    let (written, record) = std::str::from_utf8(text).ok()?.split_once(',')?;
    Some((written.parse().ok()?, read_record(record.as_bytes())?))
}

fn remove(private: &Directory, kept: &Kept) -> io::Result<()> {
    let link = [kept.name.as_slice(), LINK_SUFFIX].concat();
    for name in [kept.name.as_slice(), &link] {
        match rustix::fs::unlinkat(&kept.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // That fails as long as something else is in there.
    let _ = rustix::fs::unlinkat(private, RESCUED, AtFlags::REMOVEDIR);
    Ok(())
}

fn open_rescued(private: &Directory) -> io::Result<Option<Directory>> {
    match tree::open_dir(private, RESCUED) {
        Err(Errno::NOENT) => Ok(None),
        directory => Ok(Some(directory?)),
    }
}

fn open_or_make(private: &Directory) -> rustix::io::Result<Directory> {
    match rustix::fs::mkdirat(private, RESCUED, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => tree::open_dir(private, RESCUED),
        Err(error) => Err(error),
    }
}

fn have_same_bytes(one: &FileValue, other: &FileValue) -> Result<bool> {
    let (mut first, mut second) = (vec![0; 256 * 1024], vec![0; 256 * 1024]);
    let mut offset = 0;
    loop {
        let count = one.read_at(&mut first, offset)?;
        if other.read_at(&mut second, offset)? != count || first.get(..count) != second.get(..count)
        {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
        offset += count as u64;
    }
}

fn none(id: &str) -> Error {
    Error::NoSuchUnpublished { id: id.to_owned() }
}

fn look(error: io::Error) -> Error {
    Error::io(format!("look into '{}'", layout::PRIVATE), error)
}
