//! storefs mounts Apify and Crawlee storage: every key-value store is a directory, every record a plain file.
//!
//! The house has one owner per room, and each room may use only the rooms below it:
//!
//! | room | owns |
//! | --- | --- |
//! | `cli` | arguments, output, exit status |
//! | `mount` | a mount's life: checks, daemon, signals, unmounting |
//! | `fuse` | translation of kernel requests and replies, nothing else |
//! | [`fs`] | names, inodes, handles, write sessions, control files |
//! | [`engine`] | what stores and records mean: opening, content types, input, metadata times |
//! | [`backend`] | where they live: a Crawlee directory, or memory |
//! | [`model`] | the words as types |
//!
//! Use the [`engine`] without any mount:
//!
//! ```no_run
//! use storefs::engine::{OpenStore, Storage};
//! use storefs::model::Key;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let storage = Storage::open_directory("./storage".as_ref(), Default::default())?;
//! let store = storage.open_store(&OpenStore::default())?;
//! store.set_value(&Key::new("greeting")?, &mut "hello".as_bytes(), None)?;
//! # Ok(())
//! # }
//! ```

pub mod backend;
pub mod cli;
pub mod engine;
mod failpoint;
pub mod fs;
pub mod fuse;
pub mod model;
pub mod mount;
mod ranks;
mod stripes;

pub use model::{Error, Result};
