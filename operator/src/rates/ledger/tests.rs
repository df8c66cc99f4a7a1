//! A fleet whose pods and messages come, go and get lost, second by second.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A ledger that has heard these pods: what they hold and what comes at them.
fn ledger(rate: u32, first: u32, pods: &[(&str, u32, u32)], now: Instant) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.set(
        rate,
        first,
        &pods.iter().map(|(pod, ..)| Box::from(*pod)).collect(),
    );
    for (pod, share, demand) in pods {
        ledger.hear(pod, said(*demand, *share, 0), now);
    }
    ledger
}

fn said(demand: u32, per_second: u32, number: u64) -> Said {
    Said {
        demand,
        holds: Share { per_second, number },
    }
}

fn step(ledger: &mut Ledger, number: &mut u64, now: Instant) {
    ledger.step(Growth::Open, now, &mut || {
        *number += 1;
        *number
    });
}

#[tokio::test(start_paused = true)]
async fn a_share_is_gone_from_one_before_another_has_it() {
    let (now, mut number) = (Instant::now(), 0);
    let mut ledger = ledger(100, 50, &[("a", 50, 0), ("b", 50, 500)], now);
    step(&mut ledger, &mut number, now);
    let told = ledger.told("a").unwrap();
    assert!(told.per_second < 10, "{told:?}");
    for _ in 0..3 {
        step(&mut ledger, &mut number, now);
        assert_eq!(ledger.told("b"), None, "the first has not answered");
        assert_eq!(ledger.told("a"), Some(told), "the same until it answers");
    }
    ledger.hear("a", said(0, told.per_second, told.number), now);
    step(&mut ledger, &mut number, now);
    assert_eq!(ledger.told("b").unwrap().per_second, 100 - told.per_second);
}

#[tokio::test(start_paused = true)]
async fn a_pod_out_of_reach_keeps_what_it_has_until_it_is_gone() {
    let (start, mut number) = (Instant::now(), 0);
    let mut ledger = ledger(100, 50, &[("a", 60, 0), ("b", 40, 500)], start);
    step(&mut ledger, &mut number, start);
    let later = start + SILENT * 100;
    ledger.hear("b", said(500, 40, 0), later);
    step(&mut ledger, &mut number, later);
    assert_eq!(ledger.told("b"), None);
    ledger.set(100, 100, &BTreeSet::from([Box::from("b")]));
    step(&mut ledger, &mut number, later);
    assert_eq!(ledger.told("b").unwrap().per_second, 100);
}

