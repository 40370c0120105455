//! What bears our mark on this host, journal or not: the second net.

mod networks;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process::Process;
use serde_json::Value;

use crate::cgroup::quoted;
use crate::faults::is_still;
use crate::file::PREFIX;
use crate::process::{Entry, Snapshot, brand_of, brand_on, name_of};

/// Something of ours. That of a run that lives belongs there; the rest was left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The run that made it.
    pub run: String,
    /// What it is: `helper burn (pid 4711)`, `the originals in /srv/.chaos-…`.
    pub what: String,
    /// How a person removes it, as shell commands.
    pub remove: Vec<String>,
    /// Undos found beside their effects, by kind of fault: recovery may follow these instead.
    pub stamps: Vec<(String, Value)>,
}

/// Looks for everything that bears our mark: processes by their environment or brand, tables of nftables, devices and filters in every
/// network namespace that we may enter, and folders of originals at the top of every mount, in `roots` and in all folders above those.
/// Values in control groups bear no mark and are not found.
///
/// # Errors
/// If the processes or the mounts cannot be listed.
pub fn sweep(roots: &[PathBuf]) -> io::Result<Vec<Found>> {
    let snapshot = Snapshot::take()?;
    let mut found = processes(&snapshot);
    found.extend(networks::all(&snapshot));
    let mut folders: Vec<PathBuf> = roots.iter().flat_map(|root| root.ancestors().map(Path::to_owned)).collect();
    folders.extend(mount_points()?);
    folders.sort();
    folders.dedup();
    found.extend(folders.iter().flat_map(|folder| vaults_in(folder)));
    Ok(found)
}

fn processes(snapshot: &Snapshot) -> Vec<Found> {
    let all: Vec<&Entry> = snapshot.living().filter(|e| !e.is_kernel()).collect();
    let tagged: BTreeMap<i32, (String, String)> = all.iter().filter_map(|e| Some((e.id.pid, tag_and_run(e.id.pid)?))).collect();
    // A process that is known by its brand alone does not say of which run it is; its keeper does.
    let runs: BTreeMap<u64, &String> =
        tagged.values().map(|(tag, run)| (brand_of(tag.strip_suffix("-keeper").unwrap_or(tag)), run)).collect();
    let ours = all.into_iter().filter_map(|entry| {
        let pid = entry.id.pid;
        let run = match (tagged.get(&pid), brand_on(pid)) {
            (Some((_, run)), _) => run.clone(),
            (None, Ok(Some(brand))) => runs.get(&brand).map_or("unknown", |run| run).to_owned(),
            (None, _) => return None,
        };
        let remove = vec![format!("{} && kill -9 {pid}", is_still(entry.id))];
        Some(Found { run, what: format!("{} (pid {pid})", name_of(pid)), remove, stamps: Vec::new() })
    });
    ours.collect()
}

/// What a process says in its environment.
fn tag_and_run(pid: i32) -> Option<(String, String)> {
    let environ = Process::new(pid).and_then(|p| p.environ()).ok()?;
    let value = |key: &str| environ.get(OsStr::new(key)).map(|value| value.to_string_lossy().into_owned());
    Some((value("CHAOS_TAG").filter(|tag| tag.starts_with("chaos-"))?, value("CHAOS_RUN")?))
}

fn mount_points() -> io::Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(mounts.lines().filter_map(|line| Some(PathBuf::from(line.split(' ').nth(4)?.replace("\\040", " ")))).collect())
}

fn vaults_in(folder: &Path) -> Vec<Found> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let run = entry.file_name().to_str()?.strip_prefix(PREFIX)?.to_owned();
            let path = entry.path();
            // Somebody else's folder of that name is theirs to judge.
            let meta = path.symlink_metadata().ok()?;
            let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw();
            ours.then(|| Found {
                run,
                what: format!("the originals of damaged files in {}", path.display()),
                remove: vec![format!("# put the originals back first, then: rm -r {}", quoted(&path))],
                stamps: stamps_in(&path),
            })
        })
        .collect()
}

fn stamps_in(vault: &Path) -> Vec<(String, Value)> {
    let entries = std::fs::read_dir(vault).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.path().extension() == Some(OsStr::new("undo")))
        .filter_map(|entry| {
            let mut stamp: Value = serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()?;
            Some((stamp["kind"].as_str()?.to_owned(), stamp["undo"].take()))
        })
        .collect()
}
