//! A `run:` step: a command of the method, in a process group of its own, its output in a file.
//!
//! The file, not a pipe: a command that leaves a service behind (a restart) must not be waited for because of it.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use chaos_core::experiment::RunCommand;
use chaos_core::secret::Secrets;
use rustix::process::{Pid, Signal, kill_process_group};

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
const OUTPUT_KEPT: usize = 2_048;

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
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let status = tokio::time::timeout(command.timeout.get(), child.wait()).await;
    let exit = match status {
        Ok(status) => status.map_err(|e| cannot("wait for the command", e))?.code(),
        Err(_) => {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait().await;
            return Ok(Ended { exit: None, output: tail(log), failed: Some(format!("not done after {}", command.timeout)) });
        }
    };
    let failed = match exit {
        Some(code) if code == command.exit => None,
        Some(code) => Some(format!("exit {code}, expected {}", command.exit)),
        None => Some("killed by a signal".to_owned()),
    };
    Ok(Ended { exit, output: tail(log), failed })
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

fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let from = bytes.len().saturating_sub(OUTPUT_KEPT);
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}
