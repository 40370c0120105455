//! The processes of `system:`: children of the executor, watched, and started again where the file says so.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use tokio::io::unix::AsyncFd;

use super::reap::Watched;
use crate::clock::Boot;
use crate::literal::Duration;
use crate::readable::readable;

/// What makes an injection a process of the system.
pub(super) struct System {
    /// Its name in the file.
    pub(super) name: String,
    /// Started again so long after it died.
    pub(super) restart_after: Option<Duration>,
    /// The one that runs.
    pub(super) child: Option<Child>,
    /// When to start it again.
    pub(super) restart_at: Boot,
}

impl System {
    pub(super) fn new(name: String, restart_after: Option<Duration>) -> Self {
        Self { name, restart_after, child: None, restart_at: Boot(u64::MAX) }
    }

    /// Waits for the end of the one that runs; for ever if none does.
    pub(super) async fn ended(&mut self) -> String {
        match &self.child {
            Some(child) => child.ended().await,
            None => std::future::pending().await,
        }
    }

    /// It ended: no longer ours to wait for.
    pub(super) fn forget_child(&mut self) {
        self.child = None;
        self.restart_at = self.restart_after.map_or(Boot(u64::MAX), |after| Boot::now().plus(after.get()));
    }
}

/// A child whose end is waited for here, and nowhere else.
pub(super) struct Child {
    pub(super) pid: i32,
    pidfd: AsyncFd<OwnedFd>,
    watched: Watched,
}

impl Child {
    /// Takes over waiting for a child. It may have ended already.
    pub(super) fn watch(pid: i32, watched: &Watched) -> io::Result<Self> {
        watched.add(pid);
        let open = || {
            let id = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
            let fd = pidfd_open(id, PidfdFlags::NONBLOCK)?;
            readable(fd)
        };
        match open() {
            Ok(pidfd) => Ok(Self { pid, pidfd, watched: watched.clone() }),
            Err(e) => {
                watched.remove(pid);
                Err(e)
            }
        }
    }

    async fn ended(&self) -> String {
        loop {
            let Ok(mut ready) = self.pidfd.readable().await else { return "ended".into() };
            let waited = waitid(WaitId::PidFd(self.pidfd.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            match waited {
                Ok(Some(status)) => {
                    return match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => format!("exit {code}"),
                        (_, Some(signal)) => format!("signal {signal}"),
                        _ => "ended".into(),
                    };
                }
                Ok(None) => ready.clear_ready(),
                // Not our child, or reaped by somebody: how it ended cannot be known.
                Err(_) => return "ended".into(),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.watched.remove(self.pid);
    }
}

/// Gives a process that we started the score that it would have had without us.
pub(super) fn reset_oom_score(pid: i32, score: Option<&str>) {
    if let Some(score) = score {
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), score);
    }
}
