//! Two operations on one storage directory, one of which is held at a step until the other has run into it, or by.
//!
//! Built with the feature `failpoints`, the library passes steps at which a test can hold whoever comes by. What a test
//! asserts holds whichever of the two is faster; only that a fault shows depends on the hold.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "held_steps/copying.rs"]
mod copying;
#[path = "held_steps/gates.rs"]
mod gates;
#[path = "held_steps/metadata.rs"]
mod metadata;
#[path = "held_steps/stores.rs"]
mod stores;
#[path = "held_steps/syncing.rs"]
mod syncing;

use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, mpsc};
use std::thread::{Scope, ScopedJoinHandle};

use parking_lot::{Mutex, MutexGuard};
use storefs::backend::directory::{DialectChoice, DirectoryBackend, DirectoryOptions};
use storefs::backend::{Backend, Over, Publish, PublishError, PublishType, Value};
use storefs::model::{ContentType, Key, Result, StoreMetadata, StoreName, StoreTimes};
use tempfile::TempDir;

use common::{METADATA, STORES, temp_dir, wait_until};

/// What tells the library which step to hold. There is one for the whole process.
static FAULT: LazyLock<PathBuf> = LazyLock::new(|| {
    let file = std::env::temp_dir().join(format!("storefs-test-held-{}", std::process::id()));
    // SAFETY: Rust's own functions alone read the environment here, and they wait for each other.
    unsafe { std::env::set_var("STOREFS_FAULT_FILE", &file) };
    file
});

/// One test at a time has steps held.
static ALONE: Mutex<()> = Mutex::new(());

/// A thread that has slept at so many looks in a row, one a millisecond, waits for somebody.
const ASLEEP: u32 = 30;

/// A storage directory whose backend can be held.
struct Held {
    storage: TempDir,
    backend: DirectoryBackend,
    _alone: MutexGuard<'static, ()>,
}

impl Held {
    fn new() -> Self {
        Self::with_dialect(DialectChoice::Auto)
    }

    fn with_dialect(dialect: DialectChoice) -> Self {
        let alone = ALONE.lock();
        let storage = temp_dir();
        let options = DirectoryOptions { dialect, ..DirectoryOptions::default() };
        let backend = DirectoryBackend::open(storage.path(), options).unwrap();
        Self { storage, backend, _alone: alone }
    }

    /// Makes a store, and the staging directory of this process with it.
    fn create(&self, store: &str) -> StoreName {
        let store = name(store);
        self.backend.create_store(&store, &metadata_of(&store)).unwrap();
        store
    }

    fn path(&self, store: &StoreName) -> PathBuf {
        self.storage.path().join(STORES).join(store.as_str())
    }

    fn metadata_path(&self, store: &StoreName) -> PathBuf {
        self.path(store).join(METADATA)
    }

    /// The next pass of `step` is to be held, or to fail with the errno of this number.
    fn arm(&self, step: &str, what: &str) {
        let new = self.storage.path().join("new fault");
        fs::write(&new, format!("{step}={what}")).unwrap();
        fs::copy(&new, FAULT.with_extension("new")).unwrap();
        fs::rename(FAULT.with_extension("new"), &*FAULT).unwrap();
        fs::remove_file(new).unwrap();
    }

    fn was_hit(&self) -> bool {
        !FAULT.exists()
    }

    /// Does something in a thread of its own, and gives back when that is held at `step`.
    fn hold<'scope, R: Send + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        step: &str,
        act: impl FnOnce(&DirectoryBackend) -> R + Send + 'scope,
    ) -> Running<'scope, R> {
        self.arm(step, "hold");
        let running = self.begin(scope, act);
        wait_until(&format!("'{step}' is held"), || held_file().exists());
        running
    }

    /// Lets go on what is held.
    fn release(&self) {
        fs::remove_file(held_file()).unwrap();
    }

    /// Does something in a thread of its own, and gives back when that is done or waits for somebody.
    fn begin<'scope, R: Send + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        act: impl FnOnce(&DirectoryBackend) -> R + Send + 'scope,
    ) -> Running<'scope, R> {
        let (tell, told) = mpsc::channel();
        let thread = scope.spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
            act(&self.backend)
        });
        let running = Running { thread, number: told.recv().unwrap().get() };
        running.until_done_or_asleep();
        running
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for file in [FAULT.clone(), held_file(), FAULT.with_extension("new")] {
            let _ = fs::remove_file(file);
        }
    }
}

/// A thread that does something.
struct Running<'scope, R> {
    thread: ScopedJoinHandle<'scope, R>,
    /// What the system calls the thread.
    number: i32,
}

impl<R> Running<'_, R> {
    fn until_done_or_asleep(&self) {
        let mut asleep = 0;
        wait_until("a thread is done or waits", || {
            asleep = if self.is_asleep() { asleep + 1 } else { 0 };
            self.thread.is_finished() || asleep > ASLEEP
        });
    }

    fn is_asleep(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", self.number));
        // The state follows the name, which is in brackets.
        stat.is_ok_and(|stat| stat.rsplit(')').next().unwrap().trim_start().starts_with('S'))
    }

    fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// What came of it. It must come in time.
    #[track_caller]
    fn outcome(self) -> R {
        wait_until("what waited is done", || self.thread.is_finished());
        self.thread.join().unwrap()
    }
}

fn held_file() -> PathBuf {
    let mut file = FAULT.clone().into_os_string();
    file.push(".held");
    file.into()
}

fn name(text: &str) -> StoreName {
    StoreName::new(text).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn metadata_of(store: &StoreName) -> StoreMetadata {
    let times = StoreTimes::at(at("2024-01-15T10:30:00.000001Z"));
    StoreMetadata { id: Some("HvTUFIxMPIib09NEi".to_owned()), name: store.metadata_name(), times }
}

/// Publishes a value under a type.
fn put(
    backend: &DirectoryBackend,
    store: &StoreName,
    key: &Key,
    value: &str,
    content_type: &str,
) -> Result<std::sync::Arc<dyn Value>, PublishError> {
    let staging = backend.stage(Some(store)).unwrap();
    staging.write_at(value.as_bytes(), 0).unwrap();
    let content_type = &ContentType::new(content_type);
    let content_type = PublishType::Given(content_type);
    let (durable, over) = (false, Over::Anything);
    backend.publish(staging, &Publish { store, key, content_type, durable, over })
}

/// Value and type of a record.
fn get(backend: &DirectoryBackend, store: &StoreName, key: &Key) -> (String, String) {
    let value = backend.open_value(store, key).unwrap();
    let mut bytes = vec![0; 1000];
    let count = value.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(count);
    let content_type = backend.content_type(store, key).unwrap().unwrap();
    (String::from_utf8(bytes).unwrap(), content_type.to_string())
}
