//! The words of an expression.

use super::ExpressionError;
use super::value::{Computed, Unit, quantity_of_duration, quantity_of_size};
use crate::literal::{LiteralError, Percent};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Quantity(Unit, f64),
    Text(String),
    Name(String),
    /// An operator, a bracket, a comma, a dot.
    Sign(&'static str),
    End,
}

impl Token {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Quantity(..) => "a number".into(),
            Self::Text(_) => "a text".into(),
            Self::Name(name) => format!("`{name}`"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".into(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The longer signs stand first.
const SIGNS: [&str; 22] =
    ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "(", ")", "[", "]", ",", ".", "?", ":", "="];

/// Takes a text apart into words, the last of which is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ExpressionError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = token(text, at, first)?;
        found.push(Placed { token, start: at, end: at + length });
        at += length;
    }
    found.push(Placed { token: Token::End, start: text.len(), end: text.len() });
    Ok(found)
}

fn token(text: &str, at: usize, first: char) -> Result<(Token, usize), ExpressionError> {
    let rest = &text[at..];
    if first.is_ascii_digit() {
        return number(rest, at);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = length_of(rest, |c| c.is_ascii_alphanumeric() || c == '_');
        return Ok((Token::Name(rest[..length].into()), length));
    }
    if first == '"' || first == '\'' {
        return quoted(rest, at, first);
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(&"=") => Err(ExpressionError::new((at, at + 1), "`=` is not a comparison", hint("write `==`"))),
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => Err(strange(at, first)),
    }
}

fn hint(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn strange(at: usize, first: char) -> ExpressionError {
    let hint = match first {
        '%' => hint("`%` is a percentage (`34%`), never a remainder"),
        '&' => hint("write `&&`"),
        '|' => hint("write `||`"),
        _ => None,
    };
    let shown = first.escape_debug();
    ExpressionError::new((at, at + first.len_utf8()), format!("`{shown}` has no meaning in an expression"), hint)
}

fn length_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// `12`, `1.5`, `1e6`, `300ms`, `1h30m`, `5MB`, `34%`.
fn number(rest: &str, at: usize) -> Result<(Token, usize), ExpressionError> {
    let mut length = length_of(rest, |c| c.is_ascii_digit());
    if rest[length..].starts_with('.') && rest[length + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        length += 1 + length_of(&rest[length + 1..], |c| c.is_ascii_digit());
    }
    length += exponent(&rest[length..]);
    let suffix = length_of(&rest[length..], |c| c.is_ascii_alphanumeric() || c == '_');
    if suffix == 0 && rest[length..].starts_with('%') {
        let end = length + 1;
        return literal(&rest[..end], at, |percent: Percent| Computed::Quantity(Unit::Percent, f64::from(percent.parts_per_billion())));
    }
    if suffix == 0 {
        let number = rest[..length].parse::<f64>().unwrap_or(f64::INFINITY);
        if number.is_finite() {
            return Ok((Token::Quantity(Unit::Number, number), length));
        }
        return Err(ExpressionError::new((at, at + length), "this number is too large", None));
    }
    let mut end = length + suffix;
    while rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        end += 1 + length_of(&rest[end + 1..], |c| c.is_ascii_alphanumeric());
    }
    if rest[..end].ends_with('B') { literal(&rest[..end], at, quantity_of_size) } else { literal(&rest[..end], at, quantity_of_duration) }
}

/// The length of `e6`, `E-3`; 0 where letters follow (`1e` is a number with an unknown unit).
fn exponent(rest: &str) -> usize {
    let Some(digits) = rest.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let sign = usize::from(digits.starts_with(['+', '-']));
    let count = length_of(&digits[sign..], |c| c.is_ascii_digit());
    let letters = digits[sign + count..].starts_with(|c: char| c.is_ascii_alphabetic());
    if count == 0 || letters { 0 } else { 1 + sign + count }
}

fn literal<T: std::str::FromStr<Err = LiteralError>>(
    text: &str,
    at: usize,
    quantity: impl Fn(T) -> Computed<'static>,
) -> Result<(Token, usize), ExpressionError> {
    match text.parse().map(quantity) {
        Ok(Computed::Quantity(unit, amount)) => Ok((Token::Quantity(unit, amount), text.len())),
        Ok(_) => Err(ExpressionError::new((at, at + text.len()), "this is no quantity", None)),
        Err(_) => {
            let known = "units are us, ms, s, m, h, d, B, kB, MB, GB, KiB, MiB, GiB and %";
            Err(ExpressionError::new((at, at + text.len()), format!("`{text}` is not a number with a unit"), hint(known)))
        }
    }
}

fn quoted(rest: &str, at: usize, quote: char) -> Result<(Token, usize), ExpressionError> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok((Token::Text(text), index + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, escaped @ ('\\' | '"' | '\''))) => text.push(escaped),
                _ => {
                    let known = "known are \\n, \\t, \\r, \\\\, \\\" and \\'";
                    return Err(ExpressionError::new((at + index, at + index + 1), "unknown escape in a text", hint(known)));
                }
            },
            _ => text.push(c),
        }
    }
    Err(ExpressionError::new((at, at + 1), "this text has no end", Some(format!("close it with `{quote}`"))))
}
