//! A storage in a database of Crawlee's SQL client.

mod backend;
mod database;
mod datasets;
mod generations;
mod scan;
mod schema;
mod shared;
mod staging;
mod value;
mod versions;
