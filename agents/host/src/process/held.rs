//! A process held by its pidfd: what is signalled is what was meant, however often pids are reused.

#![allow(clippy::disallowed_methods, reason = "this is where the world signals")]

use std::os::fd::OwnedFd;

use chaos_core::target::ProcessId;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::snapshot::look_at;

/// A process that was proved, after its pidfd was opened, to be the one meant.
#[derive(Debug)]
pub(crate) struct Held {
    id: ProcessId,
    fd: OwnedFd,
}

impl Held {
    /// Opens the pidfd, *then* compares the start time: a pid reused in between is found out. `None`: it no longer lives.
    ///
    /// # Errors
    /// If the kernel has no pidfd or no descriptor is left.
    pub(crate) fn open(id: ProcessId) -> Result<Option<Self>, Errno> {
        let Some(pid) = Pid::from_raw(id.pid.max(0)) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(look_at(id).map(|_| Self { id, fd })),
            Err(Errno::SRCH) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Who is held.
    #[must_use]
    pub(crate) fn id(&self) -> ProcessId {
        self.id
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If the kernel cannot wait for it.
    pub(crate) fn wait(&self) -> Result<(), Errno> {
        loop {
            match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], None) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Sends a signal. `false`: it has ended meanwhile.
    ///
    /// # Errors
    /// If it may not be signalled.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool, Errno> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}
