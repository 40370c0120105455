//! The verdict and every fact, for programs.

use serde_json::{Value, json};

use super::phrases;
use crate::judge::{Record, Verdict};

/// Version of this document.
const JSON_VERSION: u32 = 1;

/// Renders a run as one JSON document, pretty-printed.
///
/// `exit` is a function of `verdict.facts`; times are seconds since the run began. Samples stay in the record.
#[must_use]
pub fn json(record: &Record, verdict: &Verdict) -> String {
    let started = &record.started;
    let document = json!({
        "version": JSON_VERSION,
        "run": started.run,
        "headline": verdict.headline,
        "exit": verdict.exit,
        "chaos": started.chaos,
        "seed": record.seed(),
        "started_unix_ms": started.wall.0,
        "host": started.host,
        "user": started.user,
        "verdict": verdict,
        "remarks": phrases::remarks(record, verdict),
        "stop_condition": record.stop.as_ref().map(|(at, condition, observed)| json!({
            "at": record.since(*at).as_secs_f64(),
            "condition": condition,
            "observed": observed,
        })),
        "commands": record.commands.iter().map(|c| json!({
            "at": record.since(c.at).as_secs_f64(),
            "step": c.step,
            "command": c.command,
            "exit": c.exit,
            "output": c.output,
        })).collect::<Vec<Value>>(),
        "experiment": started.experiment,
        "plan": record.plan,
    });
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}
