//! Whether a call stays near (the same zone) or goes far: near first, and further away only as far as those near by are
//! too few or too busy.

/// Healthy endpoints near by carry this much more than their own share before calls go far: 70 % of them are enough for
/// all. Envoy's overprovisioning factor.
const OVERPROVISION: f64 = 1.4;

/// When near is too busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Up to so many calls under way at each endpoint near by, nothing goes far because of load.
    pub free_per_endpoint: u32,
    /// Beyond: how many times the calls under way at each endpoint far away there may be near by, in percent; below 100
    /// counts as 100. 200 is usual.
    pub busier_percent: u32,
}

/// The endpoints on one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Side {
    /// All of them.
    pub total: u32,
    /// Those that calls may go to.
    pub usable: u32,
    /// Calls under way at those.
    pub in_flight: u32,
}

/// Where a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the same zone.
    Near,
    /// To another one.
    Far,
}

/// The way of one call; `None` where nobody is usable on either side.
#[must_use]
pub fn way(rule: &Rule, near: Side, far: Side, random: u64) -> Option<Way> {
    match (near.usable, far.usable) {
        (0, 0) => return None,
        (0, _) => return Some(Way::Far),
        (_, 0) => return Some(Way::Near),
        _ => {}
    }
    let well = f64::from(near.usable) / f64::from(near.total.max(near.usable));
    let chance = (random >> 11) as f64 / (1u64 << 53) as f64;
    if chance >= well * OVERPROVISION || near.is_too_busy(rule, far) {
        Some(Way::Far)
    } else {
        Some(Way::Near)
    }
}

impl Side {
    fn is_too_busy(self, rule: &Rule, far: Self) -> bool {
        let load = |side: Self| f64::from(side.in_flight) / f64::from(side.usable.max(1));
        let busier = f64::from(rule.busier_percent.max(100)) / 100.0;
        load(self) > f64::from(rule.free_per_endpoint).max(load(far) * busier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        free_per_endpoint: 10,
        busier_percent: 200,
    };

    const fn side(total: u32, usable: u32, in_flight: u32) -> Side {
        Side {
            total,
            usable,
            in_flight,
        }
    }

    #[test]
    fn calls_stay_near_until_it_is_too_busy_there() {
        let rows = [
            (side(2, 2, 0), side(8, 8, 0), Some(Way::Near)),
            (side(2, 2, 20), side(8, 8, 0), Some(Way::Near)),
            (side(2, 2, 21), side(8, 8, 0), Some(Way::Far)),
            (side(2, 2, 40), side(8, 8, 80), Some(Way::Near)),
            (side(2, 2, 41), side(8, 8, 80), Some(Way::Far)),
            (side(2, 2, 1000), side(8, 0, 0), Some(Way::Near)),
            (side(2, 0, 0), side(8, 8, 1000), Some(Way::Far)),
            (side(0, 0, 0), side(0, 0, 0), None),
        ];
        for (near, far, expected) in rows {
            assert_eq!(way(&RULE, near, far, 0), expected, "{near:?} {far:?}");
        }
    }

    #[test]
    fn the_share_that_stays_near_falls_with_those_who_are_well() {
        for (usable, expected) in [(10, 1.0), (8, 1.0), (5, 0.7), (1, 0.14)] {
            let near = |step: u64| {
                let random = step * (u64::MAX / 1000);
                way(&RULE, side(10, usable, 0), side(10, 10, 0), random) == Some(Way::Near)
            };
            let share = (0..1000).filter(|step| near(*step)).count() as f64 / 1000.0;
            assert!((share - expected).abs() < 0.005, "{usable}: {share}");
        }
    }

    #[test]
    fn a_flood_is_spread_so_that_near_is_at_most_so_much_busier() {
        let (mut near, mut far) = (side(2, 2, 0), side(8, 8, 0));
        for _ in 0..1200 {
            match way(&RULE, near, far, 0) {
                Some(Way::Near) => near.in_flight += 1,
                _ => far.in_flight += 1,
            }
        }
        // 2 x 2 shares near, 8 x 1 far.
        assert!((398..=402).contains(&near.in_flight), "{near:?} {far:?}");
    }
}
