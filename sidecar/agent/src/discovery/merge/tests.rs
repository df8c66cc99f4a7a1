use std::time::Duration;

use plan::{EndpointState, Revision};

use super::*;
use crate::discovery::shrink::HOLD;

const POD: &str = "web-1";

/// A plan of one service, `shop/user`, with these seeds.
fn plan(revision: u64, pod: &str, seeds: &str, timeout: u32) -> Plan {
    let seeds = endpoints(seeds);
    let document = serde_json::json!({
        "revision": revision,
        "workload": {"namespace": "shop", "pod": pod, "application": "web"},
        "services": [{"name": "shop/user", "path": "user", "group": "shop", "protocol": "http",
            "policy": {"timeoutMs": timeout}, "seeds": seeds}],
    });
    Plan::parse(document.to_string().as_bytes()).unwrap()
}

/// `"1 2d"`: endpoint 10.0.0.1 ready, .2 draining.
fn endpoints(text: &str) -> Vec<Endpoint> {
    let endpoint = |word: &str| {
        let address = Address::new(format!("10.0.0.{}:9982", word.trim_end_matches('d'))).unwrap();
        let state = if word.ends_with('d') {
            EndpointState::Draining
        } else {
            EndpointState::Ready
        };
        Endpoint::agent(address, state)
    };
    text.split_whitespace().map(endpoint).collect()
}

fn user() -> ServiceName {
    ServiceName::of("shop", "user").unwrap()
}

fn saved(revision: u64, pod: &str, timeout: u32, list: &str) -> Saved {
    let plan = plan(revision, pod, "", timeout);
    Saved {
        plan,
        endpoints: BTreeMap::from([(user(), endpoints(list))]),
    }
}

fn reset(list: &str) -> Change {
    Change {
        service: user(),
        reset: true,
        set: endpoints(list),
        removed: Vec::new(),
    }
}

fn shown(merge: &mut Merge, now: Instant) -> Vec<Endpoint> {
    merge.known(now).unwrap().endpoints(&user()).to_vec()
}

#[test]
fn the_highest_revision_wins_and_of_two_alike_the_later() {
    use Source::{File, Stream};
    use Verdict::{Older, Taken};
    type Offer = (u64, Source, Verdict);
    let table: &[(&[Offer], u64, Source)] = &[
        (&[(5, File, Taken), (6, Stream, Taken)], 6, Stream),
        (&[(6, Stream, Taken), (5, File, Older)], 6, Stream),
        (&[(6, File, Taken), (5, Stream, Older), (7, File, Taken)], 7, File),
        (&[(5, File, Taken), (5, Stream, Taken)], 5, Stream),
        (&[(5, File, Taken), (4, File, Older)], 5, File),
    ];
    for (offers, revision, source) in table {
        let (mut merge, now) = (Merge::default(), Instant::now());
        for (revision, source, verdict) in *offers {
            assert_eq!(
                merge.offer(plan(*revision, POD, "1", 100), *source, now),
                *verdict,
                "{offers:?}"
            );
        }
        let (plan, from) = merge.chosen().unwrap();
        assert_eq!(
            (plan.revision, from),
            (Revision(*revision), *source),
            "{offers:?}"
        );
    }
}

#[test]
fn endpoints_on_disk_stand_in_for_seeds_unless_the_document_was_written_anew() {
    // Revision and timeout of the file, and which endpoints count: .1 is the seed, .2 was on disk.
    let table = [
        (6, 100, "2", "an older file"),
        (7, 100, "2", "the same file"),
        (8, 100, "2", "a newer file of the same content"),
        (8, 200, "1", "a newer file of another content"),
    ];
    for (revision, timeout, list, case) in table {
        let now = Instant::now();
        let mut merge = Merge::from_saved(saved(7, POD, 100, "2"), now);
        merge.offer(plan(revision, POD, "1", timeout), Source::File, now);
        let ready: Vec<_> = shown(&mut merge, now)
            .into_iter()
            .filter(|one| one.state == EndpointState::Ready)
            .collect();
        assert_eq!(ready, endpoints(list), "{case}");
    }
}

#[test]
fn what_another_pod_left_behind_does_not_count() {
    let now = Instant::now();
    let mut merge = Merge::from_saved(saved(900, "other-pod", 100, "2"), now);
    assert_eq!(
        merge.offer(plan(1, POD, "1", 100), Source::File, now),
        Verdict::Taken
    );
    let ready: Vec<_> = shown(&mut merge, now)
        .into_iter()
        .filter(|one| one.state == EndpointState::Ready)
        .collect();
    assert_eq!(ready, endpoints("1"));
}

