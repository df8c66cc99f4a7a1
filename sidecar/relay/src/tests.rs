use std::time::Duration;

use wire::motan2::{self, Header};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    core: Core<&'static str, u32>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            core: Core::default(),
            now: Instant::now(),
        }
    }

    fn parcel(&mut self, call: u32, body: usize) -> Parcel<u32> {
        let mut request = self.core.buffers.take(body);
        motan2::encode(
            &mut request,
            Header::request(0),
            |_| {},
            |out| out.resize(out.len() + body, 7),
        );
        Parcel {
            call,
            request,
            deadline: self.now + SECOND,
            is_partial: false,
        }
    }

    fn send(&mut self, on: ConnectionId, call: u32) -> WaiterId {
        let parcel = self.parcel(call, 10);
        self.core.send(on, parcel).unwrap()
    }

    fn write_all(&mut self, id: ConnectionId) -> Vec<u8> {
        let bytes = self.core.outgoing(id).unwrap().1.to_vec();
        self.core.written(id, bytes.len());
        bytes
    }
}

fn calls(lost: Vec<(Parcel<u32>, Sent)>) -> Vec<(u32, Sent)> {
    lost.into_iter()
        .map(|(parcel, sent)| (parcel.call, sent))
        .collect()
}

#[test]
fn an_answer_finds_its_request_once() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let id = bench.send(link, 1).to_wire();
    assert_ne!(id, 0);
    assert_eq!(bench.core.waiting_on(link), 1);
    assert_eq!(bench.core.answer(link, id).unwrap().call, 1);
    assert!(bench.core.answer(link, id).is_none());
    assert_eq!(
        (
            bench.core.waiting(),
            bench.core.waiting_on(link),
            bench.core.retained()
        ),
        (0, 0, 0)
    );
}

#[test]
fn the_id_on_the_wire_is_the_one_that_is_waited_for() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let first = bench.send(link, 1).to_wire();
    let second = bench.send(link, 2).to_wire();
    let bytes = bench.write_all(link);
    let (frame, taken) = motan2::decode(&bytes, 100).unwrap().unwrap();
    assert_eq!(frame.header.id, first);
    let (frame, _) = motan2::decode(&bytes[taken..], 100).unwrap().unwrap();
    assert_eq!(frame.header.id, second);
}

#[test]
fn late_reply_to_a_reused_slot_is_dropped() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let old = bench.send(link, 1).to_wire();
    bench.now += SECOND;
    assert_eq!(bench.core.due(bench.now).len(), 1);
    let new = bench.send(link, 2).to_wire();
    assert_eq!(new & 0xffff_ffff, old & 0xffff_ffff, "the slot is used again");
    assert!(bench.core.answer(link, old).is_none());
    assert_eq!(bench.core.answer(link, new).unwrap().call, 2);
}

#[test]
fn an_answer_on_another_connection_is_dropped() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let other = bench.core.open("other");
    let id = bench.send(link, 1).to_wire();
    assert!(bench.core.answer(other, id).is_none());
    assert!(bench.core.answer(link, id).is_some());
    assert!(bench.core.answer(link, u64::MAX).is_none());
    assert!(bench.core.answer(link, 0).is_none());
}

#[test]
fn a_lost_connection_tells_written_from_unwritten_requests() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let other = bench.core.open("other");
    bench.send(link, 1);
    bench.write_all(link);
    bench.send(link, 2);
    bench.send(link, 3);
    bench.send(other, 4);
    let frame = bench.core.outgoing(link).unwrap().1.len() / 2;
    bench.core.written(link, frame + 5);
    let lost = calls(bench.core.close(link));
    assert_eq!(lost, [(1, Sent::Perhaps), (2, Sent::Perhaps), (3, Sent::No)]);
    assert_eq!(bench.core.waiting(), 1);
    assert!(bench.core.attached(link).is_none());
}

#[test]
fn an_unsent_request_comes_back_whole_and_can_be_sent_elsewhere() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let other = bench.core.open("other");
    bench.send(link, 1);
    let (parcel, sent) = bench.core.close(link).remove(0);
    assert_eq!(sent, Sent::No);
    let id = bench.core.send(other, parcel).unwrap();
    let bytes = bench.write_all(other);
    let (frame, _) = motan2::decode(&bytes, 100).unwrap().unwrap();
    assert_eq!((frame.header.id, frame.body), (id.to_wire(), &[7; 10][..]));
}

#[test]
fn a_request_for_a_closed_connection_is_handed_back() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    bench.core.close(link);
    let parcel = bench.parcel(1, 1);
    assert_eq!(bench.core.send(link, parcel).unwrap_err().call, 1);
    assert!(!bench.core.append(link, |out| out.push(1)));
}

#[test]
fn a_deadline_is_due_when_it_comes_and_not_before() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    bench.send(link, 1);
    let soon = bench.now + SECOND;
    assert_eq!(bench.core.next_due(), Some(soon));
    assert!(bench.core.due(soon - Duration::from_millis(1)).is_empty());
    let due = bench.core.due(soon);
    assert!(matches!(&due[..], [Due::Late(parcel, Sent::Perhaps)] if parcel.call == 1));
    assert_eq!(bench.core.next_due(), None);
}

