//! `chaos report RUN`: a run, rendered again from its record alone.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use super::run::{Outputs, write_reports};
use super::{Console, Failure, Global};
use crate::judge::{self, Folding, Reading, Verdict, read_events};
use crate::report;

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A run's id, its beginning, `last`, or a record's path
    run: String,
    /// As HTML, into a file or on stdout
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "-")]
    html: Option<PathBuf>,
    /// As JUnit XML, into a file or on stdout
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "-")]
    junit: Option<PathBuf>,
    /// As Markdown, into a file or on stdout
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "-")]
    markdown: Option<PathBuf>,
    /// As JSON, into a file or on stdout
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global, console: Console) -> Result<ExitCode, Failure> {
    let folder = find(&args.run, global)?;
    let mut folding = Folding::default();
    for name in ["record.jsonl", "executor.jsonl"] {
        let path = if folder.is_file() { folder.clone() } else { folder.join(name) };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && name == "executor.jsonl" => continue,
            Err(e) => return Err(Failure::usage(format!("read the record {}: {e}", path.display()))),
        };
        read_events(&mut folding, &path.display().to_string(), BufReader::new(file))
            .map_err(|e| Failure::usage(e.message).maybe_hint(e.hint))?;
        if folder.is_file() {
            break;
        }
    }
    let record = folding.into_record(Reading::Back).map_err(|e| Failure::usage(e.message).maybe_hint(e.hint))?;
    let judged_now = judge::judge(&record);
    // The verdict as judged then stands for ever; a difference is shown, not substituted (RULES 34).
    let stored: Option<Verdict> = record.judged.as_ref().and_then(|v| serde_json::from_value(v.clone()).ok());
    if let Some(stored) = &stored
        && stored.exit != judged_now.exit
    {
        console.say(format_args!(
            "note: this version of chaos would judge exit {}, the verdict of then is exit {}",
            judged_now.exit, stored.exit
        ));
    }
    let verdict = stored.unwrap_or(judged_now);
    let Args { html, junit, markdown, json, .. } = args.clone();
    let asked = [&html, &junit, &markdown, &json].iter().any(|path| path.is_some());
    write_reports(&Outputs { html, junit, markdown, json }, &record, &verdict, console)?;
    if !asked {
        console.data(report::terminal(&record, &verdict, console.style_out()));
    }
    Ok(ExitCode::SUCCESS)
}

fn find(run: &str, global: &Global) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(run);
    if run.contains('/') && path.exists() {
        return Ok(path);
    }
    let state = super::state(global)?;
    let runs = state.run_folder("");
    let listed = std::fs::read_dir(&runs).map_err(|e| Failure::usage(format!("list the runs in {}: {e}", runs.display())))?;
    let mut names: Vec<String> = listed.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    let found: Vec<&String> =
        if run == "last" { names.last().into_iter().collect() } else { names.iter().filter(|n| n.starts_with(run)).collect() };
    match found.as_slice() {
        [one] => Ok(runs.join(one)),
        [] => Err(Failure::usage(format!("no run in {} is called `{run}`", runs.display()))
            .hint(names.last().map_or("there are no runs yet".to_owned(), |n| format!("the last one is {n}")))),
        many => Err(Failure::usage(format!("{} runs begin with `{run}`", many.len())).hint(format!("for example {}", many[0]))),
    }
}
