//! Apify and Crawlee storage: read and written as the SDKs do, and mounted as a file system.
//!
//! A storage is a directory, as Crawlee and the Apify SDK keep it on a local disk, or a database of Crawlee's SQL client
//! ([`engine::Source`]). It holds key-value stores; a
//! store holds records; a record has a key, a value and a content type. [`engine::Storage`] is the way in:
//!
//! ```
//! use storefs::engine::{OpenStore, Storage};
//! use storefs::model::Key;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::Builder::new().prefix("storefs-test-").tempdir()?;
//! # let path = dir.path();
//! // `path` is the storage directory, mostly `./storage`.
//! let storage = Storage::open_directory(path, Default::default())?;
//! let store = storage.open_store(&OpenStore::default())?;
//!
//! let key: Key = "greeting".parse()?;
//! store.set_value(&key, "hello", None)?;
//! let record = store.get_value(&key)?.ok_or("it has just been stored")?;
//! assert_eq!(record.text()?, "hello");
//! assert_eq!(record.content_type.as_str(), "text/plain; charset=utf-8");
//!
//! for record in store.keys(&Default::default()) {
//!     let record = record?;
//!     println!("{} is {} bytes of {}", record.key, record.size, record.content_type);
//! }
//! // Writes the times of what was read and changed; a long-lived program does so now and then.
//! storage.write_back()?;
//! # Ok(())
//! # }
//! ```
//!
//! Other programs, SDKs among them, may use the same directory at the same time. No environment variable is read
//! unless it is asked for ([`engine::StorageOptions::from_env`]). More is in the directory `examples`.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | none | `engine`, `backend`, `model` |
//! | `mount` | `fs`, `fuse`, `mount`: a storage as a file system |
//! | `cli` (default) | `cli`, and the program `storefs`; implies `mount` |
//! | `sqlite` (default) | storages in an SQLite database |
//! | `postgres` | storages in a PostgreSQL database |
//!
//! # The house
//!
//! It has one owner per room, and each room may use only the rooms below it:
//!
//! | room | owns |
//! | --- | --- |
//! | `cli` | arguments, output, exit status |
//! | `mount` | a mount's life: checks, daemon, signals, unmounting |
//! | `fuse` | translation of kernel requests and replies, nothing else |
//! | `fs` | names, inodes, handles, write sessions, control files |
//! | [`engine`] | what stores and records mean: opening, content types, input, metadata times |
//! | [`backend`] | where they live: a Crawlee directory, a database, or memory; what names one of them |
//! | [`model`] | the words as types |

pub mod backend;
#[cfg(feature = "cli")]
pub mod cli;
pub mod engine;
mod failpoint;
// Nothing is measured without a mount or a database.
#[cfg(feature = "mount")]
pub mod fs;
#[cfg(feature = "mount")]
pub mod fuse;
#[cfg_attr(not(feature = "mount"), allow(dead_code))]
mod histogram;
pub mod model;
#[cfg(feature = "mount")]
pub mod mount;
// Some locks are of the rooms that come with `mount` alone.
#[cfg_attr(not(feature = "mount"), allow(dead_code))]
mod ranks;
mod stripes;

pub use model::{Error, Result};

// Types of these crates are a part of the API.
#[cfg(feature = "mount")]
pub use fuse::fuser;
pub use {jiff, serde_json};
