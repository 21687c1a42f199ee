//! The state of the mount: what `@status` shows. docs/status.schema.json says what is in it.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::insight::times_status;
use super::pinned::Pinned;
use super::system::FileSystem;
use crate::engine::Work;
use crate::model::StoreName;

/// So many of the records that are being written are told by name.
const MOST_NAMED: usize = 100;

impl FileSystem {
    /// State and counters of the mount.
    #[must_use]
    pub fn status(&self) -> Value {
        let (writing, staged_bytes) = self.writing();
        json!({
            "pid": self.kept.as_ref().map_or(u64::from(std::process::id()), |kept| kept.supervisor()),
            "worker": self.kept.is_some().then(std::process::id),
            "restarts": self.kept.as_ref().map(|kept| kept.worker() - 1),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.0.elapsed().as_secs(),
            "storage": self.storage.describe(),
            "read_only": self.options.read_only,
            "no_delete": self.options.no_delete,
            "no_overwrite": self.options.no_overwrite,
            "store": self.options.store.as_ref().map(StoreName::as_str),
            "input_key": self.storage.input_key(),
            "inodes": self.versions.len(),
            "handles": self.handles.len(),
            "write_sessions": self.writers.len(),
            "writing": writing,
            "staged_bytes": staged_bytes,
            "purges_running": self.purges.running(),
            "late_failures": self.late_failures.load(Ordering::Relaxed),
            "pinned": self.pinned.get().map(Pinned::len),
            "watching": self.trust.is_watching(),
            "watch": self.trust.status(),
            "kernel": self.abilities.status(),
            "requests": self.insight.requests.status(),
            "bytes": self.insight.requests.bytes(),
            "backend": self.storage.work().map(|work| backend_status(&work)),
            "cache": self.cache_status(),
            "log": self.insight.log.status(),
            "metrics_at": self.insight.metrics_at.get(),
        })
    }

    /// What is being written, as far as it is told by name, and all the bytes that are staged.
    fn writing(&self) -> (Value, u64) {
        let mut named = Vec::new();
        let mut staged_bytes = 0;
        for session in self.writers.all() {
            // Who is just busy with it is not waited for.
            let staged = session.staged_soon();
            staged_bytes += staged.unwrap_or_default();
            let Some(staged) = staged.filter(|_| named.len() < MOST_NAMED) else { continue };
            let Some((store, key)) = self.writers.record_of(session.ino) else { continue };
            if let Ok(store) = self.store_node(store) {
                let store = store.name();
                named.push(json!({
                    "store": store.as_str(),
                    "key": key.to_string(),
                    "bytes": staged,
                }));
            }
        }
        (named.into(), staged_bytes)
    }

    fn cache_status(&self) -> Value {
        let work = self.storage.work().unwrap_or_default();
        json!({
            "trusted_names": self.trust.trusted_names(),
            "memory_bytes": work.memory_bytes,
            "spool_bytes": work.spool_bytes,
        })
    }
}

fn backend_status(work: &Work) -> Value {
    let mut status = times_status(&work.times);
    status.insert("failures".to_owned(), json!(work.failures));
    status.insert("retries".to_owned(), json!(work.retries));
    Value::Object(status)
}
