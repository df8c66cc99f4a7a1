//! Where a service is provided, and which few of many places a plan carries.

use plan::{Address, Endpoint, EndpointState, MAX_SEEDS};

use crate::world::{ObjectKey, Offer, World};

/// Every endpoint of a service, sorted by address; empty where there is no such service. Addresses outside of the
/// mesh always count as ready: nobody here can know.
#[must_use]
pub fn endpoints(world: &World, service: &ObjectKey) -> Vec<Endpoint> {
    let offer = world.service(service).and_then(|found| found.offer.as_ref().ok());
    if let Some(addresses) = offer.and_then(Offer::external) {
        let endpoint = |address: &Address| Endpoint::agent(address.clone(), EndpointState::Ready);
        return addresses.iter().map(endpoint).collect();
    }
    let Some((offer, pods)) = offer.and_then(|offer| Some((offer, offer.pods()?))) else {
        return Vec::new();
    };
    let mut endpoints: Vec<_> = world
        .providers(service)
        .filter_map(|pod| {
            Some(Endpoint {
                subsets: offer.subsets_of(&pod.labels),
                ..pod.endpoint(pods, world.zone(pod))?
            })
        })
        .collect();
    endpoints.sort_by(|a, b| a.address.cmp(&b.address));
    endpoints.dedup_by(|a, b| a.address == b.address);
    endpoints
}

/// At most [`MAX_SEEDS`] endpoints, ready ones first. Of more, each caller gets its own choice, always the same
/// one: with no operator, all callers together still reach all of them.
pub(super) fn seeds(world: &World, service: &ObjectKey, caller: &ObjectKey) -> Vec<Endpoint> {
    let mut seeds = endpoints(world, service);
    let draining = |endpoint: &Endpoint| endpoint.state == EndpointState::Draining;
    if seeds.len() > MAX_SEEDS {
        let salt = hash(FNV_START, caller.to_string().as_bytes());
        seeds.sort_by_cached_key(|endpoint| {
            (
                draining(endpoint),
                mix(hash(salt, endpoint.address.as_str().as_bytes())),
            )
        });
        seeds.truncate(MAX_SEEDS);
    }
    seeds.sort_by(|a, b| (draining(a), &a.address).cmp(&(draining(b), &b.address)));
    seeds
}

// FNV-1a with a final mix: the choice must be the same in every replica and every version, and spread; no more.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
