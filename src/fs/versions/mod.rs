//! Versions: what the kernel knows by number.
//!
//! An inode of a record stands for *one version*: it never changes its bytes. So what the kernel has cached of
//! it is always right, and a reader keeps its version (P1). A record that is replaced gets a new inode at its
//! next lookup. Writers of a record have an inode of their own, see [`super::writers`].
//!
//! | file | owns |
//! | --- | --- |
//! | `table` | the table: which number stands for what, how often the kernel has heard it |
//! | `index` | finding an inode by number and by name |
//! | `known` | what is kept of each inode |
//! | `node` | what an inode can stand for |
//! | `version` | the last that was seen of one version |
//! | `ticket` | what one lookup found for an open that cannot be told from others |
//! | `items` | the items of a dataset as one text |
//! | `text` | a text that does not change |
//! | `trim` | giving memory back |

mod index;
mod items;
mod known;
mod node;
mod table;
mod text;
mod ticket;
mod trim;
mod version;

pub(in crate::fs) use items::ItemsNode;
pub(in crate::fs) use known::KnownNode;
pub(in crate::fs) use node::Node;
pub(in crate::fs) use table::Versions;
pub(in crate::fs) use text::TextNode;
pub(in crate::fs) use ticket::Ticket;
pub(in crate::fs) use version::VersionNode;
