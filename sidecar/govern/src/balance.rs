//! Which endpoint a call goes to.

use std::time::Duration;

/// A newcomer's share at first, of what it will have.
const FIRST_SHARE: f64 = 0.1;
/// How much busier than the average an endpoint may be before calls of its keys go elsewhere.
const BOUND: f64 = 1.25;

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Chooser {
    /// The less loaded of two drawn at random.
    TwoChoices,
    /// At random.
    Random,
    /// One after the other.
    RoundRobin,
    /// In proportion to weights.
    Weighted(Weights),
    /// By the key of the call.
    Hashed(Members),
}

/// Two endpoints of which a call goes to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The one to be preferred, where loads are not compared.
    pub first: usize,
    /// The other one; the same where there is only one.
    pub second: usize,
    /// Whether the less loaded of the two is better than the first.
    pub by_load: bool,
}

impl Chooser {
    /// Two of `count` endpoints. `random` is a random number, `turn` one that counts up, `key` what the call is hashed by,
    /// `load` tells how many calls are under way at an endpoint. A call without a key goes anywhere.
    #[must_use]
    pub fn draw(
        &self,
        count: usize,
        (random, turn, key): (u64, u64, Option<u64>),
        load: impl Fn(usize) -> u32,
    ) -> Option<Drawn> {
        let (first, second) = draw_two(count, random)?;
        let drawn = |first, second| Drawn {
            first,
            second,
            by_load: false,
        };
        Some(match self {
            Self::TwoChoices => Drawn {
                first,
                second,
                by_load: true,
            },
            Self::Random => drawn(first, second),
            Self::RoundRobin => {
                let first = (turn % count as u64) as usize;
                drawn(first, (first + 1) % count)
            }
            Self::Weighted(weights) => {
                let first = weights
                    .draw(random)
                    .filter(|first| *first < count)
                    .unwrap_or(first);
                drawn(
                    first,
                    if second == first {
                        (first + 1) % count
                    } else {
                        second
                    },
                )
            }
            Self::Hashed(members) => match key {
                Some(key) => {
                    let (first, second) = members.owners(key, count, load);
                    drawn(first, second)
                }
                None => Drawn {
                    first,
                    second,
                    by_load: true,
                },
            },
        })
    }
}

/// The share of its calls that an endpoint gets that is so old, where newcomers get their full one after `window`.
#[must_use]
pub fn slow_start(age: Duration, window: Duration) -> f64 {
    if age >= window {
        return 1.0;
    }
    let grown = age.as_secs_f64() / window.as_secs_f64();
    FIRST_SHARE + (1.0 - FIRST_SHARE) * grown
}

/// Whether a call takes an endpoint of this share, by chance.
#[must_use]
pub fn takes(share: f64, random: u64) -> bool {
    share >= 1.0 || (random >> 11) as f64 / (1u64 << 53) as f64 <= share
}

/// Weights that can be drawn from in constant time: Walker's alias method, as Vose builds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// For each endpoint: the chance that it keeps a draw, and who has it otherwise.
    columns: Box<[(f64, usize)]>,
}

impl Weights {
    /// Of endpoints with these weights; a weight of 0 counts as 1.
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        let sum: f64 = weights.iter().map(|weight| f64::from((*weight).max(1))).sum();
        let count = weights.len() as f64;
        let mut shares: Vec<f64> = weights
            .iter()
            .map(|weight| f64::from((*weight).max(1)) / sum * count)
            .collect();
        let mut columns: Vec<(f64, usize)> = (0..weights.len()).map(|index| (1.0, index)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|index| shares[*index] < 1.0);
        while let (Some(less), Some(more)) = (small.pop(), large.pop()) {
            columns[less] = (shares[less], more);
            shares[more] -= 1.0 - shares[less];
            if shares[more] < 1.0 {
                small.push(more);
            } else {
                large.push(more);
            }
        }
        Self {
            columns: columns.into_boxed_slice(),
        }
    }

    fn draw(&self, random: u64) -> Option<usize> {
        let count = self.columns.len() as u64;
        if count == 0 {
            return None;
        }
        let column = ((random & 0xffff_ffff) % count) as usize;
        let chance = (random >> 32) as f64 / f64::from(u32::MAX);
        let (keeps, other) = self.columns[column];
        Some(if chance <= keeps { column } else { other })
    }
}

