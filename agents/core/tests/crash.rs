//! The crash matrix over fakes, and the proof that it would notice: every mutant is caught.

mod fakes;
mod harness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chaos_core::failpoint;
use fakes::{FILE, HASTY, IDLE_REVERT, LATE, Spec};
use harness::crash::{Act, Case, Scene, VICTIMS, When, all, crash};
use harness::{injection, target};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-executor"))
}

/// The effect is a file; the look is whether it is there.
fn scene(folder: &Path, fault: &str) -> Scene {
    let effects = folder.join("effects");
    std::fs::create_dir_all(&effects).unwrap();
    let path: PathBuf = effects.join("effect");
    let spec = Spec { path: path.clone(), steps: 3, step_ms: 2, ..Spec::default() };
    Scene {
        act: Act::Inject(Box::new(injection("1.0.0", fault, spec.json(), target("a")))),
        look: Box::new(move || if path.exists() { Err(format!("{} is left", path.display())) } else { Ok(()) }),
        bound: false,
        keep: Box::new(()),
    }
}

fn matrix(fault: &'static str) -> Vec<Case> {
    let points = failpoint::ALL.into_iter().map(When::At).chain([When::After(Duration::from_millis(3))]);
    let cases = points.flat_map(|when| VICTIMS.map(|victim| (when, victim)));
    cases
        .map(|(when, victim)| {
            let case = move |folder: &Path| crash(program(), folder, "r1", &scene(folder, fault), when, victim);
            (format!("{fault}, {when}, {victim:?}"), Box::new(case) as Box<_>)
        })
        .collect()
}

#[test]
fn rule_02_whoever_is_killed_at_whatever_point_nothing_is_left() {
    let failures = all("crash matrix of the fake", matrix(FILE));
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn rule_37_a_revert_that_does_nothing_is_caught() {
    let failures = all("mutant: a revert that does nothing", matrix(IDLE_REVERT));
    assert!(failures.len() >= 9, "wherever the effect was had, it is left: {failures:#?}");
}

#[test]
fn rule_37_an_effect_before_its_intent_is_caught() {
    let failures = all("mutant: an effect before its intent", matrix(HASTY));
    assert!(failures.iter().any(|f| f.contains(failpoint::PREPARED)), "nobody knows of it yet: {failures:#?}");
}

/// The request was sent, its answer never read; the effect comes a second later, whoever was killed since.
#[test]
fn rule_01_an_effect_that_comes_late_is_waited_for() {
    let cases = VICTIMS.map(|victim| {
        let case = move |folder: &Path| {
            let scene = scene(folder, LATE);
            let came = crash(program(), folder, "r1", &scene, When::At(failpoint::MID_REVERT), victim);
            // Long after anything could still come.
            std::thread::sleep(Duration::from_millis(1_500));
            came.and_then(|came| (scene.look)().map(|()| came))
        };
        (format!("late, {victim:?}"), Box::new(case) as Box<_>)
    });
    let failures = all("late effect", cases.into());
    assert!(failures.is_empty(), "{failures:#?}");
}
