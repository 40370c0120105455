//! The demo system as containers, brought up by Compose from the file that its readers use.

use std::process::Command;
use std::time::{Duration, Instant};

use chaos_testbed::{Absent, Engine};

use super::image;
use super::promised::told;

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");
/// Everything is slow on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The engine of these tests, with the image.
pub fn engine() -> Result<&'static Engine, Absent> {
    static BUILT: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    let engine = Engine::shared()?;
    BUILT.get_or_init(|| image::build(engine, "chaos"));
    Ok(engine)
}

/// A project of Compose. Dropping it removes its containers, networks and volumes.
pub struct Project {
    engine: &'static Engine,
    pub name: String,
    file: String,
    environment: Vec<(String, String)>,
}

impl Project {
    pub fn new(engine: &'static Engine, file: &str, environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let file = image::file(file).display().to_string();
        Self { engine, name: Engine::unique("shop"), file, environment }
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// `docker-compose` with the words for this project before these.
    pub fn compose(&self, words: &[&str]) -> Command {
        let mut command = self.engine.command("docker-compose");
        command.args(["--project-name", &self.name, "--file", &self.file]).args(words);
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    pub fn up(&self) {
        let output = self.compose(&["up", "--detach"]).output().expect("docker-compose runs");
        assert!(output.status.success(), "{}", told(&output));
    }

    /// The containers of a service, running or not.
    pub fn containers(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = format!("label=com.docker.compose.service={service}");
        let listed = self.engine.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &project, "--filter", &service]);
        listed.split_whitespace().map(ToOwned::to_owned).collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.compose(&["down", "--volumes", "--timeout", "1"]).output();
    }
}

/// The demo system, serving.
pub struct Shop {
    pub project: Project,
    pub gateway: u16,
}

impl Shop {
    /// Brings it up at a port of its own, and waits until a user is served by three replicas.
    pub fn open(engine: &'static Engine, environment: &[(&str, &str)]) -> Self {
        static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(18_080);
        let gateway = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let port = gateway.to_string();
        let project = Project::new(engine, "examples/demo/compose.yaml", &[environment, &[("GATEWAY", port.as_str())]].concat());
        project.up();
        let shop = Self { project, gateway };
        let since = Instant::now();
        while shop.in_rotation() < 3 {
            assert!(since.elapsed() < PATIENCE, "the shop does not open: {}", shop.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
        shop
    }

    /// How many replicas the gateway knows and trusts.
    fn in_rotation(&self) -> usize {
        let url = format!("http://127.0.0.1:{}/status", self.gateway);
        let output =
            self.project.engine.command("timeout").args(["5", "busybox", "wget", "-q", "-O", "-", &url]).output().expect("busybox runs");
        String::from_utf8_lossy(&output.stdout).matches("\"in_rotation\":true").count()
    }

    fn logs(&self) -> String {
        told(&self.project.compose(&["logs", "--no-color"]).output().expect("docker-compose runs"))
    }

    /// `chaos` with these words, on the engine's own machine, with a state directory of its own.
    pub fn chaos(&self, state: &std::path::Path, words: &[&str]) -> Command {
        let mut command = self.project.engine.command(CHAOS);
        command.args(words).arg("--state-dir").arg(state);
        command
    }
}
