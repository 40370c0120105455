//! `chaos run FILE`: from file to verdict.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chaos_core::World;
use chaos_core::clock::Wall;
use chaos_core::event::{Event, What};
use chaos_core::lever::Lever;
use chaos_core::link::{ExecutorLink, LEASE, LinkError};
use chaos_core::state_dir::StateDir;
use chaos_core::target::Target;
use chaos_core::wire::Begin;
use rand::RngExt;

use super::load::{self, Source};
use super::worlds::Worlds;
use super::{Console, Failure, Global, plan, recover, runtime};
use crate::experiment::Loaded;
use crate::judge::{self, Reading, Record, Verdict};
use crate::report;
use crate::run::{self, Done, RecordFile, Setup, Sink, Torn};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Seed of every random choice; the same seed and the same world give the same plan
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    outputs: Outputs,
    /// Show no progress, only the report
    #[arg(short, long)]
    quiet: bool,
}

/// Reports to write beside what is printed; `-` prints one on stdout instead.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Outputs {
    /// Write the HTML report there as well (one always lies in the run's folder)
    #[arg(long, value_name = "PATH")]
    pub html: Option<PathBuf>,
    /// Write JUnit XML, for CI
    #[arg(long, value_name = "PATH")]
    pub junit: Option<PathBuf>,
    /// Write Markdown, for a CI summary
    #[arg(long, value_name = "PATH")]
    pub markdown: Option<PathBuf>,
    /// Write the verdict and all facts as JSON
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let run_id = new_run_id();
    let loaded = load::load(&args.source, &run_id, console, worlds)?;
    let state = super::state(global)?;
    let lever = Lever::of(state.path());
    if let Some(pulled) = lever.pulled() {
        return Err(Failure::usage(format!("nothing was run: {pulled}")).hint("`chaos resume` allows runs again").exit(5));
    }
    recover::gate(&state)?;
    worlds.host.protect(state.path());
    let folder = state.make_run_folder(&run_id).map_err(|e| Failure::usage(e.to_string()).hint(e.hint))?;
    let runtime = runtime()?;
    let (done, torn) = runtime.block_on(execute(args, &loaded, &run_id, &folder, lever, &state, console, worlds))?;
    runtime.shutdown_background();
    finish(args, done, &torn, &loaded, &folder, console)
}

#[expect(clippy::too_many_arguments, reason = "everything that a run is made of comes together here")]
async fn execute(
    args: &Args,
    loaded: &Loaded,
    run_id: &str,
    folder: &Path,
    lever: Lever,
    state: &StateDir,
    console: Console,
    worlds: &Worlds,
) -> Result<(Done, Torn), Failure> {
    let begin = Begin {
        run: run_id.to_owned(),
        chaos: env!("CARGO_PKG_VERSION").to_owned(),
        run_folder: folder.to_owned(),
        secrets: loaded.secrets.expose().clone(),
        lease: LEASE.into(),
    };
    let link = ExecutorLink::spawn(worlds.host.view().program(), state.path(), begin).await.map_err(not_started)?;
    let (sinks, torn) = sinks(args, folder, console)?;
    let protected = |targets: &[Target]| worlds.first_protected(targets);
    let port_owner = |port: u16| worlds.host.view().who_listens(port);
    let known = worlds.known(&protected);
    let setup = Setup {
        experiment: &loaded.experiment,
        secrets: &loaded.secrets,
        run: run_id,
        seed: args.seed,
        known: &known,
        probes: worlds.probes.clone(),
        run_folder: folder,
        lever,
        link,
        sinks,
        port_owner: &port_owner,
        user: std::env::var("SUDO_USER")
            .or_else(|_| std::env::var("USER"))
            .unwrap_or_else(|_| format!("uid {}", rustix::process::geteuid().as_raw())),
    };
    let done = run::run(setup).await.map_err(Failure::usage)?;
    Ok((done, torn))
}

