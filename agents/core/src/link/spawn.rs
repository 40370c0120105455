//! Starting executors.

use std::ffi::OsString;
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

/// How an executor is started: this very program, as `executor [--state-dir DIR]`, with the socket as standard input.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// What it gets before `--recover RUN`, or alone.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// This very program, with the state directory that it was given.
    ///
    /// # Errors
    /// If the system does not say which file this program is.
    pub fn this(state_dir: Option<&Path>) -> io::Result<Self> {
        // Not `current_exe`: the file may have been replaced by an upgrade, and both sides must be of one version.
        let path = PathBuf::from("/proc/self/exe");
        path.metadata()?;
        let mut arguments = vec!["executor".into()];
        if let Some(dir) = state_dir {
            arguments.extend(["--state-dir".into(), dir.into()]);
        }
        Ok(Self { path, arguments })
    }

    /// Starts one, and gives our end of its socket.
    pub(super) fn start(&self, log: &Path) -> io::Result<(UnixStream, Child)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let log = open_log(log)?;
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()?;
        Ok((UnixStream::from(ours), child))
    }

    /// Runs a recovering executor for one run, to its end.
    pub(super) async fn recover(&self, run: &str, log: &Path) -> io::Result<RecoveryReport> {
        let output = Command::new(&self.path)
            .args(&self.arguments)
            .arg("--recover")
            .arg(run)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(open_log(log)?))
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
