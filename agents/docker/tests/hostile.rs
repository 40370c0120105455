//! What others do to a container while a fault is on it, and what nobody should be able to do with one.

mod scenes;

use std::time::{Duration, Instant};

use chaos_core::World;
use chaos_core::conformance::arm;
use chaos_core::fault::{InPlace, Reach, Reversibility};
use chaos_docker::{Docker, sweep};
use chaos_testbed::{Engine, EngineTwin, Payload, not_covered};
use scenes::{Contained, Injection, table};
use serde_json::json;

fn shared(test: &str) -> Option<&'static Engine> {
    Engine::shared().map_err(|absent| not_covered(test, &absent.0)).ok()
}

fn own(test: &str) -> Option<Engine> {
    Engine::start().map_err(|absent| not_covered(test, &absent.0)).ok()
}

/// Waits until it is so; never by the clock alone.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < Duration::from_secs(60), "never came: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn rule_14_what_somebody_else_ends_is_told_and_left_to_him() {
    let Some(engine) = shared("rule_14_what_somebody_else_ends_is_told_and_left_to_him") else { return };
    let table = table(engine);
    for (kind, by_hand, finding) in [
        ("container.pause", &["unpause"][..], "is not paused"),
        ("container.pause", &["kill"], "has ended"),
        ("container.stop", &["start"], "was started again"),
        ("container.disconnect", &["network", "connect", "bridge"], "is attached to network bridge"),
    ] {
        let contained = Contained::sleeping(engine, &[]);
        let spec = if kind == "container.stop" { json!({"grace": "0s"}) } else { json!({}) };
        let injection = Injection::injected(&table, kind, &spec, &contained.target()).await;
        assert!(injection.is_stamped(engine), "{kind}");
        if by_hand == ["kill"] {
            engine.docker(&["unpause", &contained.id]);
        }
        engine.docker(&[by_hand, &[contained.id.as_str()]].concat());
        let presence = injection.presence().await;
        assert_eq!(presence.in_place, InPlace::None, "{kind}: {presence:?}");
        let found = presence.finding.unwrap_or_default();
        assert!(found.contains(finding), "{kind}: {found}");
        let theirs = contained.says("{{.State.StartedAt}} {{.State.Status}}");
        injection.reverted().await;
        assert_eq!(contained.says("{{.State.StartedAt}} {{.State.Status}}"), theirs, "{kind}");
        assert!(!injection.is_stamped(engine), "{kind}");
    }
}

#[tokio::test]
async fn a_container_that_is_removed_recreated_or_renamed_under_a_fault_is_known_by_its_id() {
    let Some(engine) = shared("a_container_that_is_removed_recreated_or_renamed_under_a_fault_is_known_by_its_id") else { return };
    let table = table(engine);
    for kind in ["container.kill", "container.stop", "container.pause", "container.disconnect"] {
        let spec = if kind == "container.stop" { json!({"grace": "0s"}) } else { json!({}) };
        let removed = Contained::sleeping(engine, &[]);
        let injection = Injection::injected(&table, kind, &spec, &removed.target()).await;
        engine.docker(&["rm", "--force", &removed.id]);
        let presence = injection.presence().await;
        assert_eq!(presence.finding, Some(format!("container {} was removed", removed.name)), "{kind}");
        let other = engine.docker(&["run", "--detach", "--name", &removed.name, Engine::BUSYBOX, "sleep", "600"]);
        let found = injection.presence().await.finding.unwrap_or_default();
        assert_eq!(found, format!("container {} was recreated as {}", removed.name, &other[..12]), "{kind}");
        let other = Contained { engine, id: other, name: removed.name.clone() };
        engine.docker(&["pause", &other.id]);
        assert_eq!(injection.reverted().await.notes, [found], "{kind}");
        assert_eq!(other.status(), "paused", "{kind}: a stranger of that name is left alone");
        assert!(!injection.is_stamped(engine), "{kind}");
        let refused = injection.fault.prepare(&spec, &removed.target(), &injection.id).await.expect_err("it is gone");
        assert!(refused.gone, "{kind}: {refused}");

        let renamed = Contained::sleeping(engine, &[]);
        let before = EngineTwin::of(engine);
        let injection = Injection::injected(&table, kind, &spec, &renamed.target()).await;
        engine.docker(&["rename", &renamed.id, &format!("{}-renamed", renamed.name)]);
        injection.reverted().await;
        engine.docker(&["rename", &renamed.id, &renamed.name]);
        let mine = |twin: &EngineTwin| {
            let lost = [EngineTwin::STARTED, &["IPAddress", "MacAddress", "IPAMConfig", "Pid"]].concat();
            let all = before.differences(twin, &lost);
            all.into_iter().filter(|d| d.contains(&renamed.name)).collect::<Vec<_>>()
        };
        assert_eq!(mine(&EngineTwin::of(engine)), Vec::<String>::new(), "{kind}");
    }
}