#[test]
fn an_answered_call_leaves_at_most_one_early_look() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let id = bench.send(link, 1).to_wire();
    bench.core.answer(link, id);
    assert!(bench.core.due(bench.now + SECOND).is_empty());
    assert_eq!(bench.core.next_due(), None);
}

#[test]
fn a_parked_request_is_ripe_at_its_time_or_when_something_changes() {
    let mut bench = Bench::new();
    let until = bench.now + SECOND / 4;
    let parcel = bench.parcel(1, 1);
    bench.core.park(parcel, until).unwrap();
    assert_eq!(bench.core.next_due(), Some(until));
    let due = bench.core.due(until);
    assert!(matches!(&due[..], [Due::Ripe(parcel)] if parcel.call == 1));
    let parcel = bench.parcel(2, 1);
    bench.core.park(parcel, until).unwrap();
    assert_eq!(bench.core.unpark()[0].call, 2);
}

#[test]
fn a_parked_request_whose_deadline_passes_is_late_and_was_not_sent() {
    let mut bench = Bench::new();
    let parcel = bench.parcel(1, 1);
    let deadline = parcel.deadline;
    bench.core.park(parcel, deadline + SECOND).unwrap();
    let due = bench.core.due(deadline);
    assert!(matches!(&due[..], [Due::Late(_, Sent::No)]));
}

#[test]
fn a_connection_is_dirty_once_until_it_is_taken() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    bench.send(link, 1);
    bench.send(link, 2);
    assert!(bench.core.is_dirty());
    assert_eq!(bench.core.next_dirty(), Some(link));
    assert_eq!(bench.core.next_dirty(), None);
    bench.send(link, 3);
    assert_eq!(bench.core.next_dirty(), Some(link));
}

#[test]
fn a_closed_connection_is_no_longer_dirty() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    bench.send(link, 1);
    bench.core.close(link);
    assert_eq!(bench.core.next_dirty(), None);
}

#[test]
fn who_fills_a_connection_pauses_at_high_water_and_goes_on_at_low_water() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    bench.core.append(link, |out| out.resize(HIGH_WATER - 1, 0));
    assert!(!bench.core.is_full(link));
    bench.core.append(link, |out| out.push(0));
    assert!(bench.core.is_full(link));
    assert_eq!(bench.core.written(link, 1), Flushed::Full);
    assert_eq!(bench.core.written(link, HIGH_WATER - LOW_WATER), Flushed::Some);
    assert_eq!(bench.core.written(link, HIGH_WATER), Flushed::Roomy);
}

#[test]
fn what_is_written_in_pieces_is_what_was_appended() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let whole: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let (mut seen, mut fed) = (Vec::new(), 0);
    for step in (1..).map(|step| step * 37 % 4001 + 1) {
        let more = (fed + 1500).min(whole.len());
        bench
            .core
            .append(link, |out| out.extend_from_slice(&whole[fed..more]));
        fed = more;
        let outgoing = bench.core.outgoing(link).unwrap().1;
        let piece = outgoing.len().min(step);
        seen.extend_from_slice(&outgoing[..piece]);
        bench.core.written(link, piece);
        if seen.len() == whole.len() {
            break;
        }
    }
    assert_eq!(seen, whole);
}

#[test]
fn beyond_the_bound_requests_are_sent_but_not_kept_and_not_parked() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let big = RETAINED_LIMIT / 2;
    let parcel = bench.parcel(1, big);
    bench.core.send(link, parcel).unwrap();
    let parcel = bench.parcel(2, big);
    bench.core.send(link, parcel).unwrap();
    assert!(bench.core.retained() <= RETAINED_LIMIT);
    let parcel = bench.parcel(3, big);
    assert_eq!(bench.core.park(parcel, bench.now).unwrap_err().call, 3);
    let lost = bench.core.close(link);
    assert_eq!(
        lost.iter()
            .filter(|(parcel, _)| parcel.request.is_empty())
            .count(),
        1
    );
    assert_eq!(bench.core.retained(), 0);
}

