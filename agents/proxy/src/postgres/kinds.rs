//! Which statements are meant.

use chaos_core::SpecError;
use chaos_protocol::postgres::STATEMENT_KINDS;

/// Statements that set a session up or look after it; meant only where they are named.
const OWN: &[&str] = &["deallocate", "discard", "listen", "reset", "set", "show"];

/// Is one of these kinds meant?
pub(super) fn selects(statements: &[String], kinds: &[&'static str]) -> bool {
    kinds.iter().any(
        |kind| {
            if statements.is_empty() { !OWN.contains(kind) } else { statements.iter().any(|s| s.eq_ignore_ascii_case(kind)) }
        },
    )
}

/// Errors in the names of kinds.
pub(super) fn check(statements: &[String]) -> Vec<SpecError> {
    let is_known = |s: &String| s.eq_ignore_ascii_case("other") || STATEMENT_KINDS.iter().any(|k| s.eq_ignore_ascii_case(k));
    let wrong = statements.iter().enumerate().filter(|(_, s)| !is_known(s));
    wrong
        .map(|(i, s)| {
            SpecError::new(format!("statements[{i}]"), format!("`{s}` is no kind of statement"))
                .hint(format!("one of {}, other", STATEMENT_KINDS.join(", ")))
        })
        .collect()
}

/// Are some kinds meant by both?
pub(super) fn meet(one: &[String], other: &[String]) -> bool {
    let is_usual = |kind: &String| !OWN.iter().any(|own| own.eq_ignore_ascii_case(kind));
    match (one, other) {
        ([], []) => true,
        ([], named) | (named, []) => named.iter().any(is_usual),
        (one, other) => one.iter().any(|kind| other.iter().any(|other| other.eq_ignore_ascii_case(kind))),
    }
}

/// What a toxic on these statements takes for itself.
pub(super) fn claims(kind: &str, statements: &[String]) -> Vec<String> {
    if statements.is_empty() {
        return vec![kind.to_owned()];
    }
    statements.iter().map(|s| format!("{kind}/{}", s.to_lowercase())).collect()
}

/// For the plan.
pub(super) const ENCRYPTED: &str =
    "connections that are encrypted pass untouched: the client must connect with `sslmode=disable`, or the server without TLS";
