//! The processes of `system:` while they run: reaped at once, started again where the file says so, left alone once they are being stopped.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chaos_core::event::SystemState;
use procfs::process::Process;
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};

/// Who is told what becomes of them.
pub(crate) type Tell = Arc<dyn Fn(&str, SystemState) + Send + Sync>;

/// Starts the process again.
pub(crate) type StartAgain = Box<dyn Fn() -> io::Result<Child> + Send>;

/// Every process of `system:` that this executor watches, by tag.
#[derive(Clone, Default)]
pub(crate) struct Systems {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tell: Option<Tell>,
    watched: BTreeMap<String, Watched>,
    reaping: bool,
}

struct Watched {
    name: String,
    stopping: bool,
}

impl Systems {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell_to(&self, tell: Tell) {
        self.state().tell = Some(tell);
    }

    fn tell(&self, name: &str, what: SystemState) {
        let tell = self.state().tell.clone();
        if let Some(tell) = tell {
            tell(name, what);
        }
    }

    /// Watches a process that was just started, until it is dead and is not to be started again.
    pub(crate) fn watch(&self, tag: &str, name: &str, child: Child, again: Option<(Duration, StartAgain)>) {
        let pid = pid_of(&child);
        self.state().watched.insert(tag.to_owned(), Watched { name: name.to_owned(), stopping: false });
        self.reap_orphans();
        self.tell(name, SystemState::Started { pid });
        let systems = self.clone();
        let tag = tag.to_owned();
        std::thread::spawn(move || systems.supervise(&tag, child, again));
    }

    fn supervise(&self, tag: &str, mut child: Child, again: Option<(Duration, StartAgain)>) {
        loop {
            let ended = child.wait();
            let Some(name) = self.name(tag) else { return };
            if let Ok(status) = ended {
                self.tell(&name, SystemState::Died { how: in_words(status) });
            }
            let Some((after, start)) = &again else { return };
            if self.is_stopping(tag, *after) {
                return;
            }
            // While the lock is held nobody can begin to stop it: a new child is known before that, or never made.
            let state = self.state();
            if state.watched.get(tag).is_none_or(|w| w.stopping) {
                return;
            }
            match start() {
                Ok(next) => {
                    child = next;
                    let pid = pid_of(&child);
                    drop(state);
                    self.tell(&name, SystemState::Restarted { pid });
                }
                Err(error) => {
                    drop(state);
                    self.tell(&name, SystemState::Died { how: format!("could not be started again: {error}") });
                    return;
                }
            }
        }
    }

    /// Its name; `None` if it is watched no more.
    fn name(&self, tag: &str) -> Option<String> {
        self.state().watched.get(tag).map(|w| w.name.clone())
    }

    /// Waits so long; `true` as soon as it is being stopped.
    fn is_stopping(&self, tag: &str, wait: Duration) -> bool {
        let stopping = |state: &State| state.watched.get(tag).is_none_or(|w| w.stopping);
        let waited = self.shared.changed.wait_timeout_while(self.state(), wait, |s| !stopping(s));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        stopping(&state)
    }

    /// From now on it is not started again.
    pub(crate) fn stop(&self, tag: &str) {
        if let Some(watched) = self.state().watched.get_mut(tag) {
            watched.stopping = true;
        }
        self.shared.changed.notify_all();
    }

    /// It is gone for good.
    pub(crate) fn stopped(&self, tag: &str) {
        let watched = self.state().watched.remove(tag);
        if let Some(watched) = watched {
            self.tell(&watched.name, SystemState::Stopped);
        }
    }

    /// Makes this process the parent of what the system's processes leave behind, and reaps it: a zombie counts as dead, but is not gone.
    fn reap_orphans(&self) {
        if std::mem::replace(&mut self.state().reaping, true) {
            return;
        }
        // Without it orphans go to pid 1, which reaps them in our stead.
        if set_child_subreaper(Some(getpid())).is_err() {
            return;
        }
        let shared = Arc::downgrade(&self.shared);
        std::thread::spawn(move || {
            while let Some(shared) = shared.upgrade() {
                drop(shared);
                reap_adopted();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    }
}

/// Reaps the dead among the children that we were given. Those that we started ourselves lead their session, or are in our own, and are
/// waited for by whoever started them.
fn reap_adopted() {
    let Ok(me) = Process::myself() else { return };
    let Ok(own) = me.stat().map(|s| s.session) else { return };
    let tasks = me.tasks().into_iter().flatten().filter_map(Result::ok);
    for pid in tasks.filter_map(|t| t.children().ok()).flatten().filter_map(|pid| i32::try_from(pid).ok()) {
        let Ok(child) = Process::new(pid).and_then(|p| p.stat()) else { continue };
        if child.state == 'Z' && child.session != own && child.session != pid {
            let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
        }
    }
}

fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap_or(i32::MAX)
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "ended".into(),
    }
}
