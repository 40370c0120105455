//! The promises of `chaos`, held by the real program: whatever it is given and whatever happens to it. Nothing is left
//! behind even by SIGKILL, by a look that asks no fault.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

#[path = "../../agents/core/tests/harness/mod.rs"]
mod harness;

mod bad_input;
mod containers;
mod crash;
mod orders;
mod reports;
mod run;
mod scaffold;
mod scenes;
mod stop;
mod truth;

use std::path::Path;

/// The program under test.
fn chaos() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_chaos"))
}
