//! `command`: runs a program and looks at how it ended.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;

use chaos_core::fault::SpecError;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::value::{FieldType, FieldValue};
use rustix::process::{Pid, Signal, kill_process_group};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

use crate::words;

/// Descriptors that one running command needs: two pipes, its handle, one to spare while it starts.
pub(crate) const DESCRIPTORS: u64 = 4;
/// The most that is kept of each output.
const OUTPUT_MAX: usize = 1024 * 1024;

/// The `command` probe.
pub struct Command;

/// What is run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The command, split into words by quotes. There is no shell; `sh -c '…'` where one is meant. `chaos` as the first
    /// word is this very program. A secret may not stand here: everybody can read command lines.
    pub run: String,
    /// Added to the environment; the place for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Does a secret stand in this text? By now nothing else does in this form; `$$(` is a literal `$(`.
fn holds_secret(text: &str) -> bool {
    text.match_indices("$(").any(|(at, _)| !text[..at].ends_with('$'))
}

impl Probe for Command {
    type Spec = CommandSpec;
    type Client = CommandClient;
    const KIND: &'static str = "command";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "runs a command",
            about: "Runs the command in the experiment's folder, with nothing to read, for each question anew. When the timeout passes, \
                    it is killed with its whole process group. A command that a signal ended exits with 128 and the signal's number, \
                    as in a shell. Starting a process costs about a millisecond: choose `every` accordingly.",
            example: "probe: command\nwith: {run: redis-cli ping}\ngood: exit == 0 && stdout.contains(\"PONG\")\nevery: 1s\n",
            fields: &[
                ProbeField { name: "exit", is: FieldType::Number, about: "Its exit code." },
                ProbeField { name: "stdout", is: FieldType::Text, about: "Its output, up to 1 MiB." },
                ProbeField { name: "stderr", is: FieldType::Text, about: "Its error output, up to 1 MiB." },
                ProbeField { name: "json", is: FieldType::Any, about: "Its output as JSON; missing where it is not JSON." },
            ],
            good: Some("exit == 0"),
            of: &[],
        }
    }

    fn check(&self, spec: &CommandSpec) -> Vec<SpecError> {
        match words::split(&spec.run) {
            Ok(words) if words.is_empty() => vec![SpecError::new("run", "a command needs a program")],
            Ok(_) if holds_secret(&spec.run) => {
                vec![SpecError::new("run", "a secret in a command can be read by everybody").hint("give it in `env: {NAME: $(secret)}`")]
            }
            Ok(_) => Vec::new(),
            Err(e) => vec![SpecError::new("run", e).hint("close the quote, or write it as \\' or \\\"")],
        }
    }

    async fn open(&self, spec: CommandSpec, asking: &Asking) -> Result<CommandClient, ProbeError> {
        let refused = |message: String| ProbeError { message, hint: None };
        let mut words = words::split(&spec.run).map_err(refused)?.into_iter();
        let program = match words.next() {
            Some(word) if word == "chaos" => std::env::current_exe().map_err(|e| refused(format!("find this program: {e}")))?,
            Some(word) => word.into(),
            None => return Err(refused("a command needs a program".into())),
        };
        let wants = |field: &str| asking.wanted.contains(field);
        Ok(CommandClient {
            program,
            arguments: words.collect(),
            env: spec.env,
            folder: asking.folder.clone(),
            stdout: wants("stdout"),
            stderr: wants("stderr"),
            json: wants("json"),
        })
    }

    async fn ask(client: &CommandClient) -> Result<Answer, NoAnswer> {
        client.ask().await.map_err(NoAnswer)
    }
}

/// A `command` question that is ready to be asked.
pub struct CommandClient {
    program: PathBuf,
    arguments: Vec<String>,
    env: BTreeMap<String, String>,
    folder: PathBuf,
    stdout: bool,
    stderr: bool,
    json: bool,
}

impl CommandClient {
    async fn ask(&self) -> Result<Answer, String> {
        let mut group = Group(Some(self.spawn()?));
        let child = group.child();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = tokio::try_join!(read(out), read(err))?;
        // Only now, so that until its end the leader's pid stands for the group and for nothing else.
        let status = child.wait().await.map_err(|e| e.to_string())?;
        group.0 = None;
        let exit = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let mut answer = Answer::new().with("exit", FieldValue::Number(exit.into()));
        if self.json
            && let Ok(json) = serde_json::from_slice(&stdout)
        {
            answer = answer.with("json", FieldValue::Any(json));
        }
        if self.stdout {
            answer = answer.with("stdout", text(&stdout));
        }
        if self.stderr {
            answer = answer.with("stderr", text(&stderr));
        }
        Ok(answer)
    }

    /// In its own process group. Every descriptor of ours closes on exec, so it gets its three and no other.
    fn spawn(&self) -> Result<Child, String> {
        let pipe = |wanted: bool| if wanted { Stdio::piped() } else { Stdio::null() };
        tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .envs(&self.env)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(pipe(self.stdout || self.json))
            .stderr(pipe(self.stderr))
            .process_group(0)
            .spawn()
            .map_err(|e| format!("run {}: {e}", self.program.display()))
    }
}

/// A command with all that it started. Dropped before its end, all of it is killed.
struct Group(Option<Child>);

impl Group {
    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("held until it has ended")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.as_ref().and_then(Child::id);
        let pid = leader.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // Fails only if all of it has ended by itself. The leader is reaped by the runtime.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Reads to the end, so that the command never waits for us; keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return Ok(kept) };
    let mut chunk = vec![0; 8 * 1024];
    loop {
        match from.read(&mut chunk).await.map_err(|e| e.to_string())? {
            0 => return Ok(kept),
            n => kept.extend_from_slice(&chunk[..n.min(OUTPUT_MAX - kept.len())]),
        }
    }
}

fn text(bytes: &[u8]) -> FieldValue {
    FieldValue::Text(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_36_a_secret_is_refused_in_a_command_and_taken_in_its_environment() {
        let spec = |run: &str| CommandSpec { run: run.into(), env: BTreeMap::from([("KEY".into(), "$(key)".into())]) };
        assert_eq!(Command.check(&spec("curl -H 'X: $(key)' http://127.0.0.1/")).len(), 1);
        assert_eq!(Command.check(&spec("sh -c 'echo $$(date) $KEY'")), []);
    }
}