#[tokio::test]
async fn a_restart_policy_gets_its_chance() {
    let Some(engine) = shared("a_restart_policy_gets_its_chance") else { return };
    let table = table(engine);
    let contained = Contained::sleeping(engine, &["--restart", "always"]);
    let injection = Injection::injected(&table, "container.kill", &json!({}), &contained.target()).await;
    let says = injection.prepared.notes.join("\n");
    assert!(says.contains("restart policy always: the engine starts it again by itself"), "{says}");
    contained.until("{{.RestartCount}} {{.State.Status}}", "1 running");
    // It is back, and yet was killed: no end of the fault, but a finding.
    let presence = injection.presence().await;
    assert_eq!(presence.in_place, InPlace::Whole);
    assert_eq!(presence.finding, Some(format!("container {} was started again by its restart policy", contained.name)));
    let life = contained.says("{{.State.StartedAt}}");
    assert_eq!(injection.reverted().await.notes, [format!("container {} was started again by its restart policy", contained.name)]);
    assert_eq!(contained.says("{{.State.StartedAt}} {{.RestartCount}}"), format!("{life} 1"));
}

#[tokio::test]
async fn what_is_killed_through_its_engine_has_no_restart_policy_and_is_started() {
    let Some(engine) = shared("what_is_killed_through_its_engine_has_no_restart_policy_and_is_started") else { return };
    let table = table(engine);
    let contained = Contained::sleeping(engine, &["--restart", "always", "--tmpfs", "/scratch", "--publish", "8080"]);
    let injection = Injection::injected(&table, "container.kill", &json!({}), &contained.remote()).await;
    let says = injection.prepared.notes.join("\n");
    for said in [
        "is killed by its engine: it is no process of this host",
        "restart policy always does not apply",
        "tmpfs is lost: /scratch",
        "for 8080/tcp",
        "on bridge",
    ] {
        assert!(says.contains(said), "{said} in {says}");
    }
    assert_eq!(contained.says("{{.State.Status}} {{.RestartCount}}"), "exited 0");
    assert_eq!(injection.reverted().await.notes, [format!("container {} was down, and was started to take this back", contained.name)]);
    assert_eq!(contained.status(), "running");
    for (policy, said) in [
        ("on-failure", "unless that is restarted meanwhile and it ended with another exit code than 0: it stays down"),
        ("unless-stopped", "does not apply to what is stopped through the engine: it stays down"),
    ] {
        let contained = Contained::sleeping(engine, &["--restart", policy]);
        let injection = Injection::injected(&table, "container.stop", &json!({"grace": "0s"}), &contained.target()).await;
        let says = injection.prepared.notes.join("\n");
        assert!(says.contains(said), "{said} in {says}");
        injection.reverted().await;
    }
}

#[tokio::test]
async fn a_restart_policy_that_has_given_up_is_helped_and_what_somebody_stopped_is_not() {
    let Some(engine) = shared("a_restart_policy_that_has_given_up_is_helped_and_what_somebody_stopped_is_not") else { return };
    let table = table(engine);
    let fails_once_killed = "test -e /killed && rm /killed && exit 3; touch /killed; exec sleep 600";
    let contained = Contained::run(engine, &["--restart", "on-failure:1"], &["sh", "-c", fails_once_killed]);
    until("its mark", async || engine.try_docker(&["exec", &contained.id, "test", "-e", "/killed"]).is_ok()).await;
    let injection = Injection::injected(&table, "container.kill", &json!({}), &contained.target()).await;
    contained.until("{{.RestartCount}} {{.State.Status}}", "1 exited");
    assert_eq!(injection.reverted().await.notes, [format!("container {} was down, and was started to take this back", contained.name)]);
    contained.until("{{.State.Status}}", "running");

    let contained = Contained::sleeping(engine, &["--restart", "always"]);
    let injection = Injection::injected(&table, "container.kill", &json!({}), &contained.target()).await;
    contained.until("{{.RestartCount}} {{.State.Status}}", "1 running");
    engine.docker(&["stop", "--time", "0", &contained.id]);
    let notes = injection.reverted().await.notes;
    assert!(notes[0].contains("was started again, and has ended since"), "{notes:?}");
    assert_eq!(contained.status(), "exited");
}

