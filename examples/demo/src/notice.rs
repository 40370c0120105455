//! What the parts say to the person at the terminal: one line each, on standard error.
//!
//! A line that cannot be written (a closed terminal, a full disk under a log) is dropped: a serving
//! system does not stop because nobody listens to its log.

use std::io::{self, Write};

use crate::failure::Failure;

/// Says one line on behalf of a part.
pub(crate) fn say(part: &str, text: impl std::fmt::Display) {
    write(&format!("{part}: {text}\n"));
}

/// Says why this process ends, and what to do.
pub(crate) fn failure(failure: &Failure) {
    let hint = failure.hint().map(|hint| format!("\nhint: {hint}\n")).unwrap_or_default();
    write(&format!("error: {failure}\n{hint}"));
}

/// In one piece, because several processes write to the same terminal.
fn write(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
