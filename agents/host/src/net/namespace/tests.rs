//! Namespaces are entered, told apart, and known to be gone.

#![allow(clippy::disallowed_methods, reason = "tests make their own world")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaos_core::target::ProcessId;

use super::{Namespace, NamespaceError};
use crate::net::link;
use crate::net::netlink::{Protocol, Socket};

/// A process in a network namespace of its own; none where that may not be made.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Option<Self> {
        let child = Command::new("unshare").args(["--net", "sleep", "600"]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let mut elsewhere = Self(child);
        let own = std::fs::read_link("/proc/self/ns/net").expect("ours");
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(20) && elsewhere.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            if std::fs::read_link(format!("/proc/{}/ns/net", elsewhere.0.id())).is_ok_and(|l| l != own) {
                return Some(elsewhere);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    fn id(&self) -> ProcessId {
        let pid = i32::try_from(self.0.id()).expect("a pid");
        let start_ticks = procfs::process::Process::new(pid).and_then(|p| p.stat()).expect("it lives").starttime;
        ProcessId { pid, start_ticks }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn elsewhere(test: &str) -> Option<Elsewhere> {
    let made = Elsewhere::new();
    if made.is_none() {
        let why = "a network namespace of its own needs root";
        if let Some(path) = std::env::var_os("CHAOS_NOT_COVERED") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{test}: {why}\n").as_bytes()));
        }
    }
    made
}

fn inode_here() -> std::path::PathBuf {
    std::fs::read_link("/proc/thread-self/ns/net").expect("a namespace")
}

#[test]
fn our_own_is_known_and_needs_no_capability() {
    let own = Namespace::own().expect("ours");
    assert!(own.is_own() && own.exists().expect("ours"));
    let here = inode_here();
    assert_eq!(own.run(inode_here).expect("entered"), here);
}

#[test]
fn work_happens_in_it_and_only_there() {
    let Some(elsewhere) = elsewhere("work_happens_in_it_and_only_there") else { return };
    let namespace = Namespace::of(elsewhere.id()).expect("its namespace");
    assert!(!namespace.is_own());
    let before = inode_here();
    let links = namespace.run(|| {
        let mut socket = Socket::open(Protocol::Route).expect("a socket");
        link::create_ifb(&mut socket, "chaostc0", "a test's own").expect("an ifb");
        assert_eq!(link::create_ifb(&mut socket, "chaostc0", "x").expect_err("it exists").errno, rustix::io::Errno::EXIST);
        link::all(&mut socket).expect("the links")
    });
    let links = links.expect("entered");
    let ours = links.iter().find(|l| l.name == "chaostc0").expect("the ifb");
    assert_eq!((ours.alias.as_deref(), ours.kind.as_deref(), ours.up), (Some("a test's own"), Some("ifb"), true));
    assert!(links.iter().any(|l| l.name == "lo" && l.loopback && !l.up));
    assert_eq!(inode_here(), before);

    // A socket stays where it was opened.
    let mut socket = namespace.run(|| Socket::open(Protocol::Route)).expect("entered").expect("a socket");
    assert!(link::by_name(&mut socket, "chaostc0").expect("asked").is_some());
    let mut own = Socket::open(Protocol::Route).expect("a socket");
    assert!(link::by_name(&mut own, "chaostc0").expect("asked").is_none());
    link::set_up(&mut socket, ours.index, false).expect("down");
    assert!(!link::by_index(&mut socket, ours.index).expect("asked").expect("there").up);
    assert!(link::delete(&mut socket, ours.index).expect("deleted"));
    assert!(!link::delete(&mut socket, ours.index).expect("nothing to delete"));
}

#[test]
fn one_that_is_gone_is_known_to_be_gone() {
    let Some(first) = elsewhere("one_that_is_gone_is_known_to_be_gone") else { return };
    let namespace = Namespace::of(first.id()).expect("its namespace");
    // Somebody else in it keeps it alive, and it is found through them.
    let pid = first.0.id().to_string();
    let mut second = Command::new("nsenter").args(["--net", "--target", &pid, "sleep", "600"]).spawn().expect("nsenter");
    let since = Instant::now();
    let there = format!("net:[{}]", namespace.inode);
    while std::fs::read_link(format!("/proc/{}/ns/net", second.id())).is_ok_and(|l| l.to_string_lossy() != there) {
        assert!(since.elapsed() < Duration::from_secs(20), "nsenter never entered");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(first);
    assert!(namespace.exists().expect("it lives through another"));
    namespace.run(|| ()).expect("entered through another");
    second.kill().expect("killed");
    second.wait().expect("reaped");
    let since = Instant::now();
    while namespace.exists().expect("asked") {
        assert!(since.elapsed() < Duration::from_secs(20), "it never went");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(namespace.run(|| ()), Err(NamespaceError::Gone { .. })));
    // Others that come after it may get its inode, but never its cookie.
    for _ in 0..3 {
        let Some(_other) = elsewhere("one_that_is_gone_is_known_to_be_gone") else { return };
        assert!(!namespace.exists().expect("asked"));
    }
}
