//! A stage for one experiment: a folder of its own, something to harm, something to ask, and the real program.

pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod victim;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use chaos_testbed::not_covered;
pub(crate) use program::{Outcome, Program};
pub(crate) use server::{Answer, Server};
pub(crate) use victim::Victim;

/// Longer than anything takes on a busy machine; only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// May this test do what needs root? Counted as not covered where it may not.
pub(crate) fn root(test: &str) -> bool {
    let may = rustix::process::geteuid().is_root() && std::env::var_os("CHAOS_TESTS_QUICK").is_none();
    if !may {
        not_covered(test, "needs root");
    }
    may
}

/// A folder with a state directory in it, removed at the end.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("chaos-promise-").tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Starts `chaos` with this stage's state directory.
    pub(crate) fn start(&self, args: &[&str]) -> Program {
        Program::start(self, args, &[])
    }

    /// Runs `chaos` to its end.
    pub(crate) fn chaos(&self, args: &[&str]) -> Outcome {
        self.start(args).wait()
    }

    /// Runs an experiment to its end.
    pub(crate) fn run(&self, experiment: &str) -> Outcome {
        self.start_run(experiment).wait()
    }

    pub(crate) fn start_run(&self, experiment: &str) -> Program {
        self.write("experiment.yaml", experiment);
        self.start(&["run", &self.experiment(), "--quiet"])
    }

    /// Runs `chaos` as a user who may nothing, with a state directory of their own. Needs root.
    pub(crate) fn chaos_as_nobody(&self, args: &[&str]) -> Outcome {
        const NOBODY: u32 = 65_534;
        // Not every path to the built program is open to everybody. Copied by somebody else, because a program that another
        // thread's child still holds open for writing cannot be started.
        let program = self.path("chaos");
        let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_chaos")).arg(&program).status();
        assert!(copied.is_ok_and(|status| status.success()), "a copy of the program");
        let state = self.path("state-of-nobody");
        let _ = std::fs::create_dir(&state);
        std::os::unix::fs::chown(&state, Some(NOBODY), Some(NOBODY)).expect("root may");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.folder.path(), open).expect("our own folder");
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(program);
        command.args(args).arg("--state-dir").arg(state);
        Program::spawn(self, command).wait()
    }

    /// The file that [`Stage::run`] runs.
    pub(crate) fn experiment(&self) -> String {
        self.path("experiment.yaml").to_str().expect("a path").to_owned()
    }

    /// The folders of the runs so far, oldest first.
    pub(crate) fn runs(&self) -> Vec<PathBuf> {
        let mut runs: Vec<PathBuf> =
            std::fs::read_dir(self.state().join("runs")).into_iter().flatten().flatten().map(|e| e.path()).collect();
        runs.sort();
        runs
    }

    /// The record of the one run.
    pub(crate) fn record(&self) -> String {
        self.runs().iter().map(|run| std::fs::read_to_string(run.join("record.jsonl")).unwrap_or_default()).collect()
    }

    /// Everything that journals say, finished or not.
    pub(crate) fn journals(&self) -> String {
        let mut text = String::new();
        for journal in files(&self.state().join("journals")) {
            let bytes = std::fs::read(journal).unwrap_or_default();
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        text
    }

    /// Nothing was even meant to be done.
    #[track_caller]
    pub(crate) fn assert_nothing_was_done(&self) {
        let journals = self.journals();
        assert!(!journals.contains("\"intended\""), "an undo was written: {journals}");
    }

    /// Nothing is in force, and no journal is open.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let status = self.chaos(&["status"]);
        assert_eq!((status.exit, status.out.as_str()), (0, "nothing is in force here, and nothing was left\n"), "{}", status.err);
    }

    /// Words for a snapshot: what differs from run to run is replaced.
    pub(crate) fn plain(&self, text: &str) -> String {
        let folder = self.folder.path().to_str().expect("a path");
        without_run_ids(&text.replace(folder, "[stage]"))
    }
}

/// `20261120-061259-k3xq` differs from run to run.
fn without_run_ids(text: &str) -> String {
    const SHAPE: &str = "########-######-****";
    let fits = |window: &str| {
        window.len() == SHAPE.len()
            && window.chars().zip(SHAPE.chars()).all(|(c, s)| match s {
                '#' => c.is_ascii_digit(),
                '*' => c.is_ascii_alphanumeric(),
                _ => c == s,
            })
    };
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let id = rest.get(..SHAPE.len()).is_some_and(fits);
        plain.push_str(if id { "[run]" } else { &rest[..c.len_utf8()] });
        rest = &rest[if id { SHAPE.len() } else { c.len_utf8() }..];
    }
    plain
}

/// Every file under a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// An experiment, in parts that a test may replace.
pub(crate) struct Text {
    pub(crate) top: String,
    pub(crate) steady_state: String,
    pub(crate) targets: String,
    pub(crate) blast_radius: String,
    pub(crate) method: String,
}

/// What users see stays well for half of them, and comes back.
pub(crate) const HALF: &str = "during: {success: '>= 50%'}, recovery: {within: 20s, hold: 200ms}";

impl Text {
    /// Asks the server, and freezes the victim for a moment.
    pub(crate) fn new(server: &Server, victim: &Victim) -> Self {
        Self {
            top: String::new(),
            steady_state: answers(server, HALF),
            targets: format!("{{victim: {{processes: {{pid_file: {}}}, expect: 1}}}}", victim.pid_file().display()),
            blast_radius: "{duration: 2m, targets: {victim: {at_most: 1}}}".into(),
            method: "[{inject: process.pause, into: victim, for: 300ms}]".into(),
        }
    }

    pub(crate) fn top(mut self, lines: &str) -> Self {
        let _ = writeln!(self.top, "{lines}");
        self
    }

    pub(crate) fn steady_state(mut self, text: impl Into<String>) -> Self {
        self.steady_state = text.into();
        self
    }

    pub(crate) fn targets(mut self, text: impl Into<String>) -> Self {
        self.targets = text.into();
        self
    }

    pub(crate) fn blast_radius(mut self, text: impl Into<String>) -> Self {
        self.blast_radius = text.into();
        self
    }

    pub(crate) fn method(mut self, text: impl Into<String>) -> Self {
        self.method = text.into();
        self
    }

    pub(crate) fn yaml(&self) -> String {
        let Self { top, steady_state, targets, blast_radius, method } = self;
        format!(
            "version: 1\nexperiment: staged\n{top}steady_state:\n  {steady_state}\ntargets: {targets}\nblast_radius: {blast_radius}\nmethod: {method}\n"
        )
    }
}

/// A hypothesis on the server's answers, with these objectives beside its short baseline.
pub(crate) fn answers(server: &Server, objectives: &str) -> String {
    format!(
        "answers: {{probe: http, with: {{get: '{}'}}, every: 10ms, timeout: 2s, baseline: {{success: '>= 80%', for: 300ms}}, {objectives}}}",
        server.url()
    )
}
