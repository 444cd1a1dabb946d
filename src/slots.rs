//! Places for the things that live in the event loop, found again by an id
//! that a later tenant of the same place does not answer to. Knows nothing of
//! what it keeps.
//!
//! epoll may still report an event for a socket that was closed earlier in the
//! same batch, and its number may have been taken again by then. A generation
//! in the id makes such an event find nothing.

use slab::Slab;
use std::marker::PhantomData;

/// Names one thing of the kind `K` for as long as it lives.
pub struct Id<K> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> K>,
}

// Derived, these would ask the same of `K`.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}
impl<K> std::fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Ids at or above this index are never given out, which leaves the upper bits
/// of a packed id to whoever packs it.
const MAX_INDEX: u32 = 1 << 24;

impl<K> Id<K> {
    /// Bits that [`Id::pack`] uses, counted from the lowest.
    pub const PACKED_BITS: u32 = 56;

    /// The id as a number, for an epoll token or another slab.
    pub fn pack(self) -> u64 {
        u64::from(self.generation) << 24 | u64::from(self.index)
    }

    /// The id that [`Id::pack`] made `packed` of; any other number gives an id
    /// that finds nothing or, at worst, something alive.
    pub fn unpack(packed: u64) -> Self {
        Id {
            index: (packed & u64::from(MAX_INDEX - 1)) as u32,
            generation: (packed >> 24) as u32,
            of: PhantomData,
        }
    }
}

/// A slab whose places have generations.
pub struct Slots<K, T> {
    slab: Slab<(u32, T)>,
    generation: u32,
    kind: PhantomData<fn() -> K>,
}

impl<K, T> Default for Slots<K, T> {
    fn default() -> Self {
        Slots {
            slab: Slab::new(),
            generation: 0,
            kind: PhantomData,
        }
    }
}

impl<K, T> Slots<K, T> {
    /// Puts in what `make` makes, or nothing if all places are taken.
    pub fn insert_with(&mut self, make: impl FnOnce(Id<K>) -> T) -> Option<Id<K>> {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slab.vacant_entry();
        let id = Id {
            index: u32::try_from(entry.key())
                .ok()
                .filter(|index| *index < MAX_INDEX)?,
            generation: self.generation,
            of: PhantomData,
        };
        entry.insert((self.generation, make(id)));
        Some(id)
    }

    /// Puts `value` in, or nothing if all places are taken.
    pub fn insert(&mut self, value: T) -> Option<Id<K>> {
        self.insert_with(|_| value)
    }

    /// The one that `id` names, if it still lives.
    pub fn get(&self, id: Id<K>) -> Option<&T> {
        let (generation, value) = self.slab.get(id.index as usize)?;
        (*generation == id.generation).then_some(value)
    }

    /// The one that `id` names, if it still lives.
    pub fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        let (generation, value) = self.slab.get_mut(id.index as usize)?;
        (*generation == id.generation).then_some(value)
    }

    /// Takes the one that `id` names out.
    pub fn remove(&mut self, id: Id<K>) -> Option<T> {
        self.get(id)?;
        let (_, value) = self.slab.try_remove(id.index as usize)?;
        Some(value)
    }

    /// How many live.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// All that live.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id<K>, &mut T)> {
        self.slab.iter_mut().map(|(index, (generation, value))| {
            let id = Id {
                index: index as u32,
                generation: *generation,
                of: PhantomData,
            };
            (id, value)
        })
    }

    /// All that live.
    pub fn iter(&self) -> impl Iterator<Item = (Id<K>, &T)> + Clone {
        self.slab.iter().map(|(index, (generation, value))| {
            let id = Id {
                index: index as u32,
                generation: *generation,
                of: PhantomData,
            };
            (id, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_does_not_find_the_next_tenant_of_its_place() {
        let mut slots: Slots<(), &str> = Slots::default();
        let first = slots.insert("first").unwrap();
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second").unwrap();
        assert_eq!(first.index, second.index);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
    }

    #[test]
    fn two_ids_are_the_same_only_if_place_and_generation_are() {
        let id = |index: u64, generation: u64| Id::<()>::unpack(generation << 24 | index);
        assert_eq!(id(1, 2), id(1, 2));
        for other in [id(2, 2), id(1, 3), id(2, 1)] {
            assert_ne!(id(1, 2), other);
        }
        assert_eq!(format!("{:?}", id(1, 2)), "1.2");
    }

    #[test]
    fn all_that_live_are_found_with_their_ids() {
        let mut slots: Slots<(), u32> = Slots::default();
        assert!(slots.is_empty());
        let ids: Vec<_> = (0..3).map(|value| slots.insert(value).unwrap()).collect();
        assert_eq!(slots.remove(ids[1]), Some(1));
        for (id, value) in slots.iter_mut() {
            assert!(ids.contains(&id));
            *value += 10;
        }
        *slots.get_mut(ids[2]).unwrap() += 10;
        assert_eq!(slots.get_mut(ids[1]), None);
        let all: Vec<_> = slots.iter().collect();
        assert_eq!(all, [(ids[0], &10), (ids[2], &22)]);
        assert_eq!((slots.len(), slots.is_empty()), (2, false));
    }

    #[test]
    fn an_id_survives_packing() {
        let mut slots: Slots<(), i32> = Slots {
            generation: u32::MAX - 1,
            ..Slots::default()
        };
        for value in 0..4 {
            let id = slots.insert(value).unwrap();
            assert!(id.pack() < 1 << Id::<()>::PACKED_BITS);
            assert_eq!(Id::unpack(id.pack()), id);
            assert_eq!(slots.get(Id::unpack(id.pack())), Some(&value));
        }
        assert_eq!(slots.get(Id::unpack(u64::MAX)), None);
    }
}
