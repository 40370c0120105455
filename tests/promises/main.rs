//! Nothing is left behind: the promise, held against SIGKILL, by a look that asks no fault.

#[path = "../../agents/core/tests/harness/mod.rs"]
mod harness;

mod crash;
mod scenes;

use std::path::Path;

/// The program under test.
fn chaos() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_chaos"))
}
