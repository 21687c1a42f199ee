//! What a group of records may be, given which operations on them have been issued and which have returned.
//!
//! Each operation takes effect at one moment between its begin and its end, or, if the daemon was killed before
//! it ended, at any moment after its begin or never. The model keeps every state that some order of such moments
//! leads to, and an answer that none of them would give is a fault. So nothing is guessed: an operation that
//! overlaps no other has exactly one effect, and a record is free to be old or new only while somebody is at it.

use std::collections::{BTreeMap, BTreeSet};

/// A record: store and file name in the mount.
pub(crate) type Place = (&'static str, String);

/// The records that are there, each with its value's number.
pub(crate) type Records = BTreeMap<Place, u64>;

/// What an operation does, if it does anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Set(Place, u64),
    Delete(Place),
    Rename(Place, Place),
    Read(Place),
    /// Purges a store; the places that are spared are no part of it.
    Purge(&'static str),
}

/// What an operation says it has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    Done,
    Absent,
    Found(u64),
}

/// The one input record, which a purge spares.
pub(crate) const INPUT: &str = "INPUT";

impl Change {
    fn apply(&self, records: &mut Records) -> Answer {
        let there =
            |found: Option<u64>| if found.is_some() { Answer::Done } else { Answer::Absent };
        match self {
            Self::Set(place, number) => {
                records.insert(place.clone(), *number);
                Answer::Done
            }
            Self::Delete(place) => there(records.remove(place)),
            Self::Rename(from, to) => {
                let moved = records.remove(from);
                if let Some(number) = moved {
                    records.insert(to.clone(), number);
                }
                there(moved)
            }
            Self::Read(place) => {
                records.get(place).map_or(Answer::Absent, |number| Answer::Found(*number))
            }
            Self::Purge(store) => {
                records.retain(|place, _| place.0 != *store || place.1 == INPUT);
                Answer::Done
            }
        }
    }
}

/// One way in which it may have come about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Course {
    records: Records,
    /// Operations under way that have had no effect yet.
    waiting: BTreeMap<u64, Change>,
    /// Operations under way that have had theirs.
    effective: BTreeMap<u64, Answer>,
}

/// The records of one or several writers.
#[derive(Debug)]
pub(crate) struct Group {
    courses: BTreeSet<Course>,
    next: u64,
    /// The last operations, for whoever reads of a fault.
    history: Vec<String>,
}

impl Group {
    pub(crate) fn new(records: Records) -> Self {
        let course = Course { records, waiting: BTreeMap::new(), effective: BTreeMap::new() };
        Self { courses: BTreeSet::from([course]), next: 0, history: Vec::new() }
    }

    /// An operation is about to be issued.
    pub(crate) fn begin(&mut self, change: Change) -> u64 {
        let operation = self.next;
        self.next += 1;
        self.history.push(format!("{operation} begins: {change:?}"));
        let courses = std::mem::take(&mut self.courses);
        self.courses.extend(courses.into_iter().map(|mut course| {
            course.waiting.insert(operation, change.clone());
            course
        }));
        operation
    }

    /// An operation has returned.
    pub(crate) fn end(&mut self, operation: u64, answer: Answer) -> Result<(), String> {
        self.history.push(format!("{operation} ends: {answer:?}"));
        let mut courses = self.all_courses();
        courses.retain(|course| course.effective.get(&operation) == Some(&answer));
        if courses.is_empty() {
            return Err(format!("no course of events leads to this answer\n{}", self.story()));
        }
        self.courses.extend(courses.into_iter().map(|mut course| {
            course.effective.remove(&operation);
            course
        }));
        Ok(())
    }

    /// Everything is at rest: the records must be what some course leads to. What was under way is over.
    pub(crate) fn settle(&mut self, records: &Records) -> Result<(), String> {
        let courses = self.all_courses();
        if !courses.iter().any(|course| course.records == *records) {
            let expected: BTreeSet<_> = courses.into_iter().map(|course| course.records).collect();
            let story = self.story();
            return Err(format!("found {records:#?}\nexpected one of {expected:#?}\n{story}"));
        }
        *self = Self::new(records.clone());
        Ok(())
    }

    /// Takes out all courses, with what is under way having had its effect or not in each way.
    fn all_courses(&mut self) -> BTreeSet<Course> {
        let mut open: Vec<Course> = std::mem::take(&mut self.courses).into_iter().collect();
        let mut found = BTreeSet::new();
        while let Some(course) = open.pop() {
            if !found.insert(course.clone()) {
                continue;
            }
            for (operation, change) in &course.waiting {
                let mut next = course.clone();
                next.waiting.remove(operation);
                let answer = change.apply(&mut next.records);
                next.effective.insert(*operation, answer);
                open.push(next);
            }
        }
        found
    }

    fn story(&self) -> String {
        let skipped = self.history.len().saturating_sub(60);
        format!("after:\n  {}", self.history[skipped..].join("\n  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        ("store", "key".to_owned())
    }

    #[test]
    fn an_acknowledged_version_must_be_there() {
        let mut group = Group::new(Records::new());
        let first = group.begin(Change::Set(place(), 1));
        group.end(first, Answer::Done).unwrap();
        group.begin(Change::Set(place(), 2));
        assert!(group.all_courses().iter().all(|course| !course.records.is_empty()));
    }

    #[test]
    fn a_lost_version_is_a_fault() {
        let mut group = Group::new(Records::new());
        let set = group.begin(Change::Set(place(), 1));
        group.end(set, Answer::Done).unwrap();
        assert!(group.settle(&Records::new()).is_err());
    }

    #[test]
    fn a_purge_under_way_leaves_it_open_what_is_there() {
        for left in [Records::new(), Records::from([(place(), 1)])] {
            let mut group = Group::new(Records::new());
            group.begin(Change::Purge("store"));
            let set = group.begin(Change::Set(place(), 1));
            group.end(set, Answer::Done).unwrap();
            group.settle(&left).unwrap();
        }
        let mut group = Group::new(Records::from([(place(), 1)]));
        let purge = group.begin(Change::Purge("store"));
        group.end(purge, Answer::Done).unwrap();
        assert!(group.settle(&Records::from([(place(), 1)])).is_err());
    }

    #[test]
    fn an_answer_must_fit_what_went_before() {
        let mut group = Group::new(Records::from([(place(), 1)]));
        let read = group.begin(Change::Read(place()));
        assert!(group.end(read, Answer::Absent).is_err());
    }
}
