//! The supervisor's children: started, watched, started again where asked for, ended, reaped.
//!
//! Each child is a process group of its own (a Ctrl-C at the terminal reaches the supervisor only)
//! and holds the reading end of a lifeline, see [`crate::lifeline`].

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::ready::{self, Question};
use crate::{failure::Failure, notice};

/// How long a part may take to come up; a busy machine takes its time.
const UP_WITHIN: Duration = Duration::from_secs(15);

/// How long a child that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// A part to be started as a process.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// For messages.
    pub(super) name: String,
    /// Where it will listen.
    pub(super) address: SocketAddr,
    /// The words after `demo` on its command line.
    pub(super) words: Vec<OsString>,
    /// How to find out that it is up.
    pub(super) question: Question,
}

/// A running part. The lifeline is cut when this is dropped.
struct Running {
    part: Part,
    child: Child,
    _lifeline: Option<ChildStdin>,
}

/// All children of this supervisor.
pub(super) struct Children {
    program: PathBuf,
    restart_after: Option<Duration>,
    end: watch::Sender<bool>,
    watchers: JoinSet<()>,
}

impl Children {
    /// No children yet.
    pub(super) fn new(restart_after: Option<Duration>) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::Program)?;
        Ok(Self { program, restart_after, end: watch::Sender::new(false), watchers: JoinSet::new() })
    }

    /// Starts parts all at once and waits until every one is up. What came up before another failed
    /// goes down with the lifelines.
    pub(super) async fn start(&mut self, parts: Vec<Part>) -> Result<(), Failure> {
        let mut started = Vec::new();
        for part in parts {
            started.push(spawn(&self.program, part)?);
        }
        for running in &mut started {
            running.up().await?;
        }
        for running in started {
            let (program, after) = (self.program.clone(), self.restart_after);
            self.watchers.spawn(watch(program, running, after, self.end.subscribe()));
        }
        Ok(())
    }

    /// Ends all children and returns when the last is reaped.
    pub(super) async fn end(mut self) {
        self.end.send_replace(true);
        while self.watchers.join_next().await.is_some() {}
    }
}

impl Running {
    async fn up(&mut self) -> Result<(), Failure> {
        let (name, address) = (self.part.name.clone(), self.part.address);
        tokio::select! {
            // A child that ended is looked at first: somebody else may answer on its port.
            biased;
            Ok(status) = self.child.wait() => Err(Failure::EndedEarly { part: name, status }),
            up = timeout(UP_WITHIN, ready::answers(self.part.question, address)) => {
                up.map_err(|_| Failure::NotReady { part: name, address, within: UP_WITHIN })
            }
        }
    }

    /// Asks the child to end, then makes it.
    async fn end(mut self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // The child is not reaped yet, so the pid is still its own. It may be a zombie.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(GRACE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Stays with one part until the supervisor ends or, without restarts, the part does.
async fn watch(program: PathBuf, mut running: Running, restart_after: Option<Duration>, mut end: watch::Receiver<bool>) {
    loop {
        let status = tokio::select! {
            status = running.child.wait() => status,
            () = over(&mut end) => return running.end().await,
        };
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        notice::say("serving", format_args!("the {} ended ({status})", running.part.name));
        let Some(pause) = restart_after else { return };
        if timeout(pause, over(&mut end)).await.is_ok() {
            return;
        }
        match spawn(&program, running.part) {
            Ok(again) => running = again,
            Err(failure) => return notice::failure(&failure),
        }
    }
}

/// Resolves when the supervisor ends.
async fn over(end: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the supervisor's interest.
    let _ = end.wait_for(|end| *end).await;
}

/// Must run on the main thread: the child dies with the thread that started it.
fn spawn(program: &PathBuf, part: Part) -> Result<Running, Failure> {
    let spawned = Command::new(program)
        .arg("demo")
        .args(&part.words)
        .arg("--lifeline")
        .stdin(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    match spawned {
        Ok(mut child) => {
            // Taken out, because waiting for a child closes what is left in there.
            let lifeline = child.stdin.take();
            Ok(Running { part, child, _lifeline: lifeline })
        }
        Err(source) => Err(Failure::Spawn { part: part.name, source }),
    }
}
