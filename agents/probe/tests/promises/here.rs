//! The probes that look at this host: `tcp`, `process`, `command`, `file`.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chaos_core::expression::Expression;
use chaos_core::probe::{Answer, AnyClient, Asking, ProbeError};
use chaos_core::target::{Facets, Identity, ProcessId, Target};
use chaos_core::value::{FieldType, FieldValue};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn open(kind: &str, with: Value, folder: &Path, targets: Vec<Target>) -> Result<Arc<dyn AnyClient>, ProbeError> {
    let table = chaos_probe::probes();
    let probe = table.get(kind).unwrap();
    assert_eq!(probe.check(&with), []);
    let wanted = probe.profile().fields.iter().map(|f| f.name.to_owned()).collect::<BTreeSet<_>>();
    let asking = Asking { timeout: Duration::from_secs(5), in_flight_max: 4, wanted, targets, folder: folder.to_owned() };
    probe.open(&with, &asking).await
}

async fn client(kind: &str, with: Value) -> Arc<dyn AnyClient> {
    open(kind, with, Path::new("/"), Vec::new()).await.unwrap()
}

fn number(answer: &Answer, field: &str) -> f64 {
    answer.get(field).and_then(FieldValue::as_measure).unwrap_or_else(|| panic!("no {field} in {answer:?}"))
}

fn text<'a>(answer: &'a Answer, field: &str) -> &'a str {
    match answer.get(field) {
        Some(FieldValue::Text(text)) => text,
        other => panic!("{field} is {other:?}"),
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[test]
fn every_probe_says_what_is_good_in_its_own_fields() {
    for probe in chaos_probe::probes().iter() {
        let profile = probe.profile();
        let mut fields: Vec<_> = profile.fields.iter().map(|f| (f.name, f.is)).collect();
        fields.push(("latency", FieldType::Duration));
        let shown = profile.example.lines().find_map(|line| line.strip_prefix("good: "));
        assert!(profile.good.is_some() || shown.is_some(), "{} must show a `good:`", probe.kind());
        for good in profile.good.into_iter().chain(shown) {
            Expression::parse(good, &fields).unwrap_or_else(|e| panic!("{}: {e:?}", probe.kind()));
        }
        assert!(profile.example.starts_with(&format!("probe: {}\n", probe.kind())));
    }
}

#[tokio::test]
async fn tcp_sends_and_waits_for_what_it_expects() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 6];
            if stream.read_exact(&mut asked).await.is_ok() && &asked == b"PING\r\n" {
                // In two pieces: what is expected may come in parts.
                let _ = stream.write_all(b"+PO").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = stream.write_all(b"NG\r\n").await;
            }
        }
    });
    let asked = client("tcp", json!({"connect": at, "send": "PING\r\n", "expect": "PONG"})).await;
    assert_eq!(text(&asked.ask().await.unwrap(), "text"), "+PONG");
    let other = client("tcp", json!({"connect": at, "send": "PING\r\n", "expect": "OK"})).await;
    assert_eq!(other.ask().await.unwrap_err().0, "connection closed before `OK` came");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = client("tcp", json!({"connect": nobody.to_string()})).await;
    assert_eq!(refused.ask().await.unwrap_err().0, "connection refused");
}

