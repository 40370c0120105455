//! What an engine says of everything that it has, to be compared with itself later.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Engine;

/// Every container, network and volume of an engine, field by field, with what their control groups hold; nothing of what
/// changes by itself (the log of a health check) or with the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineTwin {
    /// By object and field: `container shop-1: State.Status`.
    parts: BTreeMap<String, String>,
}

/// What limits and freezes a control group, of both versions.
const KNOBS: &[&str] = &[
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.shares",
    "cpu.max",
    "cpu.weight",
    "cpuset.cpus",
    "memory.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.max",
    "memory.high",
    "memory.swap.max",
    "pids.max",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
    "io.max",
    "freezer.state",
    "cgroup.freeze",
];

impl EngineTwin {
    /// The fields that are others after a container has been started anew.
    pub const STARTED: &'static [&'static str] =
        &["State.Pid", "State.StartedAt", "State.FinishedAt", "SandboxID", "SandboxKey", "EndpointID"];

    /// As it is now.
    ///
    /// # Panics
    /// When the engine does not list what it has.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        let mut twin = Self { parts: BTreeMap::new() };
        for (kind, list) in
            [("container", &["ps", "-aq", "--no-trunc"][..]), ("network", &["network", "ls", "-q"]), ("volume", &["volume", "ls", "-q"])]
        {
            let listed = engine.docker(list);
            let ids: Vec<&str> = listed.split_whitespace().collect();
            // What other tests remove between the two questions is not there.
            if ids.is_empty() {
                continue;
            }
            match engine.try_docker(&[&[kind, "inspect"][..], &ids].concat()) {
                Ok(said) => twin.add(kind, &said),
                Err(_) => ids.iter().filter_map(|id| engine.try_docker(&[kind, "inspect", id]).ok()).for_each(|said| twin.add(kind, &said)),
            }
        }
        // Changes when the daemon restarts: it then finds the bridge, where it made it before.
        twin.parts.remove("network bridge: IPAM.Config");
        twin
    }

    /// Of these containers alone, of an engine that others use too; one that is not there is nothing.
    #[must_use]
    pub fn of_only(engine: &Engine, containers: &[&str]) -> Self {
        let mut twin = Self { parts: BTreeMap::new() };
        for name in containers {
            if let Ok(said) = engine.try_docker(&["container", "inspect", name]) {
                twin.add("container", &said);
            }
        }
        twin
    }

    fn add(&mut self, kind: &str, inspected: &str) {
        let objects: Vec<Value> = serde_json::from_str(inspected).unwrap_or_else(|e| panic!("{kind} inspect: {e}"));
        for object in &objects {
            let name = object["Name"].as_str().unwrap_or_default().trim_start_matches('/');
            let mut tell = |field: &str, value: String| self.parts.insert(format!("{kind} {name}: {field}"), value);
            flatten(object, String::new(), &mut tell);
            if let Some(pid) = object["State"]["Pid"].as_i64().filter(|pid| *pid > 0) {
                limits(pid, &mut tell);
            }
        }
        self.parts.retain(|part, _| !part.contains(": State.Health.Log"));
    }

    /// Nothing has changed.
    ///
    /// # Panics
    /// When something has; says what was there and what is.
    #[track_caller]
    pub fn assert_same(&self, now: &Self, when: &str) {
        self.assert_same_but(now, &[], when);
    }

    /// Nothing has changed but these fields (a field's whole path, or its beginning, or its end).
    ///
    /// # Panics
    /// When something else has; says what was there and what is.
    #[track_caller]
    pub fn assert_same_but(&self, now: &Self, lost: &[&str], when: &str) {
        let differences = self.differences(now, lost);
        assert!(differences.is_empty(), "{when}:\n{}", differences.join("\n"));
    }

    /// Each field that is not the same, before and now, but for these.
    #[must_use]
    pub fn differences(&self, now: &Self, lost: &[&str]) -> Vec<String> {
        let names: BTreeSet<&String> = self.parts.keys().chain(now.parts.keys()).collect();
        let is_lost = |name: &str| {
            let field = name.split_once(": ").map_or(name, |(_, field)| field);
            lost.iter().any(|l| field == *l || field.starts_with(&format!("{l}.")) || field.ends_with(&format!(".{l}")))
        };
        let shown = |twin: &Self, name: &str| twin.parts.get(name).map_or("nothing".to_owned(), Clone::clone);
        let differ = names.into_iter().filter(|name| self.parts.get(*name) != now.parts.get(*name) && !is_lost(name));
        differ.map(|name| format!("{name}: {} -> {}", shown(self, name), shown(now, name))).collect()
    }
}

fn flatten(value: &Value, path: String, tell: &mut impl FnMut(&str, String) -> Option<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                flatten(value, if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, tell);
            }
        }
        other => drop(tell(&path, other.to_string())),
    }
}

/// The control group's own files: the engine only repeats what it was once told.
fn limits(pid: i64, tell: &mut impl FnMut(&str, String) -> Option<String>) {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    for (controller, path) in
        groups.lines().filter_map(|line| line.splitn(3, ':').skip(1).collect::<Vec<_>>().try_into().ok()).map(|[c, p]: [&str; 2]| (c, p))
    {
        let hierarchy = if controller.is_empty() { String::new() } else { format!("/{controller}") };
        for knob in KNOBS {
            if let Ok(text) = std::fs::read_to_string(format!("/sys/fs/cgroup{hierarchy}{path}/{knob}")) {
                tell(&format!("cgroup.{knob}"), text.trim().into());
            }
        }
    }
}
