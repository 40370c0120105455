//! `processes`: what is found, how it is counted, and what is refused.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use chaos_core::World;
use chaos_core::target::{Population, ResolveContext, ResolveError};
use chaos_host::{Host, target_kinds};
use scenes::{Started, wait_for};
use serde_json::{Value, json};

async fn resolve(selector: Value) -> Result<Population, ResolveError> {
    resolve_in(selector, &ResolveContext::default()).await
}

async fn resolve_in(selector: Value, context: &ResolveContext) -> Result<Population, ResolveError> {
    let host = Host::new("chaos");
    let kinds = target_kinds(host.view());
    kinds.get("processes").expect("the kind").resolve(&selector, context).await
}

/// A process that holds a listening socket as its standard input, with a child that shares it.
fn server() -> (Started, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let started = Started::shell_with("exec 3<&0; sleep 600 & wait", Stdio::from(OwnedFd::from(listener)));
    let pid = started.pid();
    wait_for("its child", || scenes::children(pid).len() == 1);
    (started, port)
}

#[tokio::test]
async fn workers_that_share_a_socket_are_one_member_with_its_tree() {
    let (server, port) = server();
    let found = resolve(json!({"listening_on": port.to_string()})).await.expect("one");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].facets.process, Some(server.id()));
    assert_eq!(found[0].facets.tree.len(), 2, "its child is meant too");
    assert_eq!(found[0].facets.listening, [port]);
    assert!(found[0].healthy);
    assert!(!found[0].order.contains(&server.pid().to_string()), "the order is never a pid: {}", found[0].order);
}

#[tokio::test]
async fn a_stopped_member_is_found_and_is_not_well() {
    let (server, port) = server();
    let group = rustix::process::Pid::from_raw(server.pid()).expect("a pid");
    rustix::process::kill_process_group(group, rustix::process::Signal::STOP).expect("may stop it");
    wait_for("it stopped", || scenes::state(server.pid()) == "stopped");
    let found = resolve(json!({"listening_on": port.to_string()})).await.expect("one");
    assert!(!found[0].healthy);
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_an_error_that_says_who_listens_nearby() {
    let (_server, port) = server();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let error = resolve(json!({"listening_on": free.to_string()})).await.expect_err("nobody");
    assert!(error.message.contains(&format!("nobody listens on port {free}")), "{error}");
    assert!(error.hint.unwrap_or_default().contains("listen"), "while {port} does");
}

#[tokio::test]
async fn rule_4_the_tool_its_ancestors_and_pid_1_are_refused() {
    let own = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = own.local_addr().expect("an address").port();
    let error = resolve(json!({"listening_on": port.to_string()})).await.expect_err("it is we");
    assert!(error.message.contains("chaos itself"), "{error}");

    let parent = std::os::unix::process::parent_id();
    let folder = tempfile::tempdir().expect("a folder");
    for (pid, why) in [(1, "pid 1"), (parent, "chaos was started from it")] {
        let file = folder.path().join("pid");
        std::fs::write(&file, pid.to_string()).expect("a pid file");
        let error = resolve(json!({"pid_file": file})).await.expect_err("never a target");
        assert!(error.message.contains(why), "{error}");
    }
}

#[tokio::test]
async fn all_fields_must_match_and_children_count_once() {
    let word = format!("60{}", std::process::id());
    let started = Started::shell(&format!("sleep {word} & sleep {word} & wait"));
    let pid = started.pid();
    // Forked is not yet executed: until then a child is called like its parent.
    let is_sleep = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep"));
    wait_for("its children", || scenes::children(pid).iter().filter(|child| is_sleep(child)).count() == 2);
    let sleeps = resolve(json!({"command": format!("sleep {word}")})).await.expect("two");
    assert_eq!(sleeps.len(), 2);
    let trees = resolve(json!({"command": format!("*sleep {word}*"), "tree": true})).await.expect("one");
    assert_eq!(trees.len(), 1, "the shell, with its children");
    assert_eq!(trees[0].facets.tree.len(), 3);
    let none = resolve(json!({"command": format!("sleep {word}"), "executable": "cat"})).await;
    assert!(none.is_err());
    let by_name = resolve(json!({"command": format!("sleep {word}"), "executable": "sleep", "user": "0"})).await;
    assert_eq!(by_name.is_ok(), scenes::is_root());
}

#[tokio::test]
async fn a_process_of_the_system_is_known_by_its_tag() {
    let context = ResolveContext { run: format!("r{}", std::process::id()), ..ResolveContext::default() };
    let started = Started::tagged("sleep 600 & wait", &[("CHAOS_RUN", &context.run), ("CHAOS_SYSTEM", "api")]);
    wait_for("its child", || scenes::children(started.pid()).len() == 1);
    let found = resolve_in(json!({"system": "api"}), &context).await.expect("one");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].facets.tree.len(), 2);
    assert!(resolve_in(json!({"system": "other"}), &context).await.is_err());
}

#[tokio::test]
async fn a_selector_that_selects_nothing_is_refused_when_it_is_read() {
    let host = Host::new("chaos");
    let kinds = target_kinds(host.view());
    let kind = kinds.get("processes").expect("the kind");
    assert_eq!(kind.check(&json!({})).len(), 1);
    assert_eq!(kind.check(&json!({"tree": true})).len(), 1);
    assert_eq!(kind.check(&json!({"listening_on": 8001})).len(), 0, "a bare port is a port");
    assert_eq!(kind.check(&json!({"colour": "red"})).len(), 1);
}

#[test]
fn rule_39_a_port_in_use_names_its_owner() {
    let (_server, port) = server();
    let host = Host::new("chaos");
    let owner = host.view().who_listens(port).expect("somebody");
    assert!(owner.contains("sleep"), "{owner}");
}

#[tokio::test]
async fn rule_23_a_mere_holder_of_a_socket_is_refused_with_what_to_select_instead() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = folder.path().join("docker-proxy");
    std::fs::copy(which_sleep(), &proxy).expect("a program of that name");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let script = format!("exec {} 600", proxy.display());
    let started = Started::shell_with(&script, Stdio::from(OwnedFd::from(listener)));
    wait_for("its name", || std::fs::read(format!("/proc/{}/comm", started.pid())).is_ok_and(|c| c == b"docker-proxy\n"));
    let error = resolve(json!({"listening_on": port.to_string()})).await.expect_err("it only holds the socket");
    assert!(error.message.contains("only held by"), "{error}");
    assert!(error.hint.unwrap_or_default().contains("containers:"));
}

/// A program of its own, not one that looks at its name to know what it is.
fn which_sleep() -> &'static str {
    ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|p| std::path::Path::new(p).exists()).expect("sleep")
}

#[tokio::test]
async fn a_control_group_or_unit_means_all_that_live_in_it_as_trees() {
    let Some(group) = scenes::cgroups::RealGroup::new("cpu") else {
        return scenes::not_covered("a_control_group_or_unit", "no control group can be made here");
    };
    let started = group.started("sleep 600 & wait");
    wait_for("its child", || scenes::children(started.pid()).len() == 1);
    let name = group.folder().file_name().expect("a name").to_string_lossy().into_owned();
    let found = resolve(json!({"cgroup": format!("/{name}")})).await.expect("one");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].facets.tree.len(), 2);
    assert!(resolve(json!({"unit": "no-such-unit"})).await.expect_err("no unit").hint.unwrap_or_default().contains("systemctl"));
    drop(started);
}
