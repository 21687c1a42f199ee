//! What a storage should hold, as maps in memory.
//!
//! Everything here follows docs/SEMANTICS.md and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{
    Record, given_on_rename, inferred, is_input, types_on_publish, types_on_rename,
};

/// Store and key.
pub(crate) type Place = (String, String);

/// What the writers of a record hold that nobody else sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unpublished {
    Nothing,
    /// An open has made or emptied the record.
    Emptied,
    /// The same, and a copy of the descriptor was closed since.
    EmptiedAndClosed,
    Written,
}

/// What others have done on disk to the version that writers go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Removed,
    Replaced,
}

/// The writers of one record.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where it publishes to; `None` once the name is gone.
    pub(crate) place: Option<Place>,
    /// The version that the writers go on from.
    base: Option<Vec<u8>>,
    /// What they see, once it differs from that.
    staged: Option<Vec<u8>>,
    unpublished: Unpublished,
    /// Whether any byte of the base is among what is staged.
    holds_base: bool,
    /// What became of the base.
    pub(crate) lost: Option<Lost>,
    /// Whether a publish was refused, since it would have brought the base back.
    pub(crate) failed: bool,
    /// Counts publishes, from 1.
    generation: u64,
    /// Whether the record was set or deleted on disk under what is staged, so that who looks or joins could expect
    /// either.
    pub(crate) apart: bool,
    /// The type that was set by hand for a record that is not published yet.
    pub(crate) set_type: Option<String>,
    pub(crate) mode: Option<u32>,
    writers: usize,
}

impl Session {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.staged.as_deref().or(self.base.as_deref()).unwrap_or_default()
    }

    /// Whether the record was never published: then it is in the mount as its writers see it.
    pub(crate) fn is_new(&self) -> bool {
        self.base.is_none()
    }

    fn stage(&mut self) -> &mut Vec<u8> {
        let base = &self.base;
        if self.staged.is_none() {
            self.holds_base = base.as_ref().is_some_and(|base| !base.is_empty());
        }
        self.staged.get_or_insert_with(|| base.clone().unwrap_or_default())
    }

    /// Whether who opens the record next has nothing in common with those who have it open.
    fn is_left_alone(&self) -> bool {
        let is_whole = self.staged.is_some() && !self.holds_base;
        match self.lost {
            None => false,
            Some(Lost::Removed) => true,
            Some(Lost::Replaced) => !is_whole,
        }
    }
}

/// What a close has published, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Nothing,
    /// It was refused.
    Refused,
    /// By the time that close(2) returns.
    AtClose,
    /// A record that was only made or emptied is published when the kernel lets go of the file.
    AtRelease,
}

/// A writer's part in what is unpublished: the generation, or 0.
pub(crate) type Share = u64;

#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) stores: BTreeMap<String, BTreeMap<String, Record>>,
    pub(crate) sessions: BTreeMap<u64, Session>,
    last_session: u64,
}

impl Storage {
    pub(crate) fn record(&self, place: &Place) -> Option<&Record> {
        self.stores.get(&place.0)?.get(&place.1)
    }

    pub(crate) fn record_mut(&mut self, place: &Place) -> Option<&mut Record> {
        self.stores.get_mut(&place.0)?.get_mut(&place.1)
    }

    pub(crate) fn insert(&mut self, place: &Place, record: Record) {
        self.stores.get_mut(&place.0).unwrap().insert(place.1.clone(), record);
    }

    fn remove(&mut self, place: &Place) -> Option<Record> {
        self.stores.get_mut(&place.0)?.remove(&place.1)
    }

    // Writers

    /// The session that writes to a place.
    pub(crate) fn session_at(&self, place: &Place) -> Option<u64> {
        let mut sessions = self.sessions.iter();
        sessions.find(|(_, session)| session.place.as_ref() == Some(place)).map(|(id, _)| *id)
    }

    fn session_mut(&mut self, place: &Place) -> Option<&mut Session> {
        let id = self.session_at(place)?;
        self.sessions.get_mut(&id)
    }