#[test]
fn the_stream_is_believed_ever_since_it_first_spoke() {
    let now = Instant::now();
    let mut merge = Merge::from_saved(saved(7, POD, 100, "2"), now);
    merge.offer(plan(7, POD, "1", 100), Source::File, now);
    assert_eq!(merge.note(reset("3 4"), now), Noted::Yes);
    assert_eq!(shown(&mut merge, now), endpoints("3 4"));
    let delta = Change {
        service: user(),
        reset: false,
        set: endpoints("4d 5"),
        removed: vec![],
    };
    merge.note(delta, now);
    assert_eq!(shown(&mut merge, now), endpoints("3 4d 5"));
    merge.offer(plan(8, POD, "1", 200), Source::File, now);
    assert_eq!(
        shown(&mut merge, now),
        endpoints("3 4d 5"),
        "seeds of a late ConfigMap change nothing"
    );
    let gone = Change {
        service: user(),
        reset: false,
        set: vec![],
        removed: vec![endpoints("4")[0].address.clone()],
    };
    merge.note(gone, now);
    assert_eq!(shown(&mut merge, now), endpoints("3 5"));
}

#[test]
fn endpoints_of_an_unknown_service_are_not_kept() {
    let (mut merge, now) = (Merge::default(), Instant::now());
    assert_eq!(merge.note(reset("1"), now), Noted::NoSuchService);
    merge.offer(plan(1, POD, "1", 100), Source::File, now);
    let other = Change {
        service: ServiceName::of("shop", "cart").unwrap(),
        ..reset("1")
    };
    assert_eq!(merge.note(other, now), Noted::NoSuchService);
}

#[test]
fn a_reset_to_nothing_is_held_for_a_while() {
    let (mut merge, now) = (Merge::default(), Instant::now());
    merge.offer(plan(1, POD, "1 2", 100), Source::File, now);
    merge.note(reset(""), now);
    assert_eq!(shown(&mut merge, now), endpoints("1d 2d"));
    assert_eq!((merge.services_held(), merge.next()), (1, Some(now + HOLD)));
    let later = now + HOLD + Duration::from_secs(1);
    assert_eq!(shown(&mut merge, later), []);
    assert_eq!((merge.services_held(), merge.next()), (0, None));
}

#[test]
fn what_did_not_change_is_the_same_arc() {
    let (mut merge, now) = (Merge::default(), Instant::now());
    merge.offer(plan(1, POD, "1 2", 100), Source::File, now);
    let before = merge.known(now).unwrap();
    merge.note(reset("2 1"), now);
    merge.offer(plan(2, POD, "1 2", 100), Source::Stream, now);
    let after = merge.known(now).unwrap();
    assert!(Arc::ptr_eq(&before.endpoints[&user()], &after.endpoints[&user()]));
}

#[test]
fn what_is_saved_is_what_the_stream_said_and_not_the_seeds_or_what_is_held() {
    let (mut merge, now) = (Merge::default(), Instant::now());
    assert_eq!(merge.to_save(), None);
    merge.offer(plan(1, POD, "1 2 3", 100), Source::File, now);
    assert_eq!(merge.to_save().unwrap().endpoints, BTreeMap::new());
    merge.note(reset("1"), now);
    assert_eq!(shown(&mut merge, now).len(), 3);
    assert_eq!(merge.to_save().unwrap().endpoints[&user()], endpoints("1"));
    let restarted = Merge::from_saved(merge.to_save().unwrap(), now);
    assert_eq!(
        restarted.to_save(),
        merge.to_save(),
        "a second outage finds the same"
    );
}

#[test]
fn a_service_has_a_bounded_number_of_endpoints() {
    let (mut merge, now) = (Merge::default(), Instant::now());
    merge.offer(plan(1, POD, "", 100), Source::File, now);
    let endpoint = |port: usize| {
        let address = Address::new(format!("10.0.0.1:{port}")).unwrap();
        Endpoint::agent(address, EndpointState::Ready)
    };
    let set = (1..=MAX_ENDPOINTS + 1).map(endpoint).collect();
    let change = Change {
        service: user(),
        reset: true,
        set,
        removed: vec![],
    };
    assert_eq!(merge.note(change, now), Noted::Cut);
    assert_eq!(shown(&mut merge, now).len(), MAX_ENDPOINTS);
}
