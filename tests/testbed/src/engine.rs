//! A container engine of a test's own: Debian's `dockerd`, in a network and mounts of its own.

mod inspect;
mod late;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Absent;
use crate::archive::Archive;
use crate::image::{busybox, found};
use crate::payload::Payload;

pub use inspect::EngineTwin;
pub use late::Late;

/// It comes up in a second on a quiet machine; only a hang reaches this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running engine. Dropping it ends it, with its containers, networks, control groups and files.
///
/// Its daemon lives in a network and a mount namespace of its own, so that this machine's links and packet filters are not
/// touched; processes and control groups are this machine's. Everything that is its own lies in one folder. A process of ours
/// holds it: one that reads from a pipe that only this test has the other end of. So it ends when the test does, however that
/// ends.
///
/// There are no images but those that tests make ([`Engine::image`]); nothing is pulled.
#[derive(Debug)]
pub struct Engine {
    keeper: Child,
    /// What the daemon is started with, beside what makes it ours.
    flags: String,
    name: String,
    folder: PathBuf,
    client: PathBuf,
}

impl Engine {
    /// The name of the image that [`Engine::start`] makes: a static busybox with its applets.
    pub const BUSYBOX: &'static str = "busybox";

    /// A new one, with the image [`Engine::BUSYBOX`].
    ///
    /// # Errors
    /// When this machine lacks something for it, or this user is not root.
    ///
    /// # Panics
    /// When it is started and does not come up: that is a failure, not something absent.
    pub fn start() -> Result<Self, Absent> {
        Self::start_with(&[])
    }

    /// As [`Engine::start`], with more flags for its daemon (`--live-restore`, `--userns-remap=nobody:nogroup`).
    ///
    /// # Errors
    /// As [`Engine::start`].
    ///
    /// # Panics
    /// As [`Engine::start`].
    pub fn start_with(flags: &[&str]) -> Result<Self, Absent> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os("CHAOS_TESTS_QUICK").is_some() {
            return Err(Absent("container engines: left out with --quick".into()));
        }
        if !rustix::process::geteuid().is_root() {
            return Err(Absent("a container engine of its own needs root".into()));
        }
        found("dockerd")?;
        let name = format!("chaos-testbed-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // Not a folder that we remove: the keeper does that, and outlives us.
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir().map_err(|e| Absent(format!("no folder: {e}")))?.keep();
        let flags = flags.join(" ");
        let mut keeper = Command::new("unshare");
        keeper.args(["--net", "--mount", "sh", "-c", include_str!("engine/keeper.sh"), "keeper"]).arg(&folder).arg(&name).arg(&flags);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").process_group(0);
        let keeper = keeper.spawn().map_err(|e| Absent(format!("unshare: {e}")))?;
        // The client of the same package speaks the engine's version of the protocol for certain; a newer one may not.
        let debians = PathBuf::from("/usr/bin/docker");
        let client = if debians.is_file() { debians } else { found("docker")? };
        let engine = Self { keeper, flags, name, folder, client };
        engine.bring_up();
        let mut shell = Archive::default();
        busybox(&mut shell, &[])?;
        engine.import(Self::BUSYBOX, &shell.end());
        Ok(engine)
    }

    /// The one that the tests of this program have in common; it ends when the program does. A test names its containers by
    /// itself ([`Engine::unique`]), and leaves none.
    ///
    /// # Errors
    /// As [`Engine::start`].
    ///
    /// # Panics
    /// As [`Engine::start`].
    pub fn shared() -> Result<&'static Self, Absent> {
        static SHARED: OnceLock<Result<Engine, Absent>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    /// A name that no other test has.
    #[must_use]
    pub fn unique(prefix: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Where it is spoken to, as `DOCKER_HOST` has it. The socket is seen from everywhere on this machine.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// The engine's daemon; none while it is down.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        let pid: i32 = std::fs::read_to_string(self.folder.join("pid")).ok()?.trim().parse().ok()?;
        is_running(pid).then_some(pid)
    }

