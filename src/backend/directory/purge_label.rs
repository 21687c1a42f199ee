//! What a box says of its purge, or of the undoing of one, for the process that has to complete it after a crash.
//!
//! The label is the target of a link that leads nowhere. File systems write that with the entry itself, so that a power cut
//! cannot leave a labelled box with an empty label, and no purge has to wait for the disk. Files that were linked, and
//! are too many for a link, are in a file beside it, which is durable before the label is there.

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Map, Value, json};

use super::dialect::Dialect;
use super::layout;
use super::tree::{self, Directory};
use crate::backend::is_spared;
use crate::backend::local_file::write_all_at;
use crate::model::{Key, PurgedBy, StoreName};

/// The link.
pub(super) const LABEL: &str = "purge";

/// What the box is for: the fresh directory of the store, and after the exchange the old one.
pub(super) const RECORDS: &str = "records";

/// The file beside the label.
const LINKED: &str = "linked";

/// Longest target of a link, in bytes.
const MAX_LABEL: usize = 4095;

/// Largest list of linked files that is read, in bytes: some millions of them.
const MAX_LINKED: u64 = 1 << 30;

/// What the box says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// Whose directory is exchanged.
    pub(super) store: StoreName,
    pub(super) dialect: Dialect,
    pub(super) input_key: String,
    /// Inode number of the store's directory before the exchange: the box holds it afterwards.
    pub(super) old: u64,
    /// The files that were linked into the fresh directory from the old one, with their inode numbers.
    pub(super) linked: BTreeMap<Vec<u8>, u64>,
    pub(super) aim: Aim,
}

/// What the exchange is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// To purge, and remove the records.
    Purge,
    /// To purge, and keep the records.
    Keep(Keeping),
    /// To undo the purge that is kept under this name.
    Undo(String),
}

/// What is noted of a purge whose records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keeping {
    pub(super) at: Timestamp,
    pub(super) until: Timestamp,
    pub(super) by: PurgedBy,
    /// The id in the store's metadata, if it has one.
    pub(super) store_id: Option<String>,
}

impl Label {
    /// Labels a box.
    pub(super) fn write(&self, purge_box: &Directory) -> rustix::io::Result<()> {
        let linked = self.linked_text();
        let whole = self.text(&linked, false);
        let text = if whole.len() <= MAX_LABEL {
            whole
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(purge_box, LINKED, flags, Mode::from_raw_mode(0o600))?;
            write_all_at(&file, Value::Object(linked).to_string().as_bytes(), 0)?;
            rustix::fs::fsync(file)?;
            self.text(&Map::new(), true)
        };
        rustix::fs::symlinkat(text, purge_box, LABEL)
    }

    /// Reads the label of a box. `None` if it has none, or one that says nothing.
    pub(super) fn read(purge_box: &Directory) -> io::Result<Option<Self>> {
        let text = match rustix::fs::readlinkat(purge_box, LABEL, Vec::new()) {
            Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
            text => text?,
        };
        let Some((mut label, has_more)) = Self::parse(text.as_bytes()) else { return Ok(None) };
        if has_more {
            let list = tree::read_small(purge_box, LINKED.as_bytes(), MAX_LINKED)?;
            let list = list.and_then(|(list, _)| serde_json::from_slice(&list).ok());
            let Some(linked) = list.and_then(|list| read_linked(&list)) else { return Ok(None) };
            label.linked = linked;
        }
        Ok(Some(label))
    }

    fn linked_text(&self) -> Map<String, Value> {
        let name = |name: &[u8]| percent_encode(name, NON_ALPHANUMERIC).to_string();
        self.linked.iter().map(|(file, number)| (name(file), json!(number))).collect()
    }

    fn text(&self, linked: &Map<String, Value>, has_more: bool) -> String {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        put("store", self.store.as_str().into());
        put("js3", (self.dialect == Dialect::Js3).into());
        put("inputKey", self.input_key.as_str().into());
        put("old", self.old.into());
        put("linked", linked.clone().into());
        if has_more {
            put("hasMore", true.into());
        }
        match &self.aim {
            Aim::Purge => {}
            Aim::Keep(keeping) => put("keep", keeping.fields()),
            Aim::Undo(kept) => put("undo", kept.as_str().into()),
        }
        Value::Object(fields).to_string()
    }

