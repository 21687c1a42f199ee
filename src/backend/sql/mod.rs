//! A storage in a database of Crawlee's SQL client.

mod database;
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
