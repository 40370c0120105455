//! From an experiment to a plan that may be run: resolve, choose, prepare, guard.
//!
//! Has no I/O of its own: the world is asked through [`TargetKindTable`] and [`AnyFault::prepare`], which only read.
//!
//! **Invariant.** Only [`plan`] makes an [`Approved`] plan, and only after every guard has passed. Guards fail closed.

pub mod choice;
pub mod grant;
pub mod limits;
mod overlap;
pub mod ramp;
pub mod schedule;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chaos_core::claim::Claims;
use chaos_core::experiment::{Experiment, Hold, Inject, TargetSet};
use chaos_core::fault::{Bystanders, Grade, InjectionId, Persistence, Prepared, Profile, Reach, Reversibility, SecondNet, UndoJson};
use chaos_core::plan::{Plan, PlannedInjection, PlannedPopulation};
use chaos_core::target::{Identity, Population, ResolveContext, SetRef, Target, TargetKindTable};
use chaos_core::{AnyFault, Table};
use rand::RngExt;
use serde_json::Value;

use limits::{Harmed, Populations};
use overlap::Overlaps;
use schedule::{Asking, Scheduled};
pub use standing::{Wave, standing};

/// Why something may not be done, at its place in the file. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Path in the file: `method[0].pick`, `blast_radius.targets.replicas.share`.
    pub path: String,
    /// What is not done and why.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Refusal {
    /// At a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: None }
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Proof that every guard has passed. Only [`plan`] makes one.
#[derive(Debug, Clone)]
pub struct Approved<T>(T);

impl<T> Approved<T> {
    /// What was approved.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// The first of these, by its place, that is never a target, and why: the tool, its ancestors, pid 1 (RULES 4).
pub type Protected<'a> = dyn Fn(&[Target]) -> Option<(usize, String)> + Send + Sync + 'a;

/// The words that this program knows, and the world behind them.
pub struct Known<'a> {
    /// Every fault.
    pub faults: &'a Table,
    /// Every kind of target.
    pub kinds: &'a TargetKindTable,
    /// What is never a target, whatever the file says.
    pub protected: &'a Protected<'a>,
}

impl Known<'_> {
    /// How long taking back a fault of this kind may take, settling included.
    #[must_use]
    pub fn revert_budget(&self, fault: &str) -> Duration {
        self.faults.get(fault).map_or(Duration::ZERO, |f| f.profile().revert_budget + f.profile().settle)
    }
}

