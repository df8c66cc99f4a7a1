//! How long a call may take (motan-wire 10.4).

use std::time::Duration;

/// Who says how long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nobody.
    Nothing,
    /// The program that calls, or an agent that hands its wish on: honoured between half and twice the base.
    ByCaller(Duration),
    /// A client agent of ours, which says how much time is left: more than that is of no use to anyone. Honoured up
    /// to twice the base.
    ByAgent(Duration),
}

/// How long a call may take from now, where the policy says `base`.
#[must_use]
pub fn timeout(base: Duration, asked: Asked) -> Duration {
    match asked {
        Asked::ByCaller(asked) if asked >= base / 2 && asked <= base * 2 => asked,
        Asked::Nothing | Asked::ByCaller(_) => base,
        Asked::ByAgent(left) => left.min(base * 2),
    }
}

/// Reads `M_tmo`: milliseconds, decimal. `None` where it is no such number, or 0.
#[must_use]
pub fn read_millis(value: &[u8]) -> Option<Duration> {
    let millis: u32 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (millis > 0).then(|| Duration::from_millis(u64::from(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_wish_is_honoured_between_half_and_twice_the_base() {
        let rows = [
            (Asked::Nothing, 1000),
            (Asked::ByCaller(ms(499)), 1000),
            (Asked::ByCaller(ms(500)), 500),
            (Asked::ByCaller(ms(2000)), 2000),
            (Asked::ByCaller(ms(2001)), 1000),
            (Asked::ByAgent(ms(1)), 1),
            (Asked::ByAgent(ms(2001)), 2000),
        ];
        for (asked, expected) in rows {
            assert_eq!(timeout(ms(1000), asked), ms(expected), "{asked:?}");
        }
    }

    #[test]
    fn only_a_positive_decimal_number_is_a_timeout() {
        assert_eq!(read_millis(b"300"), Some(ms(300)));
        for value in ["", "0", "-5", "1.5", "x", "99999999999"] {
            assert_eq!(read_millis(value.as_bytes()), None, "{value}");
        }
    }
}
