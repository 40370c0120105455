//! `chaos status`: what is in force here, and what was left.

use std::fmt::Write;
use std::process::ExitCode;

use chaos_core::clock::Boot;
use chaos_core::journal::{DAMAGE, Entry, Status};
use chaos_core::lever::Lever;
use chaos_core::literal::Duration;
use chaos_core::recover::{Found, Standing, survey};
use serde_json::{Value, json};

use super::{Console, Failure, Global};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global, console: Console) -> Result<ExitCode, Failure> {
    let state = super::state(global)?;
    let found = survey(&state).map_err(|e| Failure::usage(format!("read the journals in {}: {e}", state.path().display())))?;
    let pulled = Lever::of(state.path()).pulled();
    if args.json {
        let runs: Vec<Value> = found.iter().map(as_json).collect();
        let lever = pulled.map(|p| json!({"path": p.path, "because": p.because}));
        console.data(format_args!("{:#}\n", json!({"state": state.path(), "lever": lever, "runs": runs})));
    } else {
        if let Some(pulled) = pulled {
            console.data(format_args!("{pulled}\n"));
        }
        console.data(in_words(&found));
    }
    let left = found.iter().any(|f| match f.standing {
        Standing::Live | Standing::Foreign(_) => false,
        // Nobody knows what is in force by it.
        Standing::Unreadable(_) => true,
        Standing::Residue | Standing::BeforeReboot | Standing::OtherContainer => !f.contents.is_over(),
    });
    Ok(ExitCode::from(if left { 7 } else { 0 }))
}

fn in_words(found: &[Found]) -> String {
    if found.is_empty() {
        return "nothing is in force here, and nothing was left\n".into();
    }
    let mut text = String::new();
    for run in found {
        let standing = match &run.standing {
            Standing::Live => "live".to_owned(),
            Standing::Residue => "left by a dead run; `chaos recover` takes it back".to_owned(),
            Standing::BeforeReboot => "left by a run before the last reboot; `chaos recover` takes back what survived it".to_owned(),
            Standing::OtherContainer => {
                "left by a run in another container of this host; `chaos recover` takes back what outlived it".to_owned()
            }
            Standing::Foreign(why) => format!("not ours: {why}"),
            Standing::Unreadable(why) => format!("cannot be read: {why}"),
        };
        let _ = writeln!(text, "run {}: {standing}", run.run);
        for entry in run.contents.open_entries() {
            let _ = writeln!(text, "  {}/{}  {}", run.run, entry.intent.slot, entry_in_words(entry, run.standing == Standing::Live));
        }
        for damage in run.contents.open_damage() {
            let _ = writeln!(text, "  {}/{DAMAGE}  {damage}", run.run);
        }
    }
    text
}

fn entry_in_words(entry: &Entry, live: bool) -> String {
    let intent = &entry.intent;
    let mut text = format!("{} on {}: {}", intent.fault, intent.target, status_in_words(entry.status));
    if live && intent.deadline != Boot(u64::MAX) {
        let seconds = intent.deadline.from_now().as_secs();
        let _ = write!(text, ", gone within {}", Duration::from_secs(seconds));
    }
    if let Some(finding) = &entry.finding {
        let _ = write!(text, " ({finding})");
    }
    text
}

fn status_in_words(status: Status) -> &'static str {
    match status {
        Status::Intended => "intended, perhaps not done",
        Status::Staged => "prepared, perhaps done",
        Status::Injected => "in force",
        Status::Residue => "could not be taken back",
        Status::Reverted => "taken back",
        Status::Forgotten => "forgotten",
    }
}

fn as_json(found: &Found) -> Value {
    let (standing, why) = match &found.standing {
        Standing::Live => ("live", None),
        Standing::Residue => ("residue", None),
        Standing::BeforeReboot => ("before_reboot", None),
        Standing::OtherContainer => ("other_container", None),
        Standing::Foreign(why) => ("foreign", Some(why)),
        Standing::Unreadable(why) => ("unreadable", Some(why)),
    };
    let injections: Vec<Value> = found
        .contents
        .open_entries()
        .map(|e| json!({"slot": e.intent.slot, "fault": e.intent.fault, "target": e.intent.target, "status": e.status, "finding": e.finding}))
        .collect();
    json!({"run": found.run, "standing": standing, "why": why, "injections": injections, "damage": found.contents.open_damage()})
}
