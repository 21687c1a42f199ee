//! The items of a dataset as one text, as they were when they were looked up.

use std::sync::Arc;

use crate::backend::{ItemsFormat, Value};
use crate::fs::store_node::StoreNode;
use crate::model::Attributes;

/// A text of a dataset's items. It does not change: if the dataset does, its name leads to another.
#[derive(Debug)]
pub(in crate::fs) struct ItemsNode {
    pub(in crate::fs) store: Arc<StoreNode>,
    pub(in crate::fs) format: ItemsFormat,
    pub(in crate::fs) value: Arc<dyn Value>,
    pub(in crate::fs) attributes: Attributes,
}
