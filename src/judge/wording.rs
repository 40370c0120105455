//! Numbers as people read them: enough digits to act on, never more than are known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time, or a moment counted from the start of the run, in seconds, exact to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secs(pub f64);

impl Secs {
    /// Rounded down to the microsecond: for lower bounds.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "micros of years fit 2^53")]
    pub fn floor(d: Duration) -> Self {
        Self((d.as_nanos() / 1_000) as f64 / 1e6)
    }

    /// Rounded up to the microsecond: for upper bounds.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "micros of years fit 2^53")]
    pub fn ceil(d: Duration) -> Self {
        Self(d.as_nanos().div_ceil(1_000) as f64 / 1e6)
    }
}

impl From<Duration> for Secs {
    fn from(d: Duration) -> Self {
        Self::floor(d)
    }
}

impl std::fmt::Display for Secs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&length(self.0))
    }
}

/// A length of time with three digits, in the units of the language: `2.61s`, `340ms`, `4m03s`, `1h02m`.
///
/// ```
/// use chaos::judge::wording::length;
/// assert_eq!([length(2.6149), length(0.34), length(243.0)], ["2.61s", "340ms", "4m03s"]);
/// ```
#[must_use]
pub fn length(seconds: f64) -> String {
    rounded(seconds, f64::round)
}

/// A lower bound in words: rounded down.
#[must_use]
pub fn at_least(seconds: f64) -> String {
    rounded(seconds, |x| (x + 1e-6).floor())
}

/// An upper bound in words: rounded up.
#[must_use]
pub fn at_most(seconds: f64) -> String {
    rounded(seconds, |x| (x - 1e-6).ceil())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths are never negative and far below 2^53")]
fn rounded(seconds: f64, round: fn(f64) -> f64) -> String {
    let s = seconds.max(0.0);
    let to = |unit: f64, places: usize| {
        let scale = 10_f64.powi(i32::try_from(places).unwrap_or(0));
        trimmed(round(s / unit * scale) / scale, places)
    };
    if s < 1e-6 {
        "0s".into()
    } else if s < 0.999_5e-3 {
        format!("{}us", to(1e-6, 0))
    } else if s < 0.009_995 {
        format!("{}ms", to(1e-3, 1))
    } else if s < 0.999_5 {
        format!("{}ms", to(1e-3, 0))
    } else if s < 9.995 {
        format!("{}s", to(1.0, 2))
    } else if s < 119.95 {
        format!("{}s", to(1.0, 1))
    } else if s < 7_199.5 {
        let whole = round(s) as u64;
        format!("{}m{:02}s", whole / 60, whole % 60)
    } else {
        let minutes = round(s / 60.0) as u64;
        format!("{}h{:02}m", minutes / 60, minutes % 60)
    }
}

/// A share from 0 to 1 as a percentage. Rounded *down*, so that `100%` means every one.
///
/// ```
/// use chaos::judge::wording::share;
/// assert_eq!([share(1.0), share(0.99996), share(0.417)], ["100%", "99.99%", "41.7%"]);
/// ```
#[must_use]
pub fn share(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let places = if (1.0..99.0).contains(&percent) { 1 } else { 2 };
    let scale = 10_f64.powi(places);
    let down = (percent * scale + 1e-7).floor() / scale;
    format!("{}%", trimmed(down, places.unsigned_abs() as usize))
}

/// A plain number with at most three decimals.
#[must_use]
pub fn number(value: f64) -> String {
    trimmed(value, 3)
}

/// A count with thin grouping: `12,345`.
///
/// ```
/// assert_eq!(chaos::judge::wording::count(1_234_567), "1,234,567");
/// ```
#[must_use]
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 sample`, `2 samples`.
#[must_use]
pub fn plural(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {one}s", count(n)) }
}

fn trimmed(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::Secs;

    #[test]
    #[allow(clippy::float_cmp, reason = "to the last bit")]
    fn numbers_are_read_back_as_they_were_written() {
        for i in 1..2_000_u32 {
            let value = Secs(f64::from(i) / 49.0);
            let read: Secs = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
            assert_eq!(value.0, read.0);
        }
    }
}