/// Endpoints that share keys among them: each key belongs to the one with the highest score for it (rendezvous hashing), so
/// that one more or less moves only its own part of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members(Box<[u64]>);

impl Members {
    /// Of endpoints with these names.
    pub fn new<'n>(names: impl Iterator<Item = &'n [u8]>) -> Self {
        Self(names.map(hash).collect())
    }

    /// Whose a key is among the first `count`, and whose it would be without that one. Who has more calls under way than a
    /// quarter over the average has no keys for now (consistent hashing with bounded loads).
    fn owners(&self, key: u64, count: usize, load: impl Fn(usize) -> u32) -> (usize, usize) {
        let members = &self.0[..count.min(self.0.len())];
        let sum: f64 = (0..members.len()).map(|index| f64::from(load(index))).sum();
        let bound = ((sum + 1.0) * BOUND / members.len() as f64).ceil();
        let mut best = [(false, 0, 0); 2];
        for (index, member) in members.iter().enumerate() {
            let has_room = f64::from(load(index)) < bound;
            let scored = (has_room, mix(key ^ member), index);
            if scored >= best[0] || index == 0 {
                best = [scored, best[0]];
            } else if scored > best[1] || index == 1 {
                best[1] = scored;
            }
        }
        (best[0].2, best[1].2)
    }
}

/// A number for a key or a name: the same in every process and every version.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(bytes);
    mix(hasher.finish())
}

