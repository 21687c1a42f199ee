//! A storage in a database of Crawlee's SQL client.

mod database;
mod schema;
