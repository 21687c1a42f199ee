//! What every backend promises: one plain function per behaviour, over a fresh and empty storage.
//!
//! A function that proves a promise of docs/DESIGN.md carries its number. [`all_tests`] makes a `#[test]` of
//! each; a function that is missing from its list is reported by the compiler as never used.
//!
//! What a backend is and can it declares: its traits and capabilities. A function takes them from the backend and
//! checks what is declared, no less and no more. What a backend is to declare is said where the suite is called,
//! so that nothing is left out because it was declared away.

mod attributes;
mod capabilities;
mod concurrency;
mod keys;
mod metadata;
mod purge;
mod records;
mod staging;
mod stores;
mod values;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use storefs::backend::{
    Backend, KeyOrder, MetadataFiles, Over, Posix, Publish, PublishError, PublishType, Purge,
    Reader, Staged, Value,
};
use storefs::model::{ContentType, Error, Key, Result, StoreMetadata, StoreName, StoreTimes};

pub(crate) use self::attributes::*;
pub(crate) use self::capabilities::*;
pub(crate) use self::concurrency::*;
pub(crate) use self::keys::*;
pub(crate) use self::metadata::*;
pub(crate) use self::purge::*;
pub(crate) use self::records::*;
pub(crate) use self::staging::*;
pub(crate) use self::stores::*;
pub(crate) use self::values::*;

/// Makes a test of every function of the suite. `$run` is a function that gives its argument, a
/// `fn(&dyn Backend)`, a fresh and empty backend.
macro_rules! all_tests {
    (@each $run:path: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $run($crate::backend_suite::$name);
            }
        )*
    };
    ($run:path) => {
        $crate::backend_suite::all_tests! { @each $run:
            // what it is
            posix_is_what_the_traits_say
            set_metadata_says_what_it_is_given
            a_missing_store_is_named_by_every_capability
            a_value_comes_with_its_type_or_asks
            damaged_sidecars_are_refused

            // stores
            an_empty_storage_has_no_stores
            create_store_makes_an_empty_store
            create_store_leaves_an_existing_one_as_it_is
            stores_are_listed_once_by_any_name
            rename_store_keeps_what_it_holds
            rename_store_sets_and_clears_the_name
            rename_store_refuses_missing_and_taken_names
            drop_store_removes_all_that_it_holds
            drop_store_refuses_a_missing_store
            drop_store_if_empty_spares_records
            store_attributes_are_kept
            store_modified_follows_its_listing
            a_missing_store_is_named_by_every_call
            sync_store_accepts_an_existing_store
            space_adds_up

            // keys
            scan_lists_each_key_once
            every_odd_key_holds_its_own_record
            look_at_records_sees_what_record_sees
            a_listing_tells_what_a_look_tells
            scan_goes_on_while_records_are_deleted
            p18_no_key_leads_out_of_its_store
            check_key_agrees_with_publish
            a_foreign_key_makes_no_record

            // values
            p1_open_value_keeps_its_version
            p1_open_value_keeps_its_attributes
            read_at_gives_ranges_and_nothing_past_the_end
            an_empty_value_is_a_record
            a_large_value_comes_back_whole
            a_local_file_holds_the_same_bytes

            // staging
            p3_staging_is_seen_by_nobody
            p3_a_publish_is_seen_at_once
            p4_publish_replaces_value_and_content_type
            p7_publish_without_a_store_gives_the_staging_back
            p7_publish_without_replace_gives_the_staging_back
            p06_a_publish_over_one_version_is_refused_where_that_is_not_there_any_more
            publish_gives_back_the_new_version
            publish_durably_is_the_same_to_a_reader
            p10_a_type_is_decided_by_what_is_staged_and_what_it_replaces
            a_staging_reads_back_what_was_written
            write_at_fills_holes_with_zeroes
            set_len_cuts_and_extends_with_zeroes
            reserve_extends_unless_it_keeps_the_size
            begin_with_copies_bytes_owner_and_mode
            begin_with_takes_the_version_it_is_given
            what_goes_on_from_a_version_is_the_same_wherever_its_bytes_are
            a_staging_with_bytes_begins_with_a_version
            staged_attributes_pass_to_the_record
            stagings_are_apart

            // records
            content_type_is_kept_word_for_word
            p10_how_a_record_came_by_its_type_is_kept_where_it_can_be
            set_content_type_leaves_the_value_alone
            set_content_type_makes_no_record
            delete_removes_value_and_content_type
            delete_refuses_a_missing_record
            a_record_made_after_a_delete_inherits_nothing
            rename_record_moves_value_and_content_type
            rename_record_moves_to_another_store
            rename_record_replaces_if_told_to
            rename_record_without_replace_changes_nothing
            rename_record_refuses_a_missing_record
            rename_record_refuses_a_missing_store
            rename_record_onto_itself_keeps_it

            // attributes
            attributes_tell_size_and_owner
            modified_is_the_moment_of_publication
            stamps_change_with_the_version
            stamps_stay_while_the_version_stays
            set_attributes_changes_only_what_it_is_told
            set_attributes_takes_now
            set_attributes_refuses_a_missing_record

            // metadata
            metadata_comes_back_as_it_was_given
            metadata_text_says_what_metadata_says
            metadata_text_comes_back_byte_for_byte
            damaged_metadata_text_is_refused
            p17_touch_store_moves_only_forward
            p17_touch_store_keeps_what_others_wrote
            p12_unknown_fields_and_spelling_are_kept
            p12_rename_store_keeps_unknown_fields
            p17_only_a_store_with_records_is_completed_after_a_write
            missing_metadata_is_completed_once

            // purge
            p13_purge_spares_the_input
            p13_purge_keeps_identity_and_sets_one_instant
            p13_purge_sets_one_instant_after_a_clock_went_back
            p13_a_second_purge_is_fine
            p16_purge_goes_by_the_input_key_it_is_given
            p16_purge_spares_the_key_input_whatever_the_input_key_is
            purge_touches_no_other_store
            publish_after_a_purge_makes_a_record
            p12_purge_keeps_unknown_fields

            // concurrency
            p4_concurrent_publishers_never_mix_values
            p4_concurrent_publishers_leave_a_whole_record
            publish_without_replace_lets_one_of_many_win
            create_store_lets_one_of_many_win
            p14_purge_happens_in_one_step
            p14_purge_disturbs_no_publisher
        }
    };
}
pub(crate) use all_tests;

