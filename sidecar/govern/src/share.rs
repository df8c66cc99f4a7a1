//! How a rate for a whole cluster is shared among the agents that enforce it. Each tells what it was asked for; whoever
//! shares gives back what each may let in. Between two rounds an agent keeps to its share, so the cluster never lets in
//! more than the rate, and lets in less only while demand moves from one agent to another: for one round at most.
//!
//! The stated error: every agent has at least 1 a second, so where there are more agents than calls a second, as many as
//! there are agents; and in a round in which n agents come that nobody has heard of, n [`newcomer`] shares more.

/// What of a rate each agent may let in, calls a second, in the order of `demands` (calls a second that each was asked
/// for). Max-min fair: nobody gets less than an equal part unless it asks for less. What nobody asks for is spread evenly,
/// so that demand may grow at once.
#[must_use]
pub fn shares(rate: u32, demands: &[u32]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by_key(|index| demands[*index]);
    let mut shares = vec![0; demands.len()];
    let mut left = rate;
    for (place, index) in order.iter().enumerate() {
        let share = demands[*index].min(part(left, demands.len() - place));
        shares[*index] = share;
        left -= share;
    }
    for (place, index) in order.iter().enumerate() {
        let more = part(left, demands.len() - place);
        shares[*index] += more;
        left -= more;
    }
    for share in &mut shares {
        *share = (*share).max(1);
    }
    shares
}

/// What an agent may let in that has not been given a share yet, where `known` others have one: an equal part, as if it
/// were one of them.
#[must_use]
pub fn newcomer(rate: u32, known: usize) -> u32 {
    part(rate, known.saturating_add(1)).max(1)
}

/// An equal part among so many, rounded down.
fn part(left: u32, among: usize) -> u32 {
    u32::try_from(among).map_or(0, |among| left / among.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_less_than_an_equal_part_unless_it_asks_for_less() {
        let rows: [(u32, &[u32], &[u32]); 7] = [
            (100, &[], &[]),
            (100, &[500], &[100]),
            (100, &[500, 500], &[50, 50]),
            (100, &[10, 500], &[10, 90]),
            (100, &[500, 10, 30, 500], &[30, 10, 30, 30]),
            (100, &[0, 0, 0, 0], &[25, 25, 25, 25]),
            (100, &[10, 20], &[45, 55]),
        ];
        for (rate, demands, expected) in rows {
            assert_eq!(shares(rate, demands), expected, "{rate} {demands:?}");
        }
    }

    #[test]
    fn more_agents_than_calls_a_second_have_one_each() {
        assert_eq!(shares(2, &[9, 9, 9]), [1, 1, 1]);
        assert_eq!(newcomer(2, 9), 1);
        assert_eq!(newcomer(100, 3), 25);
    }

    proptest::proptest! {
        #[test]
        fn the_whole_rate_is_shared_and_no_more(
            rate in 100u32..1_000_000, demands in proptest::collection::vec(0u32..100_000, 1..100),
        ) {
            let given = shares(rate, &demands);
            let sum: u32 = given.iter().sum();
            // One call a second at least, each, is the only excess.
            let idle = demands.iter().filter(|demand| **demand == 0).count() as u32;
            proptest::prop_assert!(sum >= rate && sum <= rate + idle, "{sum}");
            let equal = rate / demands.len() as u32;
            for (share, demand) in given.iter().zip(&demands) {
                proptest::prop_assert!(*share >= equal.min(*demand));
            }
        }
    }
}
