//! `system.process`: a process of the experiment's own `system:`, started before the baseline and stopped after everything else.
//!
//! It is an injection like any other, so that the journal knows it and recovery stops it (RULES 39).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use chaos_core::World;
use chaos_core::clock::Boot;
use chaos_core::experiment::SystemProcess;
use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet,
};
use chaos_core::literal;
use chaos_core::secret::Secrets;
use chaos_core::target::Target;
use rustix::process::getppid;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::failed;
use crate::helper::Helper;
use crate::process::{Ending, Snapshot, brand_of, end, living};
use crate::spawn::{Launch, Spawner};
use crate::system::StartAgain;
use crate::world::{Host, HostView};

/// Runs a process of `system:`.
pub(crate) struct SystemProcessFault;

/// As the experiment says it; not for people to write under `with:`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Spec(pub(crate) SystemProcess);

impl JsonSchema for Spec {
    fn schema_name() -> Cow<'static, str> {
        "SystemProcess".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

/// What to start, and by what it is known afterwards. Secrets stand in it as `$(name)`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1(Start),
}

/// A process to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    /// In the environment of it and everything it starts: `CHAOS_TAG`.
    pub(crate) tag: String,
    /// `CHAOS_RUN`.
    pub(crate) run: String,
    /// `CHAOS_SYSTEM`.
    pub(crate) name: String,
    /// The command's words.
    pub(crate) words: Vec<String>,
    /// Added to the environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it runs.
    pub(crate) folder: PathBuf,
    /// Where its output goes.
    pub(crate) log: PathBuf,
    /// Started again so long after it died.
    pub(crate) restart_after: Option<literal::Duration>,
    /// Between SIGTERM and SIGKILL.
    pub(crate) stop_grace: literal::Duration,
}

impl Fault for SystemProcessFault {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "system.process";

    fn profile(&self) -> Profile {
        Profile {
            summary: "a process of the experiment's own system",
            about: "Started in a session of its own, with the run's tag in its environment, and a brand in a limit that nothing uses, by \
                which it and everything that it starts is found again, whatever it does to its title, user or environment. Stopped last of all: SIGTERM, `stop_grace`, SIGKILL, until two looks find nobody. Should executor and coordinator \
                both be killed, a helper that waits for nothing else stops it.",
            example: "system:\n  api: {run: ./api --port 8080, restart_after: 500ms}",
            takes: &[],
            facets: &[],
            privileges: "none",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::UntilReboot,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(15),
            rampable: &[],
            class: Class::System,
            internal: true,
        }
    }

    async fn prepare(&self, spec: &Spec, _: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let process = &spec.0;
        if process.run.is_empty() {
            return Err(FaultError::new(format!("start `{}`: the command is empty", process.name)));
        }
        if !process.folder.is_dir() {
            return Err(FaultError::new(format!("start `{}`: there is no folder {}", process.name, process.folder.display())));
        }
        let start = Start {
            tag: id.tag(),
            run: id.run.clone(),
            name: process.name.clone(),
            words: process.run.clone(),
            env: process.env.clone(),
            folder: process.folder.clone(),
            log: process.log_path(&view.logs()),
            restart_after: process.restart_after,
            stop_grace: process.stop_grace,
        };
        Ok(Prepared::new(Undo::V1(start)))
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1(start) = armed.undo();
        let (secrets, program) = (world.secrets(), world.view().program().to_owned());
        // First, so that there is no moment in which nobody would end it.
        start.keep(armed.deadline(), world).map_err(|e| failed("start the helper that ends the system when nobody else is left", &e))?;
        let child = start.launch(&world.spawner, &secrets, &program).map_err(|e| cannot_start(start, &e))?;
        let pid = child.id();
        let again = start.restart_after.map(|after| {
            let (start, spawner) = (start.clone(), world.spawner.clone());
            let launch_again = move || start.launch(&spawner, &secrets, &program);
            (after.into(), Box::new(launch_again) as StartAgain)
        });
        world.systems.watch(&start.tag, &start.name, child, again);
        Ok(Observed::note(format!("started `{}` (pid {pid}), its output in {}", start.name, start.log.display())))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1(start) = undo;
        let living = living(&start.tag).map_err(|e| failed(&format!("look for `{}`", start.name), &e))?;
        Ok(if living.is_empty() { Presence::none().finding(format!("`{}` does not run", start.name)) } else { Presence::whole() })
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1(start) = undo;
        let wrong = |e: std::io::Error| failed(&format!("stop `{}`", start.name), &e);
        world.systems.stop(&start.tag);
        let ending = end(&start.tag, start.stop_grace.into()).map_err(wrong)?;
        world.end_helpers(&start.keeper()).map_err(wrong)?;
        world.systems.stopped(&start.tag);
        Ok(match ending {
            Ending::Nobody => Reverted::default(),
            Ending::Asked => Reverted::note(format!("`{}` ended as it was asked to", start.name)),
            Ending::Killed => Reverted::note(format!("`{}` was killed: it did not end within {}", start.name, start.stop_grace)),
        })
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1(start) = undo;
        let brand = brand_of(&start.tag);
        vec![format!("grep -ls '^Max realtime timeout  *{brand} ' /proc/[0-9]*/limits | cut -d/ -f3 | xargs -r kill")]
    }
}

impl Start {
    fn launch(&self, spawner: &Spawner, secrets: &Secrets, chaos: &Path) -> std::io::Result<Child> {
        let mut words = self.words.iter().map(|w| secrets.fill(w));
        let first = PathBuf::from(words.next().unwrap_or_default());
        let mut env: Vec<(&str, String)> = self.env.iter().map(|(k, v)| (k.as_str(), secrets.fill(v))).collect();
        env.extend([("CHAOS_TAG", self.tag.clone()), ("CHAOS_RUN", self.run.clone()), ("CHAOS_SYSTEM", self.name.clone())]);
        spawner.launch(Launch {
            tag: &self.tag,
            program: if first == Path::new("chaos") { chaos } else { &first },
            arguments: words.collect(),
            env,
            folder: &self.folder,
            log: &self.log,
        })
    }

    /// The tag of the helper that ends it when nobody else is left to do so.
    fn keeper(&self) -> String {
        format!("{}-keeper", self.tag)
    }

    /// Starts that helper.
    fn keep(&self, deadline: Boot, world: &Host) -> std::io::Result<()> {
        // The coordinator is who started this executor. Where that is pid 1, the helper waits for nobody.
        let coordinator = getppid().map(|pid| pid.as_raw_nonzero().get()).filter(|pid| *pid != 1);
        let began = coordinator.and_then(|pid| Snapshot::take().ok()?.by_pid(pid).map(|e| e.id.start_ticks));
        let more = vec![
            ("of", self.tag.clone().into()),
            ("grace", Duration::from(self.stop_grace).as_millis().to_string().into()),
            ("coordinator", coordinator.unwrap_or(0).to_string().into()),
            ("began", began.unwrap_or(0).to_string().into()),
        ];
        world.start_helper(&Helper { kind: "keep", tag: &self.keeper(), run: &self.run, deadline, more })
    }
}

fn cannot_start(start: &Start, error: &std::io::Error) -> FaultError {
    let word = start.words.first().map_or("", String::as_str);
    let failed = FaultError::new(format!("start `{}` (`{word}` in {}): {error}", start.name, start.folder.display()));
    match error.kind() {
        std::io::ErrorKind::NotFound => failed.hint(format!("is `{word}` built, and on the PATH or beside the experiment?")),
        std::io::ErrorKind::PermissionDenied => failed.hint(format!("may `{word}` be executed, and its log be written?")),
        _ => failed,
    }
}
