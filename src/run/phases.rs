//! The phases of a run, in their order.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::clock::{Mono, Wall};
use chaos_core::event::{AbortedBy, HostId, Phase, RECORD_VERSION, Started, SystemState, What};
use chaos_core::experiment::{Experiment, Hypothesis, Metric, Question, SystemProcess};
use chaos_core::lever::Lever;
use chaos_core::link::ExecutorLink;
use chaos_core::probe::ProbeTable;
use chaos_core::sample::Asked;
use chaos_core::secret::Secrets;
use chaos_core::wire::Request;
use chaos_probe::prober::{AskedQuestion, Prober, StartError, descriptors_needed, raise_descriptor_limit, wait_until_good};

use super::method::{self, Flow};
use super::pump::{Interrupt, Pump};
use super::recorder::{Recorder, Sink};
use super::signals::Signals;
use super::stage::Stage;
use crate::judge::{Folding, StopWatch};
use crate::plan::{self, Known, Refusal, Wave};

/// What an executor says of itself where it would survive everything but its own SIGKILL: nothing to be told.
const OWN_SESSION: &str = "own session";

/// Everything that a run is made of.
pub struct Setup<'a> {
    /// What is run.
    pub experiment: &'a Experiment,
    /// What may never be written down.
    pub secrets: &'a Secrets,
    /// The run's id.
    pub run: &'a str,
    /// Of every random choice, where it is given.
    pub seed: Option<u64>,
    /// The words, and the world behind them.
    pub known: &'a Known<'a>,
    /// Every probe.
    pub probes: Arc<ProbeTable>,
    /// Where the run's files lie.
    pub run_folder: &'a Path,
    /// What stops everything.
    pub lever: Lever,
    /// The executor, begun.
    pub link: ExecutorLink,
    /// Who listens.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Who listens on a port of this host, in words.
    pub port_owner: &'a dyn Fn(u16) -> Option<String>,
    /// Who ran it, for people.
    pub user: String,
}

/// What a run leaves.
pub struct Done {
    /// The record, folded so far.
    pub folding: Folding,
    /// For what is still to be said: the verdict.
    pub recorder: Recorder,
    /// Refusals of the plan, with their places; nothing was injected.
    pub refused: Vec<Refusal>,
}

/// How the part before *revert* ended.
enum Ended {
    Refused(Vec<Refusal>),
    BaselineNotMet,
    Method,
    Interrupted(Interrupt),
}

/// Runs an experiment from its system to its last revert. The verdict is the judge's, from the record.
///
/// # Errors
/// If the run cannot even begin: no signal handlers.
pub async fn run(setup: Setup<'_>) -> Result<Done, String> {
    let Setup { experiment, secrets, run, seed, known, probes, run_folder, lever, link, sinks, port_owner, user } = setup;
    let signals = Signals::listen().map_err(|e| format!("install signal handlers: {e}"))?;
    let (stage, requests) = Stage::new(experiment, secrets, run, run_folder, known, port_owner, Recorder::new(sinks));
    let survives = link.survives().to_owned();
    let mut pump = Pump::new(&stage, link, requests, signals, lever);
    stage.say(What::Started(Box::new(Started {
        record: RECORD_VERSION,
        chaos: env!("CARGO_PKG_VERSION").to_owned(),
        run: run.to_owned(),
        experiment: experiment.clone(),
        seed: seed.or(experiment.seed).unwrap_or_default(),
        host: HostId::here(),
        wall: Wall::now(),
        user,
    })));
    if survives != OWN_SESSION {
        stage.say(What::Note(format!("the executor: {survives}")));
    }
    let mut prober = None;
    let ended = up_to_the_method(&stage, &mut pump, &mut prober, seed, &probes).await;
    pump.unwatch();
    let refused = match ended {
        Ended::Refused(refusals) => {
            for r in &refusals {
                stage.say(What::Refused { message: r.message.clone(), hint: r.hint.clone() });
            }
            refusals
        }
        Ended::BaselineNotMet => Vec::new(),
        Ended::Method => {
            take_everything_back(&stage, &mut pump, "the method has ended").await;
            verify(&stage, &mut pump).await;
            Vec::new()
        }
        Ended::Interrupted(interrupt) => {
            stage.send(Request::Revert { slots: Vec::new(), because: interrupt.because.clone() });
            stage.say(What::Aborted { by: interrupt.by, because: interrupt.because });
            take_everything_back(&stage, &mut pump, "the run is stopped").await;
            verify(&stage, &mut pump).await;
            Vec::new()
        }
    };
    teardown(&stage, &mut pump, prober).await;
    drop(pump);
    let Stage { folding, recorder, .. } = stage;
    Ok(Done { folding: folding.into_inner(), recorder, refused })
}

