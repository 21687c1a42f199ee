//! Opening a store by id, name or alias, with the SDKs' rules (FORMAT 4.5).

use super::{Storage, Store, new_metadata};
use crate::model::{Error, Result, StoreName};

/// Which store to open. At most one field is given; none means the default store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenStore {
    /// The id in the store's metadata.
    pub id: Option<String>,
    /// The name; a store made by it carries it and is never purged when a run starts.
    pub name: Option<String>,
    /// The alias; a store made by it is unnamed.
    pub alias: Option<String>,
}

/// Letters of an id, as in the SDKs (FORMAT 3).
const ID_LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Length of an id in characters (FORMAT 3).
const ID_LENGTH: usize = 17;

pub(super) fn open_store(storage: &Storage, open: &OpenStore) -> Result<Store> {
    check_one_selector(open)?;
    if let Some(id) = &open.id {
        return with_id(storage, id);
    }
    let name = directory_name(open)?;
    let metadata = new_metadata(open.name.clone());
    match storage.backend().create_store(&name, &metadata) {
        Err(Error::StoreExists { .. }) => {
            storage.store(&name).complete_metadata(&metadata)?;
            storage.backend().metadata(&name)?;
        }
        other => other?,
    }
    storage.activity().accessed(&name);
    Ok(storage.store(&name))
}

pub(super) fn find_store(storage: &Storage, open: &OpenStore) -> Result<Store> {
    check_one_selector(open)?;
    if let Some(id) = &open.id {
        return with_id(storage, id);
    }
    let name = directory_name(open)?;
    storage.backend().store_attributes(&name)?;
    Ok(storage.store(&name))
}

fn check_one_selector(open: &OpenStore) -> Result<()> {
    let given: Vec<String> = [("id", &open.id), ("name", &open.name), ("alias", &open.alias)]
        .into_iter()
        .filter_map(|(word, value)| value.as_ref().map(|value| format!("{word}=\"{value}\"")))
        .collect();
    if given.len() > 1 {
        return Err(Error::AmbiguousOpen { given: given.join(", ") });
    }
    Ok(())
}

fn directory_name(open: &OpenStore) -> Result<StoreName> {
    open.name
        .as_ref()
        .or(open.alias.as_ref())
        .map_or_else(|| Ok(StoreName::default_store()), |name| StoreName::new(name))
}

/// Looks at the metadata's id only, never at directory names; stores with damaged metadata are passed over.
fn with_id(storage: &Storage, id: &str) -> Result<Store> {
    for name in storage.stores()? {
        match storage.backend().metadata(&name) {
            Ok(metadata) if metadata.id.as_deref() == Some(id) => {
                storage.activity().accessed(&name);
                return Ok(storage.store(&name));
            }
            Ok(_) => {}
            Err(error) => log::debug!("looking for id '{id}': {error}"),
        }
    }
    Err(Error::NoSuchStoreId { id: id.to_owned() })
}

/// A new random id.
pub(super) fn new_id() -> String {
    let mut id = String::with_capacity(ID_LENGTH);
    while id.len() < ID_LENGTH {
        let mut random = [0_u8; 32];
        if getrandom::fill(&mut random).is_err() {
            // Without a random source an id made of the clock is still unlike its neighbours.
            random = std::array::from_fn(|at| {
                let nanos = jiff::Timestamp::now().as_nanosecond();
                u8::try_from((nanos >> at) & 0xff).unwrap_or(0)
            });
        }
        // Bytes over the last whole multiple of 62 are passed over, so that every letter is equally likely.
        let letters = random.iter().filter(|byte| **byte < 248);
        let letters = letters.filter_map(|byte| ID_LETTERS.get(usize::from(byte % 62)));
        id.extend(letters.take(ID_LENGTH - id.len()).map(|letter| char::from(*letter)));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_17_letters_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_eq!(one.len(), 17);
        assert!(one.bytes().all(|letter| letter.is_ascii_alphanumeric()));
        assert_ne!(one, other);
    }
}
