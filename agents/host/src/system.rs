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

use crate::process::end;

/// How long stopping waits for a start that has begun: one that hangs, as from a disk that does not answer, must not hold it up.
const START: Duration = Duration::from_secs(2);

/// At the least between two attempts to start what could not be started.
const AGAIN: Duration = Duration::from_millis(100);

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
    starting: bool,
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
        self.state().watched.insert(tag.to_owned(), Watched { name: name.to_owned(), stopping: false, starting: false });
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
            let Some(next) = self.start_again(tag, &name, *after, start) else { return };
            child = next;
            self.tell(&name, SystemState::Restarted { pid: pid_of(&child) });
        }
    }

    /// Starts it until it is started: what is damaged now, its own program perhaps, may be whole later. `None`: it is being stopped.
    fn start_again(&self, tag: &str, name: &str, after: Duration, start: &StartAgain) -> Option<Child> {
        let mut wait = after;
        let mut said = None;
        loop {
            if self.is_stopping(tag, wait) || !self.may_start(tag) {
                return None;
            }
            let started = start();
            let stopping = self.has_started(tag);
            match started {
                Ok(child) if !stopping => return Some(child),
                Ok(mut child) => {
                    // Whoever stops it may have looked for it before it was there.
                    let _ = end(tag, Duration::ZERO);
                    let _ = child.wait();
                    return None;
                }
                Err(error) => {
                    let how = format!("could not be started again, and is tried further: {error}");
                    if said.as_ref() != Some(&how) {
                        self.tell(name, SystemState::Died { how: how.clone() });
                    }
                    said = Some(how);
                    wait = after.max(AGAIN);
                }
            }
        }
    }

    /// From here until [`Systems::has_started`], whoever stops it waits for the child.
    fn may_start(&self, tag: &str) -> bool {
        let mut state = self.state();
        let watched = state.watched.get_mut(tag).filter(|w| !w.stopping);
        watched.map(|w| w.starting = true).is_some()
    }

    /// `true`: it is being stopped meanwhile.
    fn has_started(&self, tag: &str) -> bool {
        let mut state = self.state();
        let watched = state.watched.get_mut(tag);
        let stopping = watched.is_none_or(|w| {
            w.starting = false;
            w.stopping
        });
        drop(state);
        self.shared.changed.notify_all();
        stopping
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
        let mut state = self.state();
        if let Some(watched) = state.watched.get_mut(tag) {
            watched.stopping = true;
        }
        self.shared.changed.notify_all();
        let starting = |state: &mut State| state.watched.get(tag).is_some_and(|w| w.starting);
        drop(self.shared.changed.wait_timeout_while(state, START, starting));
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
