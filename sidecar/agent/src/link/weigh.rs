//! Asks providers what they say of their own weight, where calls are shared by weight: on the links that are there, by the
//! framework's meta service (motan-wire 8).

use std::rc::Rc;
use std::time::{Duration, Instant};

use plan::Weight;
use wire::breeze::Map;
use wire::keys;
use wire::message::Message;
use wire::motan2::{self, Frame, Header};

use super::pool::State;
use crate::inbound::{META_METHOD, META_SERVICE};
use crate::live::{Endpoint, EndpointKind};
use crate::meta::WEIGHT;
use crate::worker::Worker;

/// The id of such a question: no call has it, as there are never so many.
pub(super) const ID: u64 = u64::MAX;
/// How often an endpoint is asked (motan-agent.md, `weightRefreshPeriodSecond`).
const EVERY: Duration = Duration::from_secs(3);
/// How long one is left alone that does not know what is asked (motan-wire 8).
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// Asks those endpoints whose turn it is.
pub(crate) fn ask(worker: &Rc<Worker>, now: Instant) {
    let mut asked = Vec::new();
    {
        let live = worker.live();
        let pool = worker.pool.borrow();
        let places = live.weighed().flat_map(|service| &service.places);
        for endpoint in places.map(|place| &place.endpoint) {
            let takes = matches!(endpoint.kind, EndpointKind::Agent | EndpointKind::Outside);
            if takes
                && let State::Ready(on) = pool.state(endpoint, now)
                && endpoint.weigh.is_due(now, EVERY)
            {
                asked.push(on);
            }
        }
    }
    for on in asked {
        worker.append(on, question);
    }
}

fn question(out: &mut Vec<u8>) {
    motan2::encode(
        out,
        Header::request(ID),
        |meta| {
            meta.pair(keys::PATH, META_SERVICE);
            meta.pair(keys::METHOD, META_METHOD);
            meta.pair(keys::FRAMEWORK, b"y");
        },
        |_| {},
    );
}

/// An endpoint has answered.
pub(super) fn heard(worker: &Worker, endpoint: &Endpoint, message: &Message<'_>, now: Instant) {
    let Message::Two(frame) = message else {
        return;
    };
    let weight = weight(frame);
    if weight == Err(Unknown) {
        endpoint.weigh.not_before(now + LEFT_ALONE);
    }
    // Whoever does not know it now may be another one than who was there.
    let weight = weight.unwrap_or_default();
    worker.live.borrow().weights.learn(&endpoint.address, weight);
}

/// The endpoint does not know what is asked.
#[derive(Debug, PartialEq, Eq)]
struct Unknown;

/// What an endpoint says; numbers out of bounds are the nearest one in them, and what is no number is nothing.
fn weight(frame: &Frame<'_>) -> Result<Option<Weight>, Unknown> {
    if frame.header.status != 0 {
        return Err(Unknown);
    }
    let mut pairs = Map::read(frame.body).map_err(|_| Unknown)?.pairs();
    let said = pairs.find(|(key, _)| *key == WEIGHT.as_bytes());
    let number = said.and_then(|(_, value)| std::str::from_utf8(value).ok()?.trim().parse::<u32>().ok());
    Ok(number.and_then(|number| Weight::new(number.clamp(1, 500))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u8, body: &[u8]) -> Result<Option<u32>, Unknown> {
        let header = Header {
            status,
            ..Header::request(ID)
        };
        let mut bytes = Vec::new();
        motan2::encode(&mut bytes, header, |_| {}, |out| out.extend_from_slice(body));
        let (frame, _) = motan2::decode(&bytes, 1024).unwrap().unwrap();
        weight(&frame).map(|weight| weight.map(Weight::get))
    }

    #[test]
    fn a_weight_is_read_within_its_bounds_and_whoever_knows_none_is_told_apart() {
        let map = |value: &str| {
            let mut body = Vec::new();
            wire::breeze::write(
                &mut body,
                [(WEIGHT.as_bytes(), value.as_bytes()), (b"a", b"b")].into_iter(),
            );
            body
        };
        let table = [
            ("20", Some(20)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("9999", Some(500)),
            ("much", None),
            ("-1", None),
        ];
        for (value, expected) in table {
            assert_eq!(said(0, &map(value)), Ok(expected), "{value}");
        }
        let mut empty = Vec::new();
        wire::breeze::write(&mut empty, std::iter::empty());
        assert_eq!(said(0, &empty), Ok(None));
        assert_eq!(said(1, &empty), Err(Unknown));
        assert_eq!(said(0, b"what"), Err(Unknown));
    }
}
