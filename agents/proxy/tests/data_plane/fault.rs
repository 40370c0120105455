//! Toxics as faults: what is refused, what is idle, and what is left when the proxy itself dies.

use std::sync::Arc;

use chaos_core::Table;
use chaos_core::conformance::arm;
use chaos_core::fault::{InPlace, InjectionId, Met};
use chaos_core::target::{Facets, Identity, ProxyFacet, Target};
use chaos_proxy::control::place;
use chaos_proxy::toxic::Speaks;
use chaos_proxy::{Proxies, faults};
use serde_json::{Value, json};

use crate::limits::Apart;
use crate::live::round_trip;
use crate::scenes::{Standing, echo};

fn id(slot: &str) -> InjectionId {
    InjectionId { run: "faults".into(), slot: slot.into() }
}

async fn claims(table: &Table, kind: &str, with: Value, target: &Target) -> Vec<String> {
    table.get(kind).expect("the fault").prepare(&with, target, &id("0.0.0")).await.expect("it is prepared").claims
}

#[tokio::test]
async fn a_toxic_that_nothing_met_is_idle_and_one_that_something_met_is_not() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let table = faults(&Arc::new(Proxies::new()));
    let fault = table.get("tcp.latency").expect("the fault");
    let prepared = fault.prepare(&json!({"delay": "5ms"}), &proxy.target(), &id("0.0.0")).await.expect("it is prepared");
    assert!(prepared.notes.iter().any(|n| n.contains(&std::process::id().to_string())), "{:?}", prepared.notes);
    fault.inject(arm(id("0.0.0"), prepared.undo.clone())).await.expect("it is in force");
    let idle = fault.inspect(&prepared.undo).await.expect("it is seen");
    assert_eq!((idle.in_place, idle.met), (InPlace::Whole, Met::Idle));
    round_trip(&mut proxy.connect(), b"hello");
    assert_eq!(fault.inspect(&prepared.undo).await.expect("it is seen").met, Met::Count(1));
    fault.adjust(&json!({"delay": "6ms"}), &prepared.undo).await.expect("it is adjusted");
    assert_eq!(fault.inspect(&prepared.undo).await.expect("it is seen").met, Met::Count(1), "what was met is kept");
    fault.revert(&prepared.undo).await.expect("it is taken back");
}

#[tokio::test]
async fn an_upstream_that_is_down_is_said_in_the_plan() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    for (upstream, down) in [(free, true), (echo(), false)] {
        let proxy = Standing::before(upstream, Speaks::Tcp);
        let table = faults(&Arc::new(Proxies::new()));
        let notes =
            table.get("tcp.down").expect("the fault").prepare(&json!({}), &proxy.target(), &id("0.0.0")).await.expect("prepared").notes;
        let said = notes.iter().any(|note| note.contains("nobody answers") && note.contains(&upstream.to_string()));
        assert_eq!(said, down, "{notes:?}");
    }
}

#[tokio::test]
async fn other_protocols_and_proxies_that_do_not_stand_are_refused() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let table = faults(&Arc::new(Proxies::new()));
    let redis = table.get("redis.delay").expect("the fault");
    let error = redis.prepare(&json!({"delay": "5ms"}), &proxy.target(), &id("0.0.0")).await.expect_err("it is refused");
    assert!(error.message.contains("speaks tcp") && error.hint.is_some_and(|h| h.contains("speaks: redis")), "{}", error.message);
    let target = proxy.target();
    drop(proxy);
    crate::scenes::wait_for("its socket is gone", || !target.facets.proxy.as_ref().is_some_and(|p| p.control.exists()));
    let error = table.get("tcp.down").expect("the fault").prepare(&json!({}), &target, &id("0.0.0")).await.expect_err("it is refused");
    assert!(error.gone && error.message.contains("no proxy answers"), "{}", error.message);
}

#[tokio::test]
async fn rule_8_what_takes_the_same_excludes_itself_and_the_rest_composes() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let (table, target) = (faults(&Arc::new(Proxies::new())), proxy.target());
    let answers = claims(&table, "tcp.latency", json!({"delay": "5ms"}), &target).await;
    let requests = claims(&table, "tcp.latency", json!({"delay": "5ms", "direction": "requests"}), &target).await;
    let both = claims(&table, "tcp.latency", json!({"delay": "5ms", "direction": "both"}), &target).await;
    let rate = claims(&table, "tcp.rate", json!({"rate": "1 kB/s"}), &target).await;
    assert!(answers.iter().all(|c| both.contains(c)) && requests.iter().all(|c| both.contains(c)), "{both:?}");
    assert!(answers.iter().all(|c| !requests.contains(c) && !rate.contains(c)), "{answers:?} {requests:?} {rate:?}");
}

