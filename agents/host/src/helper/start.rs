//! Starting helpers, talking to them, and ending them by their tag.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chaos_core::clock::Boot;

use crate::process::{Ending, end};
use crate::spawn::Spawner;

/// A helper to start.
pub(crate) struct Helper<'a> {
    /// `burn`, `dns`, `fill-memory`, `hold-file`, `keep`.
    pub(crate) kind: &'a str,
    /// The injection's tag.
    pub(crate) tag: &'a str,
    /// The run, for sweeping.
    pub(crate) run: &'a str,
    /// When it ends by itself.
    pub(crate) deadline: Boot,
    /// What it is told besides.
    pub(crate) more: Vec<(&'static str, OsString)>,
}

/// The helpers of this executor, by tag. Dropping one closes its lifeline, and it ends.
#[derive(Default)]
pub(crate) struct Helpers {
    running: Mutex<BTreeMap<String, Child>>,
}

impl Helpers {
    /// Starts a helper, unless one with its tag runs.
    pub(crate) fn start(&self, spawner: &Spawner, program: &Path, helper: &Helper<'_>) -> io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains_key(helper.tag) {
            return Ok(());
        }
        let mut command = Command::new(program);
        command
            .args(["helper", helper.kind, "--tag", helper.tag])
            .args(["--parent", &std::process::id().to_string(), "--deadline", &helper.deadline.0.to_string()])
            .args(helper.more.iter().flat_map(|(key, value)| [OsString::from(format!("--{key}")), value.clone()]))
            .env("CHAOS_TAG", helper.tag)
            .env("CHAOS_RUN", helper.run)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        running.insert(helper.tag.to_owned(), spawner.spawn(command)?);
        Ok(())
    }

    /// Sends a line to a helper of this executor.
    pub(crate) fn tell(&self, tag: &str, line: &str) -> io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let lifeline = running.get_mut(tag).and_then(|child| child.stdin.as_mut());
        lifeline.ok_or(io::ErrorKind::NotFound)?.write_all(format!("{line}\n").as_bytes())
    }

    /// Ends every helper with this tag, whoever started it. `false`: there was none.
    pub(crate) fn end(&self, tag: &str) -> io::Result<bool> {
        let child = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(tag);
        // Our own is dead before everybody is looked through for others.
        let mut own = false;
        if let Some(mut child) = child {
            own = child.try_wait()?.is_none();
            child.kill()?;
            child.wait()?;
        }
        let ending = end(tag, Duration::ZERO)?;
        Ok(own || ending != Ending::Nobody)
    }
}
