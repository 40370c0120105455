//! Faults whose effect is a file, and which misbehave as they are told: every ordering can be had from them.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of them")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    Scaffold, SecondNet,
};
use chaos_core::target::Target;
use chaos_core::{Table, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A folder is the whole world.
pub struct Folder(());

impl World for Folder {
    type View = ();

    fn view(&self) -> &() {
        &self.0
    }
}

/// All fakes, the mutants among them.
pub fn table() -> Arc<Table> {
    let world = Arc::new(Folder(()));
    Arc::new(
        Table::new()
            .with(FileFault::<0>, &world)
            .with(FileFault::<1>, &world)
            .with(FileFault::<2>, &world)
            .with(FileFault::<3>, &world)
            .with(FileFault::<4>, &world)
            .with(FileFault::<5>, &world),
    )
}

/// Honest: `fake.file`.
pub const FILE: &str = "fake.file";
/// A mutant: its revert does nothing, and its inspection lies about it.
pub const IDLE_REVERT: &str = "mutant.idle_revert";
/// A mutant: the effect is had while preparing, before any intent.
pub const HASTY: &str = "mutant.hasty";
/// Honest, of a later class.
pub const API: &str = "fake.api";
/// Its effect comes by itself, a second after it was asked for and whoever died since: a request to a server.
pub const LATE: &str = "fake.late";
/// The system's own.
pub const SYSTEM: &str = "system.process";

/// What a fake is told.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Spec {
    /// The file that is its effect.
    pub path: PathBuf,
    /// Steps of inject.
    pub steps: u64,
    /// How long each takes.
    pub step_ms: u64,
    /// Goes on whether cancelled or not, as a request sent to a server does.
    pub deaf: bool,
    /// Inject fails, after its effect.
    pub fails: bool,
    /// So many attempts to revert fail.
    pub revert_fails: u64,
    /// How long a revert takes.
    pub revert_ms: u64,
    /// How long an inspection takes while the effect is there.
    pub inspect_ms: u64,
    /// How long preparing takes.
    pub prepare_ms: u64,
    /// Nothing of it can be taken back.
    pub irreversible: bool,
    /// What it claims.
    pub claims: Vec<String>,
    /// What it stands on: a fake scaffold whose effect is this file.
    pub stands_on: Option<Box<Spec>>,
    /// Of a process of the system: where it runs.
    pub folder: PathBuf,
}

/// What a fake needs to be taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Undo {
    spec: Spec,
}

pub struct FileFault<const WHICH: usize>;

impl<const WHICH: usize> Fault for FileFault<WHICH> {
    type World = Folder;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = [FILE, IDLE_REVERT, HASTY, API, SYSTEM, LATE][WHICH];

    fn profile(&self) -> Profile {
        Profile {
            summary: "makes a file",
            about: "",
            example: "",
            takes: &[],
            facets: &[],
            privileges: "none",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::None,
            settle: if Self::KIND == LATE { Duration::from_secs(2) } else { Duration::ZERO },
            revert_budget: Duration::from_millis(100),
            rampable: &[],
            class: [Class::File, Class::File, Class::File, Class::Api, Class::System, Class::Api][WHICH],
            internal: false,
        }
    }

    fn reversibility(&self, spec: &Spec) -> Reversibility {
        if spec.irreversible { Reversibility::Irreversible } else { Reversibility::Exact }
    }

    async fn prepare(&self, spec: &Spec, _: &Target, _: &InjectionId, (): &()) -> Result<Prepared<Undo>, FaultError> {
        let mut spec = spec.clone();
        std::thread::sleep(Duration::from_millis(spec.prepare_ms));
        if Self::KIND == SYSTEM {
            spec.path = spec.folder.join("system");
        }
        if Self::KIND == HASTY {
            effect(&spec)?;
        }
        let claims = spec.claims.clone();
        let mut prepared = Prepared::new(Undo { spec });
        prepared.claims = claims;
        if let Some(base) = &prepared.undo.spec.stands_on {
            let claim = base.path.display().to_string();
            let spec = Spec { claims: vec![claim.clone()], ..(**base).clone() };
            prepared.scaffolds = vec![Scaffold { fault: FILE.into(), spec: spec.json(), claim, label: "the base".into() }];
        }
        Ok(prepared)
    }

    async fn stage(&self, armed: &Armed<Undo>, _: &Folder) -> Result<(), FaultError> {
        log(&armed.undo().spec, "stage")
    }

    async fn inject(&self, armed: Armed<Undo>, _: &Folder) -> Result<Observed, FaultError> {
        let spec = &armed.undo().spec;
        log(spec, "inject")?;
        for _ in 0..spec.steps {
            if armed.cancelled() && !spec.deaf {
                return Err(FaultError::cancelled());
            }
            std::thread::sleep(Duration::from_millis(spec.step_ms));
        }
        if Self::KIND == LATE {
            return late_effect(spec);
        }
        effect(spec)?;
        log(spec, "effect")?;
        if spec.fails {
            return Err(FaultError::new("it broke half-way"));
        }
        Ok(Observed::note("the file stands"))
    }

    async fn adjust(&self, spec: &Spec, undo: &Undo, _: &Folder) -> Result<(), FaultError> {
        log(&undo.spec, &format!("adjust {}", spec.steps))
    }

    async fn inspect(&self, undo: &Undo, (): &()) -> Result<Presence, FaultError> {
        let there = undo.spec.path.exists() && Self::KIND != IDLE_REVERT;
        if there {
            std::thread::sleep(Duration::from_millis(undo.spec.inspect_ms));
        }
        Ok(if there { Presence::whole() } else { Presence::none() })
    }

    async fn revert(&self, undo: &Undo, _: &Folder) -> Result<Reverted, FaultError> {
        log(&undo.spec, "revert")?;
        std::thread::sleep(Duration::from_millis(undo.spec.revert_ms));
        let attempts = read_log(&undo.spec.path).iter().filter(|l| *l == "revert").count() as u64;
        if attempts <= undo.spec.revert_fails {
            return Err(FaultError::new(format!("attempt {attempts} fails")));
        }
        if Self::KIND != IDLE_REVERT {
            let _ = std::fs::remove_file(&undo.spec.path);
        }
        log(&undo.spec, "gone")?;
        Ok(Reverted::note("the file is gone"))
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        vec![format!("rm -f {}", undo.spec.path.display())]
    }
}

fn effect(spec: &Spec) -> Result<(), FaultError> {
    std::fs::write(&spec.path, "harm").map_err(|e| FaultError::new(format!("write {}: {e}", spec.path.display())))
}

/// The answer is never read.
fn late_effect(spec: &Spec) -> Result<Observed, FaultError> {
    let mut server = std::process::Command::new("sh");
    server.arg("-c").arg("sleep 1; : > \"$0\"").arg(&spec.path).stdin(std::process::Stdio::null());
    server.spawn().map_err(|e| FaultError::new(e.to_string()))?;
    log(spec, "effect")?;
    std::thread::sleep(Duration::from_millis(spec.step_ms));
    Err(FaultError::new("no answer came in time"))
}

/// What was done, in order, beside the effect.
fn log(spec: &Spec, line: &str) -> Result<(), FaultError> {
    use std::io::Write;
    let path = spec.path.with_extension("log");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut f| writeln!(f, "{line}")).map_err(|e| FaultError::new(format!("write {}: {e}", path.display())))
}

/// What was done to a path, in order.
pub fn read_log(path: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(path.with_extension("log")).unwrap_or_default().lines().map(str::to_owned).collect()
}

impl Spec {
    /// As it stands in a plan.
    pub fn json(&self) -> Value {
        json!(self)
    }
}
