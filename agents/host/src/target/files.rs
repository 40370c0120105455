//! `files`: files and directories by path or pattern.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chaos_core::fault::SpecError;
use chaos_core::target::{Facets, Identity, Population, ResolveContext, ResolveError, Target, TargetKind, TargetKindProfile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file::seen_by;
use crate::world::HostView;

/// Finds files of this host.
pub(crate) struct Files(pub(crate) HostView);

/// Which files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selector {
    /// A file, a directory, or a pattern (`/srv/models/*/weights.bin`; `**` for any depth). Relative to the experiment's folder.
    pub(crate) path: String,
    /// A set of processes or containers that see this path: what it means to them, each. A container must run, on this very host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<String>,
}

impl TargetKind for Files {
    type Selector = Selector;
    const KIND: &'static str = "files";

    fn profile(&self) -> TargetKindProfile {
        TargetKindProfile {
            summary: "files and directories of this host, by path or pattern",
            about: "Each file that a pattern matches is one member; links are followed, and two ways to the same file are one member. Never \
                found are the folders of chaos itself (journal and records), `/`, `/proc`, `/sys` and `/dev`: a selector that matches one \
                of them is refused.\n\n\
                With `of`, the path is what those processes or containers see, each: links lead within a container and never out of it, and \
                a pattern is not looked for there. What lies on a volume or is bound from this host is the host's own file. What lies in \
                the layers of a container is reached through whoever has them mounted, also when the container was restarted meanwhile; \
                while it is stopped, chaos mounts the layers itself to take something back. What is mounted in the container alone (a \
                `tmpfs`) goes when the container stops, and what was done there goes with it.",
            example: "weights: {files: {path: /srv/models/ranker/weights.bin}}",
        }
    }

    fn check(&self, selector: &Selector) -> Vec<SpecError> {
        if selector.path.is_empty() {
            return vec![SpecError::new("path", "the path is empty").hint("for example `/srv/models/ranker.bin`")];
        }
        match glob::Pattern::new(&selector.path) {
            Ok(_) => Vec::new(),
            Err(e) => vec![SpecError::new("path", format!("not a pattern: {}", e.msg)).hint("`*`, `**`, `?` and `[a-z]` have a meaning")],
        }
    }

    async fn resolve(&self, selector: &Selector, context: &ResolveContext) -> Result<Population, ResolveError> {
        let mut members = BTreeMap::new();
        let mut elsewhere = Vec::new();
        let mut here = selector.of.is_none();
        for member in selector.of.as_ref().map(|set| members_of(set, context)).transpose()?.into_iter().flatten() {
            match sees_as_we_do(member)? {
                true => here = true,
                false => elsewhere.push(member),
            }
        }
        let wanted = context.folder.join(&selector.path);
        for path in if here { matches(&wanted)? } else { BTreeSet::new() } {
            let path = path.canonicalize().map_err(|e| ResolveError::new(format!("look at {}: {e}", path.display())))?;
            let member = self.on_this_host(&path)?;
            members.insert(member.identity.clone(), member);
        }
        for whose in elsewhere {
            let member = self.within(whose, &selector.path)?;
            members.extend(member.map(|member| (member.identity.clone(), member)));
        }
        if members.is_empty() {
            return Err(if here { nothing(&wanted) } else { nowhere(&selector.path, selector.of.as_deref().unwrap_or_default()) });
        }
        Ok(members.into_values().collect())
    }
}

impl Files {
    fn on_this_host(&self, path: &Path) -> Result<Target, ResolveError> {
        if let Some(why) = self.0.protected_path(path) {
            return Err(ResolveError::new(format!("{} is never a target: {why}", path.display())));
        }
        target(path)
    }

