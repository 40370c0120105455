//! `process`: how many of a set of processes live.

use std::sync::{Arc, Mutex, PoisonError};

use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::target::{ProcessId, Target};
use chaos_core::value::{FieldType, FieldValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `process` probe.
pub struct Process;

/// Nothing: the set in `of:` says it all.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessSpec {}

impl Probe for Process {
    type Spec = ProcessSpec;
    type Client = ProcessClient;
    const KIND: &'static str = "process";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "counts the living processes of a target set",
            about: "Looks at each process that `of` found. A process is known by its pid and its start time, so another one under \
                    the same pid does not count; a zombie is dead, a frozen process alive. When one is gone, a later process with the \
                    very same command line takes its place and counts as a restart.",
            example: "probe: process\nof: replicas\ngood: alive == total\n",
            fields: &[
                ProbeField { name: "alive", is: FieldType::Number, about: "How many live, those that took another's place included." },
                ProbeField { name: "total", is: FieldType::Number, about: "How many the set has." },
                ProbeField { name: "restarted", is: FieldType::Number, about: "How often one was replaced since the questions began." },
            ],
            good: None,
            of: &["processes"],
        }
    }

    async fn open(&self, _: ProcessSpec, asking: &Asking) -> Result<ProcessClient, ProbeError> {
        let members = asking.targets.iter().map(Member::of).collect::<Option<Vec<_>>>();
        let members = members.filter(|m| !m.is_empty()).ok_or_else(|| ProbeError {
            message: "a process probe looks at a set of processes".into(),
            hint: Some("name one: `of: replicas`".into()),
        })?;
        Ok(ProcessClient(Arc::new(Mutex::new(Census { members, restarted: 0 }))))
    }

    /// Looking for a replacement reads all of `/proc`: off the prober's thread, and only while somebody is missing.
    async fn ask(client: &ProcessClient) -> Result<Answer, NoAnswer> {
        let census = client.0.lock().unwrap_or_else(PoisonError::into_inner).counted();
        if let Some(answer) = census {
            return Ok(answer);
        }
        let census = Arc::clone(&client.0);
        tokio::task::spawn_blocking(move || {
            let mut census = census.lock().unwrap_or_else(PoisonError::into_inner);
            census.replace_the_dead();
            census.answer()
        })
        .await
        .map_err(|e| NoAnswer(e.to_string()))
    }
}

/// A `process` question that is ready to be asked.
pub struct ProcessClient(Arc<Mutex<Census>>);

struct Member {
    id: ProcessId,
    command_line: Vec<u8>,
}

impl Member {
    fn of(target: &Target) -> Option<Self> {
        let id = target.facets.process?;
        let command_line = command_line(id.pid).unwrap_or_default();
        Some(Self { id, command_line })
    }
}

struct Census {
    members: Vec<Member>,
    restarted: u32,
}

impl Census {
    /// The answer, if nobody is missing.
    fn counted(&self) -> Option<Answer> {
        self.members.iter().all(|m| is_alive(m.id)).then(|| self.answer())
    }

    fn answer(&self) -> Answer {
        let count = |n: usize| FieldValue::Number(f64::from(u32::try_from(n).unwrap_or(u32::MAX)));
        let alive = self.members.iter().filter(|m| is_alive(m.id)).count();
        Answer::new()
            .with("alive", count(alive))
            .with("total", count(self.members.len()))
            .with("restarted", FieldValue::Number(self.restarted.into()))
    }

    fn replace_the_dead(&mut self) {
        let dead: Vec<usize> = (0..self.members.len()).filter(|&i| self.can_be_replaced(i)).collect();
        if dead.is_empty() {
            return;
        }
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids {
            self.offer(pid, &dead);
        }
    }

    fn can_be_replaced(&self, member: usize) -> bool {
        let member = &self.members[member];
        !member.command_line.is_empty() && !is_alive(member.id)
    }

    /// Puts this process in the place of a dead one that it continues.
    fn offer(&mut self, pid: i32, dead: &[usize]) {
        if self.members.iter().any(|m| m.id.pid == pid && is_alive(m.id)) {
            return;
        }
        let Some(line) = command_line(pid) else { return };
        let is_same = |&&i: &&usize| self.members[i].command_line == line && !is_alive(self.members[i].id);
        let Some(&place) = dead.iter().find(is_same) else { return };
        match start_ticks(pid) {
            Some(start_ticks) if start_ticks >= self.members[place].id.start_ticks => {
                self.members[place].id = ProcessId { pid, start_ticks };
                self.restarted += 1;
            }
            _ => {}
        }
    }
}

fn is_alive(id: ProcessId) -> bool {
    start_ticks(id.pid) == Some(id.start_ticks)
}

/// When the process started; nothing if there is none, or only its corpse.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may itself hold brackets and spaces: count from the last one.
    let after_name = stat.iter().rposition(|&b| b == b')')? + 2;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" | "x" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

fn command_line(pid: i32) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty())
}