#[tokio::test]
async fn file_tells_presence_age_size_and_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = open("file", json!({"path": "checkpoint"}), folder.path(), Vec::new()).await.unwrap();
    let missing = file.ask().await.unwrap();
    assert_eq!(missing, Answer::new().with("exists", FieldValue::Bool(false)));
    std::fs::write(folder.path().join("checkpoint"), "abc").unwrap();
    let there = file.ask().await.unwrap();
    assert_eq!(there.get("exists"), Some(&FieldValue::Bool(true)));
    assert_eq!(number(&there, "size"), 3.0);
    assert!(number(&there, "age") < 60.0);
    assert_eq!(text(&there, "sha256"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[tokio::test]
async fn command_tells_how_it_ended_and_what_it_said() {
    let run = |line: &str| client("command", json!({"run": line}));
    let answer = run("sh -c 'echo \"{\\\"a\\\": 1}\"; echo no >&2; exit 3'").await.ask().await.unwrap();
    assert_eq!(number(&answer, "exit"), 3.0);
    assert_eq!(text(&answer, "stdout"), "{\"a\": 1}\n");
    assert_eq!(text(&answer, "stderr"), "no\n");
    assert_eq!(answer.get("json"), Some(&FieldValue::Any(json!({"a": 1}))));
    let killed = run("sh -c 'kill -9 $$'").await.ask().await.unwrap();
    assert_eq!(number(&killed, "exit"), 137.0);
    let missing = run("/no/such/program").await.ask().await.unwrap_err();
    assert!(missing.0.starts_with("run /no/such/program: "), "{missing}");
}

#[tokio::test]
async fn a_command_gets_three_descriptors_and_none_of_ours() {
    let _file = std::fs::File::open("/proc/self/status").unwrap();
    let _socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut allowed = handed_down();
    allowed.extend(["0", "1", "2"].map(str::to_owned));
    // `ls` is a child of the shell, so that what it opens itself is not listed.
    let answer = client("command", json!({"run": "sh -c 'ls /proc/$$/fd; true'"})).await.ask().await.unwrap();
    let got: BTreeSet<_> = text(&answer, "stdout").split_whitespace().map(str::to_owned).collect();
    assert!(got.is_superset(&["0", "1", "2"].map(str::to_owned).into()), "{got:?}");
    assert!(got.is_subset(&allowed), "{got:?} is more than {allowed:?}");
}

/// What whoever started this test left open for every descendant: not ours to answer for.
fn handed_down() -> BTreeSet<String> {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let entries = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let stays = |path: &Path| {
        let info = std::fs::read_to_string(path).unwrap_or_default();
        let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).and_then(|f| u32::from_str_radix(f.trim(), 8).ok());
        flags.is_some_and(|f| f & CLOSE_ON_EXEC == 0)
    };
    entries.filter(|e| stays(&e.path())).map(|e| e.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let with = json!({"run": "sh -c 'sleep 1000 & echo $$ $! > pids; wait'"});
    let command = open("command", with, folder.path(), Vec::new()).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::select! {
            answer = command.ask() => panic!("{answer:?}"),
            () = until("both have started", async || std::fs::read_to_string(&pids).is_ok_and(|t| t.ends_with('\n'))) => {}
        }
    });
    asked.await.unwrap();
    for pid in std::fs::read_to_string(&pids).unwrap().split_whitespace() {
        until("it is dead", async || is_dead(pid)).await;
    }
}

/// Gone, or a zombie that somebody has yet to reap.
fn is_dead(pid: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

/// Sleeps under a name that no other test uses.
fn sleeper(name: &str) -> Child {
    Command::new("sleep").arg0(name).arg("1000").stdin(Stdio::null()).spawn().unwrap()
}

fn target(child: &Child) -> Target {
    let pid = i32::try_from(child.id()).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start_ticks = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
    let id = ProcessId { pid, start_ticks };
    Target {
        identity: Identity(format!("process:{id}")),
        label: String::new(),
        place: "here".into(),
        order: String::new(),
        healthy: true,
        started: 0,
        groups: std::collections::BTreeMap::new(),
        facets: Facets { process: Some(id), ..Facets::default() },
    }
}

#[tokio::test]
async fn process_counts_the_living_and_follows_a_restart() {
    let name = format!("probed-{}", std::process::id());
    let (mut one, mut two) = (sleeper(&name), sleeper(&format!("{name}-other")));
    // Only once exec has happened does a child bear its own command line.
    for child in [&one, &two] {
        let line = format!("/proc/{}/cmdline", child.id());
        until("it has started", async || std::fs::read_to_string(&line).is_ok_and(|l| l.starts_with("probed-"))).await;
    }
    let probe = open("process", json!({}), Path::new("/"), vec![target(&one), target(&two)]).await.unwrap();
    let counts = async || {
        let answer = probe.ask().await.unwrap();
        ["alive", "total", "restarted"].map(|f| number(&answer, f))
    };
    assert_eq!(counts().await, [2.0, 2.0, 0.0]);
    one.kill().unwrap();
    until("a zombie counts as dead", async || counts().await == [1.0, 2.0, 0.0]).await;
    one.wait().unwrap();
    assert_eq!(counts().await, [1.0, 2.0, 0.0]);
    let mut again = sleeper(&name);
    until("the restart is seen", async || counts().await == [2.0, 2.0, 1.0]).await;
    for child in [&mut again, &mut two] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(counts().await, [0.0, 2.0, 1.0]);
}

#[tokio::test]
async fn a_process_probe_needs_a_set() {
    let refused = open("process", json!({}), Path::new("/"), Vec::new()).await.err().unwrap();
    assert_eq!(refused.hint.as_deref(), Some("name one: `of: replicas`"));
}

#[test]
fn mistakes_are_told_by_path() {
    let table = chaos_probe::probes();
    let told = |kind: &str, with: Value| table.get(kind).unwrap().check(&with)[0].clone();
    assert_eq!(told("command", json!({"run": "sh -c 'x"})).message, "a ' is never closed");
    assert_eq!(told("command", json!({"run": " "})).path, "run");
    assert_eq!(told("tcp", json!({"connect": "127.0.0.1"})).path, "connect");
    assert_eq!(told("tcp", json!({"connect": "h:1", "expect": ""})).path, "expect");
    assert_eq!(told("file", json!({"path": ""})).path, "path");
}
