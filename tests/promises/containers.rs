//! Containers of a real engine are harmed by real runs, whose parts are killed, and so is the engine: every container is found
//! as it was.

mod crash;
mod engine_lost;
mod killed;
mod late;
mod many;
mod others_act;
mod sorts;

use std::path::Path;

use chaos_core::journal::Journal;
use chaos_core::state_dir::StateDir;
use chaos_testbed::{Engine, EngineTwin};
use rustix::process::{Pid, Signal, kill_process};

use crate::scaffold::server::Server;
use crate::scaffold::{HALF, Outcome, Program, Stage, Text, answers, not_covered, until};

/// Frozen for longer than any test takes.
const FROZEN: &str = "[{inject: container.pause, into: shop, pick: all, for: 4m}]";

/// The engine that these tests have in common, or none here.
fn engine(test: &str) -> Option<&'static Engine> {
    Engine::shared().map_err(|absent| not_covered(test, &absent.0)).ok()
}

/// One of the test's own, which it may kill.
fn own_engine(test: &str, flags: &[&str]) -> Option<Engine> {
    Engine::start_with(flags).map_err(|absent| not_covered(test, &absent.0)).ok()
}

/// Containers of a test, and what it does to them.
struct Shop<'e> {
    engine: &'e Engine,
    stage: Stage,
    server: Server,
    /// The value of their label `test`, and what their names begin with.
    label: String,
    names: Vec<String>,
    before: EngineTwin,
}

impl<'e> Shop<'e> {
    /// One container that sleeps.
    fn new(engine: &'e Engine) -> Self {
        Self::of(engine, 1, &[], &[Engine::BUSYBOX, "sleep", "1000"])
    }

    /// So many, started with these words of `docker run`, of this image and command.
    fn of(engine: &'e Engine, count: usize, words: &[&str], runs: &[&str]) -> Self {
        let label = Engine::unique("shop");
        let names: Vec<String> = (0..count).map(|n| format!("{label}-{n}")).collect();
        // Several at once: each waits more than it computes.
        for some in names.chunks(8) {
            std::thread::scope(|scope| {
                for name in some {
                    let label = format!("test={label}");
                    scope.spawn(move || engine.docker(&[&["run", "--detach", "--name", name, "--label", &label], words, runs].concat()));
                }
            });
        }
        let before = EngineTwin::of_only(engine, &names.iter().map(String::as_str).collect::<Vec<_>>());
        Self { engine, stage: Stage::new(), server: Server::well(), label, names, before }
    }

    /// Does this to them, while somebody is asked who always answers.
    fn text(&self, method: &str) -> Text {
        let (label, count) = (&self.label, self.names.len());
        Text {
            top: String::new(),
            steady_state: answers(&self.server, HALF),
            targets: format!("{{shop: {{containers: {{labels: {{test: {label}}}}}, expect: {count}}}}}"),
            blast_radius: format!("{{duration: 5m, targets: {{shop: {{at_most: {count}, share: 100%}}}}}}"),
            method: method.into(),
        }
    }

    fn start(&self, method: &str) -> Program {
        self.start_through(&self.engine.endpoint(), method)
    }

    /// As [`Shop::start`], speaking to the engine there.
    fn start_through(&self, endpoint: &str, method: &str) -> Program {
        self.start_text(endpoint, &self.text(method))
    }

    fn start_text(&self, endpoint: &str, text: &Text) -> Program {
        self.stage.write("experiment.yaml", text.yaml());
        Program::start(&self.stage, &["run", &self.stage.experiment(), "--quiet"], &[("DOCKER_HOST", endpoint)])
    }

    /// A run whose fault is in force: every container is frozen, and the record says so.
    fn frozen(&self) -> Program {
        let mut run = self.start(FROZEN);
        run.until("every container is frozen", || self.names.iter().all(|name| self.is_paused(name)));
        run.until("it is seen", || self.stage.record().contains("\"present\""));
        run
    }

    fn name(&self) -> &str {
        &self.names[0]
    }

    /// A field of a container as `docker inspect` prints it; nothing while there is no such container, or no engine.
    fn field(&self, name: &str, field: &str) -> String {
        self.engine.try_docker(&["container", "inspect", "--format", &format!("{{{{{field}}}}}"), name]).unwrap_or_default()
    }

    fn is_paused(&self, name: &str) -> bool {
        self.field(name, ".State.Paused") == "true"
    }

    /// The run's own name.
    fn run_id(&self) -> String {
        let runs = self.stage.runs();
        runs.last().and_then(|run| run.file_name()).expect("a run").to_string_lossy().into_owned()
    }

    fn executor(&self) -> i32 {
        let state = StateDir::open(&self.stage.state()).expect("a state directory");
        Journal::look(&state, &self.run_id()).expect("a journal").0.writer.expect("a writer").pid
    }

    fn is_finished(&self) -> bool {
        self.stage.state().join(format!("journals/done/{}.journal", self.run_id())).exists()
    }

    /// Kills coordinator and executor at one moment: nobody is there to notice.
    fn kill_both(&self, run: &Program) {
        let executor = self.executor();
        run.signal(Signal::STOP);
        kill(executor);
        run.signal(Signal::KILL);
    }

    /// `chaos recover`, which ends with this code.
    #[track_caller]
    fn recover(&self, exit: i32) -> Outcome {
        self.stage.chaos(&["recover", "--within", "1s"]).expect(exit)
    }

    /// The containers are as they were, but for these fields, and the engine has nothing of ours.
    #[track_caller]
    fn assert_as_before(&self, lost: &[&str]) {
        self.stage.assert_clean();
        self.assert_no_stamp();
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        self.before.assert_same_but(&EngineTwin::of_only(self.engine, &names), lost, "after the run");
    }

    /// The engine has nothing of ours.
    #[track_caller]
    fn assert_no_stamp(&self) {
        for run in self.stage.runs() {
            let run = format!("label=chaos.run={}", run.file_name().unwrap_or_default().to_string_lossy());
            assert_eq!(self.engine.docker(&["volume", "ls", "--quiet", "--filter", &run]), "", "a stamp is left");
        }
    }
}

impl Drop for Shop<'_> {
    fn drop(&mut self) {
        let listed = self.engine.try_docker(&["ps", "-aq", "--filter", &format!("label=test={}", self.label)]).unwrap_or_default();
        let ids: Vec<&str> = listed.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = self.engine.try_docker(&[&["rm", "--force", "--volumes"][..], &ids].concat());
        }
    }
}

/// Kills a process and waits until it holds nothing any more.
fn kill(pid: i32) {
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL);
    until("it is dead", || !Path::new(&format!("/proc/{pid}/fd/0")).exists());
}
