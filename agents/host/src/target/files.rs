//! `files`: files and directories by path or pattern.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chaos_core::fault::SpecError;
use chaos_core::target::{Facets, Identity, Population, ResolveContext, ResolveError, Target, TargetKind, TargetKindProfile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::world::HostView;

/// Finds files of this host.
pub(crate) struct Files(pub(crate) HostView);

/// Which files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selector {
    /// A file, a directory, or a pattern (`/srv/models/*/weights.bin`; `**` for any depth). Relative to the experiment's folder.
    pub(crate) path: String,
    /// A set of processes who see this path. They must see it as chaos does: in the same mount namespace.
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
                of them is refused.",
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
        if let Some(set) = &selector.of {
            same_mounts(set, context)?;
        }
        let wanted = context.folder.join(&selector.path);
        let mut members = BTreeMap::new();
        for path in matches(&wanted)? {
            let path = path.canonicalize().map_err(|e| ResolveError::new(format!("look at {}: {e}", path.display())))?;
            if let Some(why) = self.0.protected_path(&path) {
                return Err(ResolveError::new(format!("{} is never a target: {why}", path.display())));
            }
            let member = target(&path)?;
            members.insert(member.identity.clone(), member);
        }
        if members.is_empty() {
            return Err(nothing(&wanted));
        }
        Ok(members.into_values().collect())
    }
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

/// What the processes of a set see under a path is what we see only in the same mount namespace and under the same root.
fn same_mounts(set: &str, context: &ResolveContext) -> Result<(), ResolveError> {
    let members = context.sets.get(set).ok_or_else(|| ResolveError::new(format!("`of: {set}` was not resolved before")))?;
    let seen = |who: &str| {
        let namespace = std::fs::metadata(format!("/proc/{who}/ns/mnt"))?.ino();
        let root = std::fs::metadata(format!("/proc/{who}/root"))?;
        Ok::<_, std::io::Error>((namespace, root.dev(), root.ino()))
    };
    let ours = seen("self").map_err(|e| ResolveError::new(format!("look at our own mounts: {e}")))?;
    for member in members {
        let Some(process) = member.facets.process else {
            return Err(ResolveError::new(format!("{} is not a process of this host", member.label)));
        };
        let theirs = seen(&process.pid.to_string())
            .map_err(|e| ResolveError::new(format!("look at the mounts of {}: {e}", member.label)).hint("run as root"))?;
        if theirs != ours {
            return Err(ResolveError::new(format!("{} has mounts of its own: the path means another file there", member.label))
                .hint("leave `of` out, and name the file as this host sees it"));
        }
    }
    Ok(())
}
