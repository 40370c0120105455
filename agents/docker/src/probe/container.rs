//! `container`: how many of a set of containers run and are well, and how they ended.

use std::sync::{Mutex, PoisonError};

use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::target::ContainerFacet;
use chaos_core::value::{FieldType, FieldValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::container::Container;
use crate::engine::{Engine, EngineError, Failing, Fate};
use crate::world::DockerView;

/// How many containers are looked at at once.
const AT_ONCE: usize = 16;

/// The `container` probe.
pub(super) struct ContainerProbe(pub(super) DockerView);

/// Nothing: the set in `of:` says it all.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerSpec {}

impl Probe for ContainerProbe {
    type Spec = ContainerSpec;
    type Client = ContainerClient;
    const KIND: &'static str = "container";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "counts the running and the healthy containers of a target set, their restarts and how they ended",
            about: "Asks the engine about each container that `of` found. One that was removed counts as not running; when another bears its \
                    name since (`docker compose up` makes it anew), that one takes its place. A paused container runs, as far as its engine is \
                    concerned, and is not healthy. The engine looks at a container's health check as often as the container says, so `healthy` \
                    is as fresh as that.",
            example: "probe: container\nof: replicas\ngood: healthy == total\n",
            fields: &[
                ProbeField { name: "running", is: FieldType::Number, about: "How many run, paused ones included." },
                ProbeField {
                    name: "healthy",
                    is: FieldType::Number,
                    about: "How many run, are not paused, and have passed their health check, where they have one.",
                },
                ProbeField { name: "total", is: FieldType::Number, about: "How many the set has." },
                ProbeField {
                    name: "restarts",
                    is: FieldType::Number,
                    about: "How often one was started again or made anew since the questions began.",
                },
                ProbeField {
                    name: "oom_killed",
                    is: FieldType::Number,
                    about: "How many the kernel killed for want of memory, the last time they ended.",
                },
                ProbeField {
                    name: "exit_code",
                    is: FieldType::Number,
                    about: "The greatest exit code among those that do not run (137: killed); 0 while all run.",
                },
            ],
            good: None,
            of: &["containers"],
        }
    }

    async fn open(&self, _: ContainerSpec, asking: &Asking) -> Result<ContainerClient, ProbeError> {
        let facets: Option<Vec<ContainerFacet>> = asking.targets.iter().map(|t| t.facets.container.clone()).collect();
        let facets = facets.filter(|f| !f.is_empty()).ok_or_else(|| ProbeError {
            message: "a container probe looks at a set of containers".into(),
            hint: Some("name one: `of: replicas`".into()),
        })?;
        let mut members = Vec::new();
        for facet in facets {
            let engine = self.0.engine(&facet.engine).await?;
            members.push(Member { engine, id: facet.id, name: facet.name, started_at: None });
        }
        let client = ContainerClient(Mutex::new(Census { members, restarts: 0 }));
        // What was restarted before the first question is none of its restarts.
        client.look().await?;
        Ok(client)
    }

    async fn ask(client: &ContainerClient) -> Result<Answer, NoAnswer> {
        let (found, restarts) = client.look().await?;
        Ok(answer(&found, restarts))
    }
}

/// What is to be said of these, `None` being one that is not there.
fn answer(found: &[Option<Container>], restarts: u32) -> Answer {
    let there: Vec<&Container> = found.iter().flatten().collect();
    let count = |is: &dyn Fn(&Container) -> bool| number(there.iter().filter(|c| is(c)).count());
    let codes = there.iter().filter(|c| !c.is_up()).map(|c| i32::try_from(c.exit_code).unwrap_or(i32::MAX));
    Answer::new()
        .with("running", count(&Container::is_up))
        .with("healthy", count(&Container::is_well))
        .with("total", number(found.len()))
        .with("restarts", FieldValue::Number(restarts.into()))
        .with("oom_killed", count(&|c| c.oom_killed))
        .with("exit_code", FieldValue::Number(codes.max().unwrap_or_default().into()))
}

fn number(n: usize) -> FieldValue {
    FieldValue::Number(f64::from(u32::try_from(n).unwrap_or(u32::MAX)))
}

/// A `container` question that is ready to be asked.
pub(super) struct ContainerClient(Mutex<Census>);

struct Census {
    members: Vec<Member>,
    restarts: u32,
}

#[derive(Clone)]
struct Member {
    engine: Engine,
    id: String,
    name: String,
    /// When it was last started, as seen last.
    started_at: Option<String>,
}

impl ContainerClient {
    /// Every member as it is now, and the restarts so far. No lock is held while the engine is asked.
    async fn look(&self) -> Result<(Vec<Option<Container>>, u32), EngineError> {
        let members = self.0.lock().unwrap_or_else(PoisonError::into_inner).members.clone();
        let mut found = vec![None; members.len()];
        let mut asking = JoinSet::new();
        let mut members = members.into_iter().enumerate();
        for (place, member) in members.by_ref().take(AT_ONCE) {
            asking.spawn(fate(place, member));
        }
        while let Some(ended) = asking.join_next().await {
            let (place, fate) = ended.map_err(|e| EngineError::new(Failing::Unreadable, format!("look at containers: {e}")))?;
            found[place] = match fate? {
                Fate::Exists(now) | Fate::Recreated(now) => Some(*now),
                Fate::Removed => None,
            };
            if let Some((place, member)) = members.next() {
                asking.spawn(self::fate(place, member));
            }
        }
        let mut census = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, now) in found.iter().enumerate() {
            if let Some(now) = now {
                census.seen(place, now);
            }
        }
        Ok((found, census.restarts))
    }
}

async fn fate(place: usize, member: Member) -> (usize, Result<Fate, EngineError>) {
    (place, member.engine.fate(&member.id, &member.name).await)
}

impl Census {
    /// A start that was not seen before is a restart, but for the first that is seen at all. Two questions may be in flight, and the later
    /// be answered first: a start older than one that was seen already is nothing new.
    fn seen(&mut self, place: usize, now: &Container) {
        let member = &mut self.members[place];
        let is_new = member.started_at.as_ref().is_some_and(|before| now.is_up() && *before < now.started_at);
        if member.started_at.is_none() || is_new {
            member.started_at = Some(now.started_at.clone());
            member.id.clone_from(&now.id);
            self.restarts += u32::from(is_new);
        }
    }
}