fn not_started(error: LinkError) -> Failure {
    Failure::usage(format!("nothing was run: {}", error.message)).maybe_hint(error.hint)
}

fn sinks(args: &Args, folder: &Path, console: Console) -> Result<(Vec<Box<dyn Sink>>, Torn), Failure> {
    let path = folder.join("record.jsonl");
    let record = RecordFile::create(&path).map_err(|e| Failure::usage(format!("write the record {}: {e}", path.display())))?;
    let torn = record.torn();
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(record)];
    if !args.quiet {
        sinks.push(Box::new(Screen(report::Live::new(std::io::stderr(), console.style_err(), console.live))));
    }
    Ok((sinks, torn))
}

/// The live display, as one who listens to a run.
struct Screen(report::Live<std::io::Stderr>);

impl Sink for Screen {
    fn event(&mut self, event: &Event) {
        self.0.event(event);
        if matches!(event.what, What::Finished { .. }) {
            self.0.finish();
        }
    }
}

/// Judges, tells, and gives the exit code.
fn finish(args: &Args, done: Done, torn: &Torn, loaded: &Loaded, folder: &Path, console: Console) -> Result<ExitCode, Failure> {
    let Done { folding, recorder, refused } = done;
    let record = folding.into_record(Reading::OwnRun).map_err(|e| Failure::usage(e.message).maybe_hint(e.hint).exit(70))?;
    let verdict = judge::judge(&record);
    recorder.say(What::Judged(serde_json::to_value(&verdict).unwrap_or_default()));
    recorder.say(What::Finished { exit: verdict.exit, wall: Wall::now() });
    drop(recorder);
    if !refused.is_empty() {
        return Err(plan::refused(loaded, &refused, console).exit(verdict.exit));
    }
    let page = folder.join("report.html");
    let always = Outputs { html: Some(page.clone()), ..Outputs::default() };
    let written = write_reports(&always, &record, &verdict, console).and(write_reports(&args.outputs, &record, &verdict, console));
    let whole = torn.why().map_or(Ok(()), |why| {
        Err(Failure::usage(why).hint("this verdict stands, but the record ends early: `chaos report` will call the run aborted"))
    });
    if !matches!(written, Ok(true)) {
        console.data(report::terminal(&record, &verdict, console.style_out()));
    }
    match written.and_then(|to_stdout| whole.map(|()| to_stdout)) {
        Ok(_) => console.say(format_args!("\nreport: {}", page.display())),
        // The verdict stands, and is the exit code; only one that says nothing is wrong may not hide this.
        Err(failure) if verdict.exit == 0 => return Err(failure),
        Err(failure) => drop(console.fail(&failure)),
    }
    Ok(ExitCode::from(verdict.exit))
}

/// Writes every report that was asked for. True: one of them went to stdout.
///
/// # Errors
/// If one cannot be written; the others are.
pub fn write_reports(outputs: &Outputs, record: &Record, verdict: &Verdict, console: Console) -> Result<bool, Failure> {
    type Render = fn(&Record, &Verdict) -> String;
    let asked: [(&Option<PathBuf>, Render); 4] = [
        (&outputs.html, report::html),
        (&outputs.junit, report::junit),
        (&outputs.markdown, report::markdown),
        (&outputs.json, report::json),
    ];
    let (mut printed, mut failed) = (false, None);
    for (path, render) in asked {
        let Some(path) = path else { continue };
        let text = render(record, verdict);
        if path.as_os_str() == "-" {
            console.data(text);
            printed = true;
        } else if let Err(e) = std::fs::write(path, text) {
            failed.get_or_insert_with(|| Failure::usage(format!("write the report {}: {e}", path.display())));
        }
    }
    failed.map_or(Ok(printed), Err)
}

/// Time-ordered, unique, fit for file names, tags and people: `20261120-061259-k3xq`.
fn new_run_id() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut rng = rand::rng();
    let tail: String = (0..4).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect();
    format!("{}-{tail}", jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S"))
}
