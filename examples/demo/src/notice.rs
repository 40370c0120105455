//! What the parts say to the person at the terminal: one line each, on standard error.
//!
//! A line that cannot be written (a closed terminal, a full disk under a log) is dropped: a serving
//! system does not stop because nobody listens to its log.

use std::io::{self, Write};

use crate::failure::Failure;

/// Says one line on behalf of a part.
pub(crate) fn say(part: &str, text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{part}: {text}");
}

/// Says why this process ends, and what to do.
pub(crate) fn failure(failure: &Failure) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "error: {failure}");
    if let Some(hint) = failure.hint() {
        let _ = writeln!(stderr, "\nhint: {hint}");
    }
}
