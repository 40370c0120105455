//! Exact decimal numbers before a unit.

/// A decimal number as written: `12.5` is digits 125 with 1 of them after the point.
#[derive(Clone, Copy)]
pub(super) struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    /// Reads `12` or `12.5`; at most 24 digits. No sign, no exponent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (text, ""),
        };
        let only_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() + fraction.len() > 24 || !only_digits(whole) || !only_digits(fraction) {
            return None;
        }
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits, places: u32::try_from(fraction.len()).ok()? })
    }

    /// The number times `unit`, when that is a whole number that fits.
    pub(super) fn times(self, unit: u128) -> Option<u128> {
        let product = self.digits.checked_mul(unit)?;
        let divisor = 10u128.checked_pow(self.places)?;
        product.is_multiple_of(divisor).then(|| product / divisor)
    }
}

/// Splits `12.5 kB` into the number and what follows it, without spaces between.
pub(super) fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches(' '))
}

/// Is this a plain number, with or without sign?
pub(super) fn is_number(text: &str) -> bool {
    Decimal::parse(text.strip_prefix('-').unwrap_or(text)).is_some()
}

/// Writes `value / 10^places` without superfluous zeros.
pub(super) fn write(f: &mut std::fmt::Formatter<'_>, value: u128, places: u32) -> std::fmt::Result {
    let scale = 10u128.pow(places);
    let (whole, fraction) = (value / scale, value % scale);
    if fraction == 0 {
        return write!(f, "{whole}");
    }
    let digits = format!("{fraction:0width$}", width = places as usize);
    write!(f, "{whole}.{}", digits.trim_end_matches('0'))
}
