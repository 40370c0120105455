//! The control socket: lifelines, refusals, and what is not understood.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use chaos_core::clock::Boot;
use chaos_proxy::control::{Answer, Ask, ControlError, Lifeline, ask, place, state};
use chaos_proxy::toxic::Speaks;
use serde_json::json;

use crate::live::round_trip;
use crate::scenes::{Standing, echo, wait_for};

fn arm(id: &str) -> Ask {
    Ask::Arm { id: id.into(), kind: "tcp.blackhole".into(), with: json!({}), until: None }
}

#[test]
fn rule_3_a_toxic_is_gone_with_the_connection_that_armed_it() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let control = place(proxy.listen());
    let lifeline = Lifeline::open(&control).expect("it answers");
    lifeline.ask(&arm("hole")).expect("it is armed");
    assert_eq!(state(&control).expect("its state").toxics.len(), 1);
    drop(lifeline);
    wait_for("it is gone", || proxy.toxics().is_empty());
    round_trip(&mut proxy.connect(), b"hello");
}

#[test]
fn rule_5_a_toxic_has_a_deadline_of_its_own() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let lifeline = Lifeline::open(&place(proxy.listen())).expect("it answers");
    let until = Boot::now().plus(Duration::from_millis(300));
    let arm = |id: &str, until| Ask::Arm { id: id.into(), kind: "tcp.blackhole".into(), with: json!({}), until };
    lifeline.ask(&arm("short", Some(until))).expect("it is armed");
    lifeline.ask(&arm("long", None)).expect("it is armed");
    wait_for("its time is over", || proxy.toxics().len() == 1);
    assert!(Boot::now() >= until, "not before");
    assert_eq!(proxy.toxics()[0].id, "long");
}

/// The part of the test below that is killed.
#[test]
fn executor_that_is_killed() {
    let Some(control) = std::env::var_os("CHAOS_TEST_CONTROL") else { return };
    let lifeline = Lifeline::open(control.as_ref()).expect("it answers");
    lifeline.ask(&arm("hole")).expect("it is armed");
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn rule_18_traffic_flows_again_when_the_executor_is_killed() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let mut client = proxy.connect();
    round_trip(&mut client, b"hello");
    let mut executor = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "control::executor_that_is_killed", "--nocapture"])
        .env("CHAOS_TEST_CONTROL", place(proxy.listen()))
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    wait_for("the toxic is in force", || !proxy.toxics().is_empty());
    client.write_all(b"late").expect("it is sent");
    wait_for("it meets the toxic", || proxy.toxics().first().is_some_and(|t| t.hits() > 0));
    executor.kill().expect("it is killed");
    let mut back = [0; 4];
    client.read_exact(&mut back).expect("it comes after all");
    assert_eq!(&back, b"late");
    assert!(proxy.toxics().is_empty());
    executor.wait().expect("it is gone");
}

#[test]
fn what_one_connection_armed_another_may_look_at_adjust_and_take_back() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let control = place(proxy.listen());
    let lifeline = Lifeline::open(&control).expect("it answers");
    lifeline
        .ask(&Ask::Arm { id: "slow".into(), kind: "tcp.latency".into(), with: json!({"delay": "1ms"}), until: None })
        .expect("it is armed");
    ask(&control, &Ask::Adjust { id: "slow".into(), with: json!({"delay": "2ms"}) }).expect("it is adjusted");
    assert_eq!(state(&control).expect("its state").toxic("slow").expect("it").with, json!({"delay": "2ms"}));
    let refused = ask(&control, &arm("slow")).expect_err("the id is taken");
    assert!(matches!(refused, ControlError::Refused { .. }), "{refused}");
    for _ in 0..2 {
        assert!(matches!(ask(&control, &Ask::Disarm { id: "slow".into() }), Ok(Answer::Done)));
    }
    assert!(proxy.toxics().is_empty());
}

#[test]
fn rule_36_only_this_user_may_enter_the_folder() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let folder = place(proxy.listen()).parent().expect("a folder").metadata().expect("it exists");
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_closed_proxy_is_gone_and_so_is_its_socket() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let control = place(proxy.listen());
    let mut client = proxy.connect();
    round_trip(&mut client, b"hello");
    drop(proxy);
    assert_eq!(client.read(&mut [0; 1]).expect("an end"), 0);
    wait_for("nobody answers", || matches!(state(&control), Err(ControlError::Gone(_))));
    wait_for("its socket is gone", || !control.exists());
}

#[test]
fn hostile_input_is_refused_or_ends_the_connection_and_nothing_else() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let control = place(proxy.listen());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["", "{}", "null", "{\"arm\":{}}", "{\"arm\":{\"id\":\"\",\"kind\":\"tcp.down\",\"with\":{}}}", "\u{0}\u{1}", &deep] {
        let mut raw = UnixStream::connect(&control).expect("it answers");
        raw.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        raw.write_all(format!("{text}\n").as_bytes()).expect("it is sent");
        let mut line = String::new();
        BufReader::new(&raw).read_line(&mut line).expect("an answer");
        assert!(line.contains("refused"), "{}: {line}", &text[..text.len().min(40)]);
    }
    // A line without end is not collected for ever.
    let mut endless = UnixStream::connect(&control).expect("it answers");
    let sent = std::iter::repeat_with(|| endless.write_all(&[b'x'; 65_536])).take(64).filter(Result::is_ok).count();
    assert!(sent < 64 || endless.read(&mut [0; 1]).is_ok_and(|n| n == 0), "4 MiB of one line were taken");
    assert!(proxy.toxics().is_empty());
    round_trip(&mut proxy.connect(), b"hello");
}

#[test]
fn a_proxy_full_of_toxics_still_answers() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let control = chaos_proxy::control::place(proxy.listen());
    let lifelines: Vec<_> = (0..256)
        .map(|number| {
            let lifeline = chaos_proxy::control::Lifeline::open(&control).expect("it is opened");
            let with = json!({"delay": "1ms"});
            lifeline
                .ask(&chaos_proxy::control::Ask::Arm { id: format!("t{number}"), kind: "tcp.latency".into(), with, until: None })
                .expect("armed");
            lifeline
        })
        .collect();
    assert_eq!(chaos_proxy::control::state(&control).expect("it answers").toxics.len(), 256);
    drop(lifelines);
}
