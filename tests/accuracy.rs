//! Recovery times are true (RULES 27): two hundred outages of random kind and length, made by servers that keep a log of
//! their own, in a real run of `chaos`. Every interval that the verdict reports must hold what the log says.
//!
//! The servers "depend" on a `sleep` that the run freezes twenty times: when it is seen frozen, each of the ten servers turns
//! bad after a random while, for a random while, in one of four ways. So each outage has a recovery clock as well.
//! `CHAOS_SEED` draws other outages; the seed is printed.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chaos_core::clock::Mono;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};

const SERVERS: usize = 10;
const ROUNDS: usize = 20;
/// From one freeze to the next.
const ROUND: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_millis(400);

/// How a server treats requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    Well,
    /// 503 at once.
    Errs,
    /// Never an answer, not even when it is well again.
    Swallows,
    /// Answers when it is well again, as a thawed process does.
    Freezes,
    /// Nobody listens, connections are closed.
    Refuses,
}

const BAD: [Mode; 4] = [Mode::Errs, Mode::Swallows, Mode::Freezes, Mode::Refuses];

/// A change of mode happened between these two readings of the clock.
type Change = (Mono, Mono);

/// One outage, as the server itself knows it.
#[derive(Debug, Clone, Copy)]
struct Outage {
    mode: Mode,
    began: Change,
    ended: Change,
}

impl Outage {
    /// As the verdict counts: seconds of the run.
    fn words(&self, begun: Mono) -> String {
        let [began, ended] = [self.began.0, self.ended.0].map(|at| at.since(begun).as_secs_f64());
        format!("{:?} from {began:.6} to {ended:.6}", self.mode)
    }
}

/// A server that can be turned bad, on a port that stays its own.
struct Server {
    address: SocketAddr,
    mode: AtomicU8,
    changed: Notify,
    /// Is the port listened on? What was asked for is so only when the listening task has done it.
    listens: watch::Sender<bool>,
    log: Mutex<Vec<Outage>>,
}

