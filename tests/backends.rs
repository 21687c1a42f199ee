//! Runs the suite of every backend's promises against each backend.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod backend_suite;
#[path = "common/far.rs"]
mod far;

mod memory {
    use storefs::backend::memory::MemoryBackend;
    use storefs::backend::{Backend, KeyOrder, Purge, Traits, capabilities_of};
    use storefs::model::{ContentType, Key, StoreMetadata, StoreName, StoreTimes};

    fn run(test: fn(&dyn Backend)) {
        test(&MemoryBackend::new());
    }

    crate::backend_suite::all_tests!(run);

    #[test]
    fn it_is_what_it_declares() {
        let backend = MemoryBackend::new();
        assert_eq!(capabilities_of(&backend), ["posix"]);
        let mut traits = Traits::all_kept("memory");
        traits.key_order = KeyOrder::Bytes;
        traits.limits.value_bytes = Some(1 << 30);
        assert_eq!(backend.traits(), traits);
    }

    #[test]
    fn p11_a_bare_record_is_one_without_a_content_type() {
        let backend = MemoryBackend::new();
        let store = StoreName::default_store();
        let key = Key::new("INPUT2.json").unwrap();
        assert!(backend.insert_bare(&store, &key, b"{}").is_err(), "there is no store yet");
        let times = StoreTimes::at("2024-01-15T10:30:00Z".parse().unwrap());
        let metadata = StoreMetadata { id: Some("x".to_owned()), name: None, times };
        backend.create_store(&store, &metadata).unwrap();

        backend.insert_bare(&store, &key, b"{}").unwrap();
        assert_eq!(backend.content_type(&store, &key).unwrap(), None);
        assert_eq!(backend.record(&store, &key).unwrap().size, 2);
        assert_eq!(backend.scan(&store).unwrap().count(), 1);
        backend.set_content_type(&store, &key, &ContentType::json()).unwrap();
        assert_eq!(backend.content_type(&store, &key).unwrap(), Some(ContentType::json()));

        backend.insert_bare(&store, &key, b"[]").unwrap();
        assert_eq!(backend.content_type(&store, &key).unwrap(), None);
        let at = "2030-01-15T10:30:00Z".parse().unwrap();
        let purged = backend.purge_store(&store, &Purge { input_key: "INPUT", at }).unwrap().wait();
        assert_eq!(purged.removed, 1);
    }

    #[test]
    fn a_far_offset_is_an_error_and_harmless() {
        let staging = MemoryBackend::new().stage(None).unwrap();
        staging.write_at(b"kept", 0).unwrap();
        for offset in [1 << 40, u64::MAX - 1, u64::MAX] {
            assert!(staging.write_at(b"far", offset).is_err());
            assert!(staging.set_len(offset).is_err());
            assert!(staging.reserve(offset, 1, false).is_err());
        }
        assert_eq!(staging.attributes().unwrap().size, 4);
    }

    #[test]
    fn clones_are_handles_on_the_same_storage() {
        let backend = MemoryBackend::new();
        let other = backend.clone();
        let times = StoreTimes::at("2024-01-15T10:30:00Z".parse().unwrap());
        let metadata = StoreMetadata { id: Some("x".to_owned()), name: None, times };
        backend.create_store(&StoreName::default_store(), &metadata).unwrap();
        assert_eq!(other.stores().unwrap(), [StoreName::default_store()]);
    }
}

/// The same with values across a network.
mod memory_far {
    use storefs::backend::Backend;

    use crate::far::Far;

    fn run(test: fn(&dyn Backend)) {
        test(&Far::default().backend());
    }

    crate::backend_suite::all_tests!(run);
}

mod directory {
    use storefs::backend::directory::{DirectoryBackend, DirectoryOptions};
    use storefs::backend::{Backend, Precision, Traits, capabilities_of};

    fn run(test: fn(&dyn Backend)) {
        let storage = tempfile::tempdir().unwrap();
        let options = DirectoryOptions::default();
        test(&DirectoryBackend::open(storage.path(), options).unwrap());
    }

    crate::backend_suite::all_tests!(run);

    #[test]
    fn it_is_what_it_declares() {
        let storage = tempfile::tempdir().unwrap();
        let options = DirectoryOptions::default();
        let backend = DirectoryBackend::open(storage.path(), options).unwrap();
        let all = [
            "posix",
            "durability",
            "metadata-files",
            "plain-directories",
            "repair",
            "dialects",
            "watchable",
            "kept-aside",
            "kept-purges",
        ];
        assert_eq!(capabilities_of(&backend), all);
        let mut traits = Traits::all_kept("directory");
        traits.replace_version = Precision::LookedAt;
        traits.limits.key_bytes = Some(237);
        assert_eq!(backend.traits(), traits);
    }
}

