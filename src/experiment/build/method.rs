//! `method`: what to do, step by step.

use std::time::Duration as Time;

use chaos_core::experiment::{Action, Hold, Inject, Ramp, Repeat, RunCommand, Step, WaitFor};
use chaos_core::fault::Reversibility;
use chaos_core::literal::Duration;
use chaos_core::table::AnyFault;
use serde_json::{Map, Value as Json};

use super::patience::Late;
use super::{Builder, Found};
use crate::experiment::problems::meant;
use crate::experiment::tree::{Data, Node, Place};
use crate::experiment::{file, namesake, pick, walk};

/// What a step may begin with.
pub(super) const ACTIONS: [&str; 5] = ["inject", "wait", "wait_for", "run", "parallel"];
/// How deep `parallel` and `meanwhile` nest.
const DEEPEST: usize = 4;

/// A step, how long it takes at the longest, and what it injects.
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) takes: Time,
    pub(super) injections: Vec<Injected>,
}

/// One `inject`: into which set, and how long it is held, with their places.
#[derive(Clone)]
pub(super) struct Injected {
    pub(super) into: String,
    pub(super) into_place: Place,
    pub(super) hold: Option<(Duration, Place)>,
    pub(super) late: Option<Late>,
}

/// Where a list of steps stands.
#[derive(Clone, Copy)]
struct Around<'a> {
    path: &'a str,
    depth: usize,
    parallel: bool,
}

impl<'b> Builder<'b> {
    pub(super) fn method(&mut self, node: &Node) -> Vec<Planned> {
        self.steps(node, Around { path: "method", depth: 0, parallel: false })
    }

    fn steps(&mut self, node: &Node, around: Around<'_>) -> Vec<Planned> {
        if around.depth > DEEPEST {
            let message = format!("`parallel` and `meanwhile` nest at most {DEEPEST} deep");
            self.problems.error(walk::start(node), "too-deep", message, None);
            return Vec::new();
        }
        let key = around.path.rsplit('.').next().unwrap_or_default();
        let items = self.list(node, &format!("`{key}` is a list of steps"));
        if items.is_empty() && matches!(node.data, Data::List(_)) {
            self.problems.error(walk::start(node), "missing-value", format!("`{key}` has no step"), "for example `- wait: 30s`".to_owned());
        }
        let numbered = items.iter().enumerate();
        numbered.filter_map(|(index, item)| self.step(item, &format!("{}[{index}]", around.path), around)).collect()
    }

    fn step(&mut self, node: &Node, path: &str, around: Around<'_>) -> Option<Planned> {
        let action = self.action(node)?;
        let (action, takes, injections) = match action {
            "inject" => self.inject(node, path, around)?,
            "wait" => {
                let written: file::Wait = self.decode(node);
                let wait = written.wait?;
                (Action::Wait(wait), wait.get(), Vec::new())
            }
            "wait_for" => self.wait_for(node)?,
            "run" => self.run(node),
            _ => {
                self.decode::<file::Parallel>(node);
                let inside = Around { path: &format!("{path}.parallel"), depth: around.depth + 1, parallel: true };
                let steps = node.get("parallel").map(|node| self.steps(node, inside)).unwrap_or_default();
                let takes = steps.iter().map(|planned| planned.takes).max().unwrap_or_default();
                let injections = steps.iter().flat_map(|planned| planned.injections.clone()).collect();
                (Action::Parallel(steps.into_iter().map(|planned| planned.step).collect()), takes, injections)
            }
        };
        let after = self.after(node, around);
        let takes = takes + after.unwrap_or_default().get();
        Some(Planned { step: Step { path: path.to_owned(), after, action }, takes, injections })
    }

