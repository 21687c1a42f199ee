//! A bounded table that forgets what has not been asked for in a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Entries with weights. Those that were put in or asked for last stay, up to half of the bound at least.
#[derive(Debug)]
pub(in crate::backend) struct Generations<K, V> {
    young: HashMap<K, (V, u64)>,
    old: HashMap<K, (V, u64)>,
    /// Of the young.
    weight: u64,
    /// Of one generation.
    most: u64,
}

impl<K: Eq + Hash + Clone, V> Generations<K, V> {
    /// A table of so much weight at most.
    pub(in crate::backend) fn new(most: u64) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0, most: most / 2 }
    }

    pub(in crate::backend) fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key)
            && let Some((value, weight)) = self.old.remove(key)
        {
            self.insert(key.clone(), value, weight);
        }
        self.young.get_mut(key).map(|(value, _)| value)
    }

    /// What all that is in it weighs.
    pub(in crate::backend) fn weight(&self) -> u64 {
        self.weight + self.old.values().map(|(_, weight)| weight).sum::<u64>()
    }

    /// Puts an entry in, in the place of the one that was there.
    pub(in crate::backend) fn insert(&mut self, key: K, value: V, weight: u64) {
        self.remove(&key);
        if weight > self.most {
            return;
        }
        if self.weight + weight > self.most {
            self.old = mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, (value, weight));
    }

    pub(in crate::backend) fn remove(&mut self, key: &K) -> Option<V> {
        if let Some((value, weight)) = self.young.remove(key) {
            self.weight -= weight;
            return Some(value);
        }
        self.old.remove(key).map(|(value, _)| value)
    }

    /// Takes out all whose key is asked for.
    pub(in crate::backend) fn take_if(
        &mut self,
        is_taken: impl Fn(&K) -> bool,
    ) -> Vec<(K, V, u64)> {
        let young = self.young.extract_if(|key, _| is_taken(key));
        let mut taken: Vec<_> = young.map(|(key, (value, weight))| (key, value, weight)).collect();
        self.weight -= taken.iter().map(|(_, _, weight)| weight).sum::<u64>();
        let old = self.old.extract_if(|key, _| is_taken(key));
        taken.extend(old.map(|(key, (value, weight))| (key, value, weight)));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut table = Generations::new(8);
        for number in 0..100 {
            table.insert(number, number * 2, 1);
            assert_eq!(table.get(&0), Some(&mut 0), "{number}");
            assert!(table.young.len() + table.old.len() <= 8, "{number}");
        }
        assert_eq!(table.get(&99), Some(&mut 198));
        assert_eq!(table.get(&50), None);
        table.insert(200, 1, 5);
        assert_eq!(table.get(&200), None, "heavier than a generation");
    }

    #[test]
    fn weights_are_those_of_what_is_there() {
        let mut table = Generations::new(20);
        table.insert("a", 1, 4);
        table.insert("a", 2, 6);
        assert_eq!((table.weight, table.remove(&"a"), table.weight), (6, Some(2), 0));
        table.insert("a", 1, 6);
        table.insert("b", 2, 6);
        assert_eq!((table.young.len(), table.old.len(), table.weight), (1, 1, 6));
        let mut taken = table.take_if(|_| true);
        taken.sort_unstable();
        assert_eq!((taken, table.weight), (vec![("a", 1, 6), ("b", 2, 6)], 0));
    }
}