#[cfg(feature = "sqlite")]
#[path = "common/sqlite.rs"]
mod sqlite_databases;

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::ffi::OsStr;

    use storefs::backend::{Backend, KeyOrder, SqlOptions, Traits, capabilities_of, open_database};
    use storefs::engine::Source;

    use crate::sqlite_databases::make;

    fn run(test: fn(&dyn Backend)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("crawlee.db");
        make(&path);
        let url = format!("sqlite+aiosqlite:///{}", path.display());
        let source = Source::parse(OsStr::new(&url)).unwrap();
        let cache_dir = Some(directory.path().join("spool"));
        let options = SqlOptions { cache_dir, ..SqlOptions::default() };
        test(&*open_database(&source, &options).unwrap());
    }

    crate::backend_suite::all_tests!(run);

    #[test]
    fn a_copy_of_a_store_keeps_an_id_and_a_name_of_its_own() {
        run(crate::a_copy_of_a_store_keeps_an_id_and_a_name_of_its_own);
    }

    #[test]
    fn it_is_what_it_declares() {
        run(|backend| {
            let all = ["durability", "plain-directories", "watchable"];
            assert_eq!(capabilities_of(backend), all);
            let mut traits = Traits::all_kept("sqlite");
            traits.key_order = KeyOrder::Own;
            traits.keeps_owner_and_mode = false;
            traits.keeps_times = false;
            traits.times_follow_changes = true;
            traits.tells_versions = false;
            traits.limits.key_chars = Some(255);
            traits.limits.content_type_chars = Some(255);
            traits.limits.value_bytes = Some(1_000_000_000 - (64 << 10));
            assert_eq!(backend.traits(), traits);
        });
    }
}

#[cfg(feature = "postgres")]
#[path = "common/postgres.rs"]
mod postgres_servers;

#[cfg(feature = "postgres")]
mod postgres {
    use std::ffi::OsStr;

    use storefs::backend::{Backend, KeyOrder, SqlOptions, Traits, capabilities_of, open_database};
    use storefs::engine::Source;

    use crate::postgres_servers::{Server, shared};

    fn run_in(database: fn(&Server) -> String, test: fn(&dyn Backend)) {
        let Some(server) = shared() else { return };
        let source = Source::parse(OsStr::new(&server.url(&database(server)))).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let cache_dir = Some(directory.path().join("spool"));
        let options = SqlOptions { cache_dir, ..SqlOptions::default() };
        test(&*open_database(&source, &options).unwrap());
    }

    fn run(test: fn(&dyn Backend)) {
        run_in(Server::database, test);
    }

    crate::backend_suite::all_tests!(run);

    #[test]
    fn a_copy_of_a_store_keeps_an_id_and_a_name_of_its_own() {
        run(crate::a_copy_of_a_store_keeps_an_id_and_a_name_of_its_own);
    }

    #[test]
    fn it_is_what_it_declares() {
        run(|backend| {
            assert_eq!(capabilities_of(backend), ["durability", "plain-directories"]);
            let mut traits = Traits::all_kept("postgresql");
            traits.is_remote = true;
            traits.key_order = KeyOrder::Own;
            traits.keeps_owner_and_mode = false;
            traits.keeps_times = false;
            traits.times_follow_changes = true;
            traits.limits.key_chars = Some(255);
            traits.limits.content_type_chars = Some(50);
            traits.limits.value_bytes = Some((1 << 30) - (64 << 10));
            assert_eq!(backend.traits(), traits);
        });
    }

    /// Where keys are not in the order of their bytes.
    mod icu {
        use super::{Backend, Server, run_in};

        fn run(test: fn(&dyn Backend)) {
            run_in(Server::icu_database, test);
        }

        crate::backend_suite::all_tests!(run);
    }
}

#[cfg(feature = "s3")]
#[path = "common/buckets.rs"]
mod bucket_servers;

#[cfg(feature = "s3")]
#[path = "backends/bucket.rs"]
mod bucket;

/// `cp -r` of a store copies its metadata too: an SDK must find two stores afterwards.
#[cfg(feature = "sql")]
fn a_copy_of_a_store_keeps_an_id_and_a_name_of_its_own(backend: &dyn storefs::backend::Backend) {
    use storefs::model::{StoreMetadata, StoreName, StoreTimes};

    let times = |text: &str| StoreTimes::at(text.parse().unwrap());
    let of = |name: &str, times| {
        let (id, name) = (Some(format!("id-of-{name}")), Some(name.to_owned()));
        StoreMetadata { id, name, times }
    };
    let (made, copied) = (times("2024-01-15T10:30:00Z"), times("2025-01-15T10:30:00Z"));
    for name in ["one", "copy"] {
        let metadata = of(name, made);
        backend.create_store(&StoreName::new(name).unwrap(), &metadata).unwrap();
    }
    let copy = StoreName::new("copy").unwrap();
    backend.set_metadata(&copy, &of("one", copied)).unwrap();
    assert_eq!(backend.metadata(&copy).unwrap(), of("copy", copied));
    let free = StoreMetadata { name: Some("one".to_owned()), ..of("free", copied) };
    backend.set_metadata(&copy, &free).unwrap();
    assert_eq!(backend.metadata(&copy).unwrap().name.as_deref(), Some("copy"));
    assert_eq!(backend.metadata(&StoreName::new("one").unwrap()).unwrap(), of("one", made));
}
