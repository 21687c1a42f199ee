//! A metadata file that is open for writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::engine::MetadataText;
use crate::fs::bytes::{Position, read_text};
use crate::fs::error::{FsError, FsResult};
use crate::fs::name::MetadataName;
use crate::fs::store_node::StoreNode;
use crate::model::{AttributeChange, Attributes, TimeChange};
use crate::ranks::{Mutex, OpenFile};

/// A metadata file as all of its writers have it open.
#[derive(Debug)]
pub(in crate::fs) struct MetadataFile {
    pub(in crate::fs) store: Arc<StoreNode>,
    pub(in crate::fs) name: MetadataName,
    text: Mutex<OpenFile, Text>,
    /// Whether its name is gone: then it is kept nowhere.
    is_unlinked: AtomicBool,
}

#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    /// As they are shown, but for the size.
    attributes: Attributes,
    /// What of the attributes is to be kept with the text.
    change: AttributeChange,
    /// Whether the file is in the mount only by being open.
    is_new: bool,
    /// Whether text or attributes differ from what is kept.
    is_dirty: bool,
    /// Whether somebody was told that this text cannot be kept.
    is_refused: bool,
    /// Counts changes.
    changes: u64,
}

/// A text that is to be kept.
#[derive(Clone, Debug)]
pub(in crate::fs) struct Unkept {
    pub(in crate::fs) bytes: Vec<u8>,
    pub(in crate::fs) attributes: Attributes,
    pub(in crate::fs) change: AttributeChange,
    changes: u64,
}

impl Unkept {
    /// A text that comes from elsewhere, with its mode and times.
    pub(in crate::fs) fn new(bytes: Vec<u8>, attributes: Attributes) -> Self {
        let change = AttributeChange {
            mode: Some(attributes.mode),
            modified: Some(TimeChange::At(attributes.modified)),
            ..AttributeChange::default()
        };
        let attributes = sized(attributes, &bytes);
        Self { bytes, attributes, change, changes: 0 }
    }

    /// The same with other attributes.
    pub(in crate::fs) fn with(mut self, change: &AttributeChange) -> Self {
        apply(change, &mut self.attributes, &mut self.change);
        self
    }
}

/// Changes attributes as they are shown, and what of them is to be kept.
fn apply(change: &AttributeChange, shown: &mut Attributes, kept: &mut AttributeChange) {
    let now = SystemTime::now();
    let at = |time: TimeChange| match time {
        TimeChange::Now => now,
        TimeChange::At(at) => at,
    };
    shown.mode = change.mode.unwrap_or(shown.mode);
    shown.uid = change.uid.unwrap_or(shown.uid);
    shown.gid = change.gid.unwrap_or(shown.gid);
    shown.accessed = change.accessed.map_or(shown.accessed, at);
    shown.modified = change.modified.map_or(shown.modified, at);
    shown.changed = now;
    *kept = AttributeChange {
        mode: change.mode.or(kept.mode),
        uid: change.uid.or(kept.uid),
        gid: change.gid.or(kept.gid),
        accessed: change.accessed.or(kept.accessed),
        modified: change.modified.or(kept.modified),
    };
}

fn sized(attributes: Attributes, bytes: &[u8]) -> Attributes {
    const BLOCK: u64 = 512;
    let size = bytes.len() as u64;
    Attributes { size, blocks: size.div_ceil(BLOCK), ..attributes }
}

impl MetadataFile {
    /// What is kept, opened for writing.
    pub(in crate::fs) fn of_kept(
        store: &Arc<StoreNode>,
        name: &MetadataName,
        kept: MetadataText,
    ) -> Self {
        Self::begin(store, name, kept, false)
    }

    /// A file that is made. `change` is what its maker says of its attributes.
    pub(in crate::fs) fn of_new(
        store: &Arc<StoreNode>,
        name: &MetadataName,
        attributes: Attributes,
        change: &AttributeChange,
    ) -> Self {
        let file = Self::begin(store, name, MetadataText { bytes: Vec::new(), attributes }, true);
        file.set_attributes(change);
        file
    }

    fn begin(
        store: &Arc<StoreNode>,
        name: &MetadataName,
        text: MetadataText,
        is_new: bool,
    ) -> Self {
        let MetadataText { bytes, attributes } = text;
        let change = AttributeChange::default();
        // An empty sidecar says nothing and may be copied all the same. An empty text is no store's metadata.
        let is_dirty = is_new && name.is_sidecar();
        let text =
            Text { bytes, attributes, change, is_new, is_dirty, is_refused: false, changes: 0 };
        Self {
            store: Arc::clone(store),
            name: name.clone(),
            text: Mutex::new(text),
            is_unlinked: AtomicBool::new(false),
        }
    }