    /// Whether the writers of this place hold something else than the record that is there.
    pub(crate) fn is_apart(&self, place: &Place) -> bool {
        self.session_at(place).is_some_and(|id| self.sessions[&id].apart)
    }

    /// The session of a record that was never published: in this mount it is all there is of it.
    pub(crate) fn new_record(&self, place: &Place) -> Option<&Session> {
        let session = &self.sessions[&self.session_at(place)?];
        session.is_new().then_some(session)
    }

    /// Whether others have set on disk what is being made in this mount.
    pub(crate) fn is_made_twice(&self, place: &Place) -> bool {
        self.new_record(place).is_some() && self.record(place).is_some()
    }

    /// Whether somebody has the record open for writing, with nothing written.
    pub(crate) fn is_open_idle(&self, place: &Place) -> bool {
        self.session_at(place).is_some_and(|id| self.sessions[&id].staged.is_none())
    }

    /// Whether a copy of a descriptor was closed, and the record is still to be published empty.
    pub(crate) fn is_closed_unpublished(&self, place: &Place) -> bool {
        let closed = |id| self.sessions[&id].unpublished == Unpublished::EmptiedAndClosed;
        self.session_at(place).is_some_and(closed)
    }

    /// The bytes that everybody sees in this mount.
    pub(crate) fn shown(&self, place: &Place) -> Option<&[u8]> {
        let new = self.new_record(place).map(Session::bytes);
        new.or_else(|| self.record(place).map(|record| record.bytes.as_slice()))
    }

    /// The keys that a store shows in this mount.
    pub(crate) fn shown_keys(&self, store: &str) -> BTreeSet<String> {
        let places = self.sessions.values().filter(|session| session.is_new());
        let places = places.filter_map(|session| session.place.as_ref());
        let new = places.filter(|place| place.0 == store).map(|place| place.1.clone());
        new.chain(self.stores[store].keys().cloned()).collect()
    }

    /// Sets a type by hand, of the record that is there or of the one that is being made.
    pub(crate) fn set_type(&mut self, place: &Place, content_type: &str) {
        if let Some(record) = self.record_mut(place) {
            record.types = vec![content_type.to_owned()];
            record.given = vec![Some(content_type.to_owned())];
            record.by_hand = true;
            record.bare = false;
        } else if let Some(session) = self.session_mut(place) {
            session.set_type = Some(content_type.to_owned());
        }
    }

    /// Removes a type: that of name and bytes holds.
    pub(crate) fn remove_type(&mut self, place: &Place) {
        if let Some(record) = self.record_mut(place) {
            record.types = inferred(&place.1, &record.bytes);
            record.given = vec![None];
            record.by_hand = false;
            record.bare = false;
        } else if let Some(session) = self.session_mut(place) {
            session.set_type = None;
        }
    }

    /// Sets permissions by name, which what is staged follows.
    pub(crate) fn chmod(&mut self, place: &Place, mode: u32) {
        let record = self.record_mut(place);
        let by_sdk = record.as_ref().is_some_and(|record| record.by_sdk);
        if let Some(record) = record {
            record.mode = Some(mode);
        }
        // Who has a version open idle goes on from that one, whatever an SDK has put in its place.
        if let Some(session) = self.session_mut(place)
            && (session.staged.is_some() || !by_sdk)
        {
            session.mode = Some(mode);
        }
    }

    /// Whether a type waits for the record that is being made.
    pub(crate) fn type_waits(&self, place: &Place) -> bool {
        self.session_at(place).is_some_and(|id| self.sessions[&id].set_type.is_some())
    }

    /// A writer opens the record, which is made if it is not there. Who has it open when others have removed it, or have
    /// put another in its place, goes on without its name.
    pub(crate) fn open(&mut self, place: &Place) -> (u64, Share) {
        let current = self.record(place).map(|record| (record.bytes.clone(), record.mode));
        if self.session_mut(place).is_some_and(|session| session.is_left_alone()) {
            self.detach(place);
        }
        let mut created = false;
        let id = self.session_at(place).unwrap_or_else(|| {
            self.last_session += 1;
            let (base, mode) = current.clone().unzip();
            let made = base.is_none();
            created = made;
            let session = Session {
                place: Some(place.clone()),
                base,
                staged: made.then(Vec::new),
                unpublished: if made { Unpublished::Emptied } else { Unpublished::Nothing },
                holds_base: false,
                lost: None,
                failed: false,
                generation: 1,
                apart: false,
                set_type: None,
                mode: mode.flatten(),
                writers: 0,
            };
            self.sessions.insert(self.last_session, session);
            self.last_session
        });
        let session = self.sessions.get_mut(&id).unwrap();
        session.writers += 1;
        (id, if created { session.generation } else { 0 })
    }

