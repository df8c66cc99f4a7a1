//! How soon an endpoint answers of late: a moving average that jumps to a worse value at once and comes down slowly
//! (peak EWMA, as Finagle and Linkerd have it, meshes.md 1.4).

use std::time::{Duration, Instant};

/// After this time a value of before weighs 1/e.
const DECAY: Duration = Duration::from_secs(10);

/// The average of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ewma {
    nanos: f64,
    at: Option<Instant>,
}

impl Ewma {
    /// An answer took so long.
    pub fn observe(&mut self, took: Duration, now: Instant) {
        let took = took.as_nanos() as f64;
        let known = self.nanos;
        self.nanos = match self.at {
            Some(at) if took < known => {
                let weight = weight(now.saturating_duration_since(at));
                known * weight + took * (1.0 - weight)
            }
            Some(_) | None => took,
        };
        self.at = Some(now);
    }

    /// What one more call would cost there, where `in_flight` are under way: lower is better. An endpoint of which nothing
    /// is known is tried at once, by few calls.
    #[must_use]
    pub fn cost(&self, in_flight: u32, now: Instant) -> f64 {
        let waiting = f64::from(in_flight) + 1.0;
        match self.at {
            None if in_flight == 0 => 0.0,
            None => DECAY.as_nanos() as f64 * waiting,
            // What was slow long ago is worth another try.
            Some(at) => self.nanos * weight(now.saturating_duration_since(at)) * waiting,
        }
    }
}

fn weight(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_jumps_up_at_once_and_comes_down_slowly() {
        let now = Instant::now();
        let mut ewma = Ewma::default();
        ewma.observe(MS, now);
        ewma.observe(100 * MS, now);
        assert!((ewma.cost(0, now) - 1e8).abs() < 1.0);
        ewma.observe(MS, now + Duration::from_secs(1));
        let cost = ewma.cost(0, now + Duration::from_secs(1));
        assert!((8.5e7..9.5e7).contains(&cost), "{cost}");
    }

    #[test]
    fn more_calls_under_way_cost_more_and_an_old_value_less() {
        let now = Instant::now();
        let mut ewma = Ewma::default();
        ewma.observe(MS, now);
        assert!(ewma.cost(3, now) > 3.9 * ewma.cost(0, now));
        assert!(ewma.cost(0, now + 3 * DECAY) < 0.1 * ewma.cost(0, now));
    }

    #[test]
    fn an_unknown_endpoint_is_tried_by_one_call() {
        let now = Instant::now();
        let mut known = Ewma::default();
        known.observe(MS, now);
        let unknown = Ewma::default();
        assert!(unknown.cost(0, now) < known.cost(0, now));
        assert!(unknown.cost(1, now) > known.cost(1000, now));
    }
}
