//! Listings: the names of an open directory.

mod listing;
mod names;

pub(in crate::fs) use listing::Listing;
pub(in crate::fs) use names::{DOTS, Names};
