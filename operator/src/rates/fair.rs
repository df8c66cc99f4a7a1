//! What of a rate each of several pods should let in. Pure.

/// Calls a second for each pod, in the order of `wants` (calls a second that each could let in). Max-min fair: nobody has
/// less than an equal part unless it wants less. What nobody wants is spread evenly, so that calls may grow at once.
///
/// Together they are `rate`; each has one at least, so where there are more pods than calls a second they are as many as
/// pods.
#[must_use]
pub fn fair(rate: u32, wants: &[u32]) -> Vec<u32> {
    let pods = u32::try_from(wants.len()).unwrap_or(u32::MAX);
    let mut left = rate.saturating_sub(pods);
    let mut shares = vec![1; wants.len()];
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|pod| wants[*pod]);
    for (place, pod) in order.iter().enumerate() {
        let more = (wants[*pod].saturating_sub(1)).min(part(left, wants.len() - place));
        shares[*pod] += more;
        left -= more;
    }
    for (place, pod) in order.iter().enumerate() {
        let more = part(left, wants.len() - place);
        shares[*pod] += more;
        left -= more;
    }
    shares
}

/// An equal part among so many, rounded down.
pub(super) fn part(left: u32, among: usize) -> u32 {
    u32::try_from(among).map_or(0, |among| left / among.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_less_than_an_equal_part_unless_it_wants_less() {
        let rows: [(u32, &[u32], &[u32]); 8] = [
            (100, &[], &[]),
            (100, &[500], &[100]),
            (100, &[500, 500], &[50, 50]),
            (100, &[10, 500], &[10, 90]),
            (100, &[500, 10, 30, 500], &[30, 10, 30, 30]),
            (100, &[0, 0, 0, 0], &[25, 25, 25, 25]),
            (100, &[10, 20], &[45, 55]),
            (2, &[9, 9, 9], &[1, 1, 1]),
        ];
        for (rate, wants, expected) in rows {
            assert_eq!(fair(rate, wants), expected, "{rate} {wants:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_whole_rate_is_shared_and_no_more(
            rate in 1u32..1_000_000, wants in proptest::collection::vec(0u32..100_000, 1..100),
        ) {
            let shares = fair(rate, &wants);
            let pods = wants.len() as u32;
            proptest::prop_assert_eq!(shares.iter().sum::<u32>(), rate.max(pods));
            for (share, want) in shares.iter().zip(&wants) {
                proptest::prop_assert!(*share >= (rate / pods).min(*want).max(1));
            }
        }
    }
}
