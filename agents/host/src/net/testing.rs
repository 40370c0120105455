//! A network namespace of a test's own, as this crate knows namespaces.

use std::process::Command;

use chaos_core::target::ProcessId;
use chaos_testbed::not_covered;

use super::namespace::Namespace;

/// A network namespace, with its loopback up.
pub(super) struct Elsewhere {
    network: chaos_testbed::Namespace,
    namespace: Namespace,
}

/// One, or a line that says that this test is not covered here.
pub(super) fn elsewhere(test: &str) -> Option<Elsewhere> {
    let quick = std::env::var_os("CHAOS_TESTS_QUICK").is_some();
    let network = (!quick).then(|| chaos_testbed::Namespace::new().ok()).flatten();
    if network.is_none() {
        not_covered(test, "a network namespace of its own needs root");
    }
    let network = network?;
    let pid = network.pid();
    let start_ticks = procfs::process::Process::new(pid).and_then(|p| p.stat()).expect("it lives").starttime;
    let namespace = Namespace::of(ProcessId { pid, start_ticks }).expect("its namespace");
    Some(Elsewhere { network, namespace })
}

impl Elsewhere {
    /// A command that will run in it.
    pub(super) fn command(&self, program: &str) -> Command {
        self.network.command(program)
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(work).expect("entered")
    }
}
