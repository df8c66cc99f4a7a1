//! A fleet in simulated time, governed by the real rooms joined as an agent joins them. The clock is moved by hand and all
//! randomness comes from seeds, so that every run is the same.

mod fleet;
mod program;

use std::time::{Duration, Instant};

use fleet::{Fleet, Node, Policy};
use govern::balance::{self, Chooser, Members};
use govern::breaker::{self, Breaker, Change, End};
use govern::budget::{self, Budget};
use govern::retry::{self, On, Reached, Tried, Verdict};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Random numbers: splitmix64.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn nine_and(last: Node) -> Vec<Node> {
    let mut nodes = vec![Node::well(5 * MS); 9];
    nodes.push(last);
    nodes
}

#[test]
fn by_latency_a_slow_node_in_ten_has_less_than_two_percent_after_five_seconds() {
    for seed in 0..5 {
        let mut fleet = Fleet::new(nine_and(Node::well(500 * MS)), seed);
        let policy = Policy::plain(true);
        fleet.run(&policy, 5 * SECOND, MS);
        let seen = fleet.run(&policy, 10 * SECOND, MS);
        assert!(seen.share(9) < 0.02, "{seed}: {seen:?}");
        assert!(seen.share(0) > 0.08, "{seed}: {seen:?}");
    }
}

#[test]
fn by_calls_under_way_a_slow_node_in_ten_has_a_small_part_of_its_share() {
    for seed in 0..5 {
        let mut fleet = Fleet::new(nine_and(Node::well(500 * MS)), seed);
        let policy = Policy::plain(false);
        fleet.run(&policy, 5 * SECOND, MS);
        let seen = fleet.run(&policy, 10 * SECOND, MS);
        assert!(seen.share(9) < 0.03, "{seed}: {seen:?}");
    }
}

#[test]
fn a_node_that_fails_fast_attracts_load_only_where_nobody_looks_after_health() {
    let bad = Node {
        latency: MS / 10,
        fails_percent: 100,
    };
    for seed in 0..5 {
        let mut fleet = Fleet::new(nine_and(bad), seed);
        let unwatched = fleet.run(&Policy::plain(false), 10 * SECOND, MS);
        assert!(unwatched.share(9) > 0.1, "{seed}: {unwatched:?}");

        let mut fleet = Fleet::new(nine_and(bad), seed);
        let watched = fleet.run(&Policy::watched(), 30 * SECOND, MS);
        assert!(watched.share(9) < 0.002, "{seed}: {watched:?}");
    }
}

#[test]
fn a_node_that_is_well_again_gets_its_share_again() {
    let bad = Node {
        latency: MS,
        fails_percent: 100,
    };
    let mut fleet = Fleet::new(nine_and(bad), 1);
    fleet.run(&Policy::watched(), 20 * SECOND, MS);
    fleet.nodes[9] = Node::well(5 * MS);
    fleet.run(&Policy::watched(), 45 * SECOND, MS);
    let seen = fleet.run(&Policy::watched(), 10 * SECOND, MS);
    assert!(seen.share(9) > 0.08, "{seen:?}");
    assert_eq!(seen.failed, 0);
}

#[test]
fn where_all_fail_half_of_them_stay_in() {
    let bad = Node {
        latency: MS,
        fails_percent: 100,
    };
    let mut fleet = Fleet::new(vec![bad; 10], 1);
    let seen = fleet.run(&Policy::watched(), 10 * SECOND, MS);
    assert!(fleet.out() <= 5, "{}", fleet.out());
    assert_eq!(seen.unplaced, 0);
}

#[test]
fn a_newcomer_gets_more_and_more_until_it_has_its_share() {
    let mut random = Random(7);
    let window = 30 * SECOND;
    let mut share_at = |age: u64| {
        let mut hits = 0;
        for _ in 0..100_000 {
            let drawn = Chooser::Random.draw(10, (random.next(), 0, None), |_| 0);
            let drawn = drawn.unwrap();
            let grown = balance::slow_start(Duration::from_secs(age), window);
            if drawn.first == 9 && balance::takes(grown, random.next()) {
                hits += 1;
            }
        }
        f64::from(hits) / 100_000.0
    };
    for (age, expected) in [(0, 0.01), (10, 0.04), (20, 0.07), (30, 0.1), (60, 0.1)] {
        let share = share_at(age);
        assert!((share - expected).abs() < 0.005, "{age} s: {share}");
    }
}

