//! Starts processes, always from one thread that never ends.
//!
//! `PR_SET_PDEATHSIG` fires when the *thread* that made the child ends, not the process (RULES 6). So no runtime thread, which may come
//! and go, ever spawns: requests go to this one.

#![allow(clippy::disallowed_methods, reason = "this is the world's own module for starting processes")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::process::setsid;

use crate::process::{brand, brand_of, can_brand};

type Request = (Command, SyncSender<io::Result<Child>>);

/// The way to the one spawning thread. It starts with the first child and ends with the host.
#[derive(Clone)]
pub(crate) struct Spawner {
    requests: Arc<OnceLock<Mutex<Sender<Request>>>>,
}

impl Spawner {
    pub(crate) fn new() -> Self {
        Self { requests: Arc::default() }
    }

    /// Starts a process of the experiment's own.
    pub(crate) fn launch(&self, launch: Launch<'_>) -> io::Result<Child> {
        can_brand()?;
        let number = brand_of(launch.tag);
        let mut command = launch.command()?;
        branded(&mut command, number);
        self.spawn(command)
    }

    /// Starts a child in a session of its own. Every descriptor of ours is closed on exec.
    pub(crate) fn spawn(&self, mut command: Command) -> io::Result<Child> {
        detach(&mut command);
        let (answer, child) = sync_channel(1);
        let requests = self.requests.get_or_init(|| Mutex::new(start_thread()));
        let sent = requests.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer));
        sent.map_err(|_| ended()).and_then(|()| child.recv().map_err(|_| ended())?)
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that starts processes has ended")
}

fn start_thread() -> Sender<Request> {
    let (requests, incoming) = channel::<Request>();
    std::thread::spawn(move || {
        for (mut command, answer) in incoming {
            // Nobody waits for the answer any more only if the host is going down.
            let _ = answer.send(command.spawn());
        }
    });
    requests
}

/// A session of its own: signals of our terminal do not reach it. And none of our own protection from memory pressure, which it would
/// hand on to whatever it starts: somebody else would die in its stead.
#[allow(unsafe_code)]
fn detach(command: &mut Command) {
    let is_protected = std::fs::read_to_string(OOM_SCORE).is_ok_and(|score| score.starts_with('-'));
    // SAFETY: runs between fork and exec; makes a few system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            if is_protected {
                unprotect()?;
            }
            setsid().map(drop).map_err(io::Error::from)
        });
    }
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

fn unprotect() -> io::Result<()> {
    let score = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&score, b"0").map(drop).map_err(io::Error::from)
}

/// Bears the number before it becomes the program, and for ever.
#[allow(unsafe_code)]
fn branded(command: &mut Command, number: u64) {
    // SAFETY: runs between fork and exec; makes two system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || brand(number));
    }
}

/// A process of the experiment's own, to be started.
pub(crate) struct Launch<'a> {
    /// By which it and all that it starts are known.
    pub(crate) tag: &'a str,
    /// The program.
    pub(crate) program: &'a Path,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Added to the environment.
    pub(crate) env: Vec<(&'a str, String)>,
    /// Where it runs.
    pub(crate) folder: &'a Path,
    /// Where its output goes.
    pub(crate) log: &'a Path,
}

impl Launch<'_> {
    fn command(self) -> io::Result<Command> {
        let log = log_file(self.log)?;
        let mut command = Command::new(self.program);
        command.args(self.arguments).envs(self.env).current_dir(self.folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

/// Opens a log for adding to it, readable by its owner only.
fn log_file(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