    /// The file that somebody with mounts of its own sees. What this host sees as well is the host's file.
    fn within(&self, whose: &Target, path: &str) -> Result<Option<Target>, ResolveError> {
        let wrong = |what: &str| ResolveError::new(format!("look for {path} in {}: {what}", whose.label));
        if !path.starts_with('/') {
            return Err(wrong("the path must be absolute there").hint("for example `/srv/model.bin`"));
        }
        if path.contains(['*', '?', '[']) {
            return Err(wrong("a pattern is not looked for inside of something else").hint("name the file, or the folder"));
        }
        let Some(process) = whose.facets.process else {
            let beyond = whose.facets.container.as_ref().and_then(|container| container.beyond.clone());
            return Err(wrong(beyond.as_deref().unwrap_or("it is not a process of this host")));
        };
        let seen = seen_by(process, Path::new(path)).map_err(|e| wrong(&e.to_string()).hint("run as root"))?;
        let Some(seen) = seen else { return Ok(None) };
        let Some(root) = seen.root else {
            return self.on_this_host(&seen.path).map(Some);
        };
        Ok(Some(Target {
            identity: Identity(format!("file:{}:{}", root.name(), seen.path.display())),
            label: format!("{path} of {}", whose.label),
            place: whose.place.clone(),
            order: format!("{} {path}", whose.order),
            healthy: true,
            started: u64::try_from(seen.meta.mtime()).unwrap_or(0),
            groups: whose.groups.clone(),
            // What it lies in is never harmed, or counts as harmed with it, by this.
            facets: Facets {
                path: Some(PathBuf::from(path)),
                process: Some(process),
                cgroup: whose.facets.cgroup.clone(),
                ..Facets::default()
            },
        }))
    }
}

fn nowhere(path: &str, set: &str) -> ResolveError {
    ResolveError::nothing(format!("there is no {path} in any member of {set}")).hint("the path is the one that they see")
}

/// Every path that matches; one that cannot be looked into is an error, not a gap.
fn matches(wanted: &Path) -> Result<BTreeSet<PathBuf>, ResolveError> {
    if wanted.symlink_metadata().is_ok() {
        return Ok(BTreeSet::from([wanted.to_owned()]));
    }
    let pattern = wanted.to_str().ok_or_else(|| ResolveError::new(format!("{} is not text", wanted.display())))?;
    let found = glob::glob(pattern).map_err(|e| ResolveError::new(format!("{pattern} is not a pattern: {}", e.msg)))?;
    found
        .collect::<Result<_, _>>()
        .map_err(|e| ResolveError::new(format!("look into {}: {}", e.path().display(), e.error())).hint("run as root, or as the owner"))
}

fn target(path: &Path) -> Result<Target, ResolveError> {
    let meta = path.metadata().map_err(|e| ResolveError::new(format!("look at {}: {e}", path.display())))?;
    let shown = path.display().to_string();
    Ok(Target {
        identity: Identity(format!("file:{shown}")),
        label: if meta.is_dir() { format!("{}/", shown.trim_end_matches('/')) } else { shown.clone() },
        place: "here".into(),
        order: shown,
        healthy: true,
        started: u64::try_from(meta.mtime()).unwrap_or(0),
        groups: BTreeMap::new(),
        facets: Facets { path: Some(path.to_owned()), ..Facets::default() },
    })
}

fn nothing(wanted: &Path) -> ResolveError {
    const SHOWN: usize = 5;
    let error = ResolveError::nothing(format!("there is no file {}", wanted.display()));
    let Some(folder) = wanted.ancestors().skip(1).find(|p| p.is_dir()) else {
        return error;
    };
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names.truncate(SHOWN);
    if names.is_empty() {
        return error.hint(format!("{} is empty", folder.display()));
    }
    error.hint(format!("{} has {}", folder.display(), names.join(", ")))
}

fn members_of<'a>(set: &str, context: &'a ResolveContext) -> Result<&'a Population, ResolveError> {
    context.sets.get(set).ok_or_else(|| ResolveError::new(format!("`of: {set}` was not resolved before")))
}

/// Is a path to it what it is to us? In the same mount namespace and under the same root.
fn sees_as_we_do(member: &Target) -> Result<bool, ResolveError> {
    let seen = |who: &str| {
        let namespace = std::fs::metadata(format!("/proc/{who}/ns/mnt"))?.ino();
        let root = std::fs::metadata(format!("/proc/{who}/root"))?;
        Ok::<_, std::io::Error>((namespace, root.dev(), root.ino()))
    };
    // Who is no process of this host is told so where its file is looked for.
    let Some(process) = member.facets.process else { return Ok(false) };
    let ours = seen("self").map_err(|e| ResolveError::new(format!("look at our own mounts: {e}")))?;
    let theirs = seen(&process.pid.to_string())
        .map_err(|e| ResolveError::new(format!("look at the mounts of {}: {e}", member.label)).hint("run as root"))?;
    Ok(theirs == ours)
}