async fn up_to_the_method(
    stage: &Stage<'_>,
    pump: &mut Pump<'_>,
    prober: &mut Option<Prober>,
    seed: Option<u64>,
    probes: &Arc<ProbeTable>,
) -> Ended {
    if let Err(ended) = start_everything(stage, pump, probes).await {
        return ended;
    }
    let planned = match pump.until(plan::plan(stage.experiment, stage.run, seed, stage.known)).await {
        Ok(Ok(planned)) => planned,
        Ok(Err(refusals)) => return Ended::Refused(refusals),
        Err(interrupt) => return Ended::Interrupted(interrupt),
    };
    stage.say(What::Planned(Box::new(planned.get().clone())));
    stage.send(Request::Approve(Box::new(planned.get().clone())));
    let answer = pump.until(stage.watched.until(super::state::State::approved)).await;
    match answer {
        Ok(Ok(hash)) if hash == planned.get().hash() => stage.approve(planned),
        Ok(Ok(_)) => return Ended::Refused(vec![Refusal::new("", "the executor read another plan than was sent to it")]),
        Ok(Err(refused)) => return Ended::Refused(vec![Refusal { path: String::new(), message: refused.message, hint: refused.hint }]),
        Err(interrupt) => return Ended::Interrupted(interrupt),
    }
    match baseline(stage, pump, prober, probes).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return Ended::BaselineNotMet,
        Ok(Err(refusals)) => return Ended::Refused(refusals),
        Err(interrupt) => return Ended::Interrupted(interrupt),
    }
    stage.say(What::Phase(Phase::Method));
    match pump.until(method::sequence(stage, &stage.experiment.method, Vec::new())).await {
        Ok(Flow::Next | Flow::LeaveOut) => Ended::Method,
        Ok(Flow::End(interrupt)) | Err(interrupt) => Ended::Interrupted(interrupt),
    }
}

/// Starts the system under test, and what must stand for its targets to exist: before it, or before one of its processes.
async fn start_everything(stage: &Stage<'_>, pump: &mut Pump<'_>, probes: &Arc<ProbeTable>) -> Result<(), Ended> {
    start_standing(stage, pump, probes, Wave::First).await?;
    start_system(stage, pump, probes, &stage.experiment.system).await?;
    start_standing(stage, pump, probes, Wave::AfterSystem).await
}

async fn start_standing(stage: &Stage<'_>, pump: &mut Pump<'_>, probes: &Arc<ProbeTable>, wave: Wave) -> Result<(), Ended> {
    let processes = pump.until(plan::standing(stage.experiment, stage.run, stage.known, wave)).await.map_err(Ended::Interrupted)?;
    start_system(stage, pump, probes, &processes.map_err(Ended::Refused)?).await
}

/// Starts these processes one after the other, each when the one before is ready.
async fn start_system(stage: &Stage<'_>, pump: &mut Pump<'_>, probes: &Arc<ProbeTable>, processes: &[SystemProcess]) -> Result<(), Ended> {
    if !processes.is_empty() && !stage.watched.look(super::state::State::has_system) {
        stage.say(What::Phase(Phase::System));
    }
    for process in processes {
        if let Err(missed) = pump.until(start_process(stage, process, probes)).await.map_err(Ended::Interrupted)? {
            stage.say(What::Baseline { met: false, missed: vec![missed] });
            return Err(Ended::BaselineNotMet);
        }
    }
    Ok(())
}

