use std::time::Duration;

use wire::motan2::{self, Header};

use super::super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A request that waits on two connections.
struct Pair {
    core: Core<&'static str, u32>,
    now: Instant,
    links: [ConnectionId; 2],
    id: WaiterId,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let mut core = Core::default();
        let links = ["first", "second"].map(|name| core.open(name));
        let id = core.send(links[0], parcel(now)).unwrap();
        core.written(links[0], 1000);
        assert!(core.send_again(id, links[1]));
        Self { core, now, links, id }
    }

    fn waiting(&self) -> [u32; 2] {
        self.links.map(|link| self.core.waiting_on(link))
    }

    fn is_empty(&self) -> bool {
        self.waiting() == [0, 0]
            && self.core.waiting() == 0
            && self.core.retained() == 0
            && !self.core.has_pairs()
    }
}

fn parcel(now: Instant) -> Parcel<u32> {
    let mut request = Vec::new();
    motan2::encode(&mut request, Header::request(0), |_| {}, |out| out.push(7));
    Parcel {
        call: 1,
        request,
        deadline: now + SECOND,
        is_partial: false,
    }
}

#[test]
fn both_times_it_has_the_same_id() {
    let Pair { core, links, id, .. } = Pair::new();
    let (_, bytes) = core.outgoing(links[1]).unwrap();
    let (frame, _) = motan2::decode(bytes, 100).unwrap().unwrap();
    assert_eq!(frame.header.id, id.to_wire());
}

#[test]
fn whichever_answers_first_is_heard_and_the_other_is_late() {
    for winner in 0..2 {
        let mut pair = Pair::new();
        assert_eq!(pair.waiting(), [1, 1]);
        let (won, lost) = (pair.links[winner], pair.links[1 - winner]);
        let id = pair.id.to_wire();
        assert!(pair.core.waiter(won, id).is_some());
        assert_eq!(pair.core.pair(won, id), Some(pair.id));
        assert_eq!(pair.core.answer(won, id).unwrap().call, 1);
        assert!(pair.is_empty());
        assert!(pair.core.answer(lost, id).is_none());
    }
}

#[test]
fn one_that_is_given_up_is_heard_no_more_and_the_other_still_is() {
    for given_up in 0..2 {
        let mut pair = Pair::new();
        let (gone, left) = (pair.links[given_up], pair.links[1 - given_up]);
        let id = pair.id.to_wire();
        pair.core.give_up(pair.id, gone);
        assert!(!pair.core.has_pairs());
        assert_eq!((pair.core.waiting_on(gone), pair.core.waiting_on(left)), (0, 1));
        assert!(pair.core.answer(gone, id).is_none());
        assert_eq!(pair.core.answer(left, id).unwrap().call, 1);
        assert!(pair.is_empty());
    }
}

#[test]
fn a_connection_that_is_lost_takes_its_half_only() {
    for (lost, sent) in [(0, Sent::Perhaps), (1, Sent::No)] {
        let mut pair = Pair::new();
        assert_eq!(pair.core.part(pair.links[lost]), [(pair.id, sent)]);
        assert!(pair.core.close(pair.links[lost]).is_empty());
        let left = pair.links[1 - lost];
        assert_eq!(pair.core.close(left).len(), 1);
        assert!(pair.is_empty());
    }
}

#[test]
fn a_pair_is_late_once() {
    let mut pair = Pair::new();
    let due = pair.core.due(pair.now + SECOND);
    assert!(matches!(due[..], [Due::Late(_, Sent::Perhaps)]));
    assert!(pair.is_empty());
}

#[test]
fn no_third_time_nor_the_same_way_nor_without_bytes() {
    let mut pair = Pair::new();
    let third = pair.core.open("third");
    assert!(!pair.core.send_again(pair.id, third));
    pair.core.give_up(pair.id, pair.links[0]);
    assert!(!pair.core.send_again(pair.id, pair.links[1]));
    let id = pair.core.send(third, parcel(pair.now)).unwrap();
    pair.core.close(pair.links[0]);
    assert!(!pair.core.send_again(id, pair.links[0]));
    let mut head = parcel(pair.now);
    head.is_partial = true;
    let head = pair.core.send_head(third, head).unwrap();
    assert!(!pair.core.send_again(head, pair.links[1]));
    // Another body is under way there.
    assert!(!pair.core.send_again(pair.id, third));
}

#[test]
fn who_has_been_answered_is_not_looked_at() {
    let now = Instant::now();
    let mut core = Core::default();
    let link = core.open("link");
    let look = |millis| now + Duration::from_millis(millis);
    let [first, second] = [(); 2].map(|()| core.send(link, parcel(now)).unwrap());
    core.look_at(second, look(20));
    core.look_at(first, look(10));
    assert_eq!(core.next_due(), Some(look(10)));
    assert!(core.due(look(9)).is_empty());
    core.answer(link, first.to_wire()).unwrap();
    assert!(core.due(look(10)).is_empty());
    assert_eq!(core.next_due(), Some(look(20)));
    assert!(matches!(core.due(look(20))[..], [Due::Waits(id)] if id == second));
    assert_eq!(core.next_due(), Some(now + SECOND));
}