    pub(in crate::fs) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        read_text(&self.text.lock().bytes, buffer, offset)
    }

    /// Length of the text in bytes.
    pub(in crate::fs) fn len(&self) -> usize {
        self.text.lock().bytes.len()
    }

    /// Text and attributes, where they are ahead of what is kept.
    pub(in crate::fs) fn ahead(&self) -> Option<MetadataText> {
        let text = self.text.lock();
        text.is_ahead().then(|| MetadataText {
            bytes: text.bytes.clone(),
            attributes: sized(text.attributes, &text.bytes),
        })
    }

    /// Whoever opens the file next begins with what is kept by now, unless the others are ahead of that.
    pub(in crate::fs) fn go_on_from(&self, kept: MetadataText) {
        let mut text = self.text.lock();
        if !text.is_ahead() {
            (text.bytes, text.attributes) = (kept.bytes, kept.attributes);
            (text.is_new, text.is_dirty, text.is_refused) = (false, false, false);
        }
    }

    /// Changes the text. It is checked and kept when the file is closed.
    pub(in crate::fs) fn write(&self, data: &[u8], position: Position) -> FsResult<()> {
        let mut text = self.text.lock();
        let offset = match position {
            Position::At(offset) => offset,
            Position::End => text.bytes.len() as u64,
        };
        let end = offset.saturating_add(data.len() as u64);
        if end > self.name.most_bytes() {
            return Err(FsError::TooLarge);
        }
        let (Ok(begin), Ok(end)) = (usize::try_from(offset), usize::try_from(end)) else {
            return Err(FsError::TooLarge);
        };
        if text.bytes.len() < end {
            text.bytes.resize(end, 0);
        }
        if let Some(room) = text.bytes.get_mut(begin..end) {
            room.copy_from_slice(data);
        }
        text.is_dirty = true;
        text.has_changed();
        Ok(())
    }

    /// Cuts the text. To nothing, that waits for the text that follows; alone it changes nothing.
    pub(in crate::fs) fn truncate(&self, size: u64) -> FsResult<()> {
        let mut text = self.text.lock();
        let size = usize::try_from(size).map_err(|_| FsError::TooLarge)?;
        if size > text.bytes.len() {
            return Err(FsError::Invalid);
        }
        text.bytes.truncate(size);
        text.is_dirty = size > 0;
        text.has_changed();
        Ok(())
    }

    /// Changes the attributes with which the text is kept.
    pub(in crate::fs) fn set_attributes(&self, change: &AttributeChange) {
        let mut text = self.text.lock();
        let Text { attributes, change: kept, changes, .. } = &mut *text;
        apply(change, attributes, kept);
        *changes += 1;
    }

    /// What is to be kept, if anything has changed and the file has its name.
    pub(in crate::fs) fn unkept(&self) -> Option<Unkept> {
        if self.is_unlinked.load(Ordering::SeqCst) {
            return None;
        }
        let text = self.text.lock();
        text.is_dirty.then(|| Unkept {
            attributes: sized(text.attributes, &text.bytes),
            bytes: text.bytes.clone(),
            change: text.change,
            changes: text.changes,
        })
    }

    /// What was to be kept is, or somebody is told that it cannot be.
    pub(in crate::fs) fn note_kept(&self, unkept: &Unkept, is_kept: bool) {
        let mut text = self.text.lock();
        text.is_refused = !is_kept;
        if is_kept && text.changes == unkept.changes {
            (text.is_dirty, text.is_new) = (false, false);
            text.change = AttributeChange::default();
        }
    }

    /// Whether somebody was told that the text cannot be kept.
    pub(in crate::fs) fn is_refused(&self) -> bool {
        self.text.lock().is_refused
    }

    /// The file's name is gone.
    pub(in crate::fs) fn unlink(&self) {
        self.is_unlinked.store(true, Ordering::SeqCst);
    }
}

impl Text {
    /// Whether this is what everybody sees. What was refused is what nobody will see.
    fn is_ahead(&self) -> bool {
        (self.is_new || self.is_dirty) && !self.is_refused
    }

    /// The bytes are others than they were.
    fn has_changed(&mut self) {
        self.attributes.modified = SystemTime::now();
        self.attributes.changed = self.attributes.modified;
        self.change.modified = None;
        self.is_refused = false;
        self.changes += 1;
    }
}