/// How far a file system's clock may lag behind the system's: some ticks of the kernel.
const CLOCK_LAG: Duration = Duration::from_millis(20);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn name(text: &str) -> StoreName {
    StoreName::new(text).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Metadata of a store of this name, with times of its own for each of the three.
fn metadata(store: &StoreName) -> StoreMetadata {
    StoreMetadata {
        id: Some(id_of(store)),
        name: store.metadata_name(),
        times: StoreTimes {
            created_at: at("2024-01-15T10:30:00Z"),
            accessed_at: at("2026-11-24T09:11:11.459761Z"),
            modified_at: at("2026-11-24T09:11:10.000001Z"),
        },
    }
}

/// An id as SDKs make them, of its own for each name.
fn id_of(store: &StoreName) -> String {
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("i{:016x}", store.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// The metadata of a store is what it was made with, but for times that follow changes where the backend says that they do.
fn assert_metadata(backend: &dyn Backend, store: &StoreName) {
    let (mut found, made) = (backend.metadata(store).unwrap(), metadata(store));
    if backend.traits().times_follow_changes {
        let (times, old) = (&mut found.times, made.times);
        assert!(times.accessed_at >= old.accessed_at && times.modified_at >= old.modified_at);
        (times.accessed_at, times.modified_at) = (old.accessed_at, old.modified_at);
    }
    assert_eq!(found, made);
}

/// Makes an empty store.
fn create(backend: &dyn Backend, store: &str) -> StoreName {
    let store = name(store);
    backend.create_store(&store, &metadata(&store)).unwrap();
    store
}

fn stage(backend: &dyn Backend, bytes: &[u8]) -> Staged {
    let staging = backend.stage(None).unwrap();
    staging.write_at(bytes, 0).unwrap();
    staging
}

fn publish(
    backend: &dyn Backend,
    staging: Staged,
    store: &StoreName,
    key: &Key,
    content_type: &ContentType,
) -> Result<Arc<dyn Value>, PublishError> {
    let content_type = PublishType::Given(content_type);
    let (durable, over) = (false, Over::Anything);
    backend.publish(staging, &Publish { store, key, content_type, durable, over })
}

fn put_as(
    backend: &dyn Backend,
    store: &StoreName,
    key: &Key,
    bytes: &[u8],
    content_type: &ContentType,
) {
    publish(backend, stage(backend, bytes), store, key, content_type).unwrap();
}

fn put(backend: &dyn Backend, store: &StoreName, key: &Key, bytes: &[u8]) {
    put_as(backend, store, key, bytes, &ContentType::bytes());
}

/// All bytes of a value.
fn bytes_of(value: &Arc<dyn Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Reader::new(Arc::clone(value)).read_to_end(&mut bytes).unwrap();
    bytes
}

/// All bytes that are staged.
fn staged_bytes(staging: &Staged) -> Vec<u8> {
    let mut bytes = Vec::new();
    Reader::new(staging).read_to_end(&mut bytes).unwrap();
    bytes
}

fn get(backend: &dyn Backend, store: &StoreName, key: &Key) -> Vec<u8> {
    bytes_of(&backend.open_value(store, key).unwrap())
}

/// All keys that a scan gives, sorted; a key that is given twice is there twice.
fn keys(backend: &dyn Backend, store: &StoreName) -> Vec<Key> {
    let mut keys: Vec<Key> =
        backend.scan(store).unwrap().map(|listed| listed.unwrap().key).collect();
    if backend.traits().key_order == KeyOrder::Bytes {
        assert!(keys.is_sorted(), "it is declared to list in order: {keys:?}");
    }
    keys.sort();
    keys
}

/// All store names, sorted.
fn stores(backend: &dyn Backend) -> Vec<StoreName> {
    let mut stores = backend.stores().unwrap();
    stores.sort();
    stores
}

/// The metadata files, or nothing if the backend declares that it has none.
fn metadata_files(backend: &dyn Backend) -> Option<&dyn MetadataFiles> {
    backend.metadata_files()
}

/// The same of owner, mode and times, where it keeps all of them.
fn all_posix(backend: &dyn Backend) -> Option<&dyn Posix> {
    let traits = backend.traits();
    backend.posix().filter(|_| traits.keeps_owner_and_mode && traits.keeps_times)
}

fn purge(input_key: &str) -> Purge<'_> {
    Purge { input_key, at: at("2030-01-02T03:04:05.678901Z") }
}

fn since_epoch(seconds: u64) -> SystemTime {
    // Microseconds, so that every backend can keep the fraction.
    SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_000)
}

#[track_caller]
fn error_of<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error,
    }
}

