//! Purges the default store of a storage: all records go but the input.
//!
//! Which one that is, the environment may say, as to the SDKs: see `StorageOptions::from_env`.
//!
//!     cargo run --example purge -- ./storage

use std::env;
use std::error::Error;
use std::path::PathBuf;

use storefs::engine::{OpenStore, Storage, StorageOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(env::args_os().nth(1).ok_or("give the storage directory")?);
    let storage = Storage::open_directory(&path, StorageOptions::from_env())?;
    let store = storage.find_store(&OpenStore::default())?;
    // The store is purged when this returns; the old records may still be counted and removed.
    let purging = store.purge()?;
    let purged = purging.wait();
    println!("removed: {}", purged.removed);
    for key in purged.spared {
        println!("spared: {key}");
    }
    storage.write_back()?;
    Ok(())
}
