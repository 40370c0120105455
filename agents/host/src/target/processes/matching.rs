//! The selector's fields that look at one process at a time.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chaos_core::literal::Pattern;
use chaos_core::target::{ProcessId, ResolveContext, ResolveError};
use procfs::process::Process;

use super::Selector;
use crate::process::{Entry, Mark, Snapshot, tagged};

/// Every living process that matches all fields but `listening_on`.
///
/// # Errors
/// If a field names something that does not exist, or a process may not be looked at.
pub(super) fn all(selector: &Selector, context: &ResolveContext, snapshot: &Snapshot) -> Result<BTreeSet<ProcessId>, ResolveError> {
    let mut found: BTreeSet<ProcessId> = snapshot.living().filter(|e| !e.is_kernel()).map(|e| e.id).collect();
    if let Some(name) = &selector.system {
        let ours = tagged(snapshot, &Mark::System { run: context.run.clone(), name: name.clone() })
            .map_err(|e| ResolveError::new(format!("look for `system: {name}`: {e}")))?;
        found.retain(|id| ours.contains(id));
    }
    if let Some(path) = &selector.pid_file {
        let named = from_pid_file(&context.folder.join(path), snapshot)?;
        found.retain(|id| *id == named);
    }
    if let Some(user) = &selector.user {
        let uid = uid_of(user)?;
        found.retain(|id| Process::new(id.pid).and_then(|p| p.uid()).is_ok_and(|u| u == uid));
    }
    if let Some(pattern) = &selector.command {
        found.retain(|id| command_fits(pattern, *id));
    }
    if let Some(cgroup) = &selector.cgroup {
        found.retain(|id| in_cgroup(*id, |path| path == cgroup || path.starts_with(&format!("{cgroup}/"))));
    }
    if let Some(unit) = &selector.unit {
        let unit = if unit.contains('.') { unit.clone() } else { format!("{unit}.service") };
        found.retain(|id| in_cgroup(*id, |path| path.split('/').any(|part| part == unit)));
    }
    if let Some(executable) = &selector.executable {
        found = with_executable(executable, &found, snapshot)?;
    }
    Ok(found)
}

/// Nothing matches: says what to look at.
pub(super) fn nothing(selector: &Selector, context: &ResolveContext) -> ResolveError {
    let fields = serde_json::to_string(selector).unwrap_or_default();
    let error = ResolveError::nothing(format!("no process matches {fields}"));
    match (&selector.system, &selector.unit) {
        (Some(name), _) => error.hint(format!("`system: {name}` is not running in run {}: see its log", context.run)),
        (_, Some(unit)) => error.hint(format!("`systemctl status {unit}` says whether it runs")),
        _ => error.hint("`ps -ef` shows what runs; `command` must match the whole command line (`*` for the rest)"),
    }
}

fn command_fits(pattern: &Pattern, id: ProcessId) -> bool {
    Process::new(id.pid).and_then(|p| p.cmdline()).is_ok_and(|words| !words.is_empty() && pattern.matches(&words.join(" ")))
}

fn in_cgroup(id: ProcessId, fits: impl Fn(&str) -> bool) -> bool {
    Process::new(id.pid).and_then(|p| p.cgroups()).is_ok_and(|groups| groups.into_iter().any(|g| fits(&g.pathname)))
}

fn with_executable(wanted: &str, among: &BTreeSet<ProcessId>, snapshot: &Snapshot) -> Result<BTreeSet<ProcessId>, ResolveError> {
    let mut found = BTreeSet::new();
    for id in among {
        match Process::new(id.pid).and_then(|p| p.exe()) {
            Ok(exe) if is_executable(&exe, wanted) => {
                found.insert(*id);
            }
            // Whether a process of somebody else is one of them cannot be known, unless its short name already says no.
            Err(procfs::ProcError::PermissionDenied(_)) if snapshot.alive(*id).is_some_and(|e| may_be(e, wanted)) => {
                return Err(ResolveError::new(format!("the program of process {} of another user may not be read", id.pid))
                    .hint("run as root, or add `user: …` to the selector"));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn is_executable(exe: &Path, wanted: &str) -> bool {
    if !wanted.contains('/') {
        return exe.file_name().is_some_and(|name| name == wanted);
    }
    let file = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    exe == Path::new(wanted) || file(exe).is_some_and(|it| file(Path::new(wanted)) == Some(it))
}

fn may_be(entry: &Entry, wanted: &str) -> bool {
    let name = wanted.rsplit('/').next().unwrap_or(wanted);
    name.starts_with(&entry.name) || entry.name.starts_with(name)
}

fn from_pid_file(path: &Path, snapshot: &Snapshot) -> Result<ProcessId, ResolveError> {
    let text = std::fs::read_to_string(path).map_err(|e| ResolveError::new(format!("read the pid file {}: {e}", path.display())))?;
    let pid: i32 = text.trim().parse().map_err(|_| {
        ResolveError::new(format!("the pid file {} holds no pid", path.display())).hint("it must hold one number and nothing else")
    })?;
    let entry = snapshot.by_pid(pid).ok_or_else(|| {
        ResolveError::new(format!("the pid file {} names process {pid}, which does not run", path.display()))
            .hint("is it left from an earlier start?")
    })?;
    Ok(entry.id)
}

fn uid_of(user: &str) -> Result<u32, ResolveError> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| ResolveError::new(format!("read /etc/passwd: {e}")))?;
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&user))
        .and_then(|fields| fields.get(2)?.parse().ok())
        .ok_or_else(|| ResolveError::new(format!("there is no user `{user}` in /etc/passwd")).hint("a number works too: `user: 1000`"))
}
