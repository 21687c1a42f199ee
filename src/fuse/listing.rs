//! Requests for listings, which fill a reply while the storage is asked.

use fuser::{ReplyDirectory, ReplyDirectoryPlus};

use super::adapter::Adapter;
use super::droppable::Shared;
use super::reply::{Counted, Reply, add_entry, add_name};
use crate::fs::{Asked, Caller, Handle};

impl Adapter {
    pub(super) fn list_names(
        &self,
        (caller, asked): (Caller, Asked),
        handle: Handle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if self.fs.is_remote() {
            let reply = Shared::new(reply);
            let filled = reply.clone();
            return self.look_sharing(caller, asked, reply, move |fs| {
                // Once it was given, there is no room in it.
                fs.readdir(handle, offset, |listed| {
                    filled.with(|reply| add_name(reply, listed)).unwrap_or(true)
                })
            });
        }
        let listed = self
            .call(asked, |fs| fs.readdir(handle, offset, |listed| add_name(&mut reply, listed)));
        reply.answer(&self.fs, listed);
    }

    pub(super) fn list_entries(
        &self,
        (caller, asked): (Caller, Asked),
        handle: Handle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        if self.fs.is_remote() {
            let reply = Shared::new(reply);
            let filled = reply.clone();
            return self.look_sharing(caller, asked, reply, move |fs| {
                let mut counted = Counted::default();
                fs.readdirplus(&caller, handle, offset, |listed, entry| {
                    let add = |reply: &mut _| add_entry(reply, listed, entry);
                    let is_full = filled.with(add).unwrap_or(true);
                    if !is_full && !listed.is_dots() {
                        counted.0.push(entry.attr.ino);
                    }
                    is_full
                })?;
                Ok(counted)
            });
        }
        let listed = self.call(asked, |fs| {
            fs.readdirplus(&caller, handle, offset, |listed, entry| {
                add_entry(&mut reply, listed, entry)
            })?;
            Ok(Counted::default())
        });
        reply.answer(&self.fs, listed);
    }
}