proptest::proptest! {
    /// Whatever order requests, answers and losses come in: each request ends once, in one way.
    #[test]
    fn every_request_ends_exactly_once(steps in proptest::collection::vec((0u8..7, 0usize..8), 1..200)) {
        let mut bench = Bench::new();
        let mut links = vec![bench.core.open("a"), bench.core.open("b")];
        let (mut sent, mut ended) = (0u32, Vec::new());
        let mut ids = Vec::new();
        for (step, pick) in steps {
            match step {
                0 | 1 => {
                    let on = links[pick % links.len()];
                    ids.push((on, bench.send(on, sent).to_wire()));
                    sent += 1;
                }
                2 if !ids.is_empty() => {
                    let (on, id) = ids[pick % ids.len()];
                    ended.extend(bench.core.answer(on, id).map(|parcel| parcel.call));
                }
                3 => {
                    let at = pick % links.len();
                    let old = std::mem::replace(&mut links[at], bench.core.open("c"));
                    bench.core.part(old);
                    ended.extend(calls(bench.core.close(old)).into_iter().map(|(call, _)| call));
                }
                4 if !ids.is_empty() => {
                    let (_, id) = ids[pick % ids.len()];
                    let on = links[pick % links.len()];
                    if bench.core.send_again(WaiterId::from_wire(id), on) {
                        ids.push((on, id));
                    }
                }
                5 if !ids.is_empty() => {
                    let (on, id) = ids[pick % ids.len()];
                    if let Some(id) = bench.core.pair(on, id) {
                        bench.core.give_up(id, on);
                    }
                }
                _ => {
                    bench.now += SECOND / 3;
                    ended.extend(bench.core.due(bench.now).into_iter().map(|due| match due {
                        Due::Late(parcel, _) | Due::Ripe(parcel) => parcel.call,
                        Due::Waits(id) => unreachable!("{id:?} is not looked at"),
                    }));
                }
            }
        }
        for link in links {
            bench.core.part(link);
            ended.extend(calls(bench.core.close(link)).into_iter().map(|(call, _)| call));
        }
        ended.sort_unstable();
        proptest::prop_assert_eq!(ended, (0..sent).collect::<Vec<_>>());
        proptest::prop_assert_eq!(bench.core.waiting(), 0);
        proptest::prop_assert!(!bench.core.has_pairs());
    }
}

#[test]
fn what_is_appended_while_a_body_passes_comes_after_it() {
    let mut bench = Bench::new();
    let caller = bench.core.open("caller");
    assert!(bench.core.begin(caller, |out| out.extend_from_slice(b"head-")));
    assert!(bench.core.append(caller, |out| out.extend_from_slice(b"-reply")));
    assert!(!bench.core.begin(caller, |_| {}), "one at a time");
    assert!(bench.core.pass(caller, b"bo"));
    assert_eq!(bench.write_all(caller), b"head-bo");
    assert_eq!(bench.core.queued(caller), b"-reply".len());
    bench
        .core
        .append(caller, |out| out.resize(out.len() + HIGH_WATER, 0));
    let (is_full, is_jammed) = (bench.core.is_full(caller), bench.core.is_jammed(caller));
    assert!(
        is_full && !is_jammed,
        "who has a body under way is not held up by what waits for its end"
    );
    assert!(bench.core.pass(caller, b"dy"));
    bench.core.finish(caller, None);
    assert_eq!(bench.core.next_dirty(), Some(caller));
    assert!(bench.write_all(caller).starts_with(b"dy-reply"));
    assert!(!bench.core.is_passing(caller));
}

#[test]
fn a_request_whose_body_passes_counts_as_written_once_it_is_whole() {
    let mut bench = Bench::new();
    for (finished, written, expected) in [
        (false, true, Sent::No),
        (true, false, Sent::No),
        (true, true, Sent::Perhaps),
    ] {
        let link = bench.core.open("link");
        let parcel = bench.parcel(1, 0);
        let id = bench.core.send_head(link, parcel).unwrap();
        let other = bench.parcel(2, 0);
        assert!(bench.core.send(link, other).is_err(), "the link is taken");
        bench.core.pass(link, b"body");
        if finished {
            bench.core.finish(link, Some(id));
        }
        if written {
            bench.write_all(link);
        }
        let lost = bench.core.close(link);
        assert!(
            lost.iter().all(|(parcel, _)| !parcel.is_whole()),
            "it can't be sent again"
        );
        assert_eq!(calls(lost), [(1, expected)]);
    }
}

#[test]
fn a_piece_that_is_written_at_once_counts_as_written() {
    let mut bench = Bench::new();
    let link = bench.core.open("link");
    let parcel = bench.parcel(1, 0);
    let id = bench.core.send_head(link, parcel).unwrap();
    let head = bench.core.before_piece(link).unwrap().1.len();
    assert_ne!(head, 0);
    assert_eq!(bench.core.went_by(link, head - 1), 0, "the head goes first");
    assert_eq!(bench.core.went_by(link, 1 + 10), 10);
    assert!(bench.core.before_piece(link).unwrap().1.is_empty());
    assert_eq!(bench.core.went_by(link, 10), 10);
    bench.core.pass(link, b"rest");
    assert_eq!(bench.core.before_piece(link).unwrap().1, b"rest");
    bench.core.finish(link, Some(id));
    let other = bench.send(link, 2).to_wire();
    assert!(bench.core.before_piece(link).is_none(), "no body is under way");
    // All of the first is written, and nothing of the second.
    bench.core.written(link, b"rest".len());
    let mut lost = calls(bench.core.close(link));
    lost.sort_unstable_by_key(|(call, _)| *call);
    assert_eq!(lost, [(1, Sent::Perhaps), (2, Sent::No)]);
    assert_ne!(other, 0);
}
