//! Kubernetes quantities: kept as written, compared by value.

use std::{cmp::Ordering, fmt, str::FromStr};

/// An amount of CPU or memory as Kubernetes writes it: `10m`, `0.5`, `16Mi`, `1e3`. Never negative.
#[derive(Debug, Clone)]
pub struct Quantity {
    text: Box<str>,
    nanos: u128,
}

/// Text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Kubernetes quantity such as 10m, 0.5, 16Mi or 1G")]
pub struct InvalidQuantity(String);

const NANOS: u128 = 1_000_000_000;
const MAX_DIGITS: usize = 18; // as many as Kubernetes keeps exactly
const MAX_EXPONENT: i32 = 18; // 1E, the largest suffix

impl Quantity {
    /// Whether it is at least this many whole units.
    #[must_use]
    pub const fn is_at_least(&self, units: u64) -> bool {
        self.nanos >= units as u128 * NANOS
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let nanos = nanos(text).ok_or_else(|| InvalidQuantity(text.to_owned()))?;
        Ok(Self {
            text: text.into(),
            nanos,
        })
    }
}

/// `<digits>[.<digits>]<suffix>`, in billionths, rounded up as Kubernetes does.
fn nanos(text: &str) -> Option<u128> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = [whole, fraction].concat();
    let countable =
        !digits.is_empty() && digits.len() <= MAX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    let mantissa = digits.parse::<u128>().ok().filter(|_| countable)?;
    let (binary, exponent) = scale(suffix)?;
    let exponent = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let scaled = mantissa.checked_mul(1 << (10 * binary))?;
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 {
        scaled.checked_mul(power)
    } else {
        Some(scaled.div_ceil(power))
    }
}

/// The powers of 1024 and of 10 that a suffix stands for.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [(&str, i32); 10] = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    if let Some((_, exponent)) = DECIMAL.iter().find(|(word, _)| *word == suffix) {
        return Some((0, *exponent));
    }
    if let Some(power) = (1..).zip(BINARY).find(|(_, word)| *word == suffix) {
        return Some((power.0, 0));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
    (exponent.abs() <= MAX_EXPONENT).then_some((0, exponent))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_has_its_value() {
        for (text, nanos) in [
            ("0", 0),
            ("1", NANOS),
            ("+1", NANOS),
            ("0.5", NANOS / 2),
            (".5", NANOS / 2),
            ("5.", 5 * NANOS),
            ("10m", NANOS / 100),
            ("3n", 3),
            ("1.5n", 2),
            ("2u", 2_000),
            ("1k", 1_000 * NANOS),
            ("1e3", 1_000 * NANOS),
            ("1E3", 1_000 * NANOS),
            ("25e-1", NANOS * 5 / 2),
            ("1E", 10_u128.pow(18) * NANOS),
            ("16Mi", 16 * 1024 * 1024 * NANOS),
            ("1.5Gi", 3 * 512 * 1024 * 1024 * NANOS),
            ("8Ei", (8_u128 << 60) * NANOS),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().nanos, nanos, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            ".",
            "-1",
            "1 Mi",
            "1MiB",
            "mi",
            "1mi",
            "1K",
            "1..5",
            "1e",
            "1e99",
            "ten",
            "1m5",
            "9999999999999999999",
            "0x10",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_compare_by_value() {
        let quantity = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(quantity("1000m"), quantity("1"));
        assert!(quantity("100M") < quantity("100Mi"));
        assert!(quantity("1500m") > quantity("1"));
        assert!(quantity("1Mi").is_at_least(1 << 20) && !quantity("128m").is_at_least(1));
    }
}
