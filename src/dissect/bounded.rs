//! A map of limited size, in which the oldest entries make room for new ones.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map of limited size.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    most: usize,
    entries: HashMap<K, (u64, V)>,
    /// Keys in the order in which they were added; those of removed entries have another number than the entry.
    order: VecDeque<(u64, K)>,
    added: u64,
}

impl<K: Eq + Hash + Clone, V> Bounded<K, V> {
    /// Creates a map of at most `most` entries.
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), order: VecDeque::new(), added: 0 }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Adds an entry, or replaces one. Returns the entry that made room.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.added += 1;
        self.order.push_back((self.added, key.clone()));
        let replaced = self.entries.insert(key, (self.added, value));
        if replaced.is_some() {
            self.forget_removed();
            return None;
        }
        while self.entries.len() > self.most {
            let (number, oldest) = self.order.pop_front()?;
            if self.entries.get(&oldest).is_some_and(|(added, _)| *added == number) {
                return self.entries.remove(&oldest).map(|(_, value)| value);
            }
        }
        self.forget_removed();
        None
    }

    /// Returns an entry, which is added if it is missing.
    pub(super) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(&key) {
            self.insert(key.clone(), make());
        }
        &mut self.entries.get_mut(&key).expect("it was just added").1
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    /// Forgets the keys of removed entries, before they are more than the others.
    fn forget_removed(&mut self) {
        if self.order.len() > 2 * self.most {
            let entries = &self.entries;
            self.order.retain(|(number, key)| entries.get(key).is_some_and(|(added, _)| added == number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut map = Bounded::new(3);
        for number in 0..5_u32 {
            let gone = map.insert(number, number * 10);
            assert_eq!(gone, number.checked_sub(3).map(|old| old * 10));
        }
        assert_eq!(map.remove(&3), Some(30));
        *map.entry(9, || 90) += 1;
        assert_eq!((map.get(&2), map.get(&9)), (Some(&20), Some(&91)));
        map.insert(2, 21);
        assert_eq!(map.insert(7, 70), Some(40), "2 was replaced, so 4 is the oldest");
        for number in 0..1000 {
            map.insert(number, 0);
            map.remove(&number);
        }
        assert!(map.order.len() <= 6);
    }
}