/// The error of a failed publish, and the staging that it gave back.
#[track_caller]
fn failure_of(result: Result<Arc<dyn Value>, PublishError>) -> PublishError {
    match result {
        Ok(_) => panic!("it should not have been published"),
        Err(failure) => failure,
    }
}

#[track_caller]
fn assert_no_store<T>(result: Result<T>, missing: &StoreName) {
    match error_of(result) {
        Error::NoSuchStore { store } => assert_eq!(store, missing.as_str()),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_no_record<T>(result: Result<T>, store: &StoreName, missing: &Key) {
    match error_of(result) {
        Error::NoSuchRecord { store: said, key } => {
            assert_eq!((said, key), (store.to_string(), missing.to_string()));
        }
        other => panic!("{other:?}"),
    }
}

/// Checks that no call finds a record of this key.
#[track_caller]
fn assert_gone(backend: &dyn Backend, store: &StoreName, key: &Key) {
    assert_no_record(backend.record(store, key), store, key);
    assert_no_record(backend.open_value(store, key), store, key);
    assert_no_record(backend.content_type(store, key), store, key);
    assert!(!keys(backend, store).contains(key));
}

/// Checks value and content type of a record.
#[track_caller]
fn assert_record(
    backend: &dyn Backend,
    store: &StoreName,
    key: &Key,
    bytes: &[u8],
    content_type: &ContentType,
) {
    assert_eq!(get(backend, store, key), bytes, "value of {key:?}");
    assert_eq!(backend.content_type(store, key).unwrap().as_ref(), Some(content_type));
    assert_eq!(backend.record(store, key).unwrap().size, bytes.len() as u64);
    assert!(keys(backend, store).contains(key), "{key:?} is not listed");
}
