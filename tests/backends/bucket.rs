//! Buckets, over two servers: one that keeps conditions on writes, and one that answers that it did.

use std::ffi::OsStr;
use std::time::Duration;

use storefs::backend::directory::DialectChoice;
use storefs::backend::{
    AwsOptions, Backend, BucketOptions, KeyOrder, OpenValues, Precision, Steps, Traits,
    capabilities_of, open_bucket,
};
use storefs::engine::Source;

use crate::bucket_servers::{Place, shared, shared_without_conditions};

/// Runs a test over a part of a bucket where nothing is yet.
fn run_at(place: &Place, test: fn(&dyn Backend)) {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::parse(OsStr::new(&place.url())).unwrap();
    let (key, secret) = place.who.keys();
    let aws = AwsOptions {
        endpoint: Some(place.endpoint()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some(key.to_owned()),
        secret_access_key: Some(secret.to_owned()),
        config_file: Some("/dev/null".into()),
        credentials_file: Some("/dev/null".into()),
        ..AwsOptions::default()
    };
    let options = BucketOptions {
        read_only: false,
        timeout: Duration::from_secs(30),
        cache_dir: Some(directory.path().join("spool")),
        cache_bytes: 256 << 20,
        input_key: "INPUT".to_owned(),
        dialect: DialectChoice::Auto,
        aws,
    };
    test(&*open_bucket(&source, &options).unwrap());
}

fn run(test: fn(&dyn Backend)) {
    let Some(server) = shared() else { return };
    run_at(&server.place(), test);
}

crate::backend_suite::all_tests!(run);

/// What a bucket declares; `precision` is what its server makes of conditions on writes.
fn declared(precision: Precision) -> Traits {
    let mut traits = Traits::all_kept("s3");
    traits.is_remote = true;
    traits.open_values = OpenValues::MayGoStale;
    traits.purge = Steps::Several;
    traits.rename = Steps::Several;
    traits.create_exclusive = precision;
    traits.replace_version = precision;
    traits.key_order = KeyOrder::Own;
    traits.keeps_owner_and_mode = false;
    traits.keeps_times = false;
    traits.time_granularity = Duration::from_secs(1);
    traits.keeps_backslashes = false;
    traits.tells_versions = false;
    traits.limits.key_bytes = Some(237);
    traits.limits.content_type_chars = Some(1024);
    traits.limits.value_bytes = Some(5 << 40);
    traits
}

#[test]
fn it_is_what_it_declares() {
    run(|backend| {
        let all = ["metadata-files", "plain-directories", "repair", "dialects"];
        assert_eq!(capabilities_of(backend), all);
        assert_eq!(backend.traits(), declared(Precision::Exact));
    });
}

/// A whole bucket is a storage as well as a part of one.
#[test]
fn a_bucket_without_a_prefix_is_a_storage() {
    let Some(server) = shared() else { return };
    for test in [
        crate::backend_suite::stores_are_listed_once_by_any_name as fn(&dyn Backend),
        crate::backend_suite::every_odd_key_holds_its_own_record,
        crate::backend_suite::drop_store_removes_all_that_it_holds,
    ] {
        run_at(&server.bucket(), test);
    }
}

/// Where conditions on writes are taken no notice of, it is looked before each.
mod without_conditions {
    use super::{Backend, Precision, declared, run_at, shared_without_conditions};

    fn run(test: fn(&dyn Backend)) {
        let Some(server) = shared_without_conditions() else { return };
        run_at(&server.place(), test);
    }

    // All but what this server cannot: it gives a value the type of another for a moment, lists a file twice that is being
    // replaced, and keeps no directory in which nothing is.
    crate::backend_suite::all_tests! { @each run:
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
        publish_without_replace_lets_one_of_many_win
        create_store_lets_one_of_many_win
        p14_purge_happens_in_one_step
        p14_purge_disturbs_no_publisher
    }

    #[test]
    fn it_is_what_it_declares() {
        run(|backend| assert_eq!(backend.traits(), declared(Precision::LookedAt)));
    }
}
