//! Which of several ways a call takes, by their weights.

/// Ways among which calls are split by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split<T> {
    /// With the sum of the weights up to and with each.
    ways: Box<[(T, u64)]>,
}

impl<T> Split<T> {
    /// Of ways with their weights; one of weight 0 gets no call.
    pub fn new(ways: impl IntoIterator<Item = (T, u32)>) -> Self {
        let mut sum = 0;
        let ways = ways.into_iter().map(|(way, weight)| {
            sum += u64::from(weight);
            (way, sum)
        });
        Self { ways: ways.collect() }
    }

    /// The way of one call; `None` where none has a weight.
    #[must_use]
    pub fn draw(&self, random: u64) -> Option<&T> {
        self.among(random, |_| true)
    }

    /// The same among those that are `usable`, in the proportion of their weights: a group that has nobody left to answer
    /// costs no call.
    #[must_use]
    pub fn among(&self, random: u64, usable: impl Fn(&T) -> bool) -> Option<&T> {
        let mut before = 0;
        let weighed = self.ways.iter().map(move |(way, sum)| {
            let weight = sum - before;
            before = *sum;
            (way, weight)
        });
        let usable = weighed.filter(|(way, _)| usable(way));
        let all: u64 = usable.clone().map(|(_, weight)| weight).sum();
        let mut at = random.checked_rem(all)?;
        for (way, weight) in usable {
            if at < weight {
                return Some(way);
            }
            at -= weight;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares<T: PartialEq + Clone>(split: &Split<T>, usable: impl Fn(&T) -> bool, way: &T) -> u64 {
        let hits = (0..1000).filter(|random| split.among(*random, &usable) == Some(way));
        hits.count() as u64
    }

    #[test]
    fn calls_are_split_by_weight_among_those_who_can_answer() {
        let split = Split::new([("a", 7), ("b", 3), ("c", 0)]);
        let all = |_: &&str| true;
        let of = |way| shares(&split, all, &way);
        assert_eq!((of("a"), of("b"), of("c")), (700, 300, 0));
        assert_eq!(shares(&split, |way| *way != "a", &"b"), 1000);
        assert_eq!(split.among(5, |_| false), None);
        assert_eq!(split.among(5, |way| *way == "c"), None);
        assert_eq!(Split::<&str>::new([]).draw(5), None);
    }
}