/// Plans an experiment in the world as it is now.
///
/// # Errors
/// With every refusal that was found. Nothing was done.
pub async fn plan(experiment: &Experiment, run: &str, seed: Option<u64>, known: &Known<'_>) -> Result<Approved<Plan>, Vec<Refusal>> {
    let populations = resolve(experiment, run, known, Occasion::Planning).await?;
    let never = never(experiment, run, known).await?;
    let budget = |fault: &str| known.revert_budget(fault);
    let schedule = schedule::scheduled(&experiment.method, &budget);
    let (seed, not_drawn) = draw(experiment, &schedule, seed).map_err(|r| vec![r])?;

    long_enough(experiment, &budget).map_err(|r| vec![r])?;

    let mut ready = Vec::new();
    let mut refusals = Vec::new();
    for scheduled in schedule.iter().filter(|s| !not_drawn.iter().any(|p| p == s.asking.step)) {
        match prepare(scheduled, run, seed, &populations, &never, experiment, known).await {
            Ok(prepared) => ready.extend(prepared),
            Err(more) => refusals.extend(more),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let moments = schedule::moments(&experiment.method, &budget);
    let mut at_once = 0;
    let mut overlaps = Overlaps::new(known.faults);
    for moment in &moments {
        let now: Vec<&Ready> = ready.iter().filter(|r| moment.in_force.iter().any(|a| asked_by(&r.planned, a))).collect();
        at_once = at_once.max(now.len());
        let harmed: Vec<Harmed> = now.iter().map(|r| r.harmed()).collect();
        push(&mut refusals, limits::at_once(&experiment.blast_radius, &populations, &harmed));
        push(&mut refusals, overlaps.none(&now));
    }
    let everyone: Vec<Harmed> = ready.iter().map(Ready::harmed).collect();
    // What is too much at once is told as that alone.
    if refusals.is_empty() {
        push(&mut refusals, limits::in_total(&experiment.blast_radius, &everyone));
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let injections: Vec<PlannedInjection> = ready.into_iter().map(|r| r.planned).collect();
    Ok(Approved(Plan {
        run: run.to_owned(),
        experiment: experiment.slug.clone(),
        seed,
        notes: notes(&injections),
        injections,
        not_drawn,
        populations: populations.into_iter().map(|(set, members)| PlannedPopulation { set, members }).collect(),
        at_once: at_once as u64,
        lasts_at_most: experiment.blast_radius.duration,
    }))
}

fn push(refusals: &mut Vec<Refusal>, result: Result<(), Refusal>) {
    if let Err(refusal) = result
        && !refusals.contains(&refusal)
    {
        refusals.push(refusal);
    }
}

/// When a set is resolved decides what is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// Nothing was harmed yet: an empty set, or one of another size than expected, is a mistake.
    Planning,
    /// Right before an injection: members may have died meanwhile. Limits are for that.
    Again,
}

/// Finds the members of every target set. A set that looks into another (`of`, `before`) is resolved after it.
///
/// # Errors
/// With every set that is not known for certain, has the wrong size, or holds something protected.
async fn resolve(experiment: &Experiment, run: &str, known: &Known<'_>, occasion: Occasion) -> Result<Populations, Vec<Refusal>> {
    let mut context = ResolveContext { run: run.to_owned(), sets: BTreeMap::new(), folder: experiment.folder.clone() };
    let mut refusals = Vec::new();
    let looks_into_another = |t: &&TargetSet| t.selector.get("of").or_else(|| t.selector.get("before")).is_some();
    let (after, before): (Vec<_>, Vec<_>) = experiment.targets.iter().partition(looks_into_another);
    for set in before.into_iter().chain(after) {
        match members(set, &context, known, occasion).await {
            Ok(found) => {
                context.sets.insert(set.name.clone(), found);
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() { Ok(context.sets) } else { Err(refusals) }
}

async fn members(set: &TargetSet, context: &ResolveContext, known: &Known<'_>, occasion: Occasion) -> Result<Population, Refusal> {
    let path = format!("targets.{}", set.name);
    let Some(kind) = known.kinds.get(&set.kind) else {
        return Err(Refusal::new(path, format!("targets of kind `{}` cannot be found by this build", set.kind)));
    };
    let found = match kind.resolve(&set.selector, context).await {
        Err(e) if e.nothing && occasion == Occasion::Again => Vec::new(),
        Err(e) => return Err(Refusal { path: format!("{path}.{}", set.kind), message: e.message, hint: e.hint }),
        Ok(found) => found,
    };
    let distinct: BTreeSet<&Identity> = found.iter().map(|t| &t.identity).collect();
    if distinct.len() != found.len() {
        return Err(Refusal::new(path, format!("`{}` finds the same thing twice, so it cannot be counted", set.name)));
    }
    if occasion == Occasion::Planning {
        as_expected(set, &found, &path)?;
    }
    match (known.protected)(&found) {
        None => Ok(found),
        Some((at, why)) => Err(Refusal::new(path, format!("`{}` would harm {}: {why}", set.name, found[at].label))
            .hint("narrow the selector; this is never a target, by no setting")),
    }
}

fn as_expected(set: &TargetSet, found: &[Target], path: &str) -> Result<(), Refusal> {
    if found.is_empty() {
        return Err(Refusal::new(path, format!("nothing matches `{}`", set.name)).hint("is the system up?"));
    }
    let Some(expect) = set.expect.filter(|n| *n != found.len() as u64) else { return Ok(()) };
    let who: Vec<&str> = found.iter().take(8).map(|t| t.label.as_str()).collect();
    let message = format!("`{}` has {} members, and {expect} are expected", set.name, found.len());
    Err(Refusal::new(format!("{path}.expect"), message).hint(format!("found: {}", who.join(", "))))
}

/// The world as found again, right before an injection.
pub struct Found {
    /// Every set.
    pub populations: Populations,
    /// What `never` names.
    pub never: Population,
}

/// Resolves everything again. What is protected or cannot be known for certain refuses; a set that has become smaller
/// than expected, or empty, does not: limits are for that.
///
/// # Errors
/// With everything that is not known for certain, or protected.
pub async fn find_again(experiment: &Experiment, run: &str, known: &Known<'_>) -> Result<Found, Vec<Refusal>> {
    let populations = resolve(experiment, run, known, Occasion::Again).await?;
    Ok(Found { populations, never: never(experiment, run, known).await? })
}

/// Everything that `never` names. A selector that finds nothing protects nothing, and that is well.
async fn never(experiment: &Experiment, run: &str, known: &Known<'_>) -> Result<Population, Vec<Refusal>> {
    let context = ResolveContext { run: run.to_owned(), sets: BTreeMap::new(), folder: experiment.folder.clone() };
    let mut out = Population::new();
    for (i, selector) in experiment.blast_radius.never.iter().enumerate() {
        let Some(kind) = known.kinds.get(&selector.kind) else { continue };
        let found = match kind.resolve(&selector.selector, &context).await {
            Err(e) if e.nothing => continue,
            found => found.map_err(|e| vec![Refusal { path: format!("blast_radius.never[{i}]"), message: e.message, hint: e.hint }])?,
        };
        out.extend(found);
    }
    Ok(out)
}

/// Draws the seed, where none is given, and with it what `probability` decides. A draw in which nothing happens at all
/// is drawn again, or refused where the seed is given (RULES 32).
fn draw(experiment: &Experiment, schedule: &[Scheduled<'_>], given: Option<u64>) -> Result<(u64, Vec<String>), Refusal> {
    const TRIES: u32 = 1_000;
    for _ in 0..TRIES {
        let seed = given.or(experiment.seed).unwrap_or_else(|| rand::rng().random_range(0..1 << 48));
        let not_drawn: Vec<String> =
            schedule.iter().filter(|s| s.asking.repetition == 0 && !happens(s, seed)).map(|s| s.asking.step.to_owned()).collect();
        let steps = schedule.iter().filter(|s| s.asking.repetition == 0).count();
        if steps == 0 || not_drawn.len() < steps {
            return Ok((seed, not_drawn));
        }
        if given.or(experiment.seed).is_some() {
            return Err(Refusal::new("method", format!("with seed {seed} no step draws its `probability`, so nothing would be injected"))
                .hint("take another seed, or leave it out"));
        }
    }
    Err(Refusal::new("method", "no step is likely enough to be drawn: nothing would be injected").hint("raise `probability`"))
}

fn happens(scheduled: &Scheduled<'_>, seed: u64) -> bool {
    let Some(probability) = scheduled.inject.probability else { return true };
    let drawn: f64 = choice::dice(seed, &format!("{}/probability", scheduled.asking.step)).random();
    drawn < probability.ratio()
}

/// The blast radius must last until the last revert has ended, as slow as that may be: the executor takes back in time
/// for it, whatever the file says about holding.
fn long_enough(experiment: &Experiment, budget: schedule::Budget<'_>) -> Result<(), Refusal> {
    let allowed = experiment.blast_radius.duration;
    let longest = schedule::longest(&experiment.method, budget);
    if longest <= allowed.get() {
        return Ok(());
    }
    // Whole seconds, rounded up, because that is what a person writes.
    let enough = chaos_core::literal::Duration::from_secs(longest.as_secs() + u64::from(longest.subsec_nanos() > 0));
    let message =
        format!("the method takes up to {enough}, the time for taking everything back included, and the blast radius lasts {allowed}");
    Err(Refusal::new("blast_radius.duration", message).hint(format!("shorten the method, or say `duration: {enough}`")))
}

/// One injection, prepared.
struct Ready {
    planned: PlannedInjection,
    claims: Vec<String>,
    undo: UndoJson,
}

impl Ready {
    fn harmed(&self) -> Harmed {
        Harmed { set: self.planned.set.clone(), target: self.planned.target.clone() }
    }
}

async fn prepare(
    scheduled: &Scheduled<'_>,
    run: &str,
    seed: u64,
    populations: &Populations,
    never: &[Target],
    experiment: &Experiment,
    known: &Known<'_>,
) -> Result<Vec<Ready>, Vec<Refusal>> {
    let Asking { step, repetition } = scheduled.asking;
    let inject = scheduled.inject;
    let Some(fault) = known.faults.get(&inject.fault) else {
        return Err(vec![Refusal::new(format!("{step}.inject"), format!("`{}` cannot be injected by this build", inject.fault))]);
    };
    let with = fault.looked_up(&with_members(&inject.with, populations)).map_err(|e| {
        let message = format!("{} cannot be injected: {}", inject.fault, e.message);
        vec![Refusal { path: format!("{step}.with"), message, hint: e.hint }]
    })?;
    let inject = Inject { with, ..inject.clone() };
    let targets = candidates(populations, &inject.into, never);
    let chosen = choice::choose(&targets, &inject.into, inject.pick, seed, &format!("{step}/{repetition}"), step).map_err(|r| vec![r])?;
    let mut out = Vec::new();
    let mut refusals = Vec::new();
    for (index, target) in chosen.into_iter().enumerate() {
        let slot = slot(step, repetition, index);
        match prepare_one(fault, &inject, step, &slot, run, target, scheduled.earliest, experiment).await {
            Ok(ready) => out.push(ready),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() { Ok(out) } else { Err(refusals) }
}

/// The fields of a fault, with the set that `peer` names as its members found.
fn with_members(with: &Value, populations: &Populations) -> Value {
    let mut with = with.clone();
    if let Some(peer) = with.get_mut("peer")
        && let Some(found) = peer.as_str().and_then(|set| populations.get(set))
    {
        *peer = serde_json::to_value(SetRef::Members(found.clone())).unwrap_or_default();
    }
    with
}

/// The members that may be picked: all but those that `never` names.
#[must_use]
pub fn candidates(populations: &Populations, set: &str, never: &[Target]) -> Population {
    let may_be = |t: &&Target| !never.iter().any(|spared| spared.is_harmed_with(t));
    populations.get(set).map(|p| p.iter().filter(may_be).cloned().collect()).unwrap_or_default()
}

#[expect(clippy::too_many_arguments, reason = "everything that one planned injection is made of")]
async fn prepare_one(
    fault: &dyn AnyFault,
    inject: &Inject,
    step: &str,
    slot: &str,
    run: &str,
    target: Target,
    at: Duration,
    experiment: &Experiment,
) -> Result<Ready, Refusal> {
    let profile = fault.profile();
    if let Some(missing) = profile.facets.iter().find(|f| !target.facets.has(**f)) {
        let refusal = Refusal::new(
            format!("{step}.into"),
            format!("{} needs the {missing} of its target, and {} has none", inject.fault, target.label),
        );
        let beyond = target.facets.container.and_then(|container| container.beyond);
        return Err(beyond.into_iter().fold(refusal, |refusal, why| refusal.hint(why)));
    }
    let id = InjectionId { run: run.to_owned(), slot: slot.to_owned() };
    let with = inject.ramp.as_ref().map_or_else(|| inject.with.clone(), |ramp| ramp::at(&inject.with, ramp, 0));
    let prepared = fault.prepare(&with, &target, &id).await.map_err(|e| Refusal {
        path: format!("{step}.inject"),
        message: format!("{} cannot be injected into {}: {}", inject.fault, target.label, e.message),
        hint: e.hint,
    })?;
    let notes = prepared.notes.iter().cloned().chain(held_by_others(&prepared)).collect();
    let reach = prepared.reach.unwrap_or(profile.reach);
    reach_is_allowed(reach, &prepared.bystanders, experiment, &inject.fault)?;
    let reversibility = prepared.reversibility.unwrap_or_else(|| fault.reversibility(&inject.with));
    let planned = PlannedInjection {
        slot: slot.to_owned(),
        step: step.to_owned(),
        fault: inject.fault.clone(),
        with,
        set: inject.into.clone(),
        at: at.into(),
        hold: match &inject.hold {
            // A ramp comes before the time that is asked for.
            Hold::For(d) => Some((d.get() + inject.ramp.as_ref().map_or(Duration::ZERO, |r| r.over.get())).into()),
            Hold::Meanwhile(_) | Hold::Never => None,
        },
        grade: prepared.grade.unwrap_or_else(|| grade(&profile)),
        reversibility,
        reach,
        revert_budget: (profile.revert_budget + profile.settle).into(),
        latent: profile.latent,
        second_net: second_net(&profile).to_owned(),
        notes,
        undo: fault.explain(&prepared.undo),
        bystanders: prepared.bystanders,
        target,
    };
    Ok(Ready { planned, claims: prepared.claims, undo: prepared.undo })
}

/// What another run holds at this moment of what the injection would claim, itself or for what it stands on: its time may come before ours.
fn held_by_others(prepared: &Prepared<Value>) -> Vec<String> {
    let claims = prepared.claims.iter().chain(prepared.scaffolds.iter().map(|scaffold| &scaffold.claim));
    let held = claims.filter_map(|claim| Claims::holder_on_host(claim).map(|holder| (claim, holder)));
    held.map(|(claim, holder)| format!("{claim} is held now, by {holder}: as long as it is, this is not injected")).collect()
}

/// A local executor outlives the coordinator, so everything that does not die with it is leased.
fn grade(profile: &Profile) -> Grade {
    match profile.persistence {
        Persistence::DiesWithExecutor => Grade::Bound,
        Persistence::UntilReboot | Persistence::Durable => Grade::Leased,
    }
}

fn second_net(profile: &Profile) -> &'static str {
    match profile.second_net {
        SecondNet::Tag => "every object carries the run's tag (`chaos sweep`)",
        SecondNet::Stamp => "the undo is stored beside the effect (`chaos sweep`)",
        SecondNet::None => "none: only the journal knows how to take it back",
    }
}

fn reach_is_allowed(reach: Reach, bystanders: &Bystanders, experiment: &Experiment, fault: &str) -> Result<(), Refusal> {
    let Bystanders { count, names } = bystanders;
    let felt_beyond = reach >= Reach::NetworkNamespace || (reach == Reach::Cgroup && *count > 0);
    if !felt_beyond || experiment.blast_radius.reach.iter().any(|r| *r >= reach) {
        return Ok(());
    }
    let who = if names.is_empty() { String::new() } else { format!(" ({count} others: {})", names.join(", ")) };
    Err(Refusal::new(
        "blast_radius",
        format!("{fault} is felt by the whole {reach}, not by its target alone{who}, and that is not allowed"),
    )
    .hint(format!("if that is meant, say `reach: [{reach}]` under `blast_radius`")))
}

fn notes(injections: &[PlannedInjection]) -> Vec<String> {
    let mut out = Vec::new();
    if injections.iter().any(|i| i.reversibility == Reversibility::Irreversible) {
        out.push("an irreversible fault is not taken back: what is observed is how the system recovers by itself".to_owned());
    }
    if injections.iter().any(|i| i.grade == Grade::Leased && i.reversibility != Reversibility::Irreversible) {
        out.push("should coordinator and executor both be killed, a leased fault stays until the next `chaos` command on this host (or `chaos recover`)".to_owned());
    }
    out
}

/// `method[0].meanwhile[1]`, repetition 0, first target: `1_2.1.1`. Fit for a tag, a file name and a person.
fn slot(step: &str, repetition: u32, index: usize) -> String {
    format!("{}.{}.{}", position(step), repetition + 1, index + 1)
}

/// Where a step stands, short and fit for a file name: `method[0].meanwhile[1]` is `1_2`.
#[must_use]
pub fn position(step: &str) -> String {
    let numbers = step.split('[').skip(1).filter_map(|part| part.split(']').next()?.parse::<u32>().ok());
    numbers.map(|n| (n + 1).to_string()).collect::<Vec<_>>().join("_")
}

/// Does this injection belong to that asking?
fn asked_by(injection: &PlannedInjection, asking: &Asking<'_>) -> bool {
    injection.step == asking.step && repetition(&injection.slot) == Some(asking.repetition)
}

/// The repetition that a slot belongs to, from 0.
#[must_use]
pub fn repetition(slot: &str) -> Option<u32> {
    slot.split('.').nth(1)?.parse::<u32>().ok()?.checked_sub(1)
}
