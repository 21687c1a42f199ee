//! Lists the records of all stores of a storage: store, key, content type, length.
//!
//!     cargo run --example list_keys -- ./storage [PREFIX]

use std::env;
use std::error::Error;
use std::path::PathBuf;

use storefs::engine::{IterateKeys, Storage, StorageOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(env::args_os().nth(1).ok_or("give the storage directory")?);
    let query = IterateKeys { prefix: env::args().nth(2), ..IterateKeys::default() };
    let storage = Storage::open_directory(&path, StorageOptions::default())?;
    for name in storage.stores()? {
        // In order, and in bounded memory, however many there are.
        for record in storage.store(&name).keys(&query) {
            let record = record?;
            println!("{name}\t{}\t{}\t{}", record.key, record.content_type, record.size);
        }
    }
    Ok(())
}
