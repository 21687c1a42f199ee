//! Giving back what writers had not published when their process ended (P21).

use std::sync::Arc;

use super::{PublishAs, Storage, Store};
use crate::backend::{Over, Value};
use crate::model::{Error, Finding, FindingKind, Key, Result, StoreName, Timestamp, Unpublished};

impl Storage {
    /// What writers had not published when their process ended, the oldest first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn unpublished(&self) -> Result<Vec<Unpublished>> {
        let mut kept =
            self.backend().kept_aside().map_or_else(|| Ok(Vec::new()), |kept| kept.list())?;
        kept.sort_by(|one, other| (one.written, &one.id).cmp(&(other.written, &other.id)));
        Ok(kept)
    }

    /// Opens what is kept under an id.
    ///
    /// # Errors
    /// [`Error::NoSuchUnpublished`].
    pub fn open_unpublished(&self, id: &str) -> Result<Arc<dyn Value>> {
        match self.backend().kept_aside() {
            Some(kept) => kept.open(id),
            None => Err(Error::NoSuchUnpublished { id: id.to_owned() }),
        }
    }

    /// Makes what is kept the record that it was meant for, or another one, durably, and keeps it no longer. Its type is
    /// found as that of any new version (P10). A record that is there already stays as it is, unless `replace` is set,
    /// or it is the one that was written and has not changed since.
    ///
    /// # Errors
    /// [`Error::NoSuchUnpublished`], [`Error::NoSuchStore`]; [`Error::RecordChanged`], [`Error::RecordExists`] without
    /// `replace`; and what a publish fails with. What is kept stays kept then.
    pub fn rescue(
        &self,
        kept: &Unpublished,
        to: Option<(&Store, &Key)>,
        replace: bool,
    ) -> Result<()> {
        let value = self.open_unpublished(&kept.id)?;
        let own = self.store(&kept.store);
        let (store, key) = to.unwrap_or((&own, &kept.key));
        store.check_key(key)?;
        let is_own = (store.name(), key) == (&kept.store, &kept.key);
        let over = match store.record(key) {
            _ if replace => Over::Anything,
            Err(Error::NoSuchRecord { .. }) => Over::Nothing,
            there => {
                let there = there?;
                let (store, key) = (store.name().to_string(), key.to_string());
                match is_own {
                    true if there.changed <= kept.written => Over::Version(there.stamp),
                    true => return Err(Error::RecordChanged { store, key }),
                    false => return Err(Error::RecordExists { store, key }),
                }
            }
        };
        let staging = store.stage()?;
        staging.begin_with(&value, value.attributes()?.size)?;
        let publish = PublishAs { durable: true, over, ..PublishAs::default() };
        store.publish(key, staging, &publish).map_err(|(error, _)| error)?;
        self.forget_unpublished(&kept.id)
    }

    /// Removes what is kept under an id.
    ///
    /// # Errors
    /// [`Error::NoSuchUnpublished`], [`Error::ReadOnly`], [`Error::Io`].
    pub fn forget_unpublished(&self, id: &str) -> Result<()> {
        match self.backend().kept_aside() {
            Some(kept) => kept.forget(id),
            None => Err(Error::NoSuchUnpublished { id: id.to_owned() }),
        }
    }

    /// What is kept, of one store or of all, as findings. What becomes of it is for its owner to say.
    pub(super) fn unpublished_findings(&self, store: Option<&StoreName>) -> Result<Vec<Finding>> {
        let kept = self.unpublished()?.into_iter();
        let kept = kept.filter(|kept| store.is_none_or(|store| kept.store == *store));
        Ok(kept.map(|kept| finding(&kept)).collect())
    }
}

fn finding(kept: &Unpublished) -> Finding {
    let Unpublished { id, store, key, size, .. } = kept;
    let written = Timestamp::try_from(kept.written).unwrap_or_default();
    let problem = format!(
        "{size} bytes of record '{key}', written until {written:.0}, were not published when their process ended; \
         'storefs rescue {id}' gives them back"
    );
    Finding::in_store(FindingKind::Unpublished, store, problem)
}
