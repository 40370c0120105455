//! Starting executors.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::watch::END_WITHIN;
use crate::lines::Lines;
use crate::recover::RecoveryReport;
use crate::wire::Begin;

/// A recovering executor gives up before.
const REPORTS_WITHIN: Duration = Duration::from_secs(660);

/// How much a recovering executor takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recover {
    /// Faults, and what they stand on: the coordinator still watches the system recover.
    AllButTheSystem,
    /// Everything.
    All,
}

/// How an executor is started: this very program, as `executor --state-dir DIR`, with the socket as standard input.
#[derive(Debug, Clone)]
pub(super) struct Program {
    path: PathBuf,
    state: PathBuf,
    run: String,
    log: PathBuf,
}

impl Program {
    pub(super) fn new(path: &Path, state: &Path, begin: &Begin) -> Self {
        let log = begin.run_folder.join("executor.log");
        Self { path: path.to_owned(), state: state.to_owned(), run: begin.run.clone(), log }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("executor").arg("--state-dir").arg(&self.state);
        command
    }

    /// Starts one, and gives our end of its socket.
    pub(super) fn start(&self) -> io::Result<(UnixStream, Child)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let log = open_log(&self.log)?;
        let child = self
            .command()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))?;
        Ok((UnixStream::from(ours), child))
    }

    /// Runs a recovering executor for this run, until it has reported: one that hangs in the kernel may never end.
    pub(super) async fn recover(&self, what: Recover) -> io::Result<RecoveryReport> {
        let mut command = self.command();
        let command = command.arg("--recover").arg(&self.run).stdin(Stdio::null()).stdout(Stdio::piped());
        if what == Recover::AllButTheSystem {
            command.arg("--leave-system");
        }
        let mut child = command.stderr(Stdio::from(open_log(&self.log)?)).spawn()?;
        let report = child.stdout.take().ok_or_else(|| io::Error::other("a recovering executor has no stdout"))?;
        match timeout(REPORTS_WITHIN, Lines::new(report).next()).await {
            Ok(Ok(Some(report))) => Ok(report),
            Ok(Ok(None)) => {
                let how = timeout(END_WITHIN, child.wait()).await.map_or("its stdout".into(), |status| match status {
                    Ok(status) => status.to_string(),
                    Err(e) => e.to_string(),
                });
                Err(io::Error::other(format!("a recovering executor ended with {how} and no report")))
            }
            Ok(Err(e)) => Err(io::Error::other(format!("a recovering executor's report cannot be read: {e}"))),
            Err(_) => Err(io::Error::other(format!("a recovering executor has not reported for {} s", REPORTS_WITHIN.as_secs()))),
        }
    }
}

fn open_log(path: &Path) -> io::Result<OwnedFd> {
    let open = File::options().create(true).append(true).mode(0o600).open(path);
    open.map(OwnedFd::from).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}