#[tokio::test]
async fn faults_of_a_kind_that_mean_some_of_the_same_do_not_compose() {
    let redis = Standing::before(echo(), Speaks::Redis);
    let http = Standing::before(echo(), Speaks::Http);
    let table = faults(&Arc::new(Proxies::new()));
    let meets = async |proxy: &Standing, kind: &str, one: Value, other: Value| {
        let (fault, target) = (table.get(kind).expect("the fault"), proxy.target());
        let one = fault.prepare(&one, &target, &id("0.0.0")).await.expect("it is prepared").undo;
        let other = fault.prepare(&other, &target, &id("0.0.1")).await.expect("it is prepared").undo;
        assert_eq!(fault.meets(&one, kind, &other).is_some(), fault.meets(&other, kind, &one).is_some(), "either way round");
        assert!(fault.meets(&one, "tcp.latency", &other).is_none(), "other kinds compose");
        fault.meets(&one, kind, &other).is_some()
    };
    let slow = |more: Value| {
        let mut with = json!({"delay": "5ms"});
        with.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        with
    };
    let redis_delay = async |one, other| meets(&redis, "redis.delay", slow(one), slow(other)).await;
    assert!(redis_delay(json!({}), json!({"commands": ["GET"]})).await);
    assert!(!redis_delay(json!({"keys": ["a:*"]}), json!({"keys": ["b:*"]})).await);
    assert!(!redis_delay(json!({"commands": ["SET"]}), json!({"commands": ["GET"]})).await);
    let http_delay = async |one, other| meets(&http, "http.delay", slow(one), slow(other)).await;
    assert!(http_delay(json!({"path": "/v1/*"}), json!({})).await);
    assert!(http_delay(json!({"methods": ["get"]}), json!({"methods": ["POST", "GET"]})).await);
    assert!(!http_delay(json!({"path": "/v1/*"}), json!({"path": "/v2/*"})).await);
    assert!(!http_delay(json!({"requests": "10%"}), json!({})).await, "a share composes");
}

#[tokio::test]
async fn what_the_upstream_refused_while_a_toxic_is_in_force_is_found() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let proxy = Standing::before(free, Speaks::Tcp);
    let table = faults(&Arc::new(Proxies::new()));
    let fault = table.get("tcp.latency").expect("the fault");
    let undo = fault.prepare(&json!({"delay": "5ms"}), &proxy.target(), &id("0.0.0")).await.expect("it is prepared").undo;
    fault.inject(arm(id("0.0.0"), undo.clone())).await.expect("it is in force");
    assert_eq!(fault.inspect(&undo).await.expect("it is seen").finding, None);
    let client = proxy.connect();
    crate::scenes::wait_for("the upstream was asked", || proxy.unreachable().is_some());
    drop(client);
    let presence = fault.inspect(&undo).await.expect("it is seen");
    assert_eq!((presence.in_place, presence.met), (InPlace::Whole, Met::Idle));
    assert!(presence.finding.as_ref().is_some_and(|f| f.contains("could not reach") && f.contains(&free.to_string())), "{presence:?}");
    fault.revert(&undo).await.expect("it is taken back");
}

#[tokio::test]
async fn when_the_proxy_itself_is_killed_nothing_is_in_force_and_nothing_is_left_to_take_back() {
    let proxy = Apart::before(echo(), [0, 0]);
    let facet = ProxyFacet { listen: proxy.listen.to_string(), upstream: None, speaks: "tcp".into(), control: place(proxy.listen) };
    let target = Target {
        identity: Identity(format!("proxy:{}", proxy.listen)),
        label: "a proxy".into(),
        place: "here".into(),
        order: String::new(),
        healthy: true,
        started: 0,
        groups: std::collections::BTreeMap::new(),
        facets: Facets { proxy: Some(facet), ..Facets::default() },
    };
    let table = faults(&Arc::new(Proxies::new()));
    let fault = table.get("tcp.blackhole").expect("the fault");
    let undo = fault.prepare(&json!({}), &target, &id("0.0.0")).await.expect("it is prepared").undo;
    fault.inject(arm(id("0.0.0"), undo.clone())).await.expect("it is in force");
    drop(proxy);
    let presence = fault.inspect(&undo).await.expect("it is seen");
    assert_eq!(presence.in_place, InPlace::None);
    assert!(presence.finding.is_some_and(|f| f.contains("is gone")));
    for _ in 0..2 {
        fault.revert(&undo).await.expect("nothing is left");
    }
}
