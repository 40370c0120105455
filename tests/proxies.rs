//! Proxies on the real program: before an address, before a process that is not pointed at them, and after one was killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use chaos_testbed::not_covered;

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// An experiment on a language model: asked at `ask`, listening on `model`, with `proxy` between, slowed by 100 ms.
fn slowed(ask: u16, model: u16, proxy: &str) -> String {
    format!(
        "version: 1\nexperiment: slowed\n\
         system:\n  model: {{run: \"chaos demo llm --listen 127.0.0.1:{model}\", ready: {{probe: tcp, with: {{connect: \"127.0.0.1:{model}\"}}, within: 20s}}}}\n\
         steady_state:\n  answers: {{probe: http, with: {{get: \"http://127.0.0.1:{ask}/health\"}}, every: 50ms, timeout: 5s, \
         baseline: {{success: \">= 50%\", for: 1s}}, during: {{p50: \">= 100ms\"}}}}\n\
         targets:\n  model: {{processes: {{system: model}}}}\n  way: {{proxy: {proxy}}}\n\
         blast_radius: {{duration: 1m, targets: {{way: {{at_most: 1}}}}}}\n\
         method:\n  - {{inject: tcp.latency, into: way, with: {{delay: 100ms}}, for: 2s}}\n"
    )
}

struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("proxies-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, yaml: &str, wrapper: &[&str]) -> Output {
        let file = self.path("slowed.yaml");
        std::fs::write(&file, yaml).expect("an experiment");
        let words: Vec<&str> = wrapper.iter().copied().chain([CHAOS]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("run").arg(&file).arg("--state-dir").arg(self.path("state"));
        command.output().expect("chaos runs")
    }
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Processes whose words hold all of these.
fn running(words: &[&str]) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").expect("processes").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let meant = |pid: &i32| {
        let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        words.iter().all(|word| line.contains(word))
    };
    all.filter(meant).collect()
}

