//! The first process of a container: its death ends everything in there, so it must be the executor, not the coordinator.
//!
//! ```text
//! elsewhere      chaos run ──starts──▶ chaos executor
//! in a container chaos run (pid 1, executor) ──starts──▶ chaos run (coordinator)
//! ```

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

use super::process::{Surroundings, close_inherited_on_exec, surroundings};
use super::session::Signals;
use crate::boot_timer;
use crate::clock::Boot;

/// Where a coordinator finds the socket to the executor that started it.
const SOCKET: &str = "CHAOS_EXECUTOR_SOCKET";

/// How often it is looked whether the coordinator has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A coordinator that was asked to end, after its run, does so within this.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A coordinator that its executor started.
#[derive(Debug)]
pub struct Coordinator {
    child: Child,
}

/// Is this process the first of a container, which has not started its coordinator yet?
#[must_use]
pub fn is_first_process() -> bool {
    getpid() == Pid::INIT
}

/// Starts this very command line once more as coordinator, and stays behind as its executor.
///
/// # Errors
/// If no process can be started.
pub fn start_coordinator() -> io::Result<(OwnedFd, Surroundings, Coordinator)> {
    close_inherited_on_exec();
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Nothing else is started before the coordinator has it: this process has one thread.
    rustix::io::fcntl_setfd(&theirs, FdFlags::empty())?;
    let child = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).env(SOCKET, theirs.as_raw_fd().to_string()).spawn()?;
    Ok((ours, surroundings(true), Coordinator { child }))
}

impl Coordinator {
    /// Its pid, to which signals are passed on.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Waits for its end, passing signals on; its exit code, or 128 and the signal that ended it. One that does not end
    /// although it was asked to is left: nothing of a run is in force any more.
    pub fn exit_code(mut self) -> u8 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_or(70, |runtime| runtime.block_on(self.ended()))
    }

    async fn ended(&mut self) -> u8 {
        let Ok(mut signals) = Signals::new() else { return 70 };
        let mut give_up = Boot(u64::MAX);
        loop {
            match self.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return exit_code(status),
                Err(_) => return 70,
            }
            tokio::select! {
                (signal, _) = signals.next() => {
                    pass_on(self.pid(), signal);
                    give_up = give_up.min(Boot::now().plus(ENDS_WITHIN));
                }
                () = boot_timer::until(give_up) => return 70,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(70)
}

/// Passes a signal on; false if there is nobody to pass it to.
pub(super) fn pass_on(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// The socket to the executor that started this process, if one did. Given once.
#[allow(unsafe_code)]
pub(crate) fn socket_of_parent() -> Option<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number: i32 = std::env::var(SOCKET).ok()?.parse().ok()?;
    // Whoever else was given this variable by accident is not a child of the first process.
    if number <= 2 || getppid() != Some(Pid::INIT) || TAKEN.swap(true, Ordering::SeqCst) {
        return None;
    }
    // SAFETY: our parent opened this descriptor for us and said so; `TAKEN` gives it to one owner only, and nothing in this
    // process has opened or closed a descriptor of that number before: it was there from the start.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC).ok()?;
    Some(socket)
}
