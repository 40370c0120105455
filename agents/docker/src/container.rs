//! A container as its engine describes it, in our own types.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, EndpointSettings, HealthConfig, HealthStatusEnum, HostConfig,
    MountPoint, PortMap, RestartPolicyNameEnum,
};
use serde::{Deserialize, Serialize};

/// A container, as inspected just now.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// 64 hexadecimal digits, never used again.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// The image as it was named when the container was made.
    pub image: String,
    /// Its labels, the image's included.
    pub labels: BTreeMap<String, String>,
    /// What it does.
    pub state: State,
    /// Its first process, in the pid namespace of the engine's host: a claim to be proved (RULES 16). `None`: it does not run.
    pub pid: Option<i32>,
    /// When it was last started, RFC 3339. Changes with every start.
    pub started_at: String,
    /// When it last ended, RFC 3339.
    pub finished_at: String,
    /// The exit code of its last end; 0 while it has not ended.
    pub exit_code: i64,
    /// Did the kernel kill it for want of memory, the last time it ended?
    pub oom_killed: bool,
    /// How often the engine has started it again by its restart policy.
    pub restart_count: u64,
    /// What its health check says.
    pub health: Health,
    /// The command of its health check, after `CMD` or `CMD-SHELL`; empty where it has none.
    pub health_check: Vec<String>,
    /// How often in a row that has failed.
    pub failing_streak: u64,
    /// How long it fails until the engine says so: so many times, at its interval.
    pub unhealthy_after: Duration,
    /// What the engine does when it ends.
    pub restart_policy: RestartPolicy,
    /// Is it removed when it ends (`--rm`)?
    pub auto_remove: bool,
    /// The networks it is attached to, by name.
    pub networks: Vec<Attachment>,
    /// `bridge`, `host`, `none`, `container:ID`, or a network's name.
    pub network_mode: String,
    /// Its network namespace as a path on the engine's host; empty where it does not run.
    pub sandbox_key: String,
    /// `host`, `container:ID`, or empty for a pid namespace of its own.
    pub pid_mode: String,
    /// Ports of it that are reached through the host.
    pub published: Vec<Published>,
    /// Where its root file system lies on the engine's host.
    pub graph: Graph,
    /// What is mounted into it.
    pub mounts: Vec<Mount>,
    /// Is its root file system read-only?
    pub read_only: bool,
    /// What it may use, as its configuration says.
    pub limits: Limits,
    /// Where Compose made it.
    pub compose: Option<Compose>,
    /// The signal that asks it to stop, where it says one.
    pub stop_signal: Option<String>,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It ended and waits to be started by its restart policy.
    Restarting,
    /// It ended.
    Exited,
    /// It is being removed.
    Removing,
    /// It could not be removed.
    Dead,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        })
    }
}

/// What the health check of a container says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It has none.
    None,
    /// It has not passed yet.
    Starting,
    /// Well.
    Healthy,
    /// Not well.
    Unhealthy,
}

/// What the engine does when a container ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// Starts it again, whatever ended it; after `docker stop`, only when the engine starts.
    Always,
    /// Starts it again unless somebody stopped it.
    UnlessStopped,
    /// Starts it again when it failed; at most so often, 0 for no limit.
    OnFailure(u64),
}

impl std::fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure(0) => f.write_str("on-failure"),
            Self::OnFailure(most) => write!(f, "on-failure:{most}"),
        }
    }
}

/// A network that a container is attached to, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// The endpoint's id: another one after every attach. Empty where the container does not run.
    pub endpoint_id: String,
    /// Its IPv4 address now.
    pub ip4: Option<String>,
    /// Its IPv6 address now.
    pub ip6: Option<String>,
    /// The address that was asked for, and so does not change.
    pub fixed_ip4: Option<String>,
    /// The same for IPv6.
    pub fixed_ip6: Option<String>,
    /// Addresses of the link that were asked for.
    pub link_local: Vec<String>,
    /// Its hardware address now.
    pub mac: Option<String>,
    /// Names under which others on this network find it.
    pub aliases: Vec<String>,
    /// `CONTAINER:ALIAS` of the old kind.
    pub links: Vec<String>,
    /// Options for the network's driver.
    pub driver_opts: BTreeMap<String, String>,
}

/// A port that is reached through the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The port and protocol inside: `8080/tcp`.
    pub inside: String,
    /// The address on the host; empty: all.
    pub host_ip: String,
    /// The port on the host.
    pub host_port: u16,
    /// Did the engine choose it? Then it is another one after every start.
    pub chosen: bool,
}