#[test]
fn a_proxy_before_an_address_slows_what_passes_it_and_ends_with_the_run() {
    let (stage, listen, model) = (Stage::new(), free_port(), free_port());
    let output = stage.run(&slowed(listen, model, &format!("{{listen: \"127.0.0.1:{listen}\", upstream: \"127.0.0.1:{model}\"}}")), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(running(&["proxy", &format!("127.0.0.1:{listen}")]), [0; 0], "it is gone");
}

#[test]
fn rule_18_a_proxy_before_a_process_needs_no_pointing_and_leaves_no_redirect() {
    if std::env::var_os("CHAOS_TESTS_QUICK").is_some() || !rustix::process::geteuid().is_root() {
        return not_covered("a proxy before a process", "a network namespace of its own needs root");
    }
    let (stage, model) = (Stage::new(), 18_080);
    let listed = stage.path("ruleset");
    let script = format!(r#"ip link set lo up && "$@"; code=$?; nft list ruleset > {}; exit $code"#, listed.display());
    let wrapper = ["unshare", "--net", "sh", "-c", &script, "sh"];
    let output = stage.run(&slowed(model, model, "{before: model}"), &wrapper);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(std::fs::read_to_string(listed).expect("the rules"), "", "no redirect is left");
}

#[test]
fn where_tls_ends_at_a_proxy_faults_meet_what_is_inside() {
    let (stage, listen, model) = (Stage::new(), free_port(), free_port());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(stage.path("cert.pem"), made.cert.pem()).expect("it is written");
    std::fs::write(stage.path("key.pem"), made.signing_key.serialize_pem()).expect("it is written");
    let ends = "tls: {certificate: cert.pem, key: key.pem}";
    let proxy = format!("{{listen: \"127.0.0.1:{listen}\", upstream: \"127.0.0.1:{model}\", speaks: http, {ends}}}");
    let plain = format!("{{get: \"http://127.0.0.1:{listen}/health\"}}");
    let secret = format!("{{get: \"https://localhost:{listen}/health\", tls: {{ca: cert.pem}}}}");
    let yaml = slowed(listen, model, &proxy).replace(&plain, &secret).replace("tcp.latency", "http.delay");
    let output = stage.run(&yaml, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("http.delay"), "{}", told(&output));
    // What is not there is said before anything is started.
    std::fs::remove_file(stage.path("key.pem")).expect("it was there");
    let output = stage.run(&yaml, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("TLS cannot end at the proxy") && told(&output).contains("key.pem"), "{}", told(&output));
    assert_eq!(running(&["llm", &format!("127.0.0.1:{model}")]), [0; 0], "nothing was started");
}

#[test]
fn what_a_file_alone_shows_to_be_wrong_with_a_proxy_is_said_when_it_is_read() {
    let (stage, usual) = (Stage::new(), "{listen: \"127.0.0.1:6390\", upstream: \"127.0.0.1:6379\"}");
    let file = stage.path("wrong.yaml");
    let right = slowed(6390, 6379, usual);
    let faulty = |fault: &str, with: &str| right.replace("tcp.latency", fault).replace("with: {delay: 100ms}", with);
    let beside = |other: &str| right.replace("  way: {", &format!("  other: {{proxy: {other}}}\n  way: {{"));
    let twin = "{listen: \"localhost:6390\", upstream: \"127.0.0.1:6379\", speaks: redis}";
    let back = "{listen: \"127.0.0.1:6379\", upstream: \"127.0.0.1:6390\"}";
    let ends = |words: &str| right.replace(usual, &usual.replace('}', &format!(", {words}}}")));
    for (text, said) in [
        (faulty("http.status", "with: {status: 503}"), "http.status needs a proxy that understands its protocol; this one speaks tcp"),
        (faulty("net.delay", "with: {delay: 100ms}"), "did you mean `tcp.latency`?"),
        (faulty("tcp.delay", "with: {delay: 100ms}"), "did you mean `tcp.latency`?"),
        (beside(twin), "another proxy listens on 127.0.0.1:6390 already, with other words (target set `other`)"),
        (beside(back), "connections would go round for ever"),
        (ends("tls: {certificate: c, key: k}"), "TLS ends only at a proxy that understands HTTP"),
        (ends("speaks: http, tls: {certificate: c, key: k, authorities: a}"), "`upstream` is missing"),
        (ends("speaks: http, tls: {certificate: c}"), "`key` is missing"),
    ] {
        std::fs::write(&file, &text).expect("an experiment");
        let output = Command::new(CHAOS).arg("validate").arg(&file).output().expect("chaos runs");
        assert_eq!(output.status.code(), Some(2), "{text}\n{}", self::told(&output));
        assert!(self::told(&output).contains(said), "`{said}` is not in:\n{}", self::told(&output));
    }
    std::fs::write(&file, &right).expect("an experiment");
    let output = Command::new(CHAOS).arg("validate").arg(&file).output().expect("chaos runs");
    assert_eq!(output.status.code(), Some(0), "{}", self::told(&output));
}

#[test]
fn proxies_of_one_command_that_make_a_ring_are_refused_and_addresses_are_said_once() {
    let [first, second, third] = [free_port(), free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let proxy = |words: &[&str]| Command::new("timeout").args(["-k", "1", "60", CHAOS, "proxy"]).args(words).output().expect("chaos runs");
    let ring =
        ["--listen", &first, "--upstream", &second, "--listen", &second, "--upstream", &third, "--listen", &third, "--upstream", &first];
    let output = proxy(&ring);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("its upstream leads back to it") && told(&output).contains(&second), "{}", told(&output));
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = held.local_addr().expect("an address").to_string();
    let output = proxy(&["--listen", &at, "--upstream", &first]);
    let error = told(&output).lines().find(|line| line.contains("in use")).map(str::to_owned).unwrap_or_default();
    assert_eq!(error.matches(&at).count(), 1, "{}", told(&output));
    let output = proxy(&["--listen", "6390", "--upstream", &first]);
    assert!(told(&output).contains("an address needs its host") && told(&output).contains("127.0.0.1:6390"), "{}", told(&output));
}

#[test]
fn a_killed_proxy_is_said_and_does_not_keep_the_next_run() {
    let (stage, listen, model) = (Stage::new(), free_port(), free_port());
    let proxy = format!("{{listen: \"127.0.0.1:{listen}\", upstream: \"127.0.0.1:{model}\"}}");
    let yaml = slowed(listen, model, &proxy);
    let killed = yaml.replace(
        "method:\n",
        &format!(
            "method:\n  - {{inject: tcp.latency, into: way, with: {{delay: 10ms}}, meanwhile: [{{wait: 1s}}, {{run: \"pkill -9 -f 'proxy --listen 127.0.0.1:{listen} '\"}}, {{wait: 2s}}]}}\n"
        ),
    );
    let output = stage.run(&killed, &[]);
    assert!(told(&output).contains("is gone"), "{}", told(&output));
    assert_ne!(output.status.code(), Some(0), "{}", told(&output));
    let again = stage.run(&yaml, &[]);
    assert_eq!(again.status.code(), Some(0), "{}", told(&again));
}

#[test]
fn an_upstream_that_is_down_is_said_at_the_start_of_its_proxy() {
    let (stage, upstream) = (Stage::new(), format!("127.0.0.1:{}", free_port()));
    let said = stage.path("said");
    let mut proxy = Command::new(CHAOS)
        .args(["proxy", "--listen", "127.0.0.1:0", "--upstream", &upstream])
        .stderr(std::fs::File::create(&said).expect("a file"))
        .spawn()
        .expect("it starts");
    let until = Instant::now() + Duration::from_secs(60);
    let told = || std::fs::read_to_string(&said).unwrap_or_default();
    while !told().contains(&format!("nobody answers at {upstream}")) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let alive = proxy.try_wait().expect("it is asked").is_none();
    let _ = proxy.kill();
    let _ = proxy.wait();
    assert!(alive, "it goes on: {}", told());
    assert!(told().contains(&format!("nobody answers at {upstream}")), "{}", told());
}

/// What an application that is pointed at the proxy gets, asked for as long as the run lives.
fn ask_until(listen: u16, over: &std::sync::atomic::AtomicBool) -> Vec<(std::time::Instant, bool)> {
    let mut answers = Vec::new();
    while !over.load(std::sync::atomic::Ordering::SeqCst) {
        answers.push((std::time::Instant::now(), std::net::TcpStream::connect(("127.0.0.1", listen)).is_ok()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    answers
}

#[test]
fn rule_18_and_39_a_killed_executor_leaves_traffic_flowing_until_the_run_ends() {
    let (stage, listen, model) = (Stage::new(), free_port(), free_port());
    let proxy = format!("{{listen: \"127.0.0.1:{listen}\", upstream: \"127.0.0.1:{model}\"}}");
    let state = stage.path("state");
    let kill = format!(
        "method:\n  - {{inject: tcp.latency, into: way, with: {{delay: 10ms}}, meanwhile: [{{wait: 1s}}, {{run: \"pkill -9 -f 'executor --state-dir {}'\"}}, {{wait: 60s}}]}}\n",
        state.display()
    );
    let yaml =
        slowed(listen, model, &proxy).replace("blast_radius: {duration: 1m", "blast_radius: {duration: 5m").replace("method:\n", &kill);
    let over = std::sync::atomic::AtomicBool::new(false);
    let (output, answers) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask_until(listen, &over));
        let output = stage.run(&yaml, &[]);
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        (output, asking.join().expect("answers"))
    });
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    assert!(told(&output).contains("its system stands"), "{}", told(&output));
    let first = answers.iter().position(|(_, well)| *well).expect("it stood");
    let gone = answers[first..].iter().position(|(_, well)| !*well).map_or(answers.len(), |n| first + n);
    assert!(answers[gone..].iter().all(|(_, well)| !*well), "it went once, at the end of the run");
    let stood = answers[gone - 1].0.duration_since(answers[first].0);
    // Three seconds of baseline and method, then ten of watching the recovery: all that time it passes on.
    assert!(stood > std::time::Duration::from_secs(8), "{stood:?}\n{}", told(&output));
    assert_eq!(running(&["proxy", &format!("127.0.0.1:{listen}")]), [0; 0], "it is gone");
    assert_eq!(running(&["llm", &format!("127.0.0.1:{model}")]), [0; 0], "so is the system");
}