    pub(crate) fn empty_at_open(&mut self, id: u64, share: &mut Share) {
        let session = self.sessions.get_mut(&id).unwrap();
        session.staged = Some(Vec::new());
        session.holds_base = false;
        if session.unpublished != Unpublished::Written {
            session.unpublished = Unpublished::Emptied;
        }
        *share = session.generation;
    }

    /// Writes at an offset, or at the end.
    pub(crate) fn write(&mut self, id: u64, data: &[u8], at: Option<usize>, share: &mut Share) {
        if data.is_empty() {
            return;
        }
        let session = self.sessions.get_mut(&id).unwrap();
        let bytes = session.stage();
        let at = at.unwrap_or(bytes.len());
        if bytes.len() < at + data.len() {
            bytes.resize(at + data.len(), 0);
        }
        bytes[at..at + data.len()].copy_from_slice(data);
        session.unpublished = Unpublished::Written;
        *share = session.generation;
    }

    pub(crate) fn set_len(&mut self, id: u64, len: usize, share: &mut Share) {
        let session = self.sessions.get_mut(&id).unwrap();
        session.stage().resize(len, 0);
        session.holds_base &= len > 0;
        session.unpublished = Unpublished::Written;
        *share = session.generation;
    }

    /// Publishes what the writers hold, if it is theirs to publish still.
    pub(crate) fn publish(&mut self, id: u64) -> Closed {
        let session = self.sessions.get_mut(&id).unwrap();
        let how = match session.unpublished {
            Unpublished::Nothing => return Closed::Nothing,
            Unpublished::Emptied | Unpublished::EmptiedAndClosed => Closed::AtRelease,
            Unpublished::Written => Closed::AtClose,
        };
        if session.place.is_some() && session.lost == Some(Lost::Replaced) && session.holds_base {
            (session.failed, session.place) = (true, None);
            return Closed::Refused;
        }
        session.unpublished = Unpublished::Nothing;
        session.generation += 1;
        if session.lost == Some(Lost::Removed) {
            session.place = None;
        }
        let Some(place) = session.place.clone() else { return Closed::Nothing };
        (session.apart, session.lost) = (false, None);
        let was_new = session.is_new();
        let bytes = session.staged.take().unwrap();
        session.base = Some(bytes.clone());
        let (mode, set_type) = (session.mode, session.set_type.take());
        let old = self.record(&place);
        let by_hand = set_type.is_some() || old.is_some_and(|old| old.by_hand);
        let given = match (&set_type, old) {
            (Some(set_type), _) => vec![Some(set_type.clone())],
            (None, Some(old)) if !old.bare => old.given.clone(),
            _ => vec![None],
        };
        let types = set_type
            .map_or_else(|| types_on_publish(&place.1, old, &bytes), |set_type| vec![set_type]);
        let record = Record {
            types,
            given,
            by_hand,
            mode: mode.filter(|_| was_new || old.is_some_and(|old| old.mode == mode)),
            bytes,
            ..Record::default()
        };
        self.insert(&place, record);
        how
    }

    /// A copy of a writer's descriptor is closed: that publishes what the writer has written.
    pub(crate) fn close_copy(&mut self, id: u64, share: Share) -> Closed {
        let session = self.sessions.get_mut(&id).unwrap();
        if share != session.generation {
            return Closed::Nothing;
        }
        if session.failed {
            return Closed::Refused;
        }
        match session.unpublished {
            Unpublished::Nothing => Closed::Nothing,
            Unpublished::Written => self.publish(id),
            _ => {
                session.unpublished = Unpublished::EmptiedAndClosed;
                Closed::Nothing
            }
        }
    }

