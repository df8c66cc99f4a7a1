//! A slab whose keys are never reused: index and generation.

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// A key of a [`Table`]; `T` keeps keys of different tables apart.
pub struct Key<T> {
    index: u32,
    generation: u32,
    tag: PhantomData<T>,
}

impl<T> Key<T> {
    const fn new(index: u32, generation: u32) -> Self {
        Self {
            index,
            generation,
            tag: PhantomData,
        }
    }

    /// As one number, never 0.
    #[must_use]
    pub const fn to_wire(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// From a number that anybody may have sent.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of 64 bits")]
    pub const fn from_wire(number: u64) -> Self {
        Self::new(number as u32, (number >> 32) as u32)
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_wire() == other.to_wire()
    }
}

impl<T> Eq for Key<T> {}

impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_wire().hash(state);
    }
}

impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

#[derive(Debug)]
struct Slot<V> {
    /// Counts up when the slot is emptied; starts at 1, so that no key is 0 on the wire.
    generation: u32,
    value: Option<V>,
}

/// Values by key.
#[derive(Debug)]
pub(crate) struct Table<T, V> {
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    tag: PhantomData<T>,
}

impl<T, V> Default for Table<T, V> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            tag: PhantomData,
        }
    }
}

impl<T, V> Table<T, V> {
    pub(crate) fn insert(&mut self, value: V) -> Key<T> {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return Key::new(index, slot.generation);
        }
        // 2^32 slots would be hundreds of gigabytes of waiters.
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            generation: 1,
            value: Some(value),
        });
        Key::new(index, 1)
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&V> {
        let slot = self.slots.get(key.index as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut V> {
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.value.as_mut().filter(|_| slot.generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: Key<T>) -> Option<V> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(key.index);
        Some(value)
    }

    pub(crate) fn take_where(&mut self, wanted: impl Fn(&V) -> bool) -> Vec<(Key<T>, V)> {
        let keys: Vec<_> = self
            .iter()
            .filter(|(_, value)| wanted(value))
            .map(|(key, _)| key)
            .collect();
        let taken = keys
            .into_iter()
            .filter_map(|key| self.remove(key).map(|value| (key, value)));
        taken.collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &V)> {
        self.slots.iter().zip(0u32..).filter_map(|(slot, index)| {
            let value = slot.value.as_ref()?;
            Some((Key::new(index, slot.generation), value))
        })
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
