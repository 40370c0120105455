//! The host as a world: what may be read, and the one place from which anything is done to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use chaos_core::World;
use chaos_core::event::SystemState;
use chaos_core::secret::Secrets;

use crate::cgroup::Cgroups;
use crate::disk::Store;
use crate::guard;
use crate::helper::{Helper, Helpers};
use crate::net::nftables::Tables;
use crate::process::{Listening, Snapshot, Sockets, name_of};
use crate::spawn::Spawner;
use crate::system::Systems;

/// A Linux host, as seen and changed by one executor.
///
/// ```
/// use std::sync::Arc;
/// let host = Arc::new(chaos_host::Host::new("/usr/bin/chaos"));
/// let table = chaos_host::faults(&host);
/// assert!(table.get("process.pause").is_some());
/// ```
pub struct Host {
    view: HostView,
    secrets: RwLock<Secrets>,
    pub(crate) spawner: Spawner,
    pub(crate) systems: Systems,
    helpers: Helpers,
    tables: Tables,
}

impl Host {
    /// This host. `program` is this very executable: helpers are started from it, and `chaos` as the first word of a command means it.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self::with_cgroups_from(program, "/proc")
    }

    /// As [`Host::new`], with the control groups found from another `/proc`: its `self/mountinfo` and `PID/cgroup`. For tests.
    pub fn with_cgroups_from(program: impl Into<PathBuf>, proc: impl Into<PathBuf>) -> Self {
        let view = HostView {
            shared: Arc::new(Shared {
                program: program.into(),
                cgroups: Cgroups::at(proc),
                settings: RwLock::new(Settings { ours: Vec::new(), logs: std::env::temp_dir() }),
            }),
        };
        Self {
            view,
            secrets: RwLock::new(Secrets::new()),
            spawner: Spawner::new(),
            systems: Systems::new(),
            helpers: Helpers::default(),
            tables: Tables::default(),
        }
    }

    /// Tells the host about the run: secrets for the environment of processes, and the folder for their logs.
    pub fn begin(&self, secrets: Secrets, run_folder: impl Into<PathBuf>) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
        self.view.settings(|s| s.logs = run_folder.into());
    }

    /// A folder of ours (journal, record): neither it nor its disk is ever harmed.
    pub fn protect(&self, folder: impl Into<PathBuf>) {
        self.view.settings(|s| s.ours.push(folder.into()));
    }

    /// Called whenever a process of `system:` is started, dies, is started again or is stopped. Called from threads of the host's own.
    pub fn on_system(&self, tell: impl Fn(&str, SystemState) + Send + Sync + 'static) {
        self.systems.tell_to(Arc::new(tell));
    }

    pub(crate) fn start_helper(&self, helper: &Helper<'_>) -> std::io::Result<()> {
        self.helpers.start(&self.spawner, self.view.program(), helper)
    }

    pub(crate) fn tell_helper(&self, tag: &str, line: &str) -> std::io::Result<()> {
        self.helpers.tell(tag, line)
    }

    pub(crate) fn end_helpers(&self, tag: &str) -> std::io::Result<bool> {
        self.helpers.end(tag)
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn secrets(&self) -> Secrets {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl World for Host {
    type View = HostView;

    fn view(&self) -> &HostView {
        &self.view
    }
}

/// What can be read of a host. Cheap to clone.
#[derive(Clone)]
pub struct HostView {
    shared: Arc<Shared>,
}

struct Shared {
    program: PathBuf,
    cgroups: Cgroups,
    settings: RwLock<Settings>,
}

struct Settings {
    ours: Vec<PathBuf>,
    logs: PathBuf,
}

impl HostView {
    fn settings<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> T {
        change(&mut self.shared.settings.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn read<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        read(&self.shared.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// This very executable.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.shared.program
    }

    pub(crate) fn cgroups(&self) -> &Cgroups {
        &self.shared.cgroups
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.read(|s| s.logs.clone())
    }

    pub(crate) fn protected_in(&self, snapshot: &Snapshot, pid: i32) -> Option<String> {
        guard::protected_process(snapshot, self.program(), pid)
    }

    /// Is this process a part of `chaos`, and so nobody who could mind what it does?
    pub(crate) fn is_chaos(&self, pid: i32) -> bool {
        guard::is_executor(self.program(), pid)
    }

    /// The first of these processes, by its place, that is never a target, and why: pid 1, chaos, its ancestors, its executors, the kernel,
    /// the container engine. `None`: each may be one. All of them are looked for in one list of this host's processes.
    ///
    /// # Errors
    /// If the processes cannot be listed; then nothing may be harmed.
    pub fn first_protected(&self, pids: &[Option<i32>]) -> std::io::Result<Option<(usize, String)>> {
        if pids.iter().all(Option::is_none) {
            return Ok(None);
        }
        let snapshot = Snapshot::take()?;
        Ok(pids.iter().enumerate().find_map(|(at, pid)| Some((at, self.protected_in(&snapshot, (*pid)?)?))))
    }

    /// Why this path is never damaged: the journal lies there, or it belongs to the system. `None`: it may be.
    #[must_use]
    pub fn protected_path(&self, path: &Path) -> Option<String> {
        self.read(|s| guard::protected_path(&s.ours, path))
    }

    /// Why the file system of this path is never filled: a folder of ours draws on the same space, or nobody can tell.
    pub(crate) fn protected_disk(&self, path: &Path) -> Option<String> {
        let store = match Store::of(path) {
            Ok(store) => store,
            Err(error) => return Some(format!("nobody can tell what its space is drawn from: {error}")),
        };
        let ours = self.read(|s| s.ours.clone());
        ours.iter().find_map(|folder| match Store::of(folder) {
            Ok(own) if own.is_shared_with(&store) => Some(format!("the journal of chaos lies on it ({})", folder.display())),
            Ok(_) => None,
            Err(error) => Some(format!("nobody can tell whether the journal of chaos ({}) lies on it: {error}", folder.display())),
        })
    }

    /// Who listens on a TCP port of this network namespace, in words: `chaos demo gateway (pid 4711)`. `None`: nobody (RULES 39).
    #[must_use]
    pub fn who_listens(&self, port: u16) -> Option<String> {
        let snapshot = Snapshot::take().ok()?;
        let sockets = Sockets::look(&snapshot).ok()?;
        let socket = sockets.listening().find(|l| l.port == port)?;
        Some(describe_holder(&sockets, socket))
    }
}

/// Who holds a listening socket, in words.
pub(crate) fn describe_holder(sockets: &Sockets, socket: Listening) -> String {
    match sockets.holders(socket).and_then(|h| h.first()) {
        Some(id) => format!("{} (pid {})", name_of(id.pid), id.pid),
        None => format!("a process of user {} that we may not look into", socket.uid),
    }
}
