//! Mounted buckets of S3.
//!
//! What a program that knows nothing of storefs sees, with boto3, AWS's program and rclone at work in the same bucket, other
//! mounts, and a network and servers that fail.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
// Shared with others, and used in part here.
#[allow(dead_code)]
#[path = "interop/sdk.rs"]
mod sdk;

#[path = "buckets/bucket.rs"]
mod bucket;
#[path = "buckets/cluster.rs"]
mod cluster;
#[path = "buckets/proxy.rs"]
mod proxy;
#[path = "buckets/tools.rs"]
mod tools;
