//! `files`: what is found, how it is counted, and what is refused.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::path::Path;

use chaos_core::World;
use chaos_core::target::{Population, ResolveContext, ResolveError};
use chaos_host::{Host, target_kinds};
use scenes::{Started, process_target};
use serde_json::{Value, json};

async fn resolve(host: &Host, selector: Value, context: &ResolveContext) -> Result<Population, ResolveError> {
    target_kinds(host.view()).get("files").expect("the kind").resolve(&selector, context).await
}

fn folder_with(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in names {
        std::fs::write(folder.path().join(name), name).expect("a file");
    }
    folder
}

fn starting_at(folder: &Path) -> ResolveContext {
    ResolveContext { folder: folder.to_owned(), ..ResolveContext::default() }
}

#[tokio::test]
async fn a_pattern_finds_each_file_and_two_ways_to_one_file_are_one_member() {
    let folder = folder_with(&["a.bin", "b.bin", "c.txt"]);
    std::os::unix::fs::symlink(folder.path().join("a.bin"), folder.path().join("link.bin")).expect("a link");
    let host = Host::new("chaos");
    let found = resolve(&host, json!({"path": "*.bin"}), &starting_at(folder.path())).await.expect("two");
    let names: Vec<_> = found.iter().map(|t| t.facets.path.clone().expect("a path")).collect();
    let real = folder.path().canonicalize().expect("a path");
    assert_eq!(names, [real.join("a.bin"), real.join("b.bin")]);
    let whole = resolve(&host, json!({"path": folder.path()}), &ResolveContext::default()).await.expect("a folder");
    assert!(whole[0].label.ends_with('/'), "{}", whole[0].label);
}

#[tokio::test]
async fn a_name_with_brackets_is_that_file_before_it_is_a_pattern() {
    let folder = folder_with(&["w[1].bin"]);
    let found = resolve(&Host::new("chaos"), json!({"path": "w[1].bin"}), &starting_at(folder.path())).await;
    assert_eq!(found.expect("it exists").len(), 1);
}

#[tokio::test]
async fn nothing_found_says_what_is_there() {
    let folder = folder_with(&["ranker.bin"]);
    let error = resolve(&Host::new("chaos"), json!({"path": "rankr.bin"}), &starting_at(folder.path())).await.expect_err("a typo");
    assert!(error.hint.expect("a hint").contains("ranker.bin"));
}

#[tokio::test]
async fn rule_4_the_journal_and_the_system_are_never_targets() {
    let folder = folder_with(&["journal"]);
    let host = Host::new("chaos");
    host.protect(folder.path());
    for (path, why) in [
        (folder.path().join("journal"), "journal"),
        (folder.path().to_owned(), "journal"),
        (folder.path().parent().expect("above").to_owned(), "journal"),
        ("/".into(), "root of the file system"),
        ("/proc/self/status".into(), "belongs to the system"),
    ] {
        let error = resolve(&host, json!({"path": path}), &ResolveContext::default()).await.expect_err("never");
        assert!(error.message.contains(why), "{error}");
    }
}

#[tokio::test]
async fn of_means_what_a_process_sees_whatever_its_mounts() {
    let folder = folder_with(&["a.bin"]);
    let host = Host::new("chaos");
    let neighbour = Started::sleeping();
    let mut context = starting_at(folder.path());
    context.sets.insert("replica".into(), vec![process_target(neighbour.id(), false)]);
    let selector = json!({"path": "a.bin", "of": "replica"});
    assert_eq!(resolve(&host, selector.clone(), &context).await.expect("the same mounts").len(), 1);

    let elsewhere = Started::shell("exec unshare -m sleep 600");
    scenes::wait_for("its start", || std::fs::read(format!("/proc/{}/comm", elsewhere.pid())).is_ok_and(|c| c != b"sh\n"));
    if std::fs::read(format!("/proc/{}/comm", elsewhere.pid())).is_ok_and(|c| c == b"sleep\n" || scenes::is_root()) {
        scenes::wait_for("its mounts", || {
            let mounts = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/mnt")).ok();
            mounts(&elsewhere.pid().to_string()) != mounts("self")
        });
        context.sets.insert("replica".into(), vec![process_target(elsewhere.id(), false)]);
        let error = resolve(&host, selector, &context).await.expect_err("mounts of its own");
        assert!(error.message.contains("must be absolute there"), "{error}");
        // What it has of this host's own files is this host's.
        let path = folder.path().canonicalize().expect("the folder").join("a.bin");
        let found = resolve(&host, json!({"path": path, "of": "replica"}), &context).await.expect("seen by both");
        assert_eq!(found[0].identity.0, format!("file:{}", path.display()));
        assert!(found[0].facets.process.is_none());
        // What it has alone is its own: where it is spared, or counts as a container, so is that, and does.
        let (alone, at) = (folder.path().join("alone"), Some("/docker/c0ffee".to_owned()));
        std::fs::create_dir(&alone).expect("a folder");
        let memory = format!("mount -t tmpfs none {0} && touch {0}/x && exec sleep 600", alone.display());
        let confined = Started::shell(&format!("exec unshare -m sh -c '{memory}'"));
        scenes::wait_for("its file", || std::fs::read(format!("/proc/{}/comm", confined.pid())).is_ok_and(|c| c == b"sleep\n"));
        let mut member = process_target(confined.id(), false);
        member.facets.cgroup.clone_from(&at);
        context.sets.insert("replica".into(), vec![member]);
        let found = resolve(&host, json!({"path": alone.join("x"), "of": "replica"}), &context).await.expect("its own");
        assert_eq!((found[0].facets.process, found[0].facets.cgroup.clone()), (Some(confined.id()), at));
    } else {
        scenes::not_covered("of_means_what_a_process_sees", "mounts of one's own need root");
    }
}