async fn start_process(stage: &Stage<'_>, process: &SystemProcess, probes: &Arc<ProbeTable>) -> Result<(), String> {
    let name = &process.name;
    let port = process.ready.as_ref().and_then(|ready| port_of(&ready.question));
    if let Some((port, owner)) = port.and_then(|port| Some((port, (stage.port_owner)(port)?))) {
        return Err(format!("`{name}` was not started: port {port} is held by {owner}"));
    }
    stage.send(Request::StartSystem(Box::new(process.clone())));
    let slot = format!("system.{name}");
    let died = || {
        stage.watched.until(|s| match s.system(name) {
            Some(SystemState::Died { how }) if process.restart_after.is_none() => Some(how.clone()),
            _ => s.slot(&slot).failed.map(|e| e.message),
        })
    };
    // Whatever is said of it was said after its start; it may have died since.
    let started = stage.watched.until(|s| match s.system(name) {
        Some(_) => Some(Ok(())),
        None => s.slot(&slot).failed.map(|e| Err(e.message)),
    });
    started.await.map_err(|e| format!("`{name}` could not be started: {e}"))?;
    if let Some(ready) = &process.ready {
        let folder = stage.experiment.folder.clone();
        let answering = wait_until_good(Arc::clone(probes), &ready.question, ready.within.get(), stage.secrets.clone(), folder, Vec::new());
        tokio::select! {
            answer = answering => answer.map_err(|why| format!("`{name}` was not ready within {}: {why}{}", ready.within, end_of_log(stage, process)))?,
            how = died() => return Err(format!("`{name}` died before it was ready: {how}{}", end_of_log(stage, process))),
        }
    }
    stage.say(What::System { name: name.clone(), state: SystemState::Ready });
    Ok(())
}

/// The port of this host that a `ready` probe asks, where it asks one.
fn port_of(question: &Question) -> Option<u16> {
    let url_or_address = ["connect", "get", "post", "put", "head", "delete"].iter().find_map(|key| question.with.get(key)?.as_str())?;
    let (scheme, rest) = url_or_address.split_once("://").unwrap_or(("", url_or_address));
    let authority = rest.split('/').next()?;
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, if scheme == "https" { "443" } else { "80" }));
    let local = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    if local { port.parse().ok() } else { None }
}

/// The last line that a process wrote, because that is what a person looks for first; before a hint, what it is about.
fn end_of_log(stage: &Stage<'_>, process: &SystemProcess) -> String {
    let text = std::fs::read(process.log_path(stage.run_folder)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some(hint), Some(error)) if hint.starts_with("hint:") => format!("; its log ends with: {error}; {hint}"),
        (Some(line), _) => format!("; its log ends with: {line}"),
        (None, _) => String::new(),
    }
}

/// Watches health while nothing is injected, then judges the gate.
async fn baseline(
    stage: &Stage<'_>,
    pump: &mut Pump<'_>,
    prober: &mut Option<Prober>,
    probes: &Arc<ProbeTable>,
) -> Result<Result<bool, Vec<Refusal>>, Interrupt> {
    let asked = questions(stage);
    let needed = descriptors_needed(asked.iter().map(|q| &q.question));
    if let Err(limit) = raise_descriptor_limit(needed) {
        let refusal =
            Refusal::new("steady_state", format!("the probes may need {needed} open files at once, and this process may have {limit}"));
        return Ok(Err(vec![refusal.hint("raise the hard limit (`ulimit -Hn`), or ask less often or with a shorter timeout")]));
    }
    let folder = stage.experiment.folder.clone();
    let opening = Prober::start(Arc::clone(probes), asked, stage.plan().seed, stage.secrets.clone(), folder);
    let (started, samples) = match pump.until(opening).await? {
        Ok(started) => started,
        Err(e) => return Ok(Err(not_opened(stage, e))),
    };
    *prober = Some(started);
    stage.begin_baseline();
    pump.listen_to(samples);
    stage.say(What::Phase(Phase::Baseline));
    let from = Mono::now();
    pump.watch(stage.experiment.stop_when.iter().filter_map(|c| StopWatch::new(stage.experiment, c, from)).collect());
    let lasts = stage.experiment.hypotheses.iter().filter_map(|h| h.baseline.as_ref()).map(|b| b.lasts.get()).max().unwrap_or_default();
    pump.until(tokio::time::sleep(lasts)).await?;
    let to = Mono::now();
    // Samples due at the very end are answered a little later: before it says no, the gate waits for them.
    let mut missed = stage.missed_baseline(from, to);
    if !missed.is_empty() {
        let slowest = stage.experiment.hypotheses.iter().map(|h| h.question.timeout.get()).max().unwrap_or_default();
        pump.until(tokio::time::sleep(slowest)).await?;
        missed = stage.missed_baseline(from, to);
    }
    stage.end_baseline();
    let met = missed.is_empty();
    stage.say(What::Baseline { met, missed });
    Ok(Ok(met))
}