    /// Runs Debian's client with these words, which must succeed, and gives what it prints, trimmed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn docker(&self, words: &[&str]) -> String {
        match self.try_docker(words) {
            Ok(said) => said,
            Err(why) => panic!("docker {}: {why}", words.join(" ")),
        }
    }

    /// As [`Engine::docker`], for what may fail.
    ///
    /// # Errors
    /// What it complains of.
    pub fn try_docker(&self, words: &[&str]) -> Result<String, String> {
        let mut client = Command::new(&self.client);
        client.args(words).env("DOCKER_HOST", self.endpoint()).env_remove("DOCKER_CONTEXT").stdin(Stdio::null());
        let output = client.output().map_err(|e| e.to_string())?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// A command that will run in the engine's network and mounts, with `DOCKER_HOST` set: as on the engine's own machine.
    ///
    /// # Panics
    /// When this process has no current directory.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let here = std::env::current_dir().expect("a current directory");
        let mut command = Command::new("nsenter");
        command.arg("--net").arg("--mount").arg("--target").arg(self.keeper.id().to_string());
        command.arg(format!("--wdns={}", here.display())).arg("--").arg(program.as_ref());
        command.env("DOCKER_HOST", self.endpoint()).env_remove("DOCKER_CONTEXT").stdin(Stdio::null());
        command
    }

    /// Makes an image from nothing but this: its programs at their paths, their libraries, its files.
    ///
    /// # Panics
    /// When something of it cannot be read.
    pub fn image(&self, name: &str, payload: &Payload) {
        self.import(name, &payload.pack().unwrap_or_else(|e| panic!("{name}: {e}")));
    }

    /// As [`Engine::image`], with busybox and its applets in `/bin`.
    ///
    /// # Panics
    /// As [`Engine::image`].
    pub fn image_with_shell(&self, name: &str, payload: &Payload) {
        let mut archive = Archive::default();
        busybox(&mut archive, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        payload.add_to(&mut archive).unwrap_or_else(|e| panic!("{name}: {e}"));
        self.import(name, &archive.end());
    }

    fn import(&self, name: &str, archive: &[u8]) {
        let root = tempfile::tempdir().expect("a folder");
        let mut unpack = Command::new("busybox");
        unpack.args(["cpio", "-i", "-d"]).current_dir(&root).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut unpack = unpack.spawn().expect("busybox starts");
        unpack.stdin.take().expect("piped").write_all(archive).expect("it reads");
        assert!(unpack.wait().expect("it ends").success(), "busybox cpio");
        std::fs::create_dir_all(root.path().join("tmp")).expect("a folder");
        let packed = root.path().with_extension("tar");
        let tar = Command::new("tar").arg("-C").arg(root.path()).arg("-cf").arg(&packed).arg(".").status();
        assert!(tar.is_ok_and(|s| s.success()), "tar");
        self.docker(&["import", &packed.to_string_lossy(), name]);
        std::fs::remove_file(packed).expect("our own file");
    }

    /// Kills the daemon, and the one below it that starts containers; those live on. It stays down.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// Ends the daemon as a service manager does, which stops the containers (but for `--live-restore`). It stays down.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&self) {
        self.end("TERM");
    }

    /// Starts the daemon again, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn bring_up(&self) {
        self.tell(&format!("start {}", self.flags));
        self.until("it answers", || self.answers());
    }

    /// [`Engine::stop`], then [`Engine::bring_up`].
    ///
    /// # Panics
    /// As these.
    pub fn restart(&self) {
        self.stop();
        self.bring_up();
    }

    fn end(&self, signal: &str) {
        let pid = self.pid();
        self.tell(&format!("signal {signal}"));
        self.until("it ends", || pid.is_none_or(|pid| !is_running(pid)));
    }

    fn tell(&self, line: &str) {
        let mut to = self.keeper.stdin.as_ref().expect("piped");
        to.write_all(format!("{line}\n").as_bytes()).expect("the keeper reads");
    }

    fn answers(&self) -> bool {
        let ask = || {
            let mut engine = UnixStream::connect(self.socket())?;
            engine.set_read_timeout(Some(PATIENCE))?;
            engine.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            engine.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        ask().is_ok_and(|answer| answer.ends_with("OK"))
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < PATIENCE, "the engine: never came: {what}; it says:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The last that the daemon said.
    #[must_use]
    pub fn log(&self) -> String {
        let text = String::from_utf8_lossy(&std::fs::read(self.folder.join("log")).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The name of its control groups, of which those of its containers are below `containers`.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.name
    }

    /// The folder with everything that is its own; gone when it has ended.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A zombie has ended.
fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}