#[tokio::test(start_paused = true)]
async fn a_calm_service_needs_no_messages() {
    let (start, mut number) = (Instant::now(), 0);
    let mut ledger = ledger(100, 25, &[("a", 45, 10), ("b", 55, 20)], start);
    for (a, b) in [(10, 20), (12, 18), (9, 22), (5, 20)] {
        ledger.hear("a", said(a, 45, 0), start);
        ledger.hear("b", said(b, 55, 0), start);
        step(&mut ledger, &mut number, start);
    }
    assert_eq!(number, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lower_rate_is_taken_from_all_before_anything_moves() {
    let (now, mut number) = (Instant::now(), 0);
    let mut ledger = ledger(1000, 500, &[("a", 500, 10), ("b", 500, 900)], now);
    ledger.set(100, 50, &["a", "b"].into_iter().map(Box::from).collect());
    ledger.step(Growth::Shut, now, &mut || {
        number += 1;
        number
    });
    let told = ["a", "b"].map(|pod| ledger.told(pod).unwrap().per_second);
    assert_eq!(told.iter().sum::<u32>(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_starts_again_is_told_again() {
    let (now, mut number) = (Instant::now(), 0);
    let mut ledger = ledger(100, 50, &[("a", 50, 0), ("b", 50, 500)], now);
    step(&mut ledger, &mut number, now);
    let told = ledger.told("a").unwrap();
    ledger.hear("a", said(0, told.per_second, told.number), now);
    ledger.hear("a", said(0, 50, 0), now);
    assert_eq!(ledger.told("a"), Some(told));
    step(&mut ledger, &mut number, now);
    assert_eq!(ledger.told("b"), None, "it has its first share again");
}

#[tokio::test(start_paused = true)]
async fn nobody_gives_for_pods_that_a_new_leader_has_not_heard_yet() {
    let (now, mut number) = (Instant::now(), 0);
    let mut ledger = ledger(100, 25, &[("a", 60, 500)], now);
    ledger.set(
        100,
        25,
        &["a", "b", "c", "d"].into_iter().map(Box::from).collect(),
    );
    for (growth, told) in [(Growth::Shut, None), (Growth::Open, Some(25))] {
        ledger.step(growth, now, &mut || {
            number += 1;
            number
        });
        assert_eq!(ledger.told("a").map(|share| share.per_second), told, "{growth:?}");
    }
}

/// One pod of the fleet, as it truly is.
struct Pod {
    name: Box<str>,
    holds: Share,
    demand: u32,
    /// What is on its way to it, and when it arrives; in order, as on one stream.
    coming: Vec<(u32, Share)>,
    /// What it was sent last on this stream.
    sent: Option<Share>,
    /// Until when it has no stream.
    cut: u32,
}

/// A service and its leader, second by second.
struct Fleet {
    rate: u32,
    pods: Vec<Pod>,
    ledger: Ledger,
    /// What is on its way to the leader: it may overtake.
    heard: Vec<(u32, Box<str>, Said)>,
    number: u64,
    born: u32,
    /// When the leader began.
    leads: u32,
    /// When a pod came or started again last: more than the rate may be let in for a while.
    stirred: u32,
    tick: u32,
    start: Instant,
    random: u64,
}

impl Fleet {
    fn new(rate: u32, pods: u32, random: u64) -> Self {
        let mut fleet = Self {
            rate,
            pods: Vec::new(),
            ledger: Ledger::default(),
            heard: Vec::new(),
            number: 0,
            born: 0,
            leads: 0,
            stirred: 0,
            tick: 0,
            start: Instant::now(),
            random,
        };
        for _ in 0..pods {
            fleet.come(pods);
        }
        fleet
    }

    /// SplitMix64.
    fn draw(&mut self, below: u32) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(below)).unwrap()
    }

    fn first(&self, among: usize) -> u32 {
        (self.rate / u32::try_from(among.next_power_of_two()).unwrap()).max(1)
    }

    fn come(&mut self, among: u32) {
        self.born += 1;
        self.stirred = self.tick;
        let first = self.first(among as usize);
        self.pods.push(Pod {
            name: format!("p{}", self.born).into(),
            holds: Share {
                per_second: first,
                number: 0,
            },
            demand: 0,
            coming: Vec::new(),
            sent: None,
            cut: 0,
        });
    }

    /// A new leader that knows nothing. What the old one sent still arrives.
    fn elect(&mut self) {
        self.ledger = Ledger::default();
        self.heard.clear();
        self.leads = self.tick;
        self.number += 1_000_000;
    }

    /// One second. `loss`: of how many reports one is lost.
    fn second(&mut self, loss: u32) {
        self.tick += 1;
        let tick = self.tick;
        let now = self.start + SECOND * tick;
        for pod in &mut self.pods {
            pod.coming.retain(|(at, share)| {
                let is_there = *at <= tick;
                if is_there {
                    pod.holds = *share;
                }
                !is_there
            });
        }
        for at in 0..self.pods.len() {
            let (late, lost) = (self.draw(3), self.draw(loss) == 0);
            let pod = &self.pods[at];
            if !lost && pod.cut <= tick {
                let said = Said {
                    demand: pod.demand,
                    holds: pod.holds,
                };
                self.heard.push((tick + late, pod.name.clone(), said));
            }
        }
        let names: BTreeSet<Box<str>> = self.pods.iter().map(|pod| pod.name.clone()).collect();
        let first = self.first(names.len());
        self.ledger.set(self.rate, first, &names);
        let ledger = &mut self.ledger;
        self.heard.retain(|(at, pod, said)| {
            let is_there = *at <= tick;
            if is_there {
                ledger.hear(pod, *said, now);
            }
            !is_there
        });
        let before = self.ledger.claims();
        let landed = self.start + SECOND * (self.leads + 5);
        let is_open = tick - self.leads >= 35 || self.ledger.knows_all(landed);
        let growth = if is_open { Growth::Open } else { Growth::Shut };
        let number = &mut self.number;
        self.ledger.step(growth, now, &mut || {
            *number += 1;
            *number
        });
        let most = u64::from(self.rate).max(names.len() as u64);
        let claims = self.ledger.claims();
        assert!(
            claims <= before.max(most),
            "raised out of nothing: {before} to {claims}"
        );
        for at in 0..self.pods.len() {
            let late = self.draw(3);
            let pod = &mut self.pods[at];
            let told = self.ledger.told(&pod.name);
            if let Some(share) = told
                && pod.cut <= tick
                && told != pod.sent
            {
                let after = pod.coming.last().map_or(0, |(at, _)| *at);
                pod.coming.push(((tick + late).max(after), share));
                pod.sent = told;
            }
        }
    }

    /// What all pods together let in.
    fn lets_in(&self) -> u64 {
        self.pods.iter().map(|pod| u64::from(pod.holds.per_second)).sum()
    }

    fn most(&self) -> u64 {
        u64::from(self.rate).max(self.pods.len() as u64)
    }

    /// One second with a rate that must be kept, where nobody came for a while.
    fn kept(&mut self, loss: u32) {
        self.second(loss);
        if self.tick > self.stirred + 40 {
            assert!(
                self.lets_in() <= self.most(),
                "{} of {}",
                self.lets_in(),
                self.most()
            );
        }
    }

    fn demand(&mut self) {
        for at in 0..self.pods.len() {
            self.pods[at].demand = match self.draw(4) {
                0 => 0,
                1 => self.draw(self.rate.saturating_mul(2).max(2)),
                2 => self.draw((self.rate / 4).max(2)),
                _ => self.draw(10),
            };
        }
    }

    /// Each pod has what is fair: an equal part, or what comes at it.
    fn assert_fair(&self) {
        let equal = self.rate / u32::try_from(self.pods.len()).unwrap();
        for pod in &self.pods {
            let due = equal.min(pod.demand);
            let has = pod.holds.per_second;
            assert!(has + has / LACK + 1 >= due, "{}: {has} of {due}", pod.name);
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]

    #[test]
    fn shares_follow_calls_and_never_let_in_more_than_the_rate(
        rate in 1u32..5000, pods in 1u32..24, seed in proptest::num::u64::ANY,
    ) {
        let mut fleet = Fleet::new(rate, pods, seed);
        for _ in 0..6 {
            fleet.demand();
            for _ in 0..60 {
                fleet.kept(8);
            }
            fleet.assert_fair();
        }
    }

    #[test]
    fn a_lost_stream_a_new_leader_and_leavers_break_no_rate(
        rate in 10u32..5000, pods in 2u32..16, seed in proptest::num::u64::ANY,
    ) {
        let mut fleet = Fleet::new(rate, pods, seed);
        for _ in 0..40 {
            fleet.kept(8);
        }
        for _ in 0..20 {
            fleet.demand();
            match fleet.draw(3) {
                0 => fleet.elect(),
                1 if fleet.pods.len() > 1 => {
                    let gone = fleet.draw(u32::try_from(fleet.pods.len()).unwrap());
                    fleet.pods.swap_remove(gone as usize);
                }
                _ => {
                    // Back before a new leader takes it for one that has its first share.
                    let (at, long) = (fleet.draw(u32::try_from(fleet.pods.len()).unwrap()), fleet.draw(20));
                    let tick = fleet.tick;
                    let pod = &mut fleet.pods[at as usize];
                    pod.cut = tick + long;
                    pod.coming.clear();
                    pod.sent = None;
                }
            }
            for _ in 0..12 {
                fleet.kept(8);
            }
        }
    }

    #[test]
    fn newcomers_let_in_their_first_shares_more_until_the_others_have_heard(
        rate in 100u32..5000, pods in 1u32..12, come in 1u32..6, seed in proptest::num::u64::ANY,
    ) {
        let mut fleet = Fleet::new(rate, pods, seed);
        fleet.demand();
        for _ in 0..60 {
            fleet.kept(1000);
        }
        let before = fleet.lets_in();
        let all = pods + come;
        for _ in 0..come {
            fleet.come(all);
        }
        let more = u64::from(fleet.first(all as usize)) * u64::from(come);
        for second in 0..60 {
            fleet.second(1000);
            let lets_in = fleet.lets_in();
            proptest::prop_assert!(lets_in <= before.max(u64::from(rate)) + more);
            // A report, a telling, and up to two seconds late each; twice, as one may be in the air already.
            if second >= 15 {
                proptest::prop_assert!(lets_in <= fleet.most(), "{lets_in} after {second} s");
            }
        }
    }
}