#[tokio::test]
async fn what_cannot_be_harmed_is_refused_and_says_why() {
    let Some(engine) = shared("what_cannot_be_harmed_is_refused_and_says_why") else { return };
    let table = table(engine);
    let paused = Contained::sleeping(engine, &[]);
    engine.docker(&["pause", &paused.id]);
    let exited = Contained::run(engine, &[], &["true"]);
    exited.until("{{.State.Status}}", "exited");
    let host = Contained::sleeping(engine, &["--network", "host"]);
    let none = Contained::sleeping(engine, &["--network", "none"]);
    let sharing = Contained::sleeping(engine, &["--network", &format!("container:{}", paused.name)]);
    let running = Contained::sleeping(engine, &[]);
    let before = EngineTwin::of(engine);
    for (kind, spec, contained, says, hint) in [
        ("container.pause", json!({}), &paused, "is already paused", "docker unpause"),
        ("container.kill", json!({}), &exited, "does not run: it is exited", "docker start"),
        ("container.disconnect", json!({}), &host, "lives in the network of its host", "net.partition"),
        ("container.disconnect", json!({}), &none, "has no network", ""),
        ("container.disconnect", json!({}), &sharing, "lives in the network of container", "disconnect that one"),
        ("container.disconnect", json!({"network": "backend"}), &running, "is not attached to network backend", "it is attached to bridge"),
        ("container.remove", json!({}), &running, "must be allowed in so many words", "`with: {allowed: true}`"),
    ] {
        let fault = table.get(kind).expect("the fault");
        let id = chaos_core::fault::InjectionId { run: Engine::unique("run"), slot: "1.0.0".into() };
        let e = fault.prepare(&spec, &contained.target(), &id).await.expect_err(kind);
        assert!(e.message.contains(says), "{kind}: {e}");
        assert!(e.hint.unwrap_or_default().contains(hint), "{kind}: {}", e.message);
    }
    let found = table.get("container.remove").expect("the fault").check(&json!({"volumes": true}));
    assert_eq!(found[0].hint.as_deref(), Some("`with: {allowed: true}`"));
    let grace = |grace: &str| table.get("container.stop").expect("the fault").check(&json!({"grace": grace}));
    assert!(grace("2m")[0].message.contains("too long") && grace("1500ms")[0].message.contains("whole seconds"));
    assert!(grace("0s").is_empty() && grace("60s").is_empty());
    let mine = |d: &String| [&paused, &exited, &host, &none, &sharing, &running].iter().any(|c| d.contains(&c.name));
    let changed: Vec<String> = before.differences(&EngineTwin::of(engine), &[]).into_iter().filter(mine).collect();
    assert_eq!(changed, Vec::<String>::new(), "a refusal changes nothing");
}

#[tokio::test]
async fn two_runs_cannot_have_one_container_and_one_that_removes_itself_is_irreversible() {
    let Some(engine) = shared("two_runs_cannot_have_one_container_and_one_that_removes_itself_is_irreversible") else { return };
    let table = table(engine);
    let contained = Contained::sleeping(engine, &["--rm", "--volume", "/data"]);
    for fault in table.iter().filter(|fault| fault.kind() != "container.health") {
        let spec = if fault.kind() == "container.remove" { json!({"allowed": true}) } else { json!({}) };
        let injection = Injection::prepared(&table, fault.kind(), &spec, &contained.target()).await;
        assert_eq!(injection.prepared.claims, [format!("container:{}", contained.id)], "{}", fault.kind());
        let reversibility = injection.prepared.reversibility.unwrap_or_else(|| fault.reversibility(&spec));
        let ends = !["container.pause", "container.disconnect"].contains(&fault.kind());
        assert_eq!(reversibility == Reversibility::Irreversible, ends, "{}", fault.kind());
    }
    let says = Injection::prepared(&table, "container.stop", &json!({}), &contained.target()).await.prepared.notes.join("\n");
    assert!(says.contains("removes itself") && says.contains("/data"), "{says}");
}

