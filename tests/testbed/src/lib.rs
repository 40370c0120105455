//! What tests stand on where this machine's own kernel and services do not do: virtual machines, network namespaces, a
//! container engine, twins.
//!
//! # A virtual machine for tests
//! [`Machine::boot`] starts Debian's cloud kernel under QEMU with an initial file system that is put together on the spot: no
//! image lies in the repository. The kernel's package is fetched by apt and kept, by version, in
//! `$XDG_CACHE_HOME/chaos-testbed` (`~/.cache` without it). It needs no root. What the machine is to run is *carried* there:
//! a program and its shared libraries, at the very paths that they have here, so that a test binary can take itself along
//! ([`Payload::with_this_test`]) and paths compiled into it hold.
//!
//! A machine is spoken to over one virtual serial port that is the QEMU process's own standard input and output. When that
//! closes, because the test ended or was killed, the guest switches itself off: nothing is left behind.
//!
//! # Hosts without machines
//! A [`Namespace`] is a network of its own on this kernel, a [`Pair`] is two on one wire. A [`Twin`] is what such a network
//! looks like: taken before and compared after, it shows whether everything is as it was.
//!
//! # Containers
//! An [`Engine`] is a container engine of a test's own, with images that the test makes, in a network of its own. A
//! [`Late`] is a socket before it through which a request comes late; an [`EngineTwin`] is what it says of all it has.
//!
//! # What may be missing
//! [`Absent`] says what; the caller reports it by [`not_covered`], and `tests/run` decides whether that may be.

mod archive;
mod engine;
mod image;
mod kernel;
mod machine;
mod namespace;
mod network;
mod payload;
mod raw;
mod shell;
mod twin;

pub use engine::{Engine, EngineTwin, Late};
pub use machine::Machine;
pub use namespace::{Namespace, Pair};
pub use network::Network;
pub use payload::Payload;
pub use shell::Output;
pub use twin::Twin;

/// Something that the test bed needs is not here; says what, and how to get it.
#[derive(Debug, Clone)]
pub struct Absent(pub String);

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Absent {}

/// A test that cannot run here says so; nothing is skipped in silence.
/// `tests/run` counts the lines of the file that `CHAOS_NOT_COVERED` names.
#[allow(clippy::print_stderr, reason = "whoever runs one test alone is told too")]
pub fn not_covered(test: &str, why: &str) {
    eprintln!("not covered here: {test}: {why}");
    if let Some(path) = std::env::var_os("CHAOS_NOT_COVERED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{test}: {why}\n").as_bytes()));
    }
}

/// All tests of this test program once more, in a virtual machine; called by a test of its own, which does nothing in there.
///
/// # Panics
/// When one of them fails there.
#[allow(clippy::print_stdout, reason = "what they said there is what this test says")]
pub fn also_in_a_machine(test: &str, payload: &Payload) {
    if is_guest() {
        return;
    }
    match Machine::boot(payload) {
        Ok(machine) => println!("{}", machine.run_this_test(&["--nocapture"], std::time::Duration::from_secs(500))),
        Err(absent) => not_covered(test, &absent.0),
    }
}

/// Is this process inside a virtual machine of this test bed?
#[must_use]
pub fn is_guest() -> bool {
    std::env::var_os(GUEST).is_some()
}

/// Set in the environment of everything that runs in a machine of ours.
const GUEST: &str = "CHAOS_TESTBED_GUEST";
