//! Changing a record's type and leaving its value alone.

use std::borrow::Cow;

use rustix::fs::Stat;
use rustix::io::Errno;

use super::dialect::Dialect;
use super::new_sidecar::{NewSidecar, stage_text};
use super::records::remove_if_there;
use super::staging::move_entry;
use super::state::DirectoryBackend;
use super::tree::StoreDir;
use super::{layout, place, tree};
use crate::failpoint;
use crate::model::{ContentType, Key, RecordType, Result, StoreName};

/// What the sidecar of a record is to say.
pub(super) enum NewType<'a> {
    /// This type, in our own words.
    Type(RecordType),
    /// The same of an input, as the Apify SDK says it of the one with this input key.
    OfInput(RecordType, &'a str),
    /// This text, to the letter.
    Text(&'a [u8]),
}

/// Says which type a record is to get, by its store's directory and its value; `None` leaves it as it is.
pub(super) type ChooseType<'a> = dyn Fn(&StoreDir, &Stat) -> Option<NewType<'a>> + 'a;

impl DirectoryBackend {
    pub(super) fn set_type(
        &self,
        store: &StoreName,
        key: &Key,
        record_type: &RecordType,
    ) -> Result<()> {
        self.set_chosen_type(store, key, &|_, _| Some(NewType::Type(record_type.clone())))
    }

    /// Gives a bare input the sidecar that the Apify SDK would give it.
    pub(super) fn adopt_input(
        &self,
        store: &StoreName,
        key: &Key,
        input_key: &str,
        content_type: &ContentType,
    ) -> Result<()> {
        let record_type = RecordType::given(content_type.clone());
        self.set_chosen_type(store, key, &|_, _| {
            Some(NewType::OfInput(record_type.clone(), input_key))
        })
    }

    /// Gives a record a sidecar that says what `choose` does, where its store has any. The file of a record that was
    /// dropped in gets the name that the SDK knows.
    pub(super) fn set_chosen_type(
        &self,
        store: &StoreName,
        key: &Key,
        choose: &ChooseType<'_>,
    ) -> Result<()> {
        let session = self.session(store)?;
        loop {
            // Each turn but the first follows a publish of somebody else.
            let dir = self.unguarded_store_dir(store)?;
            let failed = |error: Errno| dir.failed("set the type of", key, error);
            let (name, value) = self.locate(&dir, key)?;
            if self.dialect(&dir)? != Dialect::Sidecars {
                log::debug!("the type of '{key}' in '{store}' is not kept beside it");
                return Ok(());
            }
            key.require_unicode()?;
            let own = Dialect::Sidecars.value_name(key);
            layout::check_value_name(&own, key)?;
            let Some(chosen) = choose(&dir, &value) else { return Ok(()) };
            let object = match tree::object_of(&dir.fd, &name) {
                Err(Errno::NOENT) => return Err(dir.no_record(key)),
                object => object.map_err(failed)?,
            };
            let new = |record_type, of_input| {
                NewSidecar { key, name: &own, value: object, record_type, of_input }.text()
            };
            let text = match &chosen {
                NewType::Text(text) => Cow::Borrowed(*text),
                NewType::Type(record_type) => Cow::Owned(new(record_type, None)),
                NewType::OfInput(record_type, input_key) => {
                    Cow::Owned(new(record_type, Some(input_key)))
                }
            };
            let staged = stage_text(&text, (key, &own, &object), &session, &dir, false)?;
            staged.write_out().map_err(failed)?;

            let dir = self.store_dir(store)?;
            let _held = self.hold_record(Some(&session), store, key);
            let (now_name, now) = self.locate(&dir, key)?;
            let stamp = |stat| tree::attributes(stat).stamp;
            if now_name != name || !stamp(&now).same_bytes(&stamp(&value)) {
                continue;
            }
            if name != own {
                move_entry(&dir.fd, &name, &dir.fd, &own, false).map_err(failed)?;
                remove_if_there(&dir, &layout::sidecar_of(&name), "set type: remove old sidecar")?;
            }
            failpoint::fail("set type: move sidecar")
                .and_then(|()| place::place_sidecar(&staged, &dir, &own, now.st_ino, true))
                .map_err(failed)?;
            self.shared.unsynced.note(store, &own);
            return Ok(());
        }
    }
}
