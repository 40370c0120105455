//! A run on a stage: a script of what users get, faults that come and go, and the events that such a run would write.

use std::time::Duration;

use chaos_core::clock::{Mono, Wall};
use chaos_core::event::{Event, HostId, InjectionState, Phase, RECORD_VERSION, Source, Started, What};
use chaos_core::experiment::Experiment;
use chaos_core::fault::{Grade, Presence, Reach, Reversibility};
use chaos_core::plan::{Plan, PlannedInjection};
use chaos_core::sample::{Asked, Outcome, Sample, SampleBatch};
use chaos_core::target::{Facets, Identity, Target};
use serde_json::{Value, json};

use crate::judge::{Record, Verdict, judge};

/// Second 0 of the run on the monotonic clock.
pub(crate) const ZERO: Mono = Mono(1_000_000_000_000);

/// A moment of the run.
pub(crate) fn at(seconds: f64) -> Mono {
    ZERO.plus(Duration::from_secs_f64(seconds))
}

/// An answer `took` milliseconds after it was due.
pub(crate) fn sample(due: f64, took_ms: u64, outcome: Outcome) -> Sample {
    Sample { due: at(due), lag_us: 0, took_us: u32::try_from(took_ms * 1_000).unwrap(), outcome }
}

pub(crate) fn batch(rows: Vec<Sample>) -> SampleBatch {
    SampleBatch { hypothesis: 0, asked: Asked::Users, rows, reasons: vec![(0, "status 502".into())], values: vec![] }
}

pub(crate) fn target(label: &str) -> Target {
    Target {
        identity: Identity(format!("process:{label}")),
        label: label.into(),
        place: "here".into(),
        order: label.into(),
        healthy: true,
        started: 1,
        groups: Default::default(),
        facets: Facets::default(),
    }
}

pub(crate) fn experiment(hypotheses: Value, method: Value) -> Experiment {
    let mut hypotheses = hypotheses;
    for h in hypotheses.as_array_mut().unwrap() {
        for question in [Some("question"), h.get("health").map(|_| "health")].into_iter().flatten() {
            let q = match question {
                "health" => &mut h["health"]["question"],
                _ => &mut h["question"],
            };
            for (key, value) in [
                ("probe", json!("http")),
                ("with", json!({"get": "http://127.0.0.1:8080/"})),
                ("at", json!("here")),
                ("good", json!("status == 200")),
                ("every", json!("20ms")),
                ("timeout", json!("300ms")),
            ] {
                if q.get(key).is_none() {
                    q[key] = value;
                }
            }
        }
    }
    serde_json::from_value(json!({
        "slug": "frozen-replica",
        "title": "One frozen replica of three costs users at most four seconds",
        "file": "experiments/frozen-replica.yaml",
        "folder": "experiments",
        "hypotheses": hypotheses,
        "targets": [{"name": "replicas", "kind": "processes", "selector": {"listening_on": "8001-8003"}, "at": "here", "expect": 3}],
        "blast_radius": {"duration": "1m", "targets": [{"set": "replicas", "at_most": 1, "leave": 2}]},
        "method": method,
    }))
    .unwrap()
}

pub(crate) fn freeze_step() -> Value {
    json!([{"path": "method[0]", "action": {"inject": {"fault": "process.pause", "into": "replicas", "with": {},
        "pick": {"amount": {"count": 1}}, "hold": {"for": "10s"}}}}])
}

/// One hypothesis, `ranking answers`, with these parts.
pub(crate) fn ranking(parts: Value) -> Experiment {
    let mut h = json!({"name": "ranking answers", "question": {}, "baseline": {"objectives": [{"metric": "success", "must": ">= 99%"}], "for": "5s"}});
    for (key, value) in parts.as_object().unwrap() {
        h[key] = value.clone();
    }
    experiment(json!([h]), freeze_step())
}

pub(crate) fn planned(slot: &str, fault: &str, label: &str) -> PlannedInjection {
    PlannedInjection {
        slot: slot.into(),
        step: "method[0]".into(),
        fault: fault.into(),
        with: json!({}),
        set: "replicas".into(),
        target: target(label),
        at: Duration::ZERO.into(),
        hold: Some(Duration::from_secs(10).into()),
        grade: Grade::Leased,
        reversibility: Reversibility::Exact,
        reach: Reach::Target,
        revert_budget: Duration::from_secs(1).into(),
        latent: false,
        second_net: "none".into(),
        notes: vec![],
        undo: vec!["kill -CONT 4711".into()],
        bystanders: Default::default(),
    }
}

/// A run: baseline from 0 to 5 s, one fault in force from 5 to 15 s, observed until 25 s. Change what you need.
pub(crate) struct Staged {
    pub(crate) experiment: Experiment,
    pub(crate) planned: Vec<PlannedInjection>,
    pub(crate) events: Vec<(f64, Source, What)>,
    pub(crate) finished: bool,
}