#[tokio::test]
async fn a_network_comes_back_as_it_was_and_one_that_is_gone_is_told() {
    let Some(engine) = shared("a_network_comes_back_as_it_was_and_one_that_is_gone_is_told") else { return };
    let table = table(engine);
    let (kept, gone) = (Engine::unique("kept"), Engine::unique("gone"));
    engine.docker(&["network", "create", "--subnet", "10.88.1.0/24", &kept]);
    engine.docker(&["network", "create", &gone]);
    let db = Contained::sleeping(engine, &["--network", &kept]);
    let options = ["--network", &kept, "--ip", "10.88.1.77", "--network-alias", "ranker", "--link", &format!("{}:store", db.name)];
    let contained = Contained::sleeping(engine, &options);
    engine.docker(&["network", "connect", "--alias", "other", &gone, &contained.id]);
    let neighbour = Contained::sleeping(engine, &["--network", &format!("container:{}", contained.name)]);
    let before = EngineTwin::of(engine);

    let one = Injection::injected(&table, "container.disconnect", &json!({"network": kept}), &contained.target()).await;
    assert_eq!(one.prepared.reach, Some(Reach::NetworkNamespace));
    assert_eq!(one.prepared.bystanders.names.as_slice(), std::slice::from_ref(&neighbour.name));
    assert_eq!(contained.says("{{len .NetworkSettings.Networks}}"), "1");
    assert_eq!(one.reverted().await.notes, [format!("connected to {kept} again")]);
    let changed: Vec<String> =
        before.differences(&EngineTwin::of(engine), &["EndpointID"]).into_iter().filter(|d| d.contains(&contained.name)).collect();
    assert_eq!(changed, Vec::<String>::new());
    engine.docker(&["exec", &contained.id, "ping", "-c", "1", "store"]);
    engine.docker(&["exec", &db.id, "ping", "-c", "1", "ranker"]);

    let all = Injection::injected(&table, "container.disconnect", &json!({}), &contained.target()).await;
    assert_eq!(contained.says("{{len .NetworkSettings.Networks}}"), "0");
    engine.docker(&["network", "rm", &gone]);
    let presence = all.presence().await;
    assert_eq!(presence.finding, Some(format!("network {gone} is gone")), "{presence:?}");
    let notes = all.reverted().await.notes;
    assert_eq!(
        notes,
        [format!("network {gone} is gone: container {} stays without it", contained.name), format!("connected to {kept} again")]
    );
    assert_eq!(contained.says(&format!("{{{{(index .NetworkSettings.Networks \"{kept}\").IPAddress}}}}")), "10.88.1.77");
    drop((neighbour, contained, db));
    engine.docker(&["network", "rm", &kept]);
}

#[tokio::test]
async fn where_the_engine_chose_the_subnet_the_address_may_be_another_and_the_rest_is_as_it_was() {
    let Some(engine) = shared("where_the_engine_chose_the_subnet_the_address_may_be_another_and_the_rest_is_as_it_was") else { return };
    let table = table(engine);
    let network = Engine::unique("chosen");
    engine.docker(&["network", "create", &network]);
    for options in [&["--network", &network, "--network-alias", "ranker"][..], &["--publish", "18080:80"]] {
        let contained = Contained::sleeping(engine, options);
        let before = EngineTwin::of(engine);
        let injection = Injection::injected(&table, "container.disconnect", &json!({}), &contained.target()).await;
        let says = injection.prepared.notes.join("\n");
        assert!(says.contains("it may give others"), "{says}");
        let notes = injection.reverted().await.notes;
        assert!(notes[0].starts_with("connected to "), "{notes:?}");
        let lost = ["EndpointID", "IPAddress", "MacAddress", "SandboxID", "SandboxKey"];
        let changed: Vec<String> =
            before.differences(&EngineTwin::of(engine), &lost).into_iter().filter(|d| d.contains(&contained.name)).collect();
        assert_eq!(changed, Vec::<String>::new(), "{options:?}");
    }
    engine.docker(&["network", "rm", &network]);
}

