//! A `run:` step: a command of the method, in a process group of its own, its output in a file.
//!
//! The file, not a pipe: a command that leaves a service behind (a restart) must not be waited for because of it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;

use chaos_core::experiment::RunCommand;
use chaos_core::secret::Secrets;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none: killed by a signal or by us after its timeout.
    pub exit: Option<i32>,
    /// The end of its output.
    pub output: String,
    /// Why it is not what was expected, in words.
    pub failed: Option<String>,
}

/// How much of the output goes into the record.
const OUTPUT_KEPT: u64 = 2_048;
/// How long a killed command may take to be reaped.
const REAPED_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The process group of a command. Dropped before the command has ended (the run is stopped, the timeout has passed), it
/// kills what is left of it; one that ended by itself may leave a service behind, and that is the command's own affair.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a command to its end or its timeout, then kills what is left of its group.
///
/// # Errors
/// If it cannot be started.
pub async fn run(command: &RunCommand, folder: &Path, log: &Path, secrets: &Secrets) -> Result<Ended, String> {
    let (program, args) = program(&command.command)?;
    let cannot = |what: &str, e: std::io::Error| format!("{what}: {e}");
    let out =
        File::create(log).map_err(|e| cannot(&format!("write the output of `{}` to {}", command.command.join(" "), log.display()), e))?;
    let err = out.try_clone().map_err(|e| cannot("write the output", e))?;
    let mut child = tokio::process::Command::new(&program)
        .args(args)
        .envs(command.env.iter().map(|(k, v)| (k, secrets.fill(v))))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|e| cannot(&format!("start `{}` in {}", command.command.join(" "), folder.display()), e))?;
    let group = Group::of(&child);
    let Ok(status) = tokio::time::timeout(command.timeout.get(), child.wait()).await else {
        drop(group);
        let _ = tokio::time::timeout(REAPED_WITHIN, child.wait()).await;
        return Ok(Ended { exit: None, output: shown(command, log, secrets), failed: Some(format!("not done after {}", command.timeout)) });
    };
    group.ended();
    let exit = status.map_err(|e| cannot("wait for the command", e))?.code();
    let failed = match exit {
        Some(code) if code == command.exit => None,
        Some(code) => Some(format!("exit {code}, expected {}", command.exit)),
        None => Some("killed by a signal".to_owned()),
    };
    Ok(Ended { exit, output: shown(command, log, secrets), failed })
}

/// The program to start and its arguments; `chaos` is this very program.
fn program(words: &[String]) -> Result<(std::path::PathBuf, &[String]), String> {
    let (first, args) = words.split_first().ok_or("the command is empty")?;
    if first == "chaos" {
        let own = std::env::current_exe().map_err(|e| format!("find this program's own file: {e}"))?;
        return Ok((own, args));
    }
    Ok((first.into(), args))
}

/// The end of the output, for the record; nothing where the command was given a secret that it may have printed.
fn shown(command: &RunCommand, log: &Path, secrets: &Secrets) -> String {
    if command.env.values().any(|v| secrets.fill(v) != Secrets::new().fill(v)) {
        return format!("(not shown: the command was given a secret; its output is in {})", log.display());
    }
    tail(log).unwrap_or_default()
}

fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(OUTPUT_KEPT);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_KEPT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaos_core::literal::Duration;

    fn sh(script: &str, timeout: u64) -> RunCommand {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        RunCommand { command, env: std::collections::BTreeMap::new(), timeout: Duration::from_millis(timeout), exit: 0 }
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
    }

    fn alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z "))
    }

    #[test]
    fn a_command_that_is_dropped_or_too_slow_is_gone_with_its_children() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let command = sh("sleep 1000 & echo $!; wait", 60_000);
        let pid = block_on(async {
            let secrets = Secrets::new();
            let running = run(&command, folder.path(), &log, &secrets);
            tokio::pin!(running);
            loop {
                assert!(tokio::time::timeout(std::time::Duration::from_millis(20), &mut running).await.is_err(), "it runs on");
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                if said.ends_with('\n') {
                    return said;
                }
            }
        });
        for _ in 0..500 {
            if !alive(&pid) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("process {pid} is left");
    }

    #[test]
    fn rule_36_output_of_a_command_that_was_given_a_secret_is_not_recorded() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut secrets = Secrets::new();
        secrets.insert("key", "hunter2");
        let mut command = sh("echo $KEY", 60_000);
        command.env.insert("KEY".into(), "$(key)".into());
        let ended = block_on(run(&command, folder.path(), &folder.path().join("log"), &secrets)).expect("it runs");
        assert!(!ended.output.contains("hunter2"), "{}", ended.output);
        let ended = block_on(run(&sh("echo well", 60_000), folder.path(), &folder.path().join("log"), &secrets));
        assert_eq!(ended.expect("it runs").output, "well\n");
    }
}
