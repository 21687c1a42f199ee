//! Writes records into the default store of a storage, and reads them back.
//!
//!     cargo run --example read_and_write -- ./storage

use std::env;
use std::error::Error;
use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::{Value, json};
use storefs::engine::{OpenStore, Storage, StorageOptions};
use storefs::model::{ContentType, Key};

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(env::args_os().nth(1).ok_or("give the storage directory")?);
    let storage = Storage::open_directory(&path, StorageOptions::default())?;
    // The default store is made if it is not there, as the SDKs do.
    let store = storage.open_store(&OpenStore::default())?;

    // The content type follows from the bytes and from the key's extension, unless it is given.
    let output = json!({ "pages": 3, "title": "storefs" });
    store.set_value(&Key::new("OUTPUT")?, output.to_string(), None)?;
    store.set_value(&Key::new("page.html")?, "<p>hello</p>", None)?;
    store.set_value(&Key::new("raw")?, [0, 255], Some(&ContentType::from("application/x-raw")))?;
    // A value that is not in memory comes from any reader.
    store.set_value_from(&Key::new("large")?, &mut io::repeat(b'x').take(1 << 20), None)?;

    for key in ["OUTPUT", "page.html", "raw", "large", "absent"] {
        let Some(record) = store.get_value(&key.parse()?)? else {
            println!("{key}: none");
            continue;
        };
        if record.content_type.is_json() {
            println!("{key}: {}", record.json::<Value>()?);
        } else if record.content_type.as_str().starts_with("text/html") {
            println!("{key}: {}", record.text()?);
        } else {
            // Bit by bit, whatever the length.
            let length = io::copy(&mut record.reader(), &mut io::sink())?;
            println!("{key}: {length} bytes of {}", record.content_type);
        }
    }
    // Notes in the store's metadata when it was read and changed.
    storage.write_back()?;
    Ok(())
}
