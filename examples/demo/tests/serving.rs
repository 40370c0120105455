//! What users of the demo system see while its parts freeze and die.

mod system;

use std::{thread::sleep, time::Duration};

use rustix::process::Signal;
use system::{System, ask, wait_for};

/// Longer than a deep check needs to notice a frozen replica on a busy machine.
const NOTICED: Duration = Duration::from_secs(4);

#[test]
fn the_golden_answer_comes_through() {
    let system = System::start(&[]);
    let (status, body) = system.infer().unwrap();
    assert_eq!(status, 200);
    assert!(body.contains(r#""model_name":"ranker""#), "{body}");
    assert!(body.contains(r#""data":[0.731"#), "{body}");
    assert!(body.contains(r#""features":"fresh""#), "{body}");
    let (_, seven) = system.get("/rank?user=7").unwrap();
    let (_, eight) = system.get("/rank?user=8").unwrap();
    assert_ne!(seven.replace("\"7\"", "\"8\""), eight, "users differ by their features");
}

#[test]
fn with_a_shallow_check_a_frozen_replica_fails_a_third_of_all_requests() {
    let system = System::start(&["--check", "shallow"]);
    assert_eq!(system.failures_of(9), 0);
    system.signal(8002, Signal::STOP);
    sleep(NOTICED);
    let failures = system.failures_of(12);
    assert!((3..=8).contains(&failures), "{failures} of 12 failed");
    let (status, _) = system.get("/v2/health/ready").unwrap();
    assert_eq!(status, 200, "the gateway claims to be well all the time");
    system.signal(8002, Signal::CONT);
    system.wait_until_recovered(12);
}

#[test]
fn with_a_deep_check_a_frozen_replica_leaves_the_rotation_and_comes_back() {
    let system = System::start(&["--check", "deep"]);
    let in_rotation = || system.get("/status").map_or(0, |(_, status)| status.matches(":true").count());
    system.signal(8002, Signal::STOP);
    assert!(system.failures_of(3) >= 1, "a frozen replica costs its users their answer at first");
    wait_for("the frozen replica is out", || in_rotation() == 2);
    system.wait_until_recovered(12);
    system.signal(8002, Signal::CONT);
    wait_for("the thawed replica is in", || in_rotation() == 3);
    assert_eq!(system.failures_of(9), 0);
}

#[test]
fn a_killed_replica_costs_nobody_anything_and_stays_dead() {
    let system = System::start(&["--check", "shallow"]);
    let replica = system.child(8003);
    system.signal(8003, Signal::KILL);
    assert_eq!(system.failures_of(30), 0);
    wait_for("it is reaped", || !system::lives(replica));
    sleep(Duration::from_millis(500));
    assert_eq!(system::children_of(system.supervisor.id()).len(), 4);
}

#[test]
fn a_killed_replica_is_started_again_where_that_is_asked_for() {
    let system = System::start(&["--restart-after", "100ms"]);
    let before = system.child(8001);
    system.signal(8001, Signal::KILL);
    let replica = std::net::SocketAddr::new(system.ip, 8001);
    wait_for("the replica is back", || ask(replica, "GET", "/v2/health/ready", "").is_some_and(|(status, _)| status == 200));
    assert_ne!(system.child(8001), before);
}

#[test]
fn without_a_breaker_a_dead_feature_store_fails_every_request() {
    let system = System::start(&[]);
    system.signal(6379, Signal::KILL);
    wait_for("users are refused", || system.infer().is_some_and(|(status, _)| status == 503));
    assert_eq!(system.failures_of(12), 12);
    assert_eq!(system.get("/breaker").unwrap().1, r#"{"state":"none"}"#);
}

#[test]
fn with_a_breaker_users_get_cached_features_while_the_store_is_dead() {
    let system = System::start(&["--breaker", "true", "--restart-after", "3s"]);
    let (_, fresh) = system.get("/rank?user=7").unwrap();
    system.signal(6379, Signal::KILL);
    assert_eq!(system.failures_of(12), 0);
    assert!(system.get("/breaker").unwrap().1.contains("open"));
    let (status, cached) = system.get("/rank?user=7").unwrap();
    assert_eq!((status, cached), (200, fresh.replace("fresh", "cached")));
    let (_, stranger) = system.get("/rank?user=8").unwrap();
    assert!(stranger.contains(r#""features":"default""#), "{stranger}");
    wait_for("the store is back and the breaker closed", || system.get("/rank?user=7").is_some_and(|(_, answer)| answer == fresh));
    assert_eq!(system.get("/breaker").unwrap().1, r#"{"state":"closed"}"#);
}

#[test]
fn with_a_breaker_a_frozen_store_soon_costs_no_time() {
    let system = System::start(&["--breaker", "true"]);
    assert_eq!(system.failures_of(1), 0);
    system.signal(6379, Signal::STOP);
    wait_for("the breaker opens", || {
        system.infer();
        system.get("/breaker").is_some_and(|(_, state)| state == r#"{"state":"open"}"#)
    });
    assert_eq!(system.failures_of(12), 0);
    assert!(system.infer().unwrap().1.contains(r#""features":"cached""#));
}

/// What a cut-off replica looks like from the gateway: a way on which everything gets lost.
#[test]
fn a_silent_replica_costs_its_users_everything_without_a_try_timeout_and_nothing_with_one() {
    let ip = system::address();
    // The kernel accepts connections here, and nobody ever answers.
    let hole = std::net::TcpListener::bind((ip, 9002)).unwrap();
    let failures = |words: &[&str]| {
        let system = System::start_at(ip, &[&["--check", "shallow", "--through", "8002=9002"], words].concat());
        system.failures_of(12)
    };
    assert!((3..=6).contains(&failures(&[])), "a third hangs");
    assert_eq!(failures(&["--try-timeout", "400ms"]), 0);
    drop(hole);
}

/// As in containers, where all replicas bear the name of their service.
#[test]
fn a_gateway_finds_the_replicas_that_bear_a_name() {
    let system = System::start(&[]);
    let gateway = std::net::SocketAddr::new(system.ip, 8081);
    let mut child = std::process::Command::new(system::PROGRAM)
        .args(["demo", "gateway", "--listen", &gateway.to_string(), "--store", &format!("{}:6379", system.ip)])
        .args(["--replicas-named", &format!("{}:8001", system.ip)])
        .spawn()
        .unwrap();
    wait_for("the gateway has found its replica", || {
        system::ask(gateway, "POST", "/v2/models/ranker/infer", r#"{"inputs":[]}"#).is_some_and(|(status, _)| status == 200)
    });
    let says_ready = |port: u16| {
        let asked = std::process::Command::new(system::PROGRAM).args(["demo", "ready", &format!("{}:{port}", system.ip)]).status();
        asked.unwrap().code()
    };
    assert_eq!((says_ready(8081), says_ready(8009)), (Some(0), Some(1)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_detour_from_nowhere_is_refused() {
    let output = std::process::Command::new(system::PROGRAM)
        .args(["demo", "gateway", "--listen", &format!("{}:8080", system::address()), "--through", "8009=9009"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("port 8009 is none of those that the gateway asks: 6379,8001,8002,8003"), "{told}");
}
