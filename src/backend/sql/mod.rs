//! A storage in a database of Crawlee's SQL client.

mod backend;
mod database;
mod datasets;
mod generations;
#[cfg(feature = "postgres")]
mod postgres;
mod scan;
mod schema;
mod shared;
#[cfg(feature = "sqlite")]
mod sqlite;
mod staging;
mod value;
mod versions;
