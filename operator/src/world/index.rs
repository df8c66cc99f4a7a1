//! Who touches whom, kept as objects come and go, so that a change costs what it touches and not the cluster.

use std::collections::{BTreeMap, BTreeSet};

use plan::{GroupName, Location, PathName};

use super::{Namespace, ObjectKey, Offer};

/// The relations between pods, services and dependencies.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Services to the pods they select.
    pub(super) providers: Links,
    /// Dependencies to the pods they select.
    pub(super) callers: Links,
    /// Dependencies to the services they name, existing or not.
    pub(super) named: Links,
    /// Names that only one service can have, to the services that want them.
    pub(super) claims: BTreeMap<Claim, BTreeSet<ObjectKey>>,
    /// Motan paths to the services that offer them, in whatever group.
    pub(super) paths: BTreeMap<PathName, BTreeSet<ObjectKey>>,
    /// Motan paths to the pods whose programs have subscribed to them by themselves.
    pub(super) asking: BTreeMap<PathName, BTreeSet<ObjectKey>>,
}

impl Index {
    /// A service offers another path than before.
    pub(super) fn set_path(
        &mut self,
        service: &ObjectKey,
        before: Option<&PathName>,
        after: Option<&PathName>,
    ) {
        move_in(&mut self.paths, service, before, after);
    }

    /// A pod's program asks for other paths than before.
    pub(super) fn set_asking(
        &mut self,
        pod: &ObjectKey,
        before: &BTreeSet<PathName>,
        after: &BTreeSet<PathName>,
    ) {
        let (gone, new) = (before.difference(after), after.difference(before));
        move_in(&mut self.asking, pod, gone, new);
    }
}

/// Takes an object out of the sets of these keys, and puts it into the sets of those.
pub(super) fn move_in<'k, K: Ord + Clone + 'k>(
    sets: &mut BTreeMap<K, BTreeSet<ObjectKey>>,
    object: &ObjectKey,
    gone: impl IntoIterator<Item = &'k K>,
    new: impl IntoIterator<Item = &'k K>,
) {
    for key in gone {
        if let Some(set) = sets.get_mut(key) {
            set.remove(object);
            if set.is_empty() {
                sets.remove(key);
            }
        }
    }
    for key in new {
        sets.entry(key.clone()).or_default().insert(object.clone());
    }
}

/// A name that only one service can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// How Motan callers name a service, in the whole mesh.
    Motan(GroupName, PathName),
    /// A host or a part of it, in one namespace.
    Host(Box<str>, Location),
    /// The names of a Kubernetes Service, by its namespace and name.
    Kubernetes(Box<str>, Box<str>),
}

impl Claim {
    /// Every name that a service claims.
    #[must_use]
    pub fn all(key: &ObjectKey, offer: &Offer) -> BTreeSet<Self> {
        let own = Location::whole(offer.own_host.clone());
        let hosts = offer
            .shares()
            .chain([own])
            .map(|location| Self::Host(key.namespace.clone(), location));
        let motan = Self::Motan(offer.group.clone(), offer.path.clone());
        let kubernetes = offer.kubernetes.iter();
        let kubernetes = kubernetes.map(|service| Self::Kubernetes(key.namespace.clone(), service.clone()));
        hosts.chain([motan]).chain(kubernetes).collect()
    }
}

/// A relation between two kinds of objects that is read from both ends.
#[derive(Debug, Default)]
pub(super) struct Links {
    forth: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    back: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
}

impl Links {
    /// What this is related to.
    pub(super) fn from<'a>(&'a self, left: &ObjectKey) -> impl Iterator<Item = &'a ObjectKey> {
        self.forth.get(left).into_iter().flatten()
    }

    /// What is related to this.
    pub(super) fn to<'a>(&'a self, right: &ObjectKey) -> impl Iterator<Item = &'a ObjectKey> {
        self.back.get(right).into_iter().flatten()
    }

    /// Relates `left` to these and no others; returns what it was related to before.
    pub(super) fn set_from(&mut self, left: &ObjectKey, rights: BTreeSet<ObjectKey>) -> BTreeSet<ObjectKey> {
        set(&mut self.forth, &mut self.back, left, rights)
    }

    /// Relates these and no others to `right`; returns what was related to it before.
    pub(super) fn set_to(&mut self, right: &ObjectKey, lefts: BTreeSet<ObjectKey>) -> BTreeSet<ObjectKey> {
        set(&mut self.back, &mut self.forth, right, lefts)
    }
}

type Side = BTreeMap<ObjectKey, BTreeSet<ObjectKey>>;

fn set(
    here: &mut Side,
    there: &mut Side,
    key: &ObjectKey,
    others: BTreeSet<ObjectKey>,
) -> BTreeSet<ObjectKey> {
    let before = here.remove(key).unwrap_or_default();
    for gone in before.difference(&others) {
        if let Some(set) = there.get_mut(gone) {
            set.remove(key);
            if set.is_empty() {
                there.remove(gone);
            }
        }
    }
    for new in others.difference(&before) {
        there.entry(new.clone()).or_default().insert(key.clone());
    }
    if !others.is_empty() {
        here.insert(key.clone(), others);
    }
    before
}

/// What a change concerns: names only, never content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Pods whose plan may differ now, or which are gone.
    pub plans: BTreeSet<ObjectKey>,
    /// Services whose endpoints differ now.
    pub endpoints: BTreeSet<ObjectKey>,
    /// MeshServices whose status may differ now.
    pub services: BTreeSet<ObjectKey>,
    /// MeshDependencies whose status may differ now.
    pub dependencies: BTreeSet<ObjectKey>,
    /// Namespaces that changed.
    pub namespaces: BTreeSet<Box<str>>,
    /// Pods whose program has subscribed by itself to something else than before.
    pub asked: BTreeSet<ObjectKey>,
}

impl Touched {
    /// Adds what another change concerns.
    pub fn absorb(&mut self, other: Self) {
        let Self {
            plans,
            endpoints,
            services,
            dependencies,
            namespaces,
            asked,
        } = other;
        self.plans.extend(plans);
        self.endpoints.extend(endpoints);
        self.services.extend(services);
        self.dependencies.extend(dependencies);
        self.namespaces.extend(namespaces);
        self.asked.extend(asked);
    }

    /// Whether it concerns nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn namespace(namespace: &Namespace) -> Self {
        Self {
            namespaces: BTreeSet::from([namespace.name.clone()]),
            ..Self::default()
        }
    }
}
