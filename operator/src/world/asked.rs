//! What programs subscribe to by themselves, as their sidecars tell it: soft state, kept for as long as the pod is there.

use std::collections::BTreeSet;

use plan::{
    Undeclared,
    stream::{MAX_UNDECLARED, Subscription},
};

use super::{ObjectKey, Pod, Service, Touched, World};

/// What one pod's program has subscribed to by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The pod's UID: another pod of this name has asked for nothing.
    uid: Box<str>,
    /// At most [`MAX_UNDECLARED`].
    subscriptions: BTreeSet<Subscription>,
}

impl Asked {
    /// Whether it is this pod that asked, and not an older one of its name.
    pub(super) fn is_of(&self, pod: &Pod) -> bool {
        self.uid == pod.uid
    }
}

impl World {
    /// A sidecar tells what its program has subscribed to by itself. What is granted stays for the pod's life: a
    /// program has no way to give a subscription back (motan-agent.md 2), and a sidecar that starts again finds it in
    /// its plan and calls it declared. The pod need not be known yet.
    pub fn ask(
        &mut self,
        pod: &ObjectKey,
        uid: &str,
        subscriptions: Vec<Subscription>,
        rule: Undeclared,
    ) -> Touched {
        let mut new: BTreeSet<_> = subscriptions.into_iter().take(MAX_UNDECLARED).collect();
        let before = self.asked.get(pod).filter(|before| &*before.uid == uid);
        if let (Some(before), Undeclared::Allow) = (before, rule) {
            let granted = before.subscriptions.iter().filter(|one| !new.contains(*one));
            let granted: Vec<_> = granted.take(MAX_UNDECLARED - new.len()).cloned().collect();
            new.extend(granted);
        }
        if before.is_some_and(|before| before.subscriptions == new) {
            return Touched::default();
        }
        let is_news = before.is_some() || !new.is_empty();
        self.set_asked(
            pod,
            Some(Asked {
                uid: uid.into(),
                subscriptions: new,
            }),
        );
        if !is_news {
            return Touched::default(); // it is known now that there is nothing
        }
        Touched {
            plans: BTreeSet::from([pod.clone()]),
            dependencies: self.index.callers.to(pod).cloned().collect(),
            asked: BTreeSet::from([pod.clone()]),
            ..Touched::default()
        }
    }

    /// What a pod had been granted, as a former leader wrote it down; its own sidecar's word counts more.
    pub fn recall(&mut self, pod: &ObjectKey, uid: &str, subscriptions: Vec<Subscription>) -> Touched {
        match self.asked.get(pod) {
            Some(asked) if &*asked.uid == uid => Touched::default(),
            _ => self.ask(pod, uid, subscriptions, Undeclared::Refuse),
        }
    }

    /// Forgets what pods asked for that are gone, or never came.
    pub fn prune_asked(&mut self) -> Touched {
        let gone: Vec<_> = self
            .asked
            .keys()
            .filter(|pod| !self.pods.contains_key(*pod))
            .cloned()
            .collect();
        for pod in gone {
            self.set_asked(&pod, None);
        }
        Touched::default() // no plan, no status speaks of them
    }

    /// Whether a pod's sidecar has said what its program subscribes to, if only nothing.
    #[must_use]
    pub fn has_asked(&self, pod: &ObjectKey) -> bool {
        self.asked_by(pod).is_some()
    }

    /// What a pod's program has subscribed to by itself, declared or not, in order.
    pub fn asked(&self, pod: &ObjectKey) -> impl Iterator<Item = &Subscription> {
        self.asked_by(pod)
            .into_iter()
            .flat_map(|asked| &asked.subscriptions)
    }

    /// The service that a subscription means: the one of this path, and where there are several the one of its group.
    #[must_use]
    pub fn offering(&self, subscription: &Subscription) -> Option<&Service> {
        let offering = self.index.paths.get(&subscription.path)?;
        let of_group = |service: &&Service| {
            let offer = service.offer.as_ref();
            offering.len() == 1 || offer.is_ok_and(|offer| offer.group == subscription.group)
        };
        let services = offering.iter().filter_map(|key| self.services.get(key));
        services
            .filter(of_group)
            .min_by_key(|service| (service.age, &service.key))
    }

    /// The pods whose programs have subscribed by themselves to something that may be this service.
    pub fn asking(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        let offer = self
            .services
            .get(service)
            .and_then(|found| found.offer.as_ref().ok());
        let asking = offer.and_then(|offer| self.index.asking.get(&offer.path));
        asking.into_iter().flatten()
    }

    /// Takes what a pod asked for away where another pod has its name now, or none.
    pub(super) fn forget_asked(&mut self, key: &ObjectKey) {
        let pod = self.pods.get(key);
        let stays = |asked: &Asked| pod.is_some_and(|pod| asked.is_of(pod));
        if self.asked.get(key).is_some_and(|asked| !stays(asked)) {
            self.set_asked(key, None);
        }
    }

    fn asked_by(&self, pod: &ObjectKey) -> Option<&Asked> {
        let is_same = |asked: &&Asked| self.pods.get(pod).is_some_and(|pod| asked.is_of(pod));
        self.asked.get(pod).filter(is_same)
    }

    fn set_asked(&mut self, pod: &ObjectKey, asked: Option<Asked>) {
        let paths = |asked: Option<&Asked>| -> BTreeSet<_> {
            let subscriptions = asked.into_iter().flat_map(|asked| &asked.subscriptions);
            subscriptions
                .map(|subscription| subscription.path.clone())
                .collect()
        };
        let after = paths(asked.as_ref());
        let before = match asked {
            Some(asked) => self.asked.insert(pod.clone(), asked),
            None => self.asked.remove(pod),
        };
        self.index.set_asking(pod, &paths(before.as_ref()), &after);
    }
}
