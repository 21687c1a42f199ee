//! Mounted databases of Crawlee's SQL client: SQLite and PostgreSQL, by the same functions.
//!
//! What a program that knows nothing of storefs sees, with Crawlee's own client, other mounts and the commands at work in
//! the same database.

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

#[path = "databases/access.rs"]
mod access;
#[path = "databases/columns.rs"]
mod columns;
#[path = "databases/database.rs"]
mod database;
#[path = "databases/datasets.rs"]
mod datasets;
#[cfg(feature = "postgres")]
#[path = "databases/durable.rs"]
mod durable;
#[cfg(feature = "postgres")]
#[path = "databases/failover.rs"]
mod failover;
#[path = "databases/faults.rs"]
mod faults;
#[path = "databases/hostile.rs"]
mod hostile;
#[path = "databases/items.rs"]
mod items;
#[path = "databases/opening.rs"]
mod opening;
#[cfg(feature = "postgres")]
#[path = "databases/pool.rs"]
mod pool;
#[cfg(feature = "postgres")]
#[path = "databases/pooler.rs"]
mod pooler;
#[path = "databases/programs.rs"]
mod programs;
#[cfg(feature = "postgres")]
#[allow(dead_code)]
#[path = "../src/backend/sql/postgres/tests/proxy.rs"]
mod proxy;
#[path = "databases/readers.rs"]
mod readers;
#[cfg(feature = "postgres")]
#[path = "databases/server.rs"]
mod server;
#[path = "databases/stores.rs"]
mod stores;
#[path = "databases/writing.rs"]
mod writing;

/// Makes a test of each function for each kind of database.
macro_rules! on_both {
    ($($module:ident: $($name:ident)*;)*) => {
        mod sqlite {
            $($(
                #[test]
                fn $name() {
                    crate::database::on_sqlite(crate::$module::$name);
                }
            )*)*
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $($(
                #[test]
                fn $name() {
                    crate::database::on_postgres(crate::$module::$name);
                }
            )*)*
        }
    };
}

on_both! {
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
    columns:
        p7_limits_are_told_before_anything_is_sent
        p10_a_type_that_does_not_fit_the_column_keeps_no_record_out;
    stores:
        p13_p14_p16_a_purge_spares_the_input_in_one_step
        p14_the_client_finds_what_a_purge_left
        p16_another_input_is_spared_besides
        p17_times_are_as_the_client_reads_them
        p17_the_client_may_fold_while_the_mount_writes
        a_dropped_store_leaves_no_rows
        stores_and_records_move
        default_named_and_aliased_stores_have_their_names
        metadata_is_a_file_that_can_be_edited;
    datasets:
        items_are_files_for_programs
        many_items_are_in_their_order
        items_cannot_be_changed;
    items:
        programs_read_a_dataset_as_one_file
        one_file_follows_the_client;
    programs:
        ordinary_programs_find_a_file_system
        git_and_sqlite_keep_their_files_in_a_store
        all_commands_take_it_as_a_source
        a_record_has_any_key;
    hostile:
        p18_no_key_or_name_leads_out_of_its_store
        p18_links_cannot_be_made_and_lead_nowhere
        p19_what_no_client_writes_is_shown_and_left_alone;
    access:
        p20_without_allow_other_nobody_else_gets_in
        p20_with_allow_other_owner_and_mode_decide;
    opening:
        what_is_no_database_of_crawlee_is_refused
        a_database_of_an_older_client_works
        a_database_of_a_newer_client_works
        a_database_that_can_only_be_read_is_read;
    faults:
        p21_what_was_synced_survives_a_killed_daemon_and_nothing_is_torn
        two_mounts_and_a_command_write_at_once
        a_large_value_takes_little_memory;
}