    /// What a text says, and whether there is a list of linked files beside it.
    fn parse(text: &[u8]) -> Option<(Self, bool)> {
        let fields: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        let store = purged_name(text("store")?)?;
        let aim = match (fields.get("keep"), fields.get("undo")) {
            (None, None) => Aim::Purge,
            (Some(keep), None) => Aim::Keep(Keeping::parse(keep)?),
            (None, Some(kept)) => Aim::Undo(kept.as_str()?.to_owned()),
            (Some(_), Some(_)) => return None,
        };
        let label = Self {
            dialect: match (store.is_plain(), fields.get("js3")?.as_bool()?) {
                (true, _) => Dialect::Plain,
                (false, true) => Dialect::Js3,
                (false, false) => Dialect::Sidecars,
            },
            store,
            input_key: text("inputKey")?.to_owned(),
            old: fields.get("old")?.as_u64()?,
            linked: read_linked(fields.get("linked")?)?,
            aim,
        };
        Some((label, fields.get("hasMore").is_some()))
    }

    /// The key of a value file that is spared, in a key-value store.
    pub(super) fn spared(&self, name: &[u8]) -> Option<Key> {
        let key = self.dialect.key(name).ok()?;
        let is_spared = layout::is_value_name(name) && is_spared(&key, &self.input_key);
        is_spared.then_some(key)
    }
}

impl Keeping {
    fn fields(&self) -> Value {
        json!({
            "at": self.at.to_string(),
            "until": self.until.to_string(),
            "uid": self.by.uid,
            "pid": self.by.pid,
            "command": self.by.command,
            "id": self.store_id,
        })
    }

    fn parse(fields: &Value) -> Option<Self> {
        let time = |field: &str| fields.get(field)?.as_str()?.parse().ok();
        let number = |field: &str| u32::try_from(fields.get(field)?.as_u64()?).ok();
        let text = |field: &str| Some(fields.get(field)?.as_str()?.to_owned());
        let by = PurgedBy { uid: number("uid")?, pid: number("pid")?, command: text("command")? };
        Some(Self { at: time("at")?, until: time("until")?, by, store_id: text("id") })
    }
}

fn read_linked(fields: &Value) -> Option<BTreeMap<Vec<u8>, u64>> {
    let entries = fields.as_object()?.iter();
    entries
        .map(|(name, number)| Some((percent_decode_str(name).collect(), number.as_u64()?)))
        .collect()
}

/// What a label calls a store, or a dataset or queue by its path.
fn purged_name(text: &str) -> Option<StoreName> {
    let Some(path) = text.strip_prefix('/') else { return StoreName::new(text).ok() };
    path.split('/').try_fold(StoreName::plain_root(), |parent, own| parent.child(own)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            store: StoreName::new("my-store").unwrap(),
            dialect: Dialect::Js3,
            input_key: "in put".to_owned(),
            old: u64::MAX,
            linked: [(b"in%20put.\xff".to_vec(), 7), (b"in%20put".to_vec(), 8)].into(),
            aim: Aim::Purge,
        }
    }

    fn written_and_read(label: &Label) -> Option<Label> {
        let root = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let directory = tree::open_root(root.path(), false).unwrap();
        label.write(&directory).unwrap();
        Label::read(&directory).unwrap()
    }

    #[test]
    fn labels_are_read_as_they_are_written() {
        let by = PurgedBy { uid: 7, pid: 8, command: "sh \"\u{fc}".to_owned() };
        let at = "2030-01-02T03:04:05.678Z".parse().unwrap();
        let kept = Keeping { at, until: at, by, store_id: None };
        let with_id = Keeping { store_id: Some("x".to_owned()), ..kept.clone() };
        for aim in [Aim::Purge, Aim::Keep(kept), Aim::Keep(with_id), Aim::Undo("1-2-3".to_owned())]
        {
            let label = Label { aim, ..label() };
            assert_eq!(written_and_read(&label), Some(label));
        }
        let store = StoreName::plain_root().child("datasets").unwrap().child("a b").unwrap();
        let label = Label { store, dialect: Dialect::Plain, ..label() };
        assert_eq!(written_and_read(&label), Some(label));
    }

    #[test]
    fn a_label_leads_nowhere_outside() {
        let outside = |store: &str| {
            let text =
                json!({"store": store, "js3": false, "inputKey": "", "old": 1, "linked": {}});
            Label::parse(text.to_string().as_bytes())
        };
        for store in ["/", "/..", "/datasets/../x", "/datasets//x", "../x", ""] {
            assert_eq!(outside(store), None, "{store}");
        }
    }

    #[test]
    fn more_linked_files_than_a_link_holds_are_read_too() {
        let linked = (0..100).map(|at| (format!("INPUT.{at:0200}").into_bytes(), at)).collect();
        let store = StoreName::new(&"s".repeat(255)).unwrap();
        let label = Label { store, input_key: "k".repeat(200), linked, ..label() };
        assert_eq!(written_and_read(&label), Some(label));
    }

    proptest::proptest! {
        #[test]
        fn p18_any_text_is_a_label_or_none(text: Vec<u8>) {
            let _ = Label::parse(&text);
        }
    }
}