#[tokio::test]
async fn rule_01_a_request_that_lands_after_it_was_given_up_is_found_and_taken_back() {
    let Some(engine) = shared("rule_01_a_request_that_lands_after_it_was_given_up_is_found_and_taken_back") else { return };
    for (kind, words, spec) in [
        ("container.pause", "POST /pause", json!({})),
        ("container.stop", "POST /stop", json!({"grace": "0s"})),
        ("container.kill", "POST /kill", json!({})),
        ("container.disconnect", "POST /disconnect", json!({})),
        ("container.pause", "POST /volumes/create", json!({})),
    ] {
        let late = engine.late(words, Duration::from_secs(5));
        let table = std::sync::Arc::new(chaos_docker::faults(&std::sync::Arc::new(Docker::with_host(&late.endpoint()))));
        let contained = Contained::sleeping(engine, &[]);
        let mut target = contained.remote();
        target.facets.container.as_mut().expect("a container").engine = late.endpoint();
        let injection = Injection::prepared(&table, kind, &spec, &target).await;
        let (id, undo) = (injection.id.clone(), injection.prepared.undo.clone());
        let dies = {
            let table = std::sync::Arc::clone(&table);
            tokio::spawn(async move {
                let fault = table.get(kind).expect("the fault");
                let armed = || arm(id.clone(), undo.clone());
                fault.stage(&armed()).await.expect("staged");
                fault.inject(armed()).await.expect("injected");
            })
        };
        until("the request", async || late.held() == 1).await;
        dies.abort();
        // What is done at once finds nothing, but it is not over before it has settled.
        injection.reverted().await;
        assert!(injection.fault.settle(&injection.prepared.undo) >= Duration::from_secs(15), "{kind}");
        until("the late effect", async || late.landed() == 1).await;
        if words.contains("volumes") {
            assert!(injection.is_stamped(engine));
        } else {
            until("its being seen", async || injection.presence().await.in_place == InPlace::Whole).await;
        }
        injection.reverted().await;
        assert!(!injection.is_stamped(engine), "{kind}");
        contained.until("{{.State.Status}} {{len .NetworkSettings.Networks}}", "running 1");
    }
}

#[tokio::test]
async fn rule_01_a_container_that_may_still_end_is_no_success() {
    let Some(engine) = shared("rule_01_a_container_that_may_still_end_is_no_success") else { return };
    let table = table(engine);
    // The kernel spares a first process that has no handler.
    let contained = Contained::sleeping(engine, &[]);
    let injection = Injection::prepared(&table, "container.kill", &json!({"signal": "TERM"}), &contained.target()).await;
    let armed = || arm(injection.id.clone(), injection.prepared.undo.clone());
    injection.fault.stage(&armed()).await.expect("staged");
    let e = injection.fault.inject(armed()).await.expect_err("it goes on");
    assert!(e.message.contains("still runs 10 s after"), "{e}");
    assert_eq!(injection.reverted().await.notes, Vec::<String>::new());
    assert_eq!(contained.status(), "running");
}

#[tokio::test]
async fn rule_13_an_undo_without_a_journal_is_found_in_the_engine() {
    let Some(engine) = own("rule_13_an_undo_without_a_journal_is_found_in_the_engine") else { return };
    let docker = Docker::with_host(&engine.endpoint());
    let table = table(&engine);
    let contained = Contained::sleeping(&engine, &[]);
    assert_eq!(sweep(docker.view()).await.expect("an engine"), []);
    let before = EngineTwin::of(&engine);
    let injection = Injection::injected(&table, "container.pause", &json!({}), &contained.target()).await;
    let found = sweep(docker.view()).await.expect("an engine");
    let [stamp] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&stamp.run, stamp.kind.as_str(), stamp.is_own), (&injection.id.run, "container.pause", true));
    assert_eq!(stamp.undo, injection.prepared.undo);
    assert!(stamp.what.contains(&contained.name), "{}", stamp.what);
    // As a person would do it by hand.
    for line in injection.fault.explain(&stamp.undo) {
        let done = engine.command("sh").args(["-c", &line]).output().expect("sh");
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }
    before.assert_same(&EngineTwin::of(&engine), "by hand");
    assert_eq!(sweep(docker.view()).await.expect("an engine"), []);
    injection.reverted().await;
}