fn not_opened(stage: &Stage<'_>, error: StartError) -> Vec<Refusal> {
    let failed = match error {
        StartError::Host(e) => return vec![Refusal::new("", format!("start the prober: {e}"))],
        StartError::NotOpened(failed) => failed,
    };
    let at = |index: usize| stage.experiment.hypotheses.get(index).map_or_else(String::new, |h| format!("steady_state.{}", h.name));
    failed.into_iter().map(|f| Refusal { path: at(f.hypothesis), message: f.error.message, hint: f.error.hint }).collect()
}

fn questions(stage: &Stage<'_>) -> Vec<AskedQuestion> {
    let members = |of: &Option<String>| {
        let population = of.as_ref().and_then(|set| stage.plan().populations.iter().find(|p| &p.set == set));
        population.map(|p| p.members.clone()).unwrap_or_default()
    };
    let mut out = Vec::new();
    for (index, hypothesis) in stage.experiment.hypotheses.iter().enumerate() {
        let ask = |asked, question: &chaos_core::experiment::Question| AskedQuestion {
            hypothesis: index,
            asked,
            question: question.clone(),
            measured: measured(hypothesis),
            targets: members(&question.of),
        };
        out.push(ask(Asked::Users, &hypothesis.question));
        out.extend(hypothesis.health.as_ref().map(|h| ask(Asked::Health, &h.question)));
    }
    out
}

/// The fields that objectives speak of.
fn measured(hypothesis: &Hypothesis) -> BTreeSet<String> {
    let baseline = hypothesis.baseline.iter().flat_map(|b| &b.objectives);
    let prove = hypothesis.prove.iter().flat_map(|p| &p.objectives);
    let all = baseline.chain(&hypothesis.during).chain(prove);
    all.filter_map(|o| if let Metric::Field(_, field) = &o.metric { Some(field.clone()) } else { None }).collect()
}

async fn take_everything_back(stage: &Stage<'_>, pump: &mut Pump<'_>, because: &str) {
    let Some(plan) = stage.planned() else { return };
    stage.say(What::Phase(Phase::Revert));
    stage.send(Request::Revert { slots: Vec::new(), because: because.to_owned() });
    let back = stage.watched.until(|s| {
        let open = s.in_force(plan);
        let waits = |slot: &String| plan.injection(slot).is_some_and(|i| i.reversibility != chaos_core::fault::Reversibility::Irreversible);
        (s.closed().is_some() || !open.iter().any(waits)).then_some(())
    });
    pump.regardless(back).await;
}

/// Waits until everything has recovered, or for as long as that may take.
async fn verify(stage: &Stage<'_>, pump: &mut Pump<'_>) {
    let injected = stage.planned().is_some_and(|p| stage.watched.look(|s| s.anything_intended(p)));
    if !injected || pump.hurry() {
        return;
    }
    stage.say(What::Phase(Phase::Verify));
    stage.begin_recovery();
    let recovered = async {
        while !stage.recovered() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(longest_recovery(stage.experiment), recovered);
    let _ = pump.unless_hurried(in_time).await;
}

/// The longest `within` or `after_revert`, and its `hold`; 10 s where none is stated.
fn longest_recovery(experiment: &Experiment) -> Duration {
    let longest = experiment.hypotheses.iter().filter_map(|h| h.recovery.as_ref()).filter_map(|r| {
        let objective = r.within.into_iter().chain(r.after_revert).max()?;
        Some(objective.get() + r.hold.get())
    });
    longest.max().unwrap_or(Duration::from_secs(10))
}

async fn teardown(stage: &Stage<'_>, pump: &mut Pump<'_>, prober: Option<Prober>) {
    if let Some(prober) = prober {
        prober.stop();
        pump.while_in_flight().await;
        drop(prober);
        pump.until_dry().await;
    }
    if stage.watched.look(super::state::State::has_system) {
        stage.say(What::Phase(Phase::Teardown));
    }
    stage.send(Request::Close);
    let residue = pump.regardless(stage.watched.until(super::state::State::closed)).await;
    for slot in residue {
        stage.say(What::Residue {
            finding: format!("{slot} could not be taken back; `chaos recover` tries again, `chaos recover --print` says how by hand"),
            slot,
        });
    }
}

impl Interrupt {
    /// A stop because of a failure.
    #[must_use]
    pub fn failure(because: impl Into<String>) -> Self {
        Self { by: AbortedBy::Failure, because: because.into() }
    }
}
