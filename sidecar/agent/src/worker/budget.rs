//! How many bytes of messages that are not whole yet, and of HTTP bodies, one worker holds. A bound, so that whoever
//! sends much at a time costs himself, and not the sidecar its memory limit.

use std::cell::Cell;
use std::rc::Rc;

/// What one worker holds at most, in bytes: some of the largest messages at a time.
const LIMIT: usize = 48 * 1024 * 1024;

/// The bytes that one worker holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Rc<Cell<usize>>);

/// A share of a budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A share of nothing yet.
    pub(crate) fn hold(&self) -> Held {
        Held {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

impl Held {
    /// Makes the share this large; false, with the share as it was, where the budget does not allow it.
    #[must_use]
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let used = self.budget.0.get() - self.bytes + bytes;
        if bytes > self.bytes && used > LIMIT {
            return false;
        }
        self.budget.0.set(used);
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.set(self.budget.0.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_limit_and_come_back() {
        let budget = Budget::default();
        let (mut first, mut second) = (budget.hold(), budget.hold());
        assert!(first.resize(LIMIT - 10));
        assert!(!second.resize(11));
        assert!(second.resize(10));
        assert!(second.resize(5) && first.resize(0));
        assert!(second.resize(LIMIT));
        drop(second);
        assert_eq!(budget.0.get(), 0);
    }
}
