//! Containers to harm, and what is seen of them by other means.
#![allow(dead_code, reason = "each test uses some of them")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::conformance::{Scene, arm};
use chaos_core::fault::{InPlace, InjectionId, Prepared, Presence, Reverted, UndoJson};
use chaos_core::target::{ContainerFacet, Facets, Identity, ProcessId, Target};
use chaos_core::{AnyFault, Table};
use chaos_docker::{Docker, faults};
use chaos_testbed::{Engine, EngineTwin};
use serde_json::Value;

/// Nothing takes so long but what never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A container of a test's own. It goes with its scene.
pub(crate) struct Contained<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) id: String,
    pub(crate) name: String,
}

impl<'a> Contained<'a> {
    /// Runs busybox with these options, and this as its program.
    pub(crate) fn run(engine: &'a Engine, options: &[&str], program: &[&str]) -> Self {
        Self::of_image(engine, options, Engine::BUSYBOX, program)
    }

    pub(crate) fn of_image(engine: &'a Engine, options: &[&str], image: &str, program: &[&str]) -> Self {
        let name = Engine::unique("contained");
        let words = [&["run", "--detach", "--name", &name][..], options, &[image], program].concat();
        let id = engine.docker(&words);
        Self { engine, id, name }
    }

    /// One that sleeps.
    pub(crate) fn sleeping(engine: &'a Engine, options: &[&str]) -> Self {
        Self::run(engine, options, &["sleep", "600"])
    }

    /// What a template of `docker inspect` gives.
    pub(crate) fn says(&self, template: &str) -> String {
        self.engine.try_docker(&["inspect", "--format", template, &self.id]).unwrap_or_else(|_| "gone".into())
    }

    pub(crate) fn status(&self) -> String {
        self.says("{{.State.Status}}")
    }

    /// Waits until it says so.
    #[track_caller]
    pub(crate) fn until(&self, template: &str, wanted: &str) {
        let since = Instant::now();
        loop {
            let now = self.says(template);
            if now == wanted {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{template} is {now}, never {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As a target, with its process, for that is one of this host.
    pub(crate) fn target(&self) -> Target {
        let mut target = self.remote();
        target.facets.process = self.says("{{.State.Pid}}").parse().ok().and_then(process);
        target
    }

    /// As a target whose engine is on another host.
    pub(crate) fn remote(&self) -> Target {
        let facet = ContainerFacet { engine: self.engine.endpoint(), id: self.id.clone(), name: self.name.clone(), beyond: None };
        Target {
            identity: Identity(format!("container:{}", self.id)),
            label: self.name.clone(),
            place: "here".into(),
            order: self.name.clone(),
            healthy: true,
            started: 0,
            groups: std::collections::BTreeMap::default(),
            facets: Facets { container: Some(facet), ..Facets::default() },
        }
    }

    /// As a scene: everything that the engine says of all it has is compared, but for these fields.
    pub(crate) fn scene(self, spec: Value, lost: &'static [&'static str]) -> Scene
    where
        'a: 'static,
    {
        let engine = self.engine;
        let before = EngineTwin::of(engine);
        let look = move || before.differences(&EngineTwin::of(engine), lost).join("\n");
        Scene { target: self.target(), spec, look: Box::new(look), keep: Box::new(self) }
    }
}

impl Drop for Contained<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.id]);
    }
}

fn process(pid: i32) -> Option<ProcessId> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let start_ticks = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    Some(ProcessId { pid, start_ticks })
}

/// The table, on this engine.
pub(crate) fn table(engine: &Engine) -> Table {
    faults(&Arc::new(Docker::with_host(&engine.endpoint())))
}

/// One injection, step by step.
pub(crate) struct Injection<'t> {
    pub(crate) fault: &'t dyn AnyFault,
    pub(crate) id: InjectionId,
    pub(crate) prepared: Prepared<UndoJson>,
}

impl<'t> Injection<'t> {
    pub(crate) async fn prepared(table: &'t Table, kind: &str, spec: &Value, target: &Target) -> Self {
        let fault = table.get(kind).expect("the fault");
        let id = InjectionId { run: Engine::unique("run"), slot: "1.0.0".into() };
        let prepared = fault.prepare(spec, target, &id).await.unwrap_or_else(|e| panic!("{kind}: {e}"));
        Self { fault, id, prepared }
    }

    /// In force.
    pub(crate) async fn injected(table: &'t Table, kind: &str, spec: &Value, target: &Target) -> Self {
        let it = Self::prepared(table, kind, spec, target).await;
        let armed = || arm(it.id.clone(), it.prepared.undo.clone());
        it.fault.stage(&armed()).await.unwrap_or_else(|e| panic!("{kind}: stage: {e}"));
        it.fault.inject(armed()).await.unwrap_or_else(|e| panic!("{kind}: inject: {e}"));
        assert_eq!(it.presence().await.in_place, InPlace::Whole, "{kind}");
        it
    }

    pub(crate) async fn presence(&self) -> Presence {
        self.fault.inspect(&self.prepared.undo).await.unwrap_or_else(|e| panic!("inspect: {e}"))
    }

    /// Taken back, twice, with nothing of it left.
    pub(crate) async fn reverted(&self) -> Reverted {
        let reverted = self.fault.revert(&self.prepared.undo).await.unwrap_or_else(|e| panic!("revert: {e}"));
        let presence = self.presence().await;
        assert_eq!(presence.in_place, InPlace::None, "{presence:?}");
        let again = self.fault.revert(&self.prepared.undo).await.unwrap_or_else(|e| panic!("revert again: {e}"));
        assert!(again.notes.iter().all(|n| !n.starts_with("started") && !n.starts_with("connected")), "{again:?}");
        reverted
    }

    /// Is its stamp in the engine?
    pub(crate) fn is_stamped(&self, engine: &Engine) -> bool {
        engine.docker(&["volume", "ls", "--quiet"]).lines().any(|name| name == self.id.tag())
    }
}

/// One whose health is checked each second by a program of its own, and is at its first word.
pub(crate) fn checked(engine: &Engine) -> Contained<'_> {
    let makes_its_check = "printf '#!/bin/sh\\nexit 0\\n' >/check; chmod +x /check; exec sleep 600";
    let options = ["--health-cmd", "/check || exit 1", "--health-interval", "1s", "--health-retries", "1"];
    Contained::run(engine, &options, &["sh", "-c", makes_its_check])
}
