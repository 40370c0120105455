//! The crash matrix: how a fault is taken back × the point × who is killed (RULES 37), and a seeded campaign of random kills.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chaos_core::failpoint;
use chaos_testbed::{Machine, Payload};

use crate::chaos;
use crate::harness::crash::{Act, Case, Scene, VICTIMS, Victim, When, all, crash};
use crate::scaffold::not_covered;
use crate::scenes::{Mechanism, mechanisms};

/// One case: nothing may be left in the world, and nothing in the state directory.
pub(crate) fn case(mechanism: Mechanism, when: When, victim: Victim, hold: Option<Duration>) -> Case {
    let name = format!("{}, {when}, {victim:?}, hold {hold:?}", mechanism.name);
    let run = move |folder: &Path| {
        let run = run_id();
        let mut scene = (mechanism.scene)(folder, &run);
        if let Act::Inject(injection) = &mut scene.act {
            injection.hold = hold.map(Into::into);
        }
        let came = crash(chaos(), folder, &run, &scene, when, victim)?;
        nothing_known(folder)?;
        nothing_swept(&run, folder)?;
        Ok(came)
    };
    (name, Box::new(run))
}

/// Unique beside every other test of this machine: it is what our objects are known by.
fn run_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("crash-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn nothing_known(folder: &Path) -> Result<(), String> {
    let mut status = Command::new(chaos());
    let output = status.arg("status").arg("--state-dir").arg(folder.join("state")).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && text.starts_with("nothing is in force here") { Ok(()) } else { Err(format!("status: {text}")) }
}

fn nothing_swept(run: &str, folder: &Path) -> Result<(), String> {
    let found = chaos_host::sweep(&[folder.to_owned()]).map_err(|e| e.to_string())?;
    match found.into_iter().find(|f| f.run == run) {
        Some(found) => Err(format!("the sweep finds {}", found.what)),
        None => Ok(()),
    }
}

#[test]
fn rule_37_crash_matrix() {
    let mut cases = Vec::new();
    for mechanism in mechanisms() {
        for point in failpoint::ALL {
            for victim in VICTIMS {
                cases.push(case(mechanism, When::At(point), victim, None));
            }
        }
    }
    let failures = all("crash matrix", cases);
    assert!(failures.is_empty(), "{failures:#?}");
}

/// What depends on the kernel, on one that has what this one may lack: control groups of the second version, netem.
#[test]
#[allow(clippy::print_stdout, reason = "the counts are part of the result")]
fn rule_37_crash_matrix_of_another_kernel() {
    let payload = Payload::new().with_this_test().with_program(chaos());
    match Machine::boot(&payload) {
        Ok(machine) => {
            let tests = ["--exact", "crash::here_on_another_kernel", "--ignored", "--nocapture"];
            println!("{}", machine.run_this_test(&tests, Duration::from_secs(600)));
        }
        Err(absent) => not_covered("rule_37_crash_matrix_of_another_kernel", &absent.0),
    }
}

/// Two points of each mechanism that this kernel's twin has passed whole.
#[test]
#[ignore = "runs in a virtual machine"]
#[allow(clippy::print_stdout, reason = "whoever sees it fail must be able to repeat it")]
fn here_on_another_kernel() {
    let seed = asked("CHAOS_CAMPAIGN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("points drawn by seed {seed}");
    let mut draw = SplitMix(seed);
    let mut cases = Vec::new();
    for mechanism in mechanisms().into_iter().filter(|m| m.other_kernel) {
        let points = draw.some_of(&failpoint::ALL, 2);
        cases.extend(points.into_iter().flat_map(|point| VICTIMS.map(|victim| case(mechanism, When::At(point), victim, None))));
    }
    assert!(!cases.is_empty(), "nothing to try");
    let failures = all("crash matrix of another kernel", cases);
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
}

pub(crate) fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

/// `CHAOS_CAMPAIGN_KILLS` says how many, `CHAOS_CAMPAIGN_SEED` which.
#[test]
#[allow(clippy::print_stdout, reason = "whoever sees it fail must be able to repeat it")]
fn random_kills() {
    let usual = if std::env::var_os("CI").is_some() { 300 } else { 60 };
    let kills = asked("CHAOS_CAMPAIGN_KILLS").unwrap_or(usual);
    let seed = asked("CHAOS_CAMPAIGN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("random kills: {kills} of seed {seed} (CHAOS_CAMPAIGN_SEED={seed} repeats them)");
    let mut draw = SplitMix(seed);
    let mechanisms = mechanisms();
    let cases = (0..kills)
        .map(|_| {
            let mechanism = mechanisms[draw.below(mechanisms.len() as u64)];
            let when = When::After(Duration::from_micros(draw.below(250_000) as u64));
            let hold = (draw.below(2) == 0).then(|| Duration::from_millis(draw.below(150) as u64));
            case(mechanism, when, VICTIMS[draw.below(3)], hold)
        })
        .collect();
    let failures = all("random kills", cases);
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
}

/// A seeded generator that will never change under us.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    /// At most so many of them.
    pub(crate) fn some_of<T: Copy>(&mut self, all: &[T], most: usize) -> Vec<T> {
        let mut some = all.to_vec();
        while some.len() > most {
            some.swap_remove(self.below(some.len() as u64));
        }
        some
    }

    fn below(&mut self, n: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % n).unwrap_or(0)
    }
}

#[test]
fn rule_37_every_look_sees_its_effect() {
    mechanisms().into_iter().for_each(look_sees);
}

/// The look itself must be able to see: with nobody reverting, the effect is found.
pub(crate) fn look_sees(mechanism: Mechanism) {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_id();
    let scene: Scene = (mechanism.scene)(folder.path(), &run);
    (scene.look)().unwrap_or_else(|e| panic!("{}: nothing was done yet: {e}", mechanism.name));
    let seen = crate::harness::crash::while_in_force(chaos(), folder.path(), &run, &scene, || (scene.look)());
    assert!(seen.expect("it can be done").is_err(), "{}: the look does not see the effect", mechanism.name);
    (scene.look)().unwrap_or_else(|e| panic!("{}: it is left: {e}", mechanism.name));
}