impl Server {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (mode, listens) = (AtomicU8::new(Mode::Well as u8), watch::Sender::new(true));
        let server = Arc::new(Self { address, mode, changed: Notify::new(), listens, log: Mutex::default() });
        tokio::spawn(Arc::clone(&server).accept(Some(listener)));
        server
    }

    fn mode(&self) -> Mode {
        let mode = self.mode.load(Ordering::SeqCst);
        BAD.into_iter().find(|m| *m as u8 == mode).unwrap_or(Mode::Well)
    }

    /// Everything answered after this obeys the new mode.
    async fn turn(&self, to: Mode) -> Change {
        let before = Mono::now();
        self.mode.store(to as u8, Ordering::SeqCst);
        self.changed.notify_waiters();
        let obeyed = self.listens.subscribe().wait_for(|listens| *listens == (to != Mode::Refuses)).await.is_ok();
        assert!(obeyed, "the server listens until the test ends");
        (before, Mono::now())
    }

    /// Bad for so long, and written into the log.
    async fn outage(&self, mode: Mode, lasts: Duration) {
        let began = self.turn(mode).await;
        tokio::time::sleep(lasts).await;
        let ended = self.turn(Mode::Well).await;
        self.log.lock().expect("the log").push(Outage { mode, began, ended });
    }

    async fn accept(self: Arc<Self>, mut listener: Option<TcpListener>) {
        loop {
            let changed = self.changed.notified();
            match (self.mode(), &listener) {
                (Mode::Refuses, _) => {
                    listener = None;
                    self.listens.send_replace(false);
                    changed.await;
                }
                (_, None) => {
                    listener = Some(listen(self.address));
                    self.listens.send_replace(true);
                }
                (_, Some(listening)) => tokio::select! {
                    stream = listening.accept() => if let Ok((stream, _)) = stream {
                        tokio::spawn(Arc::clone(&self).converse(stream));
                    },
                    () = changed => {}
                },
            }
        }
    }

    async fn converse(self: Arc<Self>, mut stream: TcpStream) {
        let mut asked = Vec::new();
        let mut swallowed = false;
        while stream.read_buf(&mut asked).await.is_ok_and(|n| n > 0) {
            if !asked.ends_with(b"\r\n\r\n") || swallowed {
                continue;
            }
            asked.clear();
            let status = loop {
                let changed = self.changed.notified();
                match self.mode() {
                    Mode::Well => break "200 OK",
                    Mode::Errs => break "503 Service Unavailable",
                    Mode::Freezes => changed.await,
                    Mode::Refuses => return,
                    Mode::Swallows => {
                        swallowed = true;
                        break "";
                    }
                }
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            if !swallowed && stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The same port again.
fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket option");
    socket.bind(address).expect("the same port");
    socket.listen(1024).expect("to listen")
}

/// A `sleep` that is ended with the test.
struct Victim(Child);

impl Victim {
    fn is_frozen(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Turns every server bad, once each time the victim is seen frozen, until nobody asks any more.
async fn fail_with(victim: &Victim, servers: &[Arc<Server>], random: &mut ChaCha8Rng) {
    loop {
        while !victim.is_frozen() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for server in servers {
            let mode = BAD[random.random_range(0..BAD.len())];
            let after = Duration::from_millis(random.random_range(0..200));
            let lasts = Duration::from_millis(random.random_range(60..600));
            // A process that is frozen for less than users wait is no outage to them.
            let lasts = if mode == Mode::Freezes { lasts + TIMEOUT } else { lasts };
            let server = Arc::clone(server);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                server.outage(mode, lasts).await;
            });
        }
        while victim.is_frozen() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn experiment(servers: &[Arc<Server>], pid_file: &Path) -> String {
    let hypotheses = servers.iter().enumerate().map(|(n, server)| {
        format!(
            "  server {n}:\n    probe: http\n    with: {{get: \"http://{}/\"}}\n    every: 20ms\n    timeout: {}ms\n    \
             baseline: {{success: \">= 90%\", for: 2s}}\n    recovery: {{within: 10s, hold: 250ms}}\n",
            server.address,
            TIMEOUT.as_millis()
        )
    });
    format!(
        "version: 1\nexperiment: accuracy\nsteady_state:\n{}targets:\n  victim: {{processes: {{pid_file: {}}}}}\n\
         blast_radius: {{duration: 2m, targets: {{victim: {{at_most: 1}}}}}}\n\
         method:\n  - {{inject: process.pause, into: victim, for: 100ms, every: {}ms, times: {ROUNDS}}}\n  - wait: 2s\n",
        hypotheses.collect::<String>(),
        pid_file.display(),
        ROUND.as_millis()
    )
}

/// What the run says: its verdict, and the moment from which the verdict counts.
struct Told {
    verdict: Value,
    begun: Mono,
}

fn told(state: &Path, output: &std::process::Output) -> Told {
    let complaint = || String::from_utf8_lossy(&output.stderr).into_owned();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", complaint()));
    let verdict = json.get("verdict").filter(|v| v.is_object()).cloned().unwrap_or(json);
    let runs = fs::read_dir(state.join("runs")).expect("a run");
    let run = runs.map(|e| e.expect("an entry").path()).find(|p| p.join("record.jsonl").is_file()).expect("a record");
    let record = fs::read_to_string(run.join("record.jsonl")).expect("a record");
    let first: Value = serde_json::from_str(record.lines().next().expect("a line")).expect("an event");
    Told { verdict, begun: serde_json::from_value(first["at"].clone()).expect("its time") }
}

impl Told {
    /// A moment of the verdict on the clock of the servers, in nanoseconds.
    fn at(&self, secs: &Value) -> Option<u128> {
        let micros = (secs.as_f64()? * 1e6).round();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run")]
        Some(u128::from(self.begun.0) + micros as u128 * 1_000)
    }
}

/// Can the change have happened within these bounds? A bound that was not seen is none.
fn holds(from: Option<u128>, change: Change, to: Option<u128>) -> bool {
    from.is_none_or(|from| from <= u128::from(change.1.0)) && to.is_none_or(|to| u128::from(change.0.0) <= to)
}

/// What is wrong with what was told of one server, and how many outages and recoveries were judged.
fn check(told: &Told, hypothesis: &Value, log: &[Outage]) -> (Vec<String>, usize, usize) {
    let mut wrong = Vec::new();
    let reported = hypothesis["outages"]["service"].as_array().cloned().unwrap_or_default();
    for outage in &reported {
        let (from, to) = (told.at(&outage["began"]["from"]), told.at(&outage["began"]["to"]));
        let (after, before) = (told.at(&outage["ended_after"]), told.at(&outage["ended_before"]));
        if !log.iter().any(|o| holds(from, o.began, to) && holds(after, o.ended, before)) {
            wrong.push(format!("{}: reported {outage}, of which its log knows nothing", hypothesis["name"]));
        }
        let lasted = |o: &Outage| (o.ended.0.since(o.began.1).as_secs_f64(), o.ended.1.since(o.began.0).as_secs_f64());
        let (least, most) = (outage["at_least"].as_f64().unwrap_or_default(), outage["at_most"].as_f64().unwrap_or(f64::MAX));
        if !log.iter().any(|o| holds(from, o.began, to) && least <= lasted(o).1 && lasted(o).0 <= most) {
            wrong.push(format!("{}: reported {outage}, and no outage of its log is as long", hypothesis["name"]));
        }
    }
    let clocks = hypothesis["clocks"].as_array().cloned().unwrap_or_default();
    let mut recoveries = 0;
    for clock in clocks.iter().filter(|c| !c["first_bad"].is_null() && !c["recovery"].is_null()) {
        let Some(started) = clock["started"].as_f64() else { continue };
        let bound = |end: &str| told.at(&Value::from(started + clock["recovery"][end].as_f64()?));
        recoveries += 1;
        if !log.iter().any(|o| holds(bound("from"), o.ended, bound("to"))) {
            wrong.push(format!("{}: reported a recovery {clock}, and its log says otherwise", hypothesis["name"]));
        }
    }
    (wrong, reported.len(), recoveries)
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the seed and the counts are told")]
async fn rule_27_two_hundred_outages_lie_inside_what_is_reported() {
    let seed = std::env::var("CHAOS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| rand::rng().random());
    println!("CHAOS_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let victim = Victim(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep"));
    let pid_file = folder.path().join("victim.pid");
    fs::write(&pid_file, victim.0.id().to_string()).expect("a pid file");
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(Server::start().await);
    }
    let file = folder.path().join("accuracy.yaml");
    fs::write(&file, experiment(&servers, &pid_file)).expect("an experiment");
    let state = folder.path().join("state");
    let begun = Instant::now();
    let mut run = tokio::process::Command::new(env!("CARGO_BIN_EXE_chaos"));
    run.arg("run").arg(&file).args(["--json", "-"]).arg("--quiet").arg("--state-dir").arg(&state);
    let running = tokio::time::timeout(Duration::from_secs(240), run.kill_on_drop(true).output());
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let output = tokio::select! {
        output = running => output.expect("a run that ends").expect("a run"),
        () = fail_with(&victim, &servers, &mut random) => unreachable!("it goes on for ever"),
    };
    let told = told(&state, &output);
    let (mut wrong, mut made, mut outages, mut recoveries) = (Vec::new(), 0, 0, 0);
    for (n, server) in servers.iter().enumerate() {
        let log = server.log.lock().expect("the log").clone();
        let (bad, seen, recovered) = check(&told, &told.verdict["hypotheses"][n], &log);
        let its_log: Vec<String> = log.iter().map(|o| o.words(told.begun)).collect();
        wrong.extend(bad.into_iter().map(|w| format!("{w}\n    its log: {}", its_log.join(", "))));
        (made, outages, recoveries) = (made + log.len(), outages + seen, recoveries + recovered);
    }
    println!("{made} outages made, {outages} reported, {recoveries} recoveries reported, in {:.0?}", begun.elapsed());
    assert!(wrong.is_empty(), "CHAOS_SEED={seed}: {} of {outages} outages and {recoveries} recoveries:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(made, SERVERS * ROUNDS, "every freeze was seen by every server");
    assert!(outages >= made * 9 / 10, "only {outages} of {made} outages were reported");
    assert!(recoveries >= made * 9 / 10, "only {recoveries} of {made} recoveries were reported");
}
