//! Mounted buckets of S3.
//!
//! What a program that knows nothing of storefs sees, with boto3, AWS's program and rclone at work in the same bucket, other
//! mounts, and a network and servers that fail. What is not of buckets alone is that of tests/databases, with a bucket in place
//! of a database.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
// Shared with others, and used in part here.
#[allow(dead_code)]
#[path = "interop/sdk.rs"]
mod sdk;
#[allow(dead_code)]
#[path = "live/work.rs"]
mod work;

#[path = "buckets/both_sides.rs"]
mod both_sides;
#[path = "buckets/broken_off.rs"]
mod broken_off;
#[path = "buckets/cluster.rs"]
mod cluster;
#[path = "buckets/crash.rs"]
mod crash;
// By the name that the shared tests have for what they are given.
#[path = "buckets/bucket.rs"]
mod database;
#[path = "buckets/doctor.rs"]
mod doctor;
#[path = "buckets/faults.rs"]
mod faults;
#[path = "buckets/large.rs"]
mod large;
#[path = "buckets/opening.rs"]
mod opening;
#[path = "buckets/proxy.rs"]
mod proxy;
#[path = "buckets/stores.rs"]
mod stores;
#[path = "buckets/sync.rs"]
mod sync;
#[path = "buckets/tools.rs"]
mod tools;
#[path = "buckets/two_machines.rs"]
mod two_machines;
#[path = "buckets/weed.rs"]
mod weed;

#[path = "databases/access.rs"]
mod access;
#[path = "databases/programs.rs"]
mod programs;
#[path = "databases/readers.rs"]
mod readers;
#[path = "databases/faults.rs"]
mod under_load;
#[path = "databases/writing.rs"]
mod writing;

/// Makes a test of each function over a fresh part of a bucket, in the module that is named first.
macro_rules! over {
    ($server:ident by $run:path: $($module:ident: $($name:ident)*;)*) => {
        mod $server {
            $($(
                #[test]
                fn $name() {
                    $run(crate::$module::$name);
                }
            )*)*
        }
    };
}

over! { seaweedfs by crate::database::on_seaweedfs:
    readers:
        p1_open_readers_keep_their_version
        p1_open_readers_of_large_values_keep_their_version
        p1_open_readers_keep_their_version_while_the_client_works
        p1_a_memory_map_keeps_its_version
        p2_the_next_open_sees_what_the_client_changed
        p2_a_version_keeps_its_number_and_time;
    writing:
        p3_nobody_sees_what_is_not_published
        p3_p6_what_others_have_made_is_emptied_as_any_other
        p3_p4_value_and_type_are_one_for_all
        p5_what_is_synced_is_there_after_a_kill
        p6_lines_that_many_add_are_all_there
        p6_only_one_makes_a_record_exclusively
        p6_who_adds_to_what_others_replaced_is_told
        p7_a_directory_or_link_in_a_store_is_refused
        p9_nothing_of_ours_stays_in_the_database
        p10_types_are_found_and_kept
        p10_a_sidecar_that_is_brought_first_is_for_the_value_that_follows;
    stores:
        p13_p14_p16_a_purge_spares_the_input_and_leaves_no_object
        p14_whoever_lists_during_a_purge_sees_no_torn_record
        p16_another_input_is_spared_besides
        a_dropped_store_leaves_no_objects
        stores_and_records_move
        metadata_is_a_file_that_can_be_edited
        stores_that_others_make_and_remove_are_seen;
    both_sides:
        p2_the_next_open_sees_what_others_put
        p3_p4_what_is_published_is_an_object_with_its_type_and_sidecar
        p3_parts_that_others_send_are_no_records
        p9_user_metadata_and_encodings_of_others_do_no_harm
        p10_types_that_others_give_are_shown
        p18_no_key_leads_out_of_its_store
        p19_odd_keys_of_others_break_no_listing;
    programs:
        ordinary_programs_find_a_file_system
        git_and_sqlite_keep_their_files_in_a_store
        all_commands_take_it_as_a_source
        a_record_has_any_key;
    access:
        p20_without_allow_other_nobody_else_gets_in
        p20_with_allow_other_owner_and_mode_decide;
    under_load:
        p21_what_was_synced_survives_a_killed_daemon_and_nothing_is_torn
        two_mounts_and_a_command_write_at_once
        a_large_value_takes_little_memory;
    crash:
        p21_what_was_synced_survives_every_death_of_the_daemon;
    two_machines:
        p6_two_machines_write_purge_and_list_at_once
        p6_only_one_machine_makes_a_record;
}

// Where conditions on writes are taken no notice of. It keeps directories, in which a name is not two things at once.
over! { rclone by crate::database::on_rclone:
    writing:
        p3_nobody_sees_what_is_not_published
        p5_what_is_synced_is_there_after_a_kill
        p6_lines_that_many_add_are_all_there
        p7_a_directory_or_link_in_a_store_is_refused
        p10_types_are_found_and_kept;
    stores:
        p13_p14_p16_a_purge_spares_the_input_and_leaves_no_object
        a_dropped_store_leaves_no_objects
        stores_and_records_move;
    both_sides:
        p2_the_next_open_sees_what_others_put
        p3_p4_what_is_published_is_an_object_with_its_type_and_sidecar
        p10_types_that_others_give_are_shown;
}