    /// What the step does: its first key.
    fn action(&mut self, node: &Node) -> Option<&'static str> {
        let Some((first, _)) = node.entries().first() else {
            let message = format!("a step is a map that begins with what it does, not {}", node.describe());
            self.problems.error(walk::start(node), "wrong-shape", message, format!("one of {}", ACTIONS.join(", ")));
            return None;
        };
        if let Some(action) = ACTIONS.into_iter().find(|action| *action == first.text) {
            return Some(action);
        }
        let found = ACTIONS.into_iter().find(|action| node.get(action).is_some());
        let known =
            ["into", "with", "pick", "for", "meanwhile", "every", "times", "ramp", "probability", "within", "hold", "at", "env", "after"];
        let hint = match (found, meant(&first.text, ACTIONS)) {
            (None, Some(word)) if !known.contains(&first.text.as_str()) => format!("did you mean `{word}`?"),
            _ => {
                let action = found.unwrap_or(if first.text == "within" || first.text == "hold" { "wait_for" } else { "inject" });
                format!("put `{action}: …` before `{}:` (one of {})", first.text, ACTIONS.join(", "))
            }
        };
        self.problems.error(first.place, "key-order", "a step begins with what it does", hint);
        found
    }

    fn after(&mut self, node: &Node, around: Around<'_>) -> Option<Duration> {
        let (key, value) = node.entry("after")?;
        if !around.parallel {
            let hint = "put a `wait: …` step before it".to_owned();
            self.problems.error(key.place, "unknown-key", "`after` counts from the start of a `parallel`, and here is none", hint);
        }
        let before = self.problems.list.len();
        let after = self.literal(value, "after", "duration", "15s")?.parse().ok();
        // What is wrong with the literal was said when the step was decoded.
        self.problems.list.truncate(before);
        after
    }

    fn wait_for(&mut self, node: &Node) -> Option<(Action, Time, Vec<Injected>)> {
        let written: file::WaitFor = self.decode(node);
        let hypothesis = written.wait_for?;
        let value = node.get("wait_for")?;
        self.hypothesis_called(&hypothesis, value.place);
        let (within, hold) = (written.within?, written.hold.unwrap_or_default());
        if hold > within {
            let place = node.get("hold").map_or(node.place, |value| value.place);
            let hint = format!("say `within: {hold}` or more");
            self.problems.error(place, "impossible", format!("`hold: {hold}` does not fit into `within: {within}`"), hint);
        }
        Some((Action::WaitFor(WaitFor { hypothesis, within, hold }), within.get(), Vec::new()))
    }

    fn run(&mut self, node: &Node) -> (Action, Time, Vec<Injected>) {
        let written: file::Run = self.decode(node);
        self.at(written.at, node);
        let timeout = written.timeout.unwrap_or(Duration::from_secs(30));
        let command = self.command(node, written.run.as_deref());
        let run = RunCommand { command, env: written.env.unwrap_or_default(), timeout, exit: written.exit.unwrap_or(0) };
        (Action::Run(run), timeout.get(), Vec::new())
    }

    fn inject(&mut self, node: &Node, path: &str, around: Around<'_>) -> Option<(Action, Time, Vec<Injected>)> {
        let written: file::Inject = self.decode(node);
        let kind = written.inject?;
        let fault = self.fault(&kind, node.get("inject")?.place);
        let into = written.into.clone().zip(node.get("into").map(|value| value.place));
        if let Some((set, place)) = &into {
            self.into(set, *place, fault);
        }
        self.referenced(node.get("with"));
        let before = self.problems.list.len();
        let with = self.fault_fields(node, fault);
        let right = self.problems.list.len() == before;
        if let Some((set, place)) = into.as_ref().filter(|_| right) {
            self.suits(set, *place, fault, &with);
        }
        let meanwhile = node.get("meanwhile").map(|node| {
            let inside = Around { path: &format!("{path}.meanwhile"), depth: around.depth + 1, parallel: false };
            self.steps(node, inside)
        });
        // Fields that are wrong cannot say whether this very injection can be taken back; the fault in general can.
        let reversibility = fault.map(|fault| if right { fault.reversibility(&with) } else { fault.profile().reversibility });
        self.hold_fits(node, fault.map_or(kind.as_str(), |fault| fault.kind()), reversibility);
        let repeat = self.repeat(node, written.every, written.times, written.hold);
        let ramp = node.get("ramp").and_then(|value| self.ramp(value, fault, &with));
        let pick = written.pick.as_deref().and_then(|pick| pick::parse(pick).ok());
        let held: Time = meanwhile.iter().flatten().map(|planned| planned.takes).sum();
        let once = ramp.as_ref().map(|ramp| ramp.over.get()).unwrap_or_default() + written.hold.unwrap_or_default().get() + held;
        let takes = repeat.map_or(once, |repeat| repeat.every.get().saturating_mul(repeat.times.saturating_sub(1)) + once);
        let (into, into_place) = into?;
        let hold = written.hold.zip(node.get("for").map(|value| value.place));
        let late = node.get("with").and_then(Late::of);
        let mut injections = vec![Injected { into: into.clone(), into_place, hold, late }];
        injections.extend(meanwhile.iter().flatten().flat_map(|planned| planned.injections.clone()));
        let hold = match (written.hold, meanwhile) {
            (_, Some(steps)) => Hold::Meanwhile(steps.into_iter().map(|planned| planned.step).collect()),
            (Some(hold), None) => Hold::For(hold),
            (None, None) => Hold::Never,
        };
        let inject = Inject { fault: kind, into, with, pick, hold, repeat, ramp, probability: written.probability };
        Some((Action::Inject(Box::new(inject)), takes, injections))
    }

    fn fault(&mut self, kind: &str, place: Place) -> Option<&'b dyn AnyFault> {
        let table = self.vocabulary.faults;
        if let Some(found) = table.get(kind).filter(|fault| !fault.profile().internal) {
            return Some(found);
        }
        let known: Vec<&str> = table.iter().filter(|fault| !fault.profile().internal).map(AnyFault::kind).collect();
        let family = kind.split('.').next().unwrap_or_default();
        let related = known.iter().filter(|known| known.split('.').next() == Some(family)).count();
        let lists = match related {
            0 => format!("`chaos faults` lists {}", known.len()),
            _ => format!("`chaos faults {family}` lists {related}"),
        };
        let meant = namesake::in_family(kind, &known).or_else(|| meant(kind, known));
        let hint = meant.map_or(lists.clone(), |meant| format!("did you mean `{meant}`? {lists}"));
        self.problems.error(place, "unknown-fault", format!("unknown fault `{kind}`"), hint);
        // Where the word is all but right, the rest of the step is checked as if it were.
        table.get(meant.filter(|meant| strsim::damerau_levenshtein(meant, kind) <= 2)?)
    }

    fn into(&mut self, set: &str, place: Place, fault: Option<&dyn AnyFault>) {
        if !self.set(set, place) {
            return;
        }
        let vocabulary = self.vocabulary;
        let Some(fault) = fault else { return };
        let takes = fault.profile().takes;
        // A kind of target that does not exist has its own error.
        if let Some(kind) = self.kind_of_set(set).filter(|kind| vocabulary.kinds.get(kind).is_some() && !takes.contains(&kind.as_str())) {
            let fitting = |other: &&dyn AnyFault| other.profile().takes.contains(&kind.as_str()) && !other.profile().internal;
            let fitting: Vec<&str> = vocabulary.faults.iter().filter(fitting).map(AnyFault::kind).collect();
            // Their families: there are dozens of kinds.
            let mut others: Vec<String> = fitting.iter().filter_map(|kind| Some(format!("{}.*", kind.split_once('.')?.0))).collect();
            others.dedup();
            let meant = namesake::elsewhere(fault.kind(), &fitting).map_or_else(String::new, |kind| format!("did you mean `{kind}`? "));
            let message = format!("{} takes {}, and `{set}` is of kind `{kind}`", fault.kind(), takes.join(" or "));
            let hint = (!others.is_empty()).then(|| format!("{meant}into `{kind}` go {}: `chaos faults` lists them", others.join(", ")));
            self.problems.error(place, "wrong-kind", message, hint);
        }
    }

    /// What the set's selector shows of the fault's chances.
    fn suits(&mut self, set: &str, place: Place, fault: Option<&dyn AnyFault>, with: &Json) {
        let Some((fault, kind)) = fault.zip(self.kind_of_set(set)) else { return };
        let node = self.names.targets.iter().find(|known| known.name == set).and_then(|known| known.node.get(&kind));
        let Some(selector) = node.filter(|_| fault.profile().takes.contains(&kind.as_str())).map(walk::free) else { return };
        if let Some(error) = fault.fits(with, &selector) {
            self.problems.error(place, "wrong-kind", error.message, error.hint);
        }
    }

    fn fault_fields(&mut self, node: &Node, fault: Option<&dyn AnyFault>) -> Json {
        let with = node.get("with");
        let Some(fault) = fault else {
            return with.map_or_else(|| Map::new().into(), walk::free);
        };
        let place = node.get("inject").map_or(node.place, |value| value.place);
        let found = Found { family: "fault", kind: fault.kind(), node: with, place };
        let before = self.problems.list.len();
        let fields = self.fields(found, || fault.schema().to_value(), |spec| fault.check(spec));
        self.bandwidth_is_elsewhere(fault.kind(), before);
        fields
    }

    /// Who says how late in bytes may have meant how fast, for which the family has a fault of its own.
    fn bandwidth_is_elsewhere(&mut self, kind: &str, before: usize) {
        let rate = format!("{}.rate", kind.split('.').next().unwrap_or_default());
        if rate == kind || self.vocabulary.faults.get(&rate).is_none() {
            return;
        }
        let mistaken = |message: &str| ["a size", "a rate"].iter().any(|other| message.ends_with(&format!("is a duration, not {other}")));
        for problem in self.problems.list[before..].iter_mut().filter(|problem| mistaken(&problem.message)) {
            let example = problem.hint.take().map_or_else(String::new, |hint| format!("{hint}; "));
            problem.hint = Some(format!("{example}for bandwidth there is `{rate}`"));
        }
    }

    /// `for` against reversibility.
    fn hold_fits(&mut self, node: &Node, kind: &str, reversibility: Option<Reversibility>) {
        let place = node.get("inject").map_or(node.place, |value| value.place);
        let (held, meanwhile) = (node.entry("for"), node.entry("meanwhile"));
        if let (Some(_), Some((key, _))) = (held, meanwhile) {
            let hint = "held for a time, or while other steps run: leave one out".to_owned();
            self.problems.error(key.place, "both-keys", "`for` and `meanwhile` exclude each other", hint);
        }
        match reversibility {
            Some(Reversibility::Irreversible) => {
                for key in ["for", "meanwhile", "ramp"] {
                    if let Some((found, _)) = node.entry(key) {
                        let hint = format!("leave `{key}` out; a `wait: 30s` after it watches what follows");
                        let message = format!("{kind} cannot be taken back, so it has no `{key}`");
                        self.problems.error(found.place, "irreversible", message, hint);
                    }
                }
            }
            Some(_) if held.is_none() && meanwhile.is_none() => {
                let hint = "add `for: 30s`, or `meanwhile:` with steps".to_owned();
                self.problems.error(place, "missing-key", format!("how long shall {kind} be held?"), hint);
            }
            _ => {}
        }
    }

    fn repeat(&mut self, node: &Node, every: Option<Duration>, times: Option<u32>, hold: Option<Duration>) -> Option<Repeat> {
        for (key, other) in [("every", "times"), ("times", "every")] {
            if let (Some((found, _)), None) = (node.entry(key), node.entry(other)) {
                let message = format!("`{key}` needs `{other}`: a repetition has a rhythm and an end");
                self.problems.error(found.place, "missing-key", message, format!("add `{other}: …`"));
            }
        }
        let (key, value) = node.entry("every")?;
        for other in ["meanwhile", "ramp"] {
            if node.get(other).is_some() {
                self.problems.error(key.place, "both-keys", format!("`every` does not go with `{other}`"), None);
            }
        }
        let (every, times) = (every?, times?);
        if let Some(hold) = hold.filter(|hold| *hold >= every) {
            let message = format!("again every {every}, while one is held for {hold}");
            self.problems.error(value.place, "impossible", message, "`for` is shorter than `every`".to_owned());
        }
        Some(Repeat { every, times })
    }

    fn ramp(&mut self, node: &Node, fault: Option<&dyn AnyFault>, with: &Json) -> Option<Ramp> {
        let written: file::Ramp = self.decode(node);
        let (field, over) = (written.field?, written.over?);
        let from = node.get("from")?;
        let Some(fault) = fault else {
            return Some(Ramp { field, from: walk::free(from), over, steps: written.steps.unwrap_or(5) });
        };
        let place = node.get("field").map_or(node.place, |value| value.place);
        let rampable = fault.profile().rampable;
        if !rampable.contains(&field.as_str()) {
            let hint = match rampable {
                [] => "it cannot be adjusted while it acts".to_owned(),
                fields => format!("it can ramp {}", fields.join(", ")),
            };
            self.problems.error(place, "wrong-field", format!("{} cannot ramp `{field}`", fault.kind()), hint);
            return None;
        }
        if with.get(&field).is_none() {
            let hint = format!("say under `with:` what `{field}` ramps up to");
            self.problems.error(place, "missing-key", format!("`{field}` has no value to ramp to"), hint);
        }
        let schema = fault.schema().to_value();
        let from = self.ramp_start(&schema, &field, from, fault.kind())?;
        Some(Ramp { field, from, over, steps: written.steps.unwrap_or(5) })
    }

    /// The start of a ramp is a value of the field that it moves.
    fn ramp_start(&mut self, schema: &Json, field: &str, from: &Node, kind: &str) -> Option<Json> {
        let mut alone = schema.get("properties")?.get(field)?.clone();
        if let (Some(alone), Some(definitions)) = (alone.as_object_mut(), schema.get("$defs")) {
            alone.insert("$defs".into(), definitions.clone());
        }
        walk::single(self.problems, from, &alone, field, Some(kind))
    }
}
