//! The places of calls that a program works on at once, and the queue of those that wait for one: who matters more comes
//! first, and where the queue is full the newest of those who matter least goes.

use std::collections::VecDeque;

use crate::concurrency::{Priority, room};

/// Who is in, and who waits; `W` is how one that waits is told.
#[derive(Debug)]
pub struct Places<W> {
    /// No call matters more than this here, so nothing is kept free for such.
    highest: Priority,
    under_way: u32,
    /// By priority, the lowest first; each in the order of coming.
    lines: [VecDeque<(Ticket, W)>; 3],
    next: u64,
}

/// One that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// What becomes of one that wants to wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Queued<W> {
    /// It waits.
    Waits(Ticket),
    /// It waits instead of this one, of that priority.
    InsteadOf(Ticket, (Priority, W)),
    /// Nobody who waits matters less.
    Full,
}

impl<W> Places<W> {
    /// All free; `highest` is the most that a call here may matter.
    #[must_use]
    pub const fn new(highest: Priority) -> Self {
        Self {
            highest,
            under_way: 0,
            lines: [const { VecDeque::new() }; 3],
            next: 0,
        }
    }

    /// How many are in.
    #[must_use]
    pub const fn under_way(&self) -> u32 {
        self.under_way
    }

    /// Takes a place where one is free for this priority and nobody waits who comes first.
    pub fn enter(&mut self, limit: u32, priority: Priority) -> bool {
        let is_first = self.lines[priority as usize..].iter().all(VecDeque::is_empty);
        let enters = is_first && self.has_room(limit, priority);
        self.under_way += u32::from(enters);
        enters
    }

    /// Waits in a queue of at most `length`; `waiter` is asked for where it does.
    pub fn wait(&mut self, length: u32, priority: Priority, waiter: impl FnOnce() -> W) -> Queued<W> {
        let waiting: usize = self.lines.iter().map(VecDeque::len).sum();
        let gone = if waiting < length as usize {
            None
        } else {
            let lower = self.lines[..priority as usize].iter_mut().enumerate();
            let newest = lower.filter_map(|(at, line)| Some((at, line.pop_back()?.1)));
            match newest.take(1).next() {
                None => return Queued::Full,
                Some((at, waiter)) => Some((Priority::ALL[at], waiter)),
            }
        };
        let ticket = Ticket(self.next);
        self.next += 1;
        self.lines[priority as usize].push_back((ticket, waiter()));
        match gone {
            None => Queued::Waits(ticket),
            Some(gone) => Queued::InsteadOf(ticket, gone),
        }
    }

    /// Gives up waiting; false where it does not wait any more.
    pub fn give_up(&mut self, priority: Priority, ticket: Ticket) -> bool {
        let line = &mut self.lines[priority as usize];
        // Numbers rise along a line.
        match line.binary_search_by_key(&ticket.0, |(waiting, _)| waiting.0) {
            Ok(at) => line.remove(at).is_some(),
            Err(_) => false,
        }
    }

    /// One that is in leaves.
    pub const fn leave(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// The next of those who wait that has a place now: it is in. To be asked again until there is none.
    pub fn next(&mut self, limit: u32) -> Option<W> {
        let first = Priority::ALL
            .into_iter()
            .rev()
            .find(|priority| !self.lines[*priority as usize].is_empty())?;
        if !self.has_room(limit, first) {
            return None;
        }
        let (_, waiter) = self.lines[first as usize].pop_front()?;
        self.under_way += 1;
        Some(waiter)
    }

    fn has_room(&self, limit: u32, priority: Priority) -> bool {
        let priority = if priority >= self.highest {
            Priority::Critical
        } else {
            priority
        };
        self.under_way < room(limit, priority)
    }
}

#[cfg(test)]
mod tests {
    use super::Priority::{Critical, Low, Normal};
    use super::*;

    fn full(limit: u32) -> Places<&'static str> {
        let mut places = Places::new(Critical);
        while places.enter(limit, Critical) {}
        assert_eq!(places.under_way(), limit);
        places
    }

    #[test]
    fn who_matters_more_comes_first_and_equals_in_the_order_of_coming() {
        let mut places = full(2);
        for (priority, name) in [(Low, "l"), (Normal, "n1"), (Critical, "c"), (Normal, "n2")] {
            assert!(matches!(places.wait(9, priority, || name), Queued::Waits(_)));
        }
        assert_eq!(places.next(2), None);
        let mut order = Vec::new();
        for _ in 0..5 {
            places.leave();
            order.extend(places.next(2));
        }
        // The last one waits for two places: one is kept free of such.
        assert_eq!(order, ["c", "n1", "n2", "l"]);
    }

    #[test]
    fn a_full_queue_sheds_the_newest_of_those_who_matter_least() {
        let mut places = full(1);
        places.wait(2, Low, || "old");
        places.wait(2, Low, || "new");
        assert_eq!(places.wait(2, Low, || "newest"), Queued::Full);
        let Queued::InsteadOf(_, gone) = places.wait(2, Normal, || "n") else {
            panic!("no place")
        };
        assert_eq!(gone, (Low, "new"));
        let Queued::InsteadOf(_, gone) = places.wait(2, Critical, || "c1") else {
            panic!("no place")
        };
        assert_eq!(gone, (Low, "old"));
        let Queued::InsteadOf(_, gone) = places.wait(2, Critical, || "c2") else {
            panic!("no place")
        };
        assert_eq!(gone, (Normal, "n"));
        assert_eq!(places.wait(2, Critical, || "c3"), Queued::Full);
    }

    #[test]
    fn nobody_passes_those_who_wait_and_matter_as_much() {
        let mut places = full(1);
        places.wait(1, Normal, || "n");
        places.leave();
        assert!(!places.enter(1, Normal) && !places.enter(1, Low));
        assert!(places.enter(1, Critical));
        places.leave();
        assert_eq!(places.next(1), Some("n"));
    }

    #[test]
    fn who_gives_up_is_not_asked_any_more() {
        let mut places = full(1);
        let Queued::Waits(ticket) = places.wait(2, Normal, || "first") else {
            panic!("no place")
        };
        places.wait(2, Normal, || "second");
        assert!(places.give_up(Normal, ticket) && !places.give_up(Normal, ticket));
        places.leave();
        assert_eq!(places.next(1), Some("second"));
    }

    #[test]
    fn places_are_kept_free_for_those_only_who_may_come() {
        for (highest, low, normal) in [(Critical, 80, 95), (Normal, 80, 100), (Low, 100, 100)] {
            for (priority, most) in [(Low, low), (Normal, normal)] {
                let mut places = Places::<()>::new(highest);
                while places.enter(100, priority) {}
                assert_eq!(places.under_way(), most, "{highest:?} {priority:?}");
            }
        }
    }

    #[test]
    fn a_limit_that_falls_is_kept_to_as_calls_end_and_one_that_rises_lets_several_in() {
        let mut places = full(4);
        for name in ["a", "b", "c"] {
            places.wait(9, Normal, || name);
        }
        places.leave();
        assert_eq!((places.next(2), places.under_way()), (None, 3));
        let mut entered = Vec::new();
        while let Some(next) = places.next(5) {
            entered.push(next);
        }
        assert_eq!(entered, ["a", "b"]); // Normal: nothing is kept free of five
    }
}
