//! `chaos faults [KIND]` and `chaos probes [KIND]`: what this program knows, from the tables.

use std::fmt::Write;
use std::process::ExitCode;

use super::worlds::Worlds;
use super::{Console, Failure};
use crate::reference;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One of them in full, or the beginning of several (`process`)
    kind: Option<String>,
    /// As JSON, schemas included
    #[arg(long)]
    json: bool,
}

/// One entry of a table, ready to be shown.
struct Entry {
    kind: &'static str,
    summary: &'static str,
    page: String,
    schema: serde_json::Value,
}

pub(super) fn run_faults(args: &Args, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let offered = worlds.faults.iter().filter(|f| !f.profile().internal);
    let entries =
        offered.map(|f| Entry { kind: f.kind(), summary: f.profile().summary, page: reference::fault(f), schema: f.schema().into() });
    show(args, console, "fault", &entries.collect::<Vec<_>>())
}

pub(super) fn run_probes(args: &Args, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let entries = worlds.probes.iter().map(|p| Entry {
        kind: p.kind(),
        summary: p.profile().summary,
        page: reference::probe(p),
        schema: p.schema().into(),
    });
    show(args, console, "probe", &entries.collect::<Vec<_>>())
}

fn show(args: &Args, console: Console, what: &str, entries: &[Entry]) -> Result<ExitCode, Failure> {
    let wanted = args.kind.as_deref().unwrap_or_default();
    let exact: Vec<&Entry> = entries.iter().filter(|e| e.kind == wanted).collect();
    let found: Vec<&Entry> = if exact.is_empty() { entries.iter().filter(|e| e.kind.starts_with(wanted)).collect() } else { exact };
    if found.is_empty() {
        let near = crate::experiment::meant(wanted, entries.iter().map(|e| e.kind));
        let mean = near.map_or_else(String::new, |kind| format!("did you mean `{kind}`? "));
        let hint = format!("{mean}`chaos {what}s` lists {}", entries.len());
        return Err(Failure::usage(format!("no {what} is called `{wanted}`")).hint(hint));
    }
    if args.json {
        let all: Vec<_> = found.iter().map(|e| serde_json::json!({"kind": e.kind, "summary": e.summary, "with": e.schema})).collect();
        console.data(format_args!("{:#}\n", serde_json::Value::from(all)));
        return Ok(ExitCode::SUCCESS);
    }
    if let ([one], true) = (found.as_slice(), args.kind.is_some()) {
        console.data(&one.page);
        return Ok(ExitCode::SUCCESS);
    }
    let width = found.iter().map(|e| e.kind.len()).max().unwrap_or_default();
    let mut list = String::new();
    for entry in found {
        let _ = writeln!(list, "{:width$}  {}", entry.kind, entry.summary);
    }
    console.data(list);
    console.say(format_args!("\n`chaos {what}s KIND` shows one in full"));
    Ok(ExitCode::SUCCESS)
}
