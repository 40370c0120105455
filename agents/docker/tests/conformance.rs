//! Every fault of the table on a real engine, by the table: a fault without a scene fails here.

mod scenes;

use chaos_core::conformance::{Scene, check};
use chaos_testbed::{Engine, EngineTwin, not_covered};
use scenes::{Contained, table};
use serde_json::json;

/// The engine that this test shares with no other: every look compares all that it has.
fn engine() -> Option<&'static Engine> {
    static ENGINE: std::sync::OnceLock<Result<Engine, chaos_testbed::Absent>> = std::sync::OnceLock::new();
    match ENGINE.get_or_init(Engine::start) {
        Ok(engine) => Some(engine),
        Err(absent) => {
            not_covered("every_fault_on_containers_keeps_the_contract", &absent.0);
            None
        }
    }
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the slow one is found by it")]
async fn every_fault_on_containers_keeps_the_contract() {
    let Some(engine) = engine() else { return };
    engine.docker(&["network", "create", "--subnet", "10.77.7.0/24", "backend"]);
    let table = table(engine);
    for fault in table.iter() {
        let scenes = scenes_for(fault.kind());
        assert!(!scenes.is_empty(), "{} has no scene in this test: every fault of the table is checked", fault.kind());
        for scene in scenes {
            let began = std::time::Instant::now();
            check(&table, fault, &|| scene(engine)).await;
            println!("{} in {:.1?}", fault.kind(), began.elapsed());
        }
    }
}

fn scenes_for(kind: &str) -> Vec<fn(&'static Engine) -> Scene> {
    match kind {
        "container.kill" => vec![to_kill, to_kill_for_ever],
        "container.stop" => vec![to_stop, to_stop_for_ever],
        "container.pause" => vec![to_pause],
        "container.restart" => vec![to_restart],
        "container.remove" => vec![to_remove],
        "container.disconnect" => vec![to_disconnect],
        "container.health" => vec![to_make_unhealthy],
        _ => Vec::new(),
    }
}

fn to_kill(engine: &'static Engine) -> Scene {
    Contained::sleeping(engine, &[]).scene(json!({}), EngineTwin::STARTED)
}

fn to_kill_for_ever(engine: &'static Engine) -> Scene {
    Contained::sleeping(engine, &["--rm"]).scene(json!({"signal": "KILL"}), EngineTwin::STARTED)
}

fn to_stop(engine: &'static Engine) -> Scene {
    Contained::sleeping(engine, &[]).scene(json!({"grace": "1s"}), EngineTwin::STARTED)
}

fn to_stop_for_ever(engine: &'static Engine) -> Scene {
    Contained::sleeping(engine, &["--rm"]).scene(json!({"grace": "0s"}), EngineTwin::STARTED)
}

fn to_pause(engine: &'static Engine) -> Scene {
    Contained::sleeping(engine, &["--read-only"]).scene(json!({}), &[])
}

fn to_restart(engine: &'static Engine) -> Scene {
    Contained::sleeping(engine, &[]).scene(json!({"grace": "1s"}), &[])
}

fn to_remove(engine: &'static Engine) -> Scene {
    Contained::sleeping(engine, &["--volume", "/data"]).scene(json!({"allowed": true, "volumes": true}), &[])
}

fn to_disconnect(engine: &'static Engine) -> Scene {
    let options = ["--network", "backend", "--ip", "10.77.7.7", "--network-alias", "store"];
    Contained::sleeping(engine, &options).scene(json!({}), &["EndpointID"])
}

/// The check passes all the time: what the engine says of it is the same before and after.
fn to_make_unhealthy(engine: &'static Engine) -> Scene {
    let contained = scenes::checked(engine);
    contained.until("{{.State.Health.Status}} {{.State.Health.FailingStreak}}", "healthy 0");
    contained.scene(json!({}), &[])
}