    pub(crate) fn close(&mut self, id: u64, share: Share) -> Closed {
        let session = &self.sessions[&id];
        let has_part = share == session.generation;
        let published = match has_part {
            true if session.failed => Closed::Refused,
            true => self.publish(id),
            false => Closed::Nothing,
        };
        let session = self.sessions.get_mut(&id).unwrap();
        session.writers -= 1;
        if session.writers == 0 {
            self.sessions.remove(&id);
        }
        published
    }

    fn detach(&mut self, place: &Place) {
        if let Some(session) = self.session_mut(place) {
            session.place = None;
        }
    }

    // Names

    pub(crate) fn unlink(&mut self, place: &Place) {
        self.remove(place);
        self.detach(place);
    }

    pub(crate) fn rename(&mut self, from: &Place, to: &Place) {
        if from == to {
            return;
        }
        // A new record is published first, and so is one that was left empty by a close.
        if let Some(id) = self.session_at(from)
            && (self.new_record(from).is_some() || self.is_closed_unpublished(from))
        {
            self.publish(id);
        }
        let source = self.remove(from).unwrap();
        let being_made = self.new_record(to).and_then(|session| session.set_type.clone());
        let being_made = being_made.map(|set_type| Record {
            given: vec![Some(set_type.clone())],
            types: vec![set_type],
            by_hand: true,
            ..Record::default()
        });
        let target = self.record(to).or(being_made.as_ref());
        let (types, by_hand) = types_on_rename(&source, &to.1, target);
        let given = match by_hand {
            true => types.iter().cloned().map(Some).collect(),
            false => given_on_rename(&source, target),
        };
        self.insert(to, Record { types, given, by_hand, bare: false, ..source });
        self.detach(to);
        if let Some(session) = self.session_mut(from) {
            session.place = Some(to.clone());
        }
    }

    pub(crate) fn rename_store(&mut self, from: &str, to: &str) {
        let records = self.stores.remove(from).unwrap();
        self.stores.insert(to.to_owned(), records);
        for place in self.sessions.values_mut().filter_map(|session| session.place.as_mut()) {
            if place.0 == from {
                to.clone_into(&mut place.0);
            }
        }
    }

    pub(crate) fn purge(&mut self, store: &str) {
        let records = self.stores.get_mut(store).unwrap();
        records.retain(|key, _| is_input(key));
        records.values_mut().for_each(|record| record.bare = false);
        for session in self.sessions.values_mut() {
            let purged = |place: &Place| place.0 == store && !is_input(&place.1);
            if session.place.as_ref().is_some_and(purged) {
                session.place = None;
            }
        }
    }

    // On disk

    pub(crate) fn sdk_sets(&mut self, place: &Place, bytes: Vec<u8>, content_type: Option<&str>) {
        let types = match content_type {
            Some(content_type) => vec![content_type.to_owned()],
            None => inferred(&place.1, &bytes),
        };
        let old = self.record(place);
        let by_hand = old.is_some_and(|old| old.by_hand && old.types == types);
        let (bare, given) = (content_type.is_none(), vec![content_type.map(str::to_owned)]);
        self.insert(place, Record { bytes, types, given, by_hand, bare, by_sdk: true, mode: None });
        if let Some(session) = self.session_mut(place) {
            session.apart = session.staged.is_some();
            session.lost = session.base.as_ref().map(|_| Lost::Replaced);
        }
    }

    pub(crate) fn sdk_deletes(&mut self, place: &Place) {
        self.remove(place).unwrap();
        if let Some(session) = self.session_mut(place) {
            session.apart = !session.is_new() && session.staged.is_some();
            session.lost = session.base.as_ref().map(|_| Lost::Removed);
        }
    }

    /// The mount is another one now, which knows of no hand that set a type.
    pub(crate) fn remounted(&mut self) {
        self.sessions.clear();
        let records = self.stores.values_mut().flat_map(BTreeMap::values_mut);
        records.for_each(|record| record.by_hand = false);
    }
}
