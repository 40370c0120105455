//! What can be harmed: targets, their identity and facets, and the kinds that find them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod kind;

pub use kind::{AnyTargetKind, TargetKind, TargetKindProfile, TargetKindTable};

/// A process that cannot be mistaken for another: its pid and when it started.
///
/// A pid alone is reused; together with the start time, in clock ticks since boot, it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ProcessId {
    /// The pid in the executor's pid namespace.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    pub start_ticks: u64,
}

impl std::fmt::Display for ProcessId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.pid, self.start_ticks)
    }
}

/// The canonical name of one thing, whatever it was found by: `process:123@456`, `file:/srv/m/ranker.bin`.
///
/// Two target sets that find the same thing give the same identity, so it is counted once (RULES 25).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Identity(pub String);

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One resolved thing that can be harmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What it is, once and for all.
    pub identity: Identity,
    /// What a person calls it: `chaos demo replica --port 8001 (pid 4711)`.
    pub label: String,
    /// The place it lives at; `here` for this host.
    pub place: String,
    /// Sort key that is the same in the same world: never a pid (RULES 24).
    pub order: String,
    /// Is it well right now? Only well members are counted by `leave`.
    pub healthy: bool,
    /// When it began to exist, in a unit that only orders (`oldest`, `newest`).
    pub started: u64,
    /// The group it belongs to, by kind of group: `zone`, `place`, `node`, `owner`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, String>,
    /// What a fault can take hold of.
    pub facets: Facets,
}

impl Target {
    /// Whoever harms this, harms the other too, and is counted so (RULES 25): they are one thing, or one is a container and the other lies
    /// in it, by what its own control group says. Two parts of one container are two things.
    #[must_use]
    pub fn is_harmed_with(&self, other: &Self) -> bool {
        self.identity == other.identity || self.lies_in(other) || other.lies_in(self)
    }

    /// Is the other a container, and this something in it?
    #[must_use]
    pub fn lies_in(&self, other: &Self) -> bool {
        let (Some(container), Some(cgroup)) = (&other.facets.container, &self.facets.cgroup) else { return false };
        // The id has 256 random bits: where it stands in a path, it is meant.
        self.identity != other.identity && !container.id.is_empty() && cgroup.contains(&container.id)
    }
}

/// The handles that a target offers to faults. Absent means: does not exist, so a fault that needs it is refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Facets {
    /// The process itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessId>,
    /// The whole tree (the process first) where its children are meant too, those born later included; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tree: Vec<ProcessId>,
    /// Its control group, as the path inside the hierarchy (`/system.slice/x.service`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// A file or directory, as this host's executor reaches it; with a process beside it, as that process sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// TCP ports it listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<u16>,
    /// Its network namespace, by inode: a claim that the executor proves through the process before it enters (RULES 16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_namespace: Option<u64>,
    /// The proxy that stands before something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyFacet>,
    /// The container it is, in the words of its engine. What stands beside it (process, control group, network namespace) is of the
    /// container's first process and only there where the engine's host is this one (RULES 16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerFacet>,
}

/// A container as something to take hold of through its engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFacet {
    /// Where the engine is reached: `unix:///var/run/docker.sock`, `tcp://10.0.0.5:2376`.
    pub engine: String,
    /// The engine's full id of it: 64 hexadecimal digits, never used again.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// Why nothing of this host stands beside it (process, control group, network namespace), where that is so: it does not run, or its
    /// processes are not ours to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<String>,
}

/// A fault proxy as something to take hold of: traffic through it can be harmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyFacet {
    /// Where it listens: `127.0.0.1:6390`.
    pub listen: String,
    /// What it stands before: `127.0.0.1:6379`; none for a transparent one, which asks the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The protocol that it understands: `tcp`, `http`, `redis` …
    pub speaks: String,
    /// Its control socket.
    pub control: PathBuf,
}

/// A facet by name, as a fault's profile asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facet {
    /// [`Facets::process`].
    Process,
    /// [`Facets::cgroup`].
    Cgroup,
    /// [`Facets::path`].
    Path,
    /// [`Facets::network_namespace`].
    NetworkNamespace,
    /// [`Facets::proxy`].
    Proxy,
    /// [`Facets::container`].
    Container,
}

impl std::fmt::Display for Facet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Cgroup => "control group",
            Self::Path => "path",
            Self::NetworkNamespace => "network namespace",
            Self::Proxy => "proxy",
            Self::Container => "container",
        })
    }
}

impl Facets {
    /// Does the target offer this handle?
    #[must_use]
    pub fn has(&self, facet: Facet) -> bool {
        match facet {
            Facet::Process => self.process.is_some(),
            Facet::Cgroup => self.cgroup.is_some(),
            Facet::Path => self.path.is_some(),
            Facet::NetworkNamespace => self.network_namespace.is_some(),
            Facet::Proxy => self.proxy.is_some(),
            Facet::Container => self.container.is_some(),
        }
    }
}

/// A target set that a field of a fault names (`peer`): in the file its name, in the plan its members as found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SetRef {
    /// As it is written.
    Name(String),
    /// As it was found when the run was planned. It is not looked for again.
    Members(Population),
}

impl SetRef {
    /// Who is in it; nobody, as long as only its name is known.
    #[must_use]
    pub fn members(&self) -> &[Target] {
        match self {
            Self::Name(_) => &[],
            Self::Members(found) => found,
        }
    }
}

impl JsonSchema for SetRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "target set".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "target set", "minLength": 1})
    }
}

/// Everything a selector finds, healthy or not.
///
/// There is no "unknown" inside: a listing that failed or was cut off is an error of the resolving, so that a share
/// can never be taken of a population that nobody knows.
pub type Population = Vec<Target>;

/// Why a selector could not be resolved. The plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResolveError {
    /// What was being looked for, where, and what happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The population is known: it is empty. Refuses a plan; in the middle of a run it only means that all have died.
    pub nothing: bool,
}

impl ResolveError {
    /// A population that cannot be known.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, nothing: false }
    }

    /// A population that is known to be empty.
    pub fn nothing(message: impl Into<String>) -> Self {
        Self { nothing: true, ..Self::new(message) }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a selector may refer to.
#[derive(Debug, Clone, Default)]
pub struct ResolveContext {
    /// The run, by whose tag the processes of `system:` are known.
    pub run: String,
    /// Sets resolved before this one (for `of`), by name.
    pub sets: BTreeMap<String, Population>,
    /// Folder of the experiment file: relative paths start there.
    pub folder: PathBuf,
}