/// Where the root file system of a container lies on the engine's host. Empty paths where the driver says none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// `overlay2`.
    pub driver: String,
    /// The layer that it writes to.
    pub upper: String,
    /// All layers together, while it runs.
    pub merged: String,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`.
    pub kind: String,
    /// The volume's name, where it is one.
    pub volume: Option<String>,
    /// Where it lies on the engine's host.
    pub source: String,
    /// Where it is inside.
    pub destination: String,
    /// May it be written to?
    pub writable: bool,
}

/// What a container may use, as its configuration says; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: i64,
    /// Memory and swap together, in bytes; -1 for no limit.
    pub memory_swap: i64,
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    /// Microseconds of CPU time a period.
    pub cpu_quota: i64,
    /// The length of a period in microseconds.
    pub cpu_period: i64,
    /// Processes and threads; -1 for no limit.
    pub pids: i64,
}

/// What Compose says of a container that it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compose {
    /// The project.
    pub project: String,
    /// The service.
    pub service: String,
    /// Which of the service's replicas, from 1.
    pub number: u64,
}

impl Container {
    /// Does its process exist: running, frozen or not?
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Running | State::Paused)
    }

    /// Is it well: running, not frozen, and nothing said against it by its health check?
    #[must_use]
    pub fn is_well(&self) -> bool {
        is_well(self.state, self.health)
    }

    /// The first 12 digits of its id, as the `docker` command line shows them.
    #[must_use]
    pub fn short_id(&self) -> &str {
        short(&self.id)
    }

    /// What the engine said; `None` for an answer without id and name, which no engine gives.
    pub(crate) fn of(answer: ContainerInspectResponse) -> Option<Self> {
        let config = answer.config.unwrap_or_default();
        let host = answer.host_config.unwrap_or_default();
        let settings = answer.network_settings.unwrap_or_default();
        let state = answer.state.unwrap_or_default();
        let labels: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
        let graph = answer.graph_driver.map(|g| Graph {
            upper: g.data.get("UpperDir").cloned().unwrap_or_default(),
            merged: g.data.get("MergedDir").cloned().unwrap_or_default(),
            driver: g.name,
        });
        Some(Self {
            id: answer.id?,
            name: answer.name?.trim_start_matches('/').to_owned(),
            image: config.image.unwrap_or_default(),
            state: state_of(&state),
            pid: state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0),
            exit_code: state.exit_code.unwrap_or_default(),
            oom_killed: state.oom_killed.unwrap_or_default(),
            failing_streak: state.health.as_ref().and_then(|h| h.failing_streak?.try_into().ok()).unwrap_or_default(),
            unhealthy_after: config.healthcheck.as_ref().map(unhealthy_after).unwrap_or_default(),
            health_check: config.healthcheck.and_then(|check| check.test).unwrap_or_default(),
            health: health_of(state.health.as_ref().and_then(|h| h.status)),
            started_at: state.started_at.unwrap_or_default(),
            finished_at: state.finished_at.unwrap_or_default(),
            restart_count: answer.restart_count.and_then(|n| n.try_into().ok()).unwrap_or_default(),
            restart_policy: restart_policy_of(&host),
            auto_remove: host.auto_remove.unwrap_or_default(),
            networks: attachments(settings.networks.unwrap_or_default()),
            published: published(settings.ports.unwrap_or_default(), host.port_bindings.as_ref()),
            sandbox_key: settings.sandbox_key.unwrap_or_default(),
            limits: limits_of(&host),
            network_mode: host.network_mode.unwrap_or_default(),
            pid_mode: host.pid_mode.unwrap_or_default(),
            read_only: host.readonly_rootfs.unwrap_or_default(),
            graph: graph.unwrap_or_default(),
            mounts: mounts(answer.mounts.unwrap_or_default(), host.tmpfs.unwrap_or_default()),
            compose: Compose::of(&labels),
            stop_signal: config.stop_signal.filter(|s| !s.is_empty()),
            labels,
        })
    }
}

impl Compose {
    /// What the labels say; `None`: Compose did not make it.
    pub(crate) fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        let label = |name: &str| labels.get(&format!("com.docker.compose.{name}")).cloned();
        let number = label("container-number").and_then(|n| n.parse().ok()).unwrap_or_default();
        Some(Self { project: label("project")?, service: label("service")?, number })
    }
}

/// The first 12 digits of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

pub(crate) fn is_well(state: State, health: Health) -> bool {
    state == State::Running && matches!(health, Health::None | Health::Healthy)
}

fn state_of(state: &ContainerState) -> State {
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => State::Created,
        Some(ContainerStateStatusEnum::RUNNING) => State::Running,
        Some(ContainerStateStatusEnum::PAUSED) => State::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => State::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => State::Removing,
        Some(ContainerStateStatusEnum::DEAD) => State::Dead,
        _ => State::Exited,
    }
}

fn health_of(status: Option<HealthStatusEnum>) -> Health {
    match status {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        _ => Health::None,
    }
}

/// An engine checks every 30 s and forgives two failures, where nobody says otherwise.
fn unhealthy_after(check: &HealthConfig) -> Duration {
    let said = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
    let interval = said(check.interval).map_or(Duration::from_secs(30), Duration::from_nanos);
    interval.saturating_mul(said(check.retries).and_then(|n| n.try_into().ok()).unwrap_or(3))
}

fn restart_policy_of(host: &HostConfig) -> RestartPolicy {
    let Some(policy) = &host.restart_policy else { return RestartPolicy::No };
    let most = policy.maximum_retry_count.and_then(|n| n.try_into().ok()).unwrap_or_default();
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS) => RestartPolicy::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => RestartPolicy::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => RestartPolicy::OnFailure(most),
        _ => RestartPolicy::No,
    }
}

fn limits_of(host: &HostConfig) -> Limits {
    Limits {
        memory: host.memory.unwrap_or_default(),
        memory_swap: host.memory_swap.unwrap_or_default(),
        nano_cpus: host.nano_cpus.unwrap_or_default(),
        cpu_quota: host.cpu_quota.unwrap_or_default(),
        cpu_period: host.cpu_period.unwrap_or_default(),
        pids: host.pids_limit.unwrap_or_default(),
    }
}

fn attachments(networks: std::collections::HashMap<String, EndpointSettings>) -> Vec<Attachment> {
    let mut found: Vec<Attachment> = networks.into_iter().map(|(network, settings)| attachment(network, settings)).collect();
    found.sort_by(|a, b| a.network.cmp(&b.network));
    found
}

fn attachment(network: String, settings: EndpointSettings) -> Attachment {
    let said = |text: Option<String>| text.filter(|t| !t.is_empty());
    let asked = settings.ipam_config.unwrap_or_default();
    Attachment {
        network,
        network_id: settings.network_id.unwrap_or_default(),
        endpoint_id: settings.endpoint_id.unwrap_or_default(),
        ip4: said(settings.ip_address),
        ip6: said(settings.global_ipv6_address),
        fixed_ip4: said(asked.ipv4_address),
        fixed_ip6: said(asked.ipv6_address),
        link_local: asked.link_local_ips.unwrap_or_default(),
        mac: said(settings.mac_address),
        aliases: settings.aliases.unwrap_or_default(),
        links: settings.links.unwrap_or_default(),
        driver_opts: settings.driver_opts.unwrap_or_default().into_iter().collect(),
    }
}

fn published(ports: PortMap, asked: Option<&PortMap>) -> Vec<Published> {
    let mut found = Vec::new();
    for (inside, bindings) in ports {
        for binding in bindings.unwrap_or_default() {
            let Some(host_port) = binding.host_port.and_then(|p| p.parse::<u16>().ok()) else { continue };
            let wishes = asked.and_then(|asked| asked.get(&inside)).into_iter().flatten().flatten();
            let chosen = !wishes.filter_map(|wish| wish.host_port.as_ref()).any(|port| *port == host_port.to_string());
            found.push(Published { inside: inside.clone(), host_ip: binding.host_ip.unwrap_or_default(), host_port, chosen });
        }
    }
    found.sort_by(|a, b| (&a.inside, &a.host_ip).cmp(&(&b.inside, &b.host_ip)));
    found
}

/// What `--tmpfs` mounts is no mount in the engine's own list.
fn mounts(points: Vec<MountPoint>, tmpfs: std::collections::HashMap<String, String>) -> Vec<Mount> {
    let mut tmpfs: Vec<String> = tmpfs.into_keys().collect();
    tmpfs.sort();
    let memory = |destination| Mount { kind: "tmpfs".into(), volume: None, source: String::new(), destination, writable: true };
    points.into_iter().map(mount).chain(tmpfs.into_iter().map(memory)).collect()
}

fn mount(point: MountPoint) -> Mount {
    Mount {
        kind: point.typ.map(|kind| kind.to_string()).unwrap_or_default(),
        volume: point.name.filter(|n| !n.is_empty()),
        source: point.source.unwrap_or_default(),
        destination: point.destination.unwrap_or_default(),
        writable: point.rw.unwrap_or_default(),
    }
}
