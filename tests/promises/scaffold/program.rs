//! The real program, with a deadline, killed by its pid if a test ends before it.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{PATIENCE, Stage};

/// A running `chaos`. What it prints goes to files, so that nothing it leaves behind keeps a pipe open.
pub(crate) struct Program {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    words: String,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code; minus the signal that killed it.
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    words: String,
}

impl Program {
    pub(crate) fn start(stage: &Stage, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
        command.args(args).envs(env.iter().copied());
        if !args.contains(&"--state-dir") {
            command.arg("--state-dir").arg(stage.state());
        }
        Self::spawn(stage, command)
    }

    /// Starts a command of which `chaos` is a part.
    pub(crate) fn spawn(stage: &Stage, mut command: Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (stage.path(&format!("{n}.out")), stage.path(&format!("{n}.err")));
        let to = |path: &PathBuf| Stdio::from(File::create(path).expect("a file"));
        command.env_remove("CHAOS_STATE_DIR").env("NO_COLOR", "1").stdin(Stdio::null()).process_group(0);
        let child = command.stdout(to(&out)).stderr(to(&err)).spawn().expect("chaos starts");
        Self { child, out, err, words: format!("{command:?}") }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// What it has printed so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default() + &std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Waits until it is so, while this runs.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        super::until(what, || {
            let so = is_so();
            assert!(so || self.is_running(), "it ended before this: {what}\n{}", self.said());
            so
        });
    }

    #[track_caller]
    pub(crate) fn wait(mut self) -> Outcome {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "{} hangs; it has said:\n{}", self.words, self.said());
            std::thread::sleep(Duration::from_millis(5));
        };
        let exit = status.code().unwrap_or_else(|| -std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default());
        let read = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        Outcome { exit, out: read(&self.out), err: read(&self.err), words: self.words.clone() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn expect(self, exit: i32) -> Self {
        assert_eq!(self.exit, exit, "{}\n== out\n{}\n== err\n{}", self.words, self.out, self.err);
        self
    }

    /// It says so, in its report or beside it, however the lines are broken.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = one_line(&format!("{} {}", self.out, self.err));
        assert!(said.contains(words), "nowhere is said `{words}`:\n{}\n{}", self.out, self.err);
        self
    }

    /// What was printed as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.out))
    }
}
