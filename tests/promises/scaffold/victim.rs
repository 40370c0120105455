//! Something to harm: a process of its own, killed by its pid at the end.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Answer, Server, Stage};

/// A process that sleeps, and a file with its pid.
pub(crate) struct Victim {
    child: Child,
    pid_file: PathBuf,
}

impl Victim {
    pub(crate) fn new(stage: &Stage) -> Self {
        Self::named(stage, "victim")
    }

    pub(crate) fn named(stage: &Stage, name: &str) -> Self {
        Self::of(stage, name, Command::new("sleep").arg("600"))
    }

    pub(crate) fn of(stage: &Stage, name: &str, command: &mut Command) -> Self {
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a victim");
        let pid_file = stage.write(&format!("{name}.pid"), format!("{}\n", child.id()));
        Self { child, pid_file }
    }

    pub(crate) fn pid(&self) -> i32 {
        Pid::from_child(&self.child).as_raw_nonzero().get()
    }

    pub(crate) fn pid_file(&self) -> &Path {
        &self.pid_file
    }

    pub(crate) fn is_stopped(&self) -> bool {
        state(self.pid()) == 'T'
    }

    /// It lives and runs, as nobody had ever touched it.
    #[track_caller]
    pub(crate) fn assert_well(&self) {
        assert!(matches!(state(self.pid()), 'S' | 'R' | 'D'), "the victim is in state {}", state(self.pid()));
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A system that answers badly while this process does not run.
    pub(crate) fn server(&self) -> Server {
        let pid = self.pid();
        Server::new(move || if matches!(state(pid), 'S' | 'R' | 'D') { Answer::Well } else { Answer::Bad })
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The state letter of a process; `X` if there is none.
pub(crate) fn state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('X')
}
