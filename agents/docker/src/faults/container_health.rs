//! `container.health`: the health check of a container fails, and nothing else does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet,
};
use chaos_core::literal;
use chaos_core::target::{Facet, ProcessId, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check_program::{is_shell, program_of};
use super::subject::{Found, Life, Now, SETTLE, Subject, beyond};
use crate::inside::Inside;
use crate::stamp::{self, quoted};
use crate::world::{Docker, DockerView};

/// Where programs are looked for when nobody says.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Takes away the program that a health check starts.
pub(crate) struct ContainerHealth;

/// Nothing to say.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {}

/// What was covered where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The container.
        at: Subject,
        /// Its first process, whose mounts are meant.
        process: ProcessId,
        /// The program, as a path in there.
        program: PathBuf,
    },
}

impl Fault for ContainerHealth {
    type World = Docker;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "container.health";

    fn profile(&self) -> Profile {
        Profile {
            summary: "makes the health check of a container fail while the container goes on working",
            about: "No engine can be told to change a health check. So the program that the check starts (`curl` of `curl -f localhost || exit 1`, \
                `/app` of `[CMD, /app, health]`) is covered by an empty mount in the container's own mounts: it cannot be run any more, and the \
                engine says `unhealthy` after as many failures in a row as the check allows. The file itself is not touched, what runs already goes on, and \
                nothing is needed in the container. Whatever else in it starts that program fails as well; the plan says which it is.\n\n\
                Taken back exactly, by taking the cover off; the engine says `healthy` again after the next check. It ends by itself when \
                the container is started anew. Refused where the check is done by the shell itself (`test -e …`) or where it cannot be \
                told what it starts, and where the container's processes are not processes of this host.",
            example: "inject: container.health\ninto: replicas\npick: 1\nfor: 3m",
            takes: &["containers"],
            facets: &[Facet::Container, Facet::Process],
            privileges: "access to the engine's socket, and root",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::Stamp,
            settle: SETTLE,
            revert_budget: Duration::from_secs(5),
            rampable: &[],
            class: Class::File,
            internal: false,
        }
    }

    async fn prepare(&self, _: &Spec, target: &Target, id: &InjectionId, view: &DockerView) -> Result<Prepared<Undo>, FaultError> {
        let Found { subject: at, container, .. } = Found::running(target, id, view).await?;
        let refused = |why: String| FaultError::new(format!("the health check of container {} cannot be made to fail: {why}", at.name));
        let process = target.facets.process.ok_or_else(|| refused(beyond(target)))?;
        let program = program_of(&container.health_check).map_err(|why| {
            refused(why)
                .hint("`file.corrupt` damages a file that it reads; `net.partition` on the interface lo cuts off a port that it asks")
        })?;
        let inside = entered(&at, process)?.ok_or_else(|| FaultError::gone(format!("container {} has ended", at.name)))?;
        let file = found(&inside, process, &program).ok_or_else(|| refused(format!("there is no program `{program}` in it")))?;
        // Programs of one file: busybox with its many names.
        if file.file_name().is_some_and(|name| is_shell(&name.to_string_lossy()))
            || inside.resolved(Path::new("/bin/sh")).ok().as_ref() == Some(&file)
        {
            return Err(refused(format!("`{program}` is the file {}, which everything in it is run by", file.display())));
        }
        if inside.is_covered(&file).map_err(|e| looked(&at, &e))? {
            return Err(refused(format!("something is mounted over {} already", file.display())));
        }
        let claim = at.claim();
        let note = format!("whatever else in container {} starts {} fails as well", at.name, file.display());
        let after = literal::Duration::from(container.unhealthy_after);
        Ok(Prepared::new(Undo::V1 { at, process, program: file })
            .claim(claim)
            .note(note)
            .note(format!("the engine says `unhealthy` after about {after}, when its check has failed often enough")))
    }

    async fn stage(&self, armed: &Armed<Undo>, world: &Docker) -> Result<(), FaultError> {
        let Undo::V1 { at, .. } = armed.undo();
        stamp::put(&at.engine_of(world).await?, armed.id(), Self::KIND, armed.undo()).await
    }

    async fn inject(&self, armed: Armed<Undo>, _: &Docker) -> Result<Observed, FaultError> {
        let Undo::V1 { at, process, program } = armed.undo();
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        let inside = entered(at, *process)?.ok_or_else(|| FaultError::gone(format!("container {} has ended", at.name)))?;
        inside
            .cover(program)
            .map_err(|e| FaultError::new(format!("mount over {} in container {}: {e}", program.display(), at.name)).hint("run as root"))?;
        Ok(Observed::note(format!("{} cannot be run any more", program.display())))
    }

    async fn inspect(&self, undo: &Undo, view: &DockerView) -> Result<Presence, FaultError> {
        let Undo::V1 { at, process, program } = undo;
        let now = match at.now(&at.engine(view).await?).await? {
            Now::Here(now) => now,
            Now::Gone(finding) => return Ok(Presence::none().finding(finding)),
        };
        let Some(inside) = entered(at, *process)? else {
            let finding = if at.life(&now) == Life::Up { "cannot be looked into" } else { "has ended, and its mounts with it" };
            return Ok(Presence::none().finding(format!("container {} {finding}", at.name)));
        };
        if !inside.is_covered(program).map_err(|e| looked(at, &e))? {
            return Ok(Presence::none().finding(format!("nothing is mounted over {} in container {}", program.display(), at.name)));
        }
        Ok(Presence::whole().met(Met::times(now.failing_streak)))
    }

    async fn revert(&self, undo: &Undo, world: &Docker) -> Result<Reverted, FaultError> {
        let Undo::V1 { at, process, program } = undo;
        let mut notes = Vec::new();
        if let Some(inside) = entered(at, *process)?
            && inside
                .uncover(program)
                .map_err(|e| FaultError::new(format!("unmount {} in container {}: {e}", program.display(), at.name)))?
        {
            notes.push(format!("{} can be run again", program.display()));
        }
        at.clear(&at.engine_of(world).await?).await?;
        Ok(Reverted { notes, ..Reverted::default() })
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { at, process, program } = undo;
        let file = quoted(&program.to_string_lossy());
        let is_its = format!("grep -q {} /proc/{}/cgroup", at.id, process.pid);
        vec![format!("{is_its} && nsenter --target {} --mount umount {file}", process.pid), at.clear_command()]
    }
}

fn entered(at: &Subject, process: ProcessId) -> Result<Option<Inside>, FaultError> {
    Inside::of(process, &at.id).map_err(|e| looked(at, &e))
}

fn looked(at: &Subject, e: &std::io::Error) -> FaultError {
    FaultError::new(format!("look into container {}: {e}", at.name)).hint("run as root")
}

/// The file that a program is, links followed.
fn found(inside: &Inside, process: ProcessId, program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return inside.resolved(Path::new(program)).ok();
    }
    let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
    let path = environment.split(|b| *b == 0).find_map(|word| word.strip_prefix(b"PATH="));
    let path = path.map_or_else(|| USUAL_PATH.to_owned(), |path| String::from_utf8_lossy(path).into_owned());
    path.split(':').find_map(|folder| inside.resolved(&Path::new(folder).join(program)).ok())
}
