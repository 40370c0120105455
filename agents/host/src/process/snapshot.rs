//! One look at `/proc`: who runs, whose child, in what state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};

use chaos_core::target::ProcessId;
use procfs::FromRead;
use procfs::process::{Process, Stat};

/// One process as it was when looked at.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Who.
    pub id: ProcessId,
    /// Its parent's pid.
    pub parent: i32,
    /// The letter of `/proc/PID/stat`: `R S D T t Z X I`.
    pub state: char,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// The short name, at most 15 bytes.
    pub name: String,
    /// Processor time used so far, in clock ticks.
    pub cpu_ticks: u64,
    /// Memory in use, in pages.
    pub resident_pages: u64,
}

impl Entry {
    fn of(stat: Stat) -> Self {
        Self {
            id: ProcessId { pid: stat.pid, start_ticks: stat.starttime },
            parent: stat.ppid,
            state: stat.state,
            group: stat.pgrp,
            session: stat.session,
            name: stat.comm,
            cpu_ticks: stat.utime + stat.stime,
            resident_pages: stat.rss,
        }
    }

    /// Ended, or only waiting to be reaped.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Stopped by a signal; being traced is something else.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state == 'T'
    }

    /// A thread of the kernel: it has no program, and nobody may harm it.
    #[must_use]
    pub fn is_kernel(&self) -> bool {
        self.id.pid == 2 || self.parent == 2
    }
}

/// Every process of this pid namespace, at about one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    entries: BTreeMap<i32, Entry>,
}

impl Snapshot {
    /// Looks at all processes.
    ///
    /// # Errors
    /// If `/proc` cannot be listed, or hides the processes of others (`hidepid`): then nobody knows the population.
    pub fn take() -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        for file in fs::read_dir("/proc")? {
            let Some(pid) = file?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process that ended while we looked is not an error.
            if let Some(stat) = stat_of(pid) {
                entries.insert(stat.pid, Entry::of(stat));
            }
        }
        if !entries.contains_key(&1) {
            return Err(io::Error::other("/proc hides the processes of other users (mounted with hidepid)"));
        }
        Ok(Self { entries })
    }

    /// Looks at these processes alone: of others, their children among them, it knows nothing.
    #[must_use]
    pub fn of(ids: &[ProcessId]) -> Self {
        let entries = ids.iter().filter_map(|id| stat_of(id.pid)).map(|stat| (stat.pid, Entry::of(stat)));
        Self { entries: entries.collect() }
    }

    /// The process, if it is still the same one and lives.
    #[must_use]
    pub fn alive(&self, id: ProcessId) -> Option<&Entry> {
        self.by_pid(id.pid).filter(|e| e.id == id)
    }

    /// Whoever lives under this pid.
    #[must_use]
    pub fn by_pid(&self, pid: i32) -> Option<&Entry> {
        self.entries.get(&pid).filter(|e| !e.is_dead())
    }

    /// Everything that lives, by pid.
    pub fn living(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|e| !e.is_dead())
    }

    /// Children that ended and wait to be reaped by `parent`.
    pub fn unreaped(&self, parent: i32) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |e| e.is_dead() && e.parent == parent)
    }

    /// The given processes and all that descend from them, as far as they live; each once, parents first.
    #[must_use]
    pub fn trees(&self, roots: &[ProcessId]) -> Vec<ProcessId> {
        let mut children: BTreeMap<i32, Vec<ProcessId>> = BTreeMap::new();
        for entry in self.living() {
            children.entry(entry.parent).or_default().push(entry.id);
        }
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        let mut next: Vec<_> = roots.iter().copied().filter(|id| self.alive(*id).is_some()).collect();
        while !next.is_empty() {
            let mut below = Vec::new();
            for id in next {
                if seen.insert(id) {
                    found.push(id);
                    below.extend(children.get(&id.pid).into_iter().flatten().copied());
                }
            }
            next = below;
        }
        found
    }

    /// The parents of a pid, nearest first, the pid itself not among them.
    #[must_use]
    pub fn ancestors(&self, pid: i32) -> Vec<i32> {
        let mut found: Vec<i32> = Vec::new();
        let mut at = pid;
        while let Some(entry) = self.entries.get(&at) {
            if entry.parent == 0 || found.contains(&entry.parent) {
                break;
            }
            at = entry.parent;
            found.push(at);
        }
        found
    }

    /// Those of `ids` that have no ancestor among `ids`.
    #[must_use]
    pub fn roots_of(&self, ids: &BTreeSet<ProcessId>) -> Vec<ProcessId> {
        let pids: BTreeSet<i32> = ids.iter().map(|id| id.pid).collect();
        ids.iter().copied().filter(|id| !self.ancestors(id.pid).iter().any(|a| pids.contains(a))).collect()
    }
}

/// What `/proc/PID/stat` says, in one open and one read: everybody is looked at, several times a run. `None`: no such process.
fn stat_of(pid: i32) -> Option<Stat> {
    // Fifty-two numbers of at most twenty digits, and a name.
    let mut line = [0; 2048];
    let length = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut line)).ok()?;
    Stat::from_read(&line[..length]).ok()
}

/// Looks at one process. `None`: no such process any more, or dead.
pub(crate) fn look_at(id: ProcessId) -> Option<Entry> {
    let entry = Entry::of(stat_of(id.pid)?);
    (entry.id == id && !entry.is_dead()).then_some(entry)
}

/// What a person calls a process: its command line, shortened, else its short name in brackets.
#[must_use]
pub fn name_of(pid: i32) -> String {
    const LONGEST: usize = 80;
    let Ok(process) = Process::new(pid) else {
        return format!("process {pid}");
    };
    let mut words = process.cmdline().unwrap_or_default();
    // The folder of a program says little and takes much room; its arguments stay as they are.
    if let Some(program) = words.first_mut()
        && let Some((_, base)) = program.rsplit_once('/')
        && !base.is_empty()
    {
        *program = base.to_owned();
    }
    let line = words.join(" ");
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.is_empty() {
        process.stat().map_or_else(|_| format!("process {pid}"), |s| format!("[{}]", s.comm))
    } else if line.chars().count() > LONGEST {
        format!("{}…", line.chars().take(LONGEST - 1).collect::<String>())
    } else {
        line.to_owned()
    }
}

pub(crate) fn io_error(error: procfs::ProcError) -> io::Error {
    match error {
        procfs::ProcError::PermissionDenied(path) => {
            io::Error::new(io::ErrorKind::PermissionDenied, path.map_or_else(String::new, |p| p.display().to_string()))
        }
        procfs::ProcError::NotFound(_) => io::ErrorKind::NotFound.into(),
        procfs::ProcError::Io(error, _) => error,
        other => io::Error::other(other.to_string()),
    }
}