/// Spreads every bit over all: the last step of splitmix64.
const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

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

    fn shares(chooser: &Chooser, count: usize, draws: u64) -> Vec<f64> {
        let mut shares = vec![0u64; count];
        for (turn, random) in random(9).take(draws as usize).enumerate() {
            let drawn = chooser.draw(count, (random, turn as u64, None), |_| 0).unwrap();
            shares[drawn.first] += 1;
        }
        shares
            .into_iter()
            .map(|share| share as f64 / draws as f64)
            .collect()
    }

    #[test]
    fn weights_are_kept() {
        let weights = [10, 10, 30, 50, 1];
        let sum: u32 = weights.iter().sum();
        let chooser = Chooser::Weighted(Weights::new(&weights));
        for (share, weight) in shares(&chooser, 5, 200_000).iter().zip(weights) {
            let wanted = f64::from(weight) / f64::from(sum);
            assert!((share - wanted).abs() < 0.005, "{share} {wanted}");
        }
        assert_eq!(
            Chooser::Weighted(Weights::new(&[])).draw(0, (1, 1, None), |_| 0),
            None
        );
        assert_eq!(shares(&Chooser::Weighted(Weights::new(&[0])), 1, 10), [1.0]);
    }

    #[test]
    fn round_robin_is_even_to_the_last_call() {
        assert_eq!(shares(&Chooser::RoundRobin, 4, 1000), [0.25; 4]);
    }

    #[test]
    fn random_is_even_in_the_long_run() {
        for share in shares(&Chooser::Random, 4, 100_000) {
            assert!((0.24..0.26).contains(&share), "{share}");
        }
    }

    fn members(count: usize) -> Chooser {
        let names: Vec<String> = (0..count).map(|index| format!("10.0.0.{index}:9982")).collect();
        Chooser::Hashed(Members::new(names.iter().map(|name| name.as_bytes())))
    }

    fn owner(chooser: &Chooser, count: usize, key: u64) -> usize {
        let key = Some(hash(&key.to_be_bytes()));
        chooser.draw(count, (7, 7, key), |_| 0).unwrap().first
    }

    #[test]
    fn keys_are_spread_and_one_more_endpoint_moves_only_its_share() {
        let (ten, eleven) = (members(10), members(11));
        let mut moved = 0;
        let mut owned = [0; 10];
        for key in 0..20_000 {
            let before = owner(&ten, 10, key);
            let after = owner(&eleven, 11, key);
            owned[before] += 1;
            assert!(
                after == before || after == 10,
                "a key moves to the newcomer or stays"
            );
            moved += u32::from(after != before);
        }
        assert!(moved <= 20_000 / 10, "{moved}");
        assert!(
            owned.iter().all(|owned| (1_700..2_300).contains(owned)),
            "{owned:?}"
        );
    }

    #[test]
    fn whoever_would_own_a_key_next_is_the_second() {
        let (ten, nine) = (members(10), members(9));
        for key in 0..1000 {
            let hashed = Some(hash(&u64::to_be_bytes(key)));
            let drawn = ten.draw(10, (7, 7, hashed), |_| 0).unwrap();
            assert_ne!(drawn.first, drawn.second);
            if drawn.first == 9 {
                assert_eq!(drawn.second, owner(&nine, 9, key));
            }
        }
    }

    #[test]
    fn an_endpoint_that_is_much_busier_than_the_others_has_no_keys_for_now() {
        let ten = members(10);
        let busy = owner(&ten, 10, 1);
        let hashed = Some(hash(&1u64.to_be_bytes()));
        let load = |index| if index == busy { 20 } else { 10 };
        let drawn = ten.draw(10, (7, 7, hashed), load).unwrap();
        assert_ne!(drawn.first, busy);
        let load = |index| if index == busy { 11 } else { 10 };
        assert_eq!(ten.draw(10, (7, 7, hashed), load).unwrap().first, busy);
    }

    #[test]
    fn hashes_are_the_same_for_ever() {
        assert_eq!(hash(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(hash(b"a"), mix(0xaf63_dc4c_8601_ec8c));
    }

    #[test]
    fn a_newcomer_begins_with_a_tenth() {
        let window = Duration::from_secs(30);
        let rows = [(0, 0.1), (15, 0.55), (30, 1.0), (60, 1.0)];
        for (age, expected) in rows {
            let share = slow_start(Duration::from_secs(age), window);
            assert!((share - expected).abs() < 1e-9, "{age} {share}");
        }
        let taken = random(5)
            .take(10_000)
            .filter(|random| takes(0.1, *random))
            .count();
        assert!((900..1100).contains(&taken), "{taken}");
        assert!(takes(1.0, u64::MAX));
        assert_eq!(slow_start(Duration::ZERO, Duration::ZERO), 1.0);
    }

    proptest::proptest! {
        #[test]
        fn every_chooser_draws_one_of_them(
            count in 1usize..40, random in proptest::prelude::any::<u64>(), key in proptest::option::of(0u64..9),
            loads in proptest::collection::vec(0u32..100, 40),
        ) {
            let weights: Vec<u32> = (0..count).map(|index| index as u32 % 7).collect();
            let choosers = [
                Chooser::TwoChoices, Chooser::Random, Chooser::RoundRobin, Chooser::Weighted(Weights::new(&weights)),
                members(count),
            ];
            for chooser in choosers {
                let drawn = chooser.draw(count, (random, random, key), |index| loads[index]).unwrap();
                proptest::prop_assert!(drawn.first < count && drawn.second < count);
                proptest::prop_assert_eq!(drawn.first == drawn.second, count == 1, "{:?}", chooser);
            }
        }

        #[test]
        fn the_choice_is_always_one_of_them(count in 1usize..100, random in proptest::prelude::any::<u64>()) {
            proptest::prop_assert!(two_choices(count, random, |_| 0).unwrap() < count);
            let (first, second) = draw_two(count, random).unwrap();
            proptest::prop_assert_eq!(first == second, count == 1);
        }
    }
}
