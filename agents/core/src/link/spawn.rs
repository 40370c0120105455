//! Starting executors.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::process::{Child, Command};

use crate::recover::RecoveryReport;
use crate::wire::Begin;

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

    /// Runs a recovering executor for this run, to its end.
    pub(super) async fn recover(&self) -> io::Result<RecoveryReport> {
        let output = self
            .command()
            .arg("--recover")
            .arg(&self.run)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(open_log(&self.log)?))
            .output()
            .await?;
        serde_json::from_slice(&output.stdout)
            .map_err(|e| io::Error::other(format!("a recovering executor ended with {} and no report: {e}", output.status)))
    }
}

fn open_log(path: &Path) -> io::Result<OwnedFd> {
    let open = File::options().create(true).append(true).mode(0o600).open(path);
    open.map(OwnedFd::from).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}
