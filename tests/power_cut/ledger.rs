//! What a writer's records may be after a power cut.
//!
//! A writer does one thing after the other, and nobody else changes its records. So what is on the disk after a
//! cut is what the writer had made of them by some moment: one that is not before the last thing which it was
//! told is durable, and not after the last thing that it began.

use std::collections::BTreeMap;

/// A record: store and key.
pub(crate) type Place = (String, String);

/// The records that are there, each with its value's number.
pub(crate) type Records = BTreeMap<Place, u64>;

/// The moments between the last durable one and now.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// What was done, and what the records are after it. Never empty; the last is what the mount shows if all
    /// went well.
    moments: Vec<(String, Records)>,
}

impl Ledger {
    pub(crate) fn new(records: Records) -> Self {
        Self { moments: vec![("the power was restored".to_owned(), records)] }
    }

    /// The records as the writer has made them.
    pub(crate) fn now(&self) -> &Records {
        &self.moments[self.moments.len() - 1].1
    }

    /// Something is about to be done, which may be cut short.
    pub(crate) fn begin(&mut self, what: String, change: impl FnOnce(&mut Records)) {
        let mut records = self.now().clone();
        change(&mut records);
        self.moments.push((what, records));
    }

    /// All that was done is durable.
    pub(crate) fn is_durable(&mut self) {
        self.moments.drain(..self.moments.len() - 1);
    }

    /// The power is back: the records must be those of some moment, whose place among all is given back.
    pub(crate) fn settle(&mut self, found: Records) -> Result<(usize, usize), String> {
        let count = self.moments.len();
        let Some(at) = self.moments.iter().position(|(_, records)| *records == found) else {
            let shown = &self.moments[count.saturating_sub(40)..];
            let mut story = format!("found {found:?}\nthe last durable moment and all after it:\n");
            let mut before: Option<&Records> = None;
            for (what, records) in shown {
                story += &format!("  {what}\n");
                if before.is_none() {
                    story += &format!("    {records:?}\n");
                }
                before = Some(records);
            }
            return Err(story + &format!("    {:?}", self.now()));
        };
        *self = Self::new(found);
        Ok((at, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ledger: &mut Ledger, number: u64) {
        ledger.begin(format!("set {number}"), |records| {
            records.insert(("store".to_owned(), "key".to_owned()), number);
        });
    }

    fn with(number: u64) -> Records {
        Records::from([(("store".to_owned(), "key".to_owned()), number)])
    }

    #[test]
    fn what_is_durable_must_be_there() {
        let mut ledger = Ledger::new(Records::new());
        set(&mut ledger, 1);
        set(&mut ledger, 2);
        ledger.is_durable();
        set(&mut ledger, 3);
        assert!(ledger.settle(with(1)).is_err());
        assert!(ledger.settle(Records::new()).is_err());
        assert_eq!(ledger.settle(with(3)), Ok((1, 2)));
    }

    #[test]
    fn what_is_not_durable_may_be_there() {
        for found in [Records::new(), with(1), with(2)] {
            let mut ledger = Ledger::new(Records::new());
            set(&mut ledger, 1);
            set(&mut ledger, 2);
            ledger.settle(found).unwrap();
        }
    }
}