#[tokio::test]
async fn an_engine_that_is_killed_or_restarted_under_a_fault_is_waited_for() {
    let Some(engine) = own("an_engine_that_is_killed_or_restarted_under_a_fault_is_waited_for") else { return };
    let table = table(&engine);
    for kind in ["container.pause", "container.stop", "container.kill", "container.disconnect"] {
        for restart in [false, true] {
            let contained = Contained::sleeping(&engine, &[]);
            let spec = if kind == "container.stop" { json!({"grace": "0s"}) } else { json!({}) };
            let injection = Injection::injected(&table, kind, &spec, &contained.target()).await;
            if restart {
                engine.stop();
            } else {
                engine.kill();
            }
            let e = injection.fault.revert(&injection.prepared.undo).await.expect_err("nobody answers");
            assert!(e.message.contains("engine at"), "{kind}: {e}");
            engine.bring_up();
            injection.reverted().await;
            assert!(!injection.is_stamped(&engine), "{kind}");
            // Without a restart policy an engine that starts leaves its containers down; what only a fault took down is up again.
            let down = contained.status() == "exited";
            assert!(down || contained.status() == "running", "{kind}: {}", contained.status());
            // The network `bridge` has another id by then.
            assert_eq!(contained.says("{{len .NetworkSettings.Networks}}"), "1", "{kind}, restart {restart}");
            if matches!(kind, "container.stop" | "container.kill") {
                assert!(!down, "{kind}, restart {restart}");
            }
        }
    }
}

#[tokio::test]
async fn a_container_without_a_shell_and_one_that_may_not_write_are_no_different() {
    let Some(engine) = shared("a_container_without_a_shell_and_one_that_may_not_write_are_no_different") else { return };
    let table = table(engine);
    let image = Engine::unique("shell-less");
    engine.image(&image, &Payload::new().with_program("/usr/bin/sleep"));
    let contained =
        Contained::of_image(engine, &["--read-only", "--user", "65534", "--cap-drop", "ALL"], &image, &["/usr/bin/sleep", "600"]);
    for kind in ["container.pause", "container.disconnect", "container.kill", "container.stop"] {
        let spec = if kind == "container.stop" { json!({"grace": "0s"}) } else { json!({}) };
        Injection::injected(&table, kind, &spec, &contained.target()).await.reverted().await;
        assert_eq!(contained.status(), "running", "{kind}");
    }
}

#[tokio::test]
async fn a_health_check_fails_while_its_container_works_and_passes_again() {
    let Some(engine) = shared("a_health_check_fails_while_its_container_works_and_passes_again") else { return };
    let table = table(engine);
    let contained = scenes::checked(engine);
    contained.until("{{.State.Health.Status}}", "healthy");
    let injection = Injection::injected(&table, "container.health", &json!({}), &contained.target()).await;
    contained.until("{{.State.Health.Status}}", "unhealthy");
    assert!(matches!(injection.presence().await.met, chaos_core::fault::Met::Count(_)));
    engine.docker(&["exec", &contained.id, "true"]);
    assert_eq!(injection.reverted().await.notes, ["/check can be run again"]);
    contained.until("{{.State.Health.Status}}", "healthy");
    // A container that is started anew has other mounts: that ends it.
    let injection = Injection::injected(&table, "container.health", &json!({}), &contained.target()).await;
    engine.docker(&["restart", "--time", "0", &contained.id]);
    assert_eq!(injection.presence().await.in_place, InPlace::None);
    assert_eq!(injection.reverted().await.notes, Vec::<String>::new());

    let refused = async |options: &[&str], says: &str| {
        let contained = Contained::sleeping(engine, options);
        let id = chaos_core::fault::InjectionId { run: Engine::unique("run"), slot: "1.0.0".into() };
        let fault = table.get("container.health").expect("the fault");
        let e = fault.prepare(&json!({}), &contained.target(), &id).await.expect_err(says);
        assert!(e.message.contains(says), "{e}");
    };
    refused(&[], "it has no health check").await;
    refused(&["--health-cmd", "test -e /ready"], "which the shell does by itself").await;
    refused(&["--health-cmd", "wget -q localhost"], "which everything in it is run by").await;
    refused(&["--health-cmd", "curl -f localhost"], "there is no program `curl` in it").await;
}
