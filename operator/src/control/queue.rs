//! Which pods' plans are looked at next: new pods first, each at most once, none while it is being written. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::world::ObjectKey;

/// Pods that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    new: BTreeSet<ObjectKey>,
    changed: BTreeSet<ObjectKey>,
    later: BTreeMap<ObjectKey, Instant>,
    busy: BTreeSet<ObjectKey>,
    /// Touched while busy.
    again: BTreeSet<ObjectKey>,
}

/// Whether a pod has a plan already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits for its first plan, and so do its containers.
    New,
    /// It runs one.
    Planned,
}

impl Queue {
    /// A pod should be looked at. What waited for a later time is looked at now.
    pub(super) fn add(&mut self, pod: ObjectKey, standing: Standing) {
        self.later.remove(&pod);
        if self.busy.contains(&pod) {
            self.again.insert(pod);
            return;
        }
        match standing {
            Standing::New => {
                self.changed.remove(&pod);
                self.new.insert(pod);
            }
            Standing::Planned => {
                if !self.new.contains(&pod) {
                    self.changed.insert(pod);
                }
            }
        }
    }

    /// The next pod; it is busy until [`Queue::done`].
    pub(super) fn next(&mut self, now: Instant) -> Option<ObjectKey> {
        let due: Vec<_> = self.later.extract_if(.., |_, at| *at <= now).collect();
        self.changed.extend(due.into_iter().map(|(pod, _)| pod));
        let pod = self.new.pop_first().or_else(|| self.changed.pop_first())?;
        self.busy.insert(pod.clone());
        Some(pod)
    }

    /// A pod has been looked at; one that was touched meanwhile waits again.
    pub(super) fn done(&mut self, pod: &ObjectKey) {
        self.busy.remove(pod);
        if self.again.remove(pod) {
            self.changed.insert(pod.clone());
        }
    }

    /// A pod could not be written and is looked at again at this time, if nothing touches it before.
    pub(super) fn retry(&mut self, pod: &ObjectKey, at: Instant) {
        self.done(pod);
        if !self.changed.contains(pod) {
            self.later.insert(pod.clone(), at);
        }
    }

    /// The pod that was taken last could not be begun: it is first again.
    pub(super) fn put_back(&mut self, pod: ObjectKey) {
        self.busy.remove(&pod);
        self.again.remove(&pod);
        self.new.insert(pod);
    }

    /// When the next pod that waits for a time is due.
    #[must_use]
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pod(name: &str) -> ObjectKey {
        ObjectKey::new("shop", name)
    }

    #[test]
    fn new_pods_come_first_and_each_pod_once() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.add(pod("a"), Standing::Planned);
        queue.add(pod("a"), Standing::Planned);
        queue.add(pod("z"), Standing::New);
        queue.add(pod("z"), Standing::Planned);
        assert_eq!(queue.next(now), Some(pod("z")));
        assert_eq!(queue.next(now), Some(pod("a")));
        assert_eq!(queue.next(now), None);
    }

    #[test]
    fn a_pod_that_is_touched_while_it_is_written_is_looked_at_again_after() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.add(pod("a"), Standing::New);
        assert_eq!(queue.next(now), Some(pod("a")));
        queue.add(pod("a"), Standing::Planned);
        assert_eq!(queue.next(now), None, "not twice at once");
        queue.done(&pod("a"));
        assert_eq!(queue.next(now), Some(pod("a")));
        queue.done(&pod("a"));
        assert_eq!(queue.next(now), None);
    }

    #[test]
    fn a_failed_write_waits_for_its_time_or_for_a_change() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        queue.add(pod("a"), Standing::Planned);
        queue.next(now);
        queue.retry(&pod("a"), later);
        assert_eq!((queue.next(now), queue.next_due()), (None, Some(later)));
        assert_eq!(queue.next(later), Some(pod("a")));
        queue.retry(&pod("a"), later + Duration::from_secs(2));
        queue.add(pod("a"), Standing::Planned);
        assert_eq!(queue.next(later), Some(pod("a")));
    }

    #[test]
    fn a_pod_that_could_not_be_begun_is_first_again() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.add(pod("a"), Standing::New);
        queue.add(pod("b"), Standing::New);
        let taken = queue.next(now).unwrap();
        queue.put_back(taken);
        assert_eq!(queue.next(now), Some(pod("a")));
    }
}
