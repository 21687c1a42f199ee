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

    crate::backend_suite::all_tests!(run);

    #[test]
    fn it_is_what_it_declares() {
        run(|backend| assert_eq!(backend.traits(), declared(Precision::LookedAt)));
    }
}