impl Staged {
    /// A frozen replica. `users` says for each due time how the request ends, and after how many milliseconds.
    pub(crate) fn frozen(experiment: Experiment, users: impl Fn(usize, f64) -> (u64, Outcome)) -> Self {
        let mut run = Self::bare(experiment, users);
        run.fault("0.0.0", 5.0, 15.0);
        run
    }

    /// Without any injection.
    pub(crate) fn bare(experiment: Experiment, users: impl Fn(usize, f64) -> (u64, Outcome)) -> Self {
        let mut run = Self { experiment, planned: vec![], events: vec![], finished: true };
        for (time, phase) in [(0.0, Phase::Baseline), (4.99, Phase::Method), (15.05, Phase::Verify)] {
            run.say(time, What::Phase(phase));
        }
        run.say(4.98, What::Baseline { met: true, missed: vec![] });
        run.samples(Asked::Users, 0.02, 25.0, users);
        run
    }

    pub(crate) fn say(&mut self, time: f64, what: What) {
        self.events.push((time, Source::Coordinator, what));
    }

    pub(crate) fn samples(&mut self, asked: Asked, every: f64, until: f64, script: impl Fn(usize, f64) -> (u64, Outcome)) {
        let mut i = 0_u32;
        while f64::from(i) * every < until {
            let due = f64::from(i) * every;
            let (took, outcome) = script(i as usize, due);
            let mut batch = batch(vec![sample(due, took, outcome)]);
            batch.asked = asked;
            self.say(due, What::Samples(batch));
            i += 1;
        }
    }

    pub(crate) fn state(&mut self, time: f64, slot: &str, state: InjectionState) {
        self.events.push((time, Source::Executor, What::Injection { slot: slot.into(), state }));
    }

    /// A fault on replica 8001 that is seen in place at `from`, then once a second, and taken back at `to`.
    pub(crate) fn fault(&mut self, slot: &str, from: f64, to: f64) {
        self.planned.push(planned(slot, "process.pause", "replica 8001 (pid 4711)"));
        let target = Box::new(target("replica 8001 (pid 4711)"));
        self.state(from - 0.004, slot, InjectionState::Granted(target.clone()));
        let undo = vec!["kill -CONT 4711".into()];
        self.state(from - 0.003, slot, InjectionState::Intended { target, undo });
        self.state(from - 0.001, slot, InjectionState::Injected { notes: vec!["4 threads stopped".into()] });
        let mut seen = from;
        while seen < to {
            self.state(seen, slot, InjectionState::Present(Presence::whole()));
            seen += 1.0;
        }
        let because = "held for 10s".into();
        self.state(to, slot, InjectionState::RevertAsked { because });
        self.state(to + 0.002, slot, InjectionState::Reverted { notes: vec!["continued".into()], met: None });
    }

    pub(crate) fn events(mut self) -> Vec<Event> {
        let plan = Plan {
            run: "01J".into(),
            experiment: self.experiment.slug.clone(),
            seed: 7,
            injections: std::mem::take(&mut self.planned),
            not_drawn: vec![],
            populations: vec![],
            at_once: 1,
            lasts_at_most: Duration::from_secs(60).into(),
            notes: vec![],
        };
        self.events.push((0.0, Source::Coordinator, What::Planned(Box::new(plan))));
        let end = self.events.iter().map(|e| e.0).fold(0.0, f64::max);
        if self.finished {
            self.say(end + 0.01, What::Finished { exit: 0, wall: Wall(1_795_000_025_000) });
        }
        self.events.sort_by(|a, b| a.0.total_cmp(&b.0));
        let started = What::Started(Box::new(Started {
            record: RECORD_VERSION,
            chaos: "0.1.0".into(),
            run: "01J".into(),
            experiment: self.experiment,
            seed: 7,
            host: HostId { name: "host".into(), machine: "m".into(), boot: "b".into(), pid_namespace: 1, namespace_began: 0 },
            wall: Wall(1_795_000_000_000),
            user: "root".into(),
        }));
        std::iter::once((0.0, Source::Coordinator, started))
            .chain(self.events)
            .zip(0..)
            .map(|((time, from, what), seq)| Event { seq, at: at(time), from, what })
            .collect()
    }

    pub(crate) fn record(self) -> Record {
        Record::from_events(self.events()).unwrap()
    }

    pub(crate) fn verdict(self) -> Verdict {
        judge(&self.record())
    }
}

/// Always well, in 5 ms.
pub(crate) fn well(_: usize, _: f64) -> (u64, Outcome) {
    (5, Outcome::Good)
}

/// Every third request times out while `from <= due < to`: one of three replicas is frozen.
pub(crate) fn third_fails(from: f64, to: f64) -> impl Fn(usize, f64) -> (u64, Outcome) {
    move |i, due| {
        if i % 3 == 0 && from <= due && due < to { (300, Outcome::TimedOut) } else { (5, Outcome::Good) }
    }
}

/// Every request is refused while `from <= due < to`.
pub(crate) fn all_fail(from: f64, to: f64) -> impl Fn(usize, f64) -> (u64, Outcome) {
    move |_, due| {
        if from <= due && due < to { (1, Outcome::Bad(0)) } else { (5, Outcome::Good) }
    }
}
