//! When faults acted, as one hypothesis sees it (LANGUAGE section 5).

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::sample::Series;

use super::injection::{Injection, Span};

/// Windows that overlap or touch, as one: a fault episode, labelled with all its faults (RULES 33).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// From the first effect to the last asking of a revert.
    pub span: Span,
    /// Indexes of the injections that acted in it.
    pub injections: Vec<usize>,
}

/// When the effect of an injection counts as begun for this hypothesis: when inspection first saw it, or with the first sample that was
/// bad since it could begin (an engine that was asked to kill a container takes seconds to say that it did). A latent one is begun by its
/// activation, or by the first bad sample if that is earlier. None: never.
#[must_use]
pub fn begin(injection: &Injection, users: &Series, timeout: Duration) -> Option<Mono> {
    let effective = injection.effective?;
    let first_bad = |from, until| users.due_in(from, until).iter().find(|s| s.is_bad() && !s.is_void(timeout)).map(|s| s.due);
    if !injection.latent {
        let staged = injection.staged.unwrap_or(effective);
        return Some(first_bad(staged, effective).unwrap_or(effective));
    }
    let until = injection.reverted.unwrap_or(injection.until);
    let first_bad = first_bad(effective, until);
    let activated = injection.activated.as_ref().map(|(at, _)| *at);
    [first_bad, activated.map(|at| at.max(effective))].into_iter().flatten().min()
}

/// The fault windows of a hypothesis: the union of all times in force.
#[must_use]
pub fn windows(injections: &[Injection], users: &Series, timeout: Duration) -> Vec<Window> {
    let mut parts: Vec<(Span, usize)> = Vec::new();
    for (i, injection) in injections.iter().enumerate() {
        let Some(begun) = begin(injection, users, timeout) else {
            continue;
        };
        let in_force = injection.in_force.iter().filter(|s| s.to >= begun);
        parts.extend(in_force.map(|s| {
            let from = if Some(s.from) == injection.effective { begun } else { s.from.max(begun) };
            (Span { from, to: s.to }, i)
        }));
    }
    parts.sort_by_key(|(span, _)| span.from);
    let mut windows: Vec<Window> = Vec::new();
    for (span, injection) in parts {
        match windows.last_mut() {
            Some(last) if span.from <= last.span.to => {
                last.span.to = last.span.to.max(span.to);
                if !last.injections.contains(&injection) {
                    last.injections.push(injection);
                }
            }
            _ => windows.push(Window { span, injections: vec![injection] }),
        }
    }
    windows
}