#[test]
fn a_node_that_leaves_moves_its_own_keys_only() {
    let names: Vec<String> = (0..10).map(|index| format!("10.0.0.{index}:9982")).collect();
    let of = |count: usize| {
        let names = names[..count].iter().map(String::as_bytes);
        Chooser::Hashed(Members::new(names))
    };
    let (ten, nine) = (of(10), of(9));
    let owner = |chooser: &Chooser, count, key: u64| {
        let key = Some(balance::hash(&key.to_be_bytes()));
        chooser.draw(count, (3, 3, key), |_| 0).unwrap().first
    };
    let mut moved = 0;
    for key in 0..50_000 {
        let (before, after) = (owner(&ten, 10, key), owner(&nine, 9, key));
        assert!(before == after || before == 9, "{key}");
        moved += u32::from(before != after);
    }
    assert!((4_500..=5_500).contains(&moved), "a tenth: {moved}");
}

#[test]
fn a_storm_of_retries_is_bounded_by_the_budget() {
    const CALLS: u64 = 30_000;
    let rule = retry::Rule {
        attempts: 10,
        unavailable: true,
        timeout: false,
        status5xx: false,
        refused: false,
    };
    let budget_rule = budget::Rule {
        percent: 20,
        min_per_second: 10,
    };
    let start = Instant::now();
    let mut budget = Budget::default();
    let mut attempts = 0u64;
    for calls in 1..=CALLS {
        // A thousand a second, and each attempt fails.
        let now = start + MS * u32::try_from(calls).unwrap();
        let mut tried = Tried {
            attempts: 0,
            counted: 0,
            endpoints: 10,
            repeatable: true,
            deadline: now + SECOND,
        };
        loop {
            attempts += 1;
            tried.attempts += 1;
            tried.counted += 1;
            let reached = Reached::Perhaps(On::Unavailable);
            let ask = || budget.allow(budget_rule, calls, now);
            if retry::verdict(reached, &tried, &rule, ask, now) == Verdict::Never {
                break;
            }
        }
    }
    let most = CALLS + CALLS / 5 + 10 * (CALLS / 1000);
    assert!(attempts <= most, "{attempts} of {most}");
    assert!(attempts > CALLS + CALLS / 8, "{attempts}: the budget is used");
}

#[test]
fn a_circuit_opens_probes_and_closes() {
    let rule = breaker::Rule {
        failure_percent: 50,
        min_calls: 20,
        window: 10 * SECOND,
        open_for: 5 * SECOND,
        probes: 3,
    };
    let start = Instant::now();
    let mut breaker = Breaker::new(start);
    let (mut changes, mut reached) = (Vec::new(), [0u32; 30]);
    for step in 0..30_000u32 {
        // A hundred a second; the service is down from the 5th to the 16th second.
        if step % 10 != 0 {
            continue;
        }
        let now = start + MS * step;
        let Ok(pass) = breaker.pass(&rule, now) else {
            continue;
        };
        reached[step as usize / 1000] += 1;
        let is_down = (5_000..16_000).contains(&step);
        let end = if is_down { End::Bad } else { End::Good };
        match breaker.ended(&rule, pass, end, now) {
            Change::None => {}
            change => changes.push((change, step / 1000)),
        }
    }
    // As many bad calls in the window as good ones; then open for 5 s, one bad call, 5 s, and three good ones.
    let expected = [(Change::Opened, 9), (Change::Opened, 14), (Change::Closed, 20)];
    assert_eq!(changes, expected);
    assert_eq!((reached[11], reached[14], reached[17]), (0, 1, 0));
    assert_eq!(reached[25], 100);
}

#[test]
fn at_ten_times_the_load_a_learnt_limit_keeps_the_goodput() {
    for seed in 0..3 {
        let limited = program::run(true, 1000, seed);
        assert!(limited >= 0.9, "{seed}: {limited}");
        let free = program::run(false, 1000, seed);
        assert!(
            free < 0.2,
            "{seed}: {free}: without a limit there is nothing to show"
        );
    }
}

#[test]
fn at_half_the_load_a_learnt_limit_costs_nothing() {
    for seed in 0..3 {
        let limited = program::run(true, 50, seed);
        assert!(limited > 0.49, "{seed}: {limited}");
    }
}
