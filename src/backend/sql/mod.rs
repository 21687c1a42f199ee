//! A storage in a database of Crawlee's SQL client.

mod database;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
