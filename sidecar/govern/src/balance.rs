//! Which endpoint a call goes to.

/// Of two different indices below `count`, chosen by `random`, the one with the lower load; the first drawn where
/// they are equal, so that ties fall evenly. `None` where there is nothing to choose from.
#[must_use]
pub fn two_choices<L: PartialOrd>(count: usize, random: u64, load: impl Fn(usize) -> L) -> Option<usize> {
    let (first, second) = draw_two(count, random)?;
    if load(second) < load(first) {
        Some(second)
    } else {
        Some(first)
    }
}

/// Two different indices below `count`, or twice the only one; `None` where there is none.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "remainders of a usize")]
pub fn draw_two(count: usize, random: u64) -> Option<(usize, usize)> {
    if count < 2 {
        return (count == 1).then_some((0, 0));
    }
    let (low, high) = (random & 0xffff_ffff, random >> 32);
    let first = (low % count as u64) as usize;
    let step = (high % (count as u64 - 1)) as usize + 1;
    Some((first, (first + step) % count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator for tests: splitmix64.
    fn random(seed: u64) -> impl Iterator<Item = u64> {
        (1u64..).map(move |step| {
            let mut z = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }

    #[test]
    fn nothing_gives_nothing_and_one_gives_itself() {
        assert_eq!(two_choices(0, 7, |_| 0), None);
        assert_eq!(two_choices(1, 7, |_| 9), Some(0));
    }

    #[test]
    fn the_less_loaded_of_two_is_chosen() {
        for random in random(1).take(100) {
            assert_eq!(two_choices(2, random, |index| [5, 3][index]), Some(1));
        }
    }

    #[test]
    fn equal_endpoints_get_equal_shares() {
        let mut shares = [0u32; 5];
        for random in random(2).take(50_000) {
            shares[two_choices(5, random, |_| 0).unwrap()] += 1;
        }
        assert!(
            shares.iter().all(|share| (9_500..10_500).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn a_slow_endpoint_gets_less() {
        // Endpoint 0 finishes a call every fourth step, the others every step.
        let (mut load, mut shares) = ([0u32; 3], [0u32; 3]);
        for (step, random) in random(3).take(30_000).enumerate() {
            let chosen = two_choices(3, random, |index| load[index]).unwrap();
            load[chosen] += 1;
            shares[chosen] += 1;
            for (index, load) in load.iter_mut().enumerate() {
                if index != 0 || step % 4 == 0 {
                    *load = load.saturating_sub(1);
                }
            }
        }
        assert!(shares[0] * 2 < shares[1].min(shares[2]) * 3, "{shares:?}");
    }

    proptest::proptest! {
        #[test]
        fn the_choice_is_always_one_of_them(count in 1usize..100, random in proptest::prelude::any::<u64>()) {
            proptest::prop_assert!(two_choices(count, random, |_| 0).unwrap() < count);
            let (first, second) = draw_two(count, random).unwrap();
            proptest::prop_assert_eq!(first == second, count == 1);
        }
    }
}
