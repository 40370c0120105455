//! Recovery: what it touches, what it leaves alone, and how a person lets something be.

mod fakes;

use std::path::PathBuf;
use std::time::Duration;

use chaos_core::claim::Claims;
use chaos_core::clock::Boot;
use chaos_core::fault::{Class, InjectionId, Persistence, Reversibility};
use chaos_core::journal::{DAMAGE, Intent, Journal, JournalError, Record, Writer};
use chaos_core::recover::{ForgetError, InjectionOutcome, Recovery, RunOutcome, Standing, forget, residue, survey};
use chaos_core::state_dir::StateDir;
use chaos_core::take_back::Patience;
use fakes::{FILE, Spec};
use serde_json::json;
use tokio::sync::watch;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> StateDir {
        StateDir::open(&self.folder.path().join("state")).unwrap()
    }

    fn effect(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn intent(&self, slot: &str, effect: &str, persistence: Persistence) -> Intent {
        let spec = Spec { path: self.effect(effect), ..Spec::default() };
        Intent {
            slot: slot.into(),
            fault: FILE.into(),
            target: effect.into(),
            undo: json!({"spec": spec}),
            claims: vec![],
            stands_on: Vec::new(),
            class: Class::File,
            persistence,
            reversibility: Reversibility::Exact,
            deadline: Boot(u64::MAX),
            at: Boot::now(),
        }
    }

    /// A dead run `r1` whose two effects are in force: `1.0.0` durable, `1.0.1` gone with a reboot.
    fn dead_run(&self, change: impl FnOnce(&mut Writer)) {
        let mut writer = Writer::here("r1", "0.1.0", Duration::from_secs(10).into());
        change(&mut writer);
        let mut journal = Journal::create(&self.state(), &writer).unwrap();
        let (_cancel, cancelled) = watch::channel(false);
        for (slot, effect, persistence) in [("1.0.0", "a", Persistence::Durable), ("1.0.1", "b", Persistence::UntilReboot)] {
            journal.intend(self.intent(slot, effect, persistence), cancelled.clone()).unwrap();
            std::fs::write(self.effect(effect), "harm").unwrap();
        }
    }

    fn recovery(&self) -> Recovery {
        Recovery {
            claims: Claims::at(&self.folder.path().join("claims")).unwrap(),
            state: self.state(),
            table: fakes::table(),
            patience: Patience { give_up: Duration::from_millis(200), ..Patience::default() },
            class_patience: Duration::from_millis(100),
            chaos: "0.1.0".into(),
            leave_system: false,
        }
    }

    async fn recover(&self) -> chaos_core::recover::RecoveredRun {
        self.recovery().recover(None).await.unwrap().runs.remove(0)
    }

    fn journal_path(&self) -> PathBuf {
        self.state().journal_path("r1")
    }
}

#[tokio::test]
async fn bare_intents_are_taken_back_too() {
    let place = Place::new();
    place.dead_run(|_| {});
    assert_eq!(survey(&place.state()).unwrap()[0].standing, Standing::Residue);
    let run = place.recover().await;
    assert_eq!(run.outcome, RunOutcome::Clean);
    assert_eq!(run.to_string(), "run r1: 2 injections taken back, nothing is left");
    assert!(!place.effect("a").exists() && !place.effect("b").exists());
    assert!(survey(&place.state()).unwrap().is_empty());
}

#[tokio::test]
async fn rule_07_another_host_or_user_is_listed_and_left_alone() {
    let changes: [fn(&mut Writer); 2] = [|w| w.host.machine = "another".into(), |w| w.uid += 1];
    for change in changes {
        let place = Place::new();
        place.dead_run(change);
        let run = place.recover().await;
        assert!(matches!(run.outcome, RunOutcome::Foreign(_)), "{run}");
        assert!(place.effect("a").exists());
        let forgotten = forget(&place.state(), "r1", "1.0.0", "not mine to say", "0.1.0");
        assert!(matches!(forgotten, Err(ForgetError::NotOurs { .. })), "{forgotten:?}");
        assert!(residue(&place.state()).unwrap().is_empty(), "it keeps nobody from running here");
    }
}

#[tokio::test]
async fn rule_02_what_outlived_another_container_is_taken_back_and_the_rest_is_named() {
    let place = Place::new();
    // A container without a machine id, of another name, whose state lies on a volume.
    place.dead_run(|w| (w.host.name, w.host.machine, w.host.pid_namespace) = ("c0ffee".into(), String::new(), 1));
    assert_eq!(survey(&place.state()).unwrap()[0].standing, Standing::OtherContainer);
    assert_eq!(residue(&place.state()).unwrap().len(), 1, "nothing new is put on top of it");
    place.recover().await;
    assert!(!place.effect("a").exists(), "files are the same here");
    assert!(place.effect("b").exists(), "what lives in there is out of reach from here, or went with it");
}

#[tokio::test]
async fn rule_02_a_first_process_takes_its_container_with_it() {
    let place = Place::new();
    place.dead_run(|w| (w.host.pid_namespace, w.pid) = (1, 1));
    let run = place.recover().await;
    assert_eq!(run.outcome, RunOutcome::Clean, "{run}");
    assert!(!place.effect("a").exists() && place.effect("b").exists());
}

#[tokio::test]
async fn rule_07_namespaces_of_one_number_are_told_apart_by_their_beginning() {
    let place = Place::new();
    place.dead_run(|w| w.host.namespace_began += 1);
    assert_eq!(survey(&place.state()).unwrap()[0].standing, Standing::OtherContainer);
}

#[tokio::test]
async fn rule_12_forgetting_makes_no_journal_ours() {
    let place = Place::new();
    place.dead_run(|_| {});
    let mut bytes = std::fs::read(place.journal_path()).unwrap();
    bytes[40] ^= 1;
    std::fs::write(place.journal_path(), &bytes).unwrap();
    assert!(matches!(survey(&place.state()).unwrap()[0].standing, Standing::Unreadable(_)));
    forget(&place.state(), "r1", DAMAGE, "the line was mine", "0.1.0").unwrap();
    assert!(matches!(survey(&place.state()).unwrap()[0].standing, Standing::Unreadable(_)), "whose it is, nobody knows");
    place.recover().await;
    assert!(place.effect("a").exists());
    forget(&place.state(), "r1", "1.0.0", "removed by hand", "0.1.0").unwrap();
    forget(&place.state(), "r1", "1.0.1", "removed by hand", "0.1.0").unwrap();
    assert!(residue(&place.state()).unwrap().is_empty());
}

#[tokio::test]
async fn rule_03_after_a_reboot_only_what_is_durable_is_taken_back() {
    let place = Place::new();
    place.dead_run(|w| w.host.boot = "the boot before".into());
    assert_eq!(survey(&place.state()).unwrap()[0].standing, Standing::BeforeReboot);
    let run = place.recover().await;
    assert_eq!(run.outcome, RunOutcome::Clean);
    assert!(!place.effect("a").exists());
    assert!(place.effect("b").exists(), "a fake of the same name that outlived the reboot is not ours");
    let noted = run.injections.iter().any(|i| i.outcome == InjectionOutcome::Reverted(vec!["gone with the reboot".into()]));
    assert!(noted, "{run:?}");
}

#[tokio::test]
async fn rule_12_a_damaged_journal_is_recovered_as_far_as_it_goes_and_stays_residue_until_forgotten() {
    let place = Place::new();
    place.dead_run(|_| {});
    let mut bytes = std::fs::read(place.journal_path()).unwrap();
    let second = bytes.iter().position(|b| *b == b'\n').unwrap() + 40;
    bytes[second] ^= 1;
    std::fs::write(place.journal_path(), &bytes).unwrap();
    let run = place.recover().await;
    assert_eq!(run.outcome, RunOutcome::Residue, "{run}");
    assert!(run.to_string().contains("r1/damage"), "{run}");
    assert!(!place.effect("b").exists(), "what can be read is taken back");
    assert_eq!(residue(&place.state()).unwrap().len(), 1);
    forget(&place.state(), "r1", DAMAGE, "looked at it; a is removed by hand", "0.1.0").unwrap();
    assert!(residue(&place.state()).unwrap().is_empty());
}

#[tokio::test]
async fn rule_07_a_newer_journal_is_refused_by_name() {
    let place = Place::new();
    place.dead_run(|w| {
        w.journal += 1;
        w.chaos = "7.0.0".into();
    });
    let run = place.recover().await;
    assert!(matches!(&run.outcome, RunOutcome::Failed(why) if why.contains("7.0.0")), "{run}");
    assert!(place.effect("a").exists());
    assert_eq!(residue(&place.state()).unwrap().len(), 1, "it keeps new runs from starting");
}

#[tokio::test]
async fn rule_11_what_cannot_be_taken_back_is_named_and_may_be_forgotten_with_a_reason() {
    let place = Place::new();
    let mut journal = Journal::create(&place.state(), &Writer::here("r1", "0.1.0", Duration::from_secs(10).into())).unwrap();
    let (_cancel, cancelled) = watch::channel(false);
    let mut stubborn = place.intent("1.0.0", "a", Persistence::Durable);
    stubborn.undo["spec"]["revert_fails"] = json!(1_000_000);
    journal.intend(stubborn, cancelled.clone()).unwrap();
    journal.intend(place.intent("1.0.1", "b", Persistence::Durable), cancelled.clone()).unwrap();
    let mut unknown = place.intent("1.0.2", "c", Persistence::Durable);
    unknown.fault = "net.delay".into();
    journal.intend(unknown, cancelled).unwrap();
    drop(journal);
    std::fs::write(place.effect("b"), "harm").unwrap();

    let run = place.recover().await;
    assert_eq!(run.outcome, RunOutcome::Residue);
    assert!(!place.effect("b").exists(), "one that fails does not keep the rest");
    let report = place.recovery().recover(Some(&["r1".to_owned()])).await.unwrap();
    let mut left = report.residue();
    left.sort();
    assert_eq!(left, ["1.0.0", "1.0.2"]);
    assert!(report.to_string().contains("knows no fault net.delay"), "{report}");

    let state = place.state();
    assert!(matches!(forget(&state, "r1", "1.0.0", "  ", "0.1.0"), Err(ForgetError::NoReason)));
    assert!(matches!(forget(&state, "r1", "1.0.1", "x", "0.1.0"), Err(ForgetError::Unknown { open, .. }) if open == ["1.0.0", "1.0.2"]));
    forget(&state, "r1", "1.0.0", "the disk is gone", "0.1.0").unwrap();
    assert_eq!(residue(&state).unwrap().len(), 1);
    forget(&state, "r1", "1.0.2", "made by another version", "0.1.0").unwrap();
    assert!(residue(&state).unwrap().is_empty());
    let done = std::fs::read_to_string(state.path().join("journals/done/r1.journal")).unwrap();
    assert!(done.contains("the disk is gone"), "the reason is kept");
}

#[tokio::test]
async fn rule_07_a_living_run_is_not_touched() {
    let place = Place::new();
    let writer = Writer::here("r1", "0.1.0", Duration::from_secs(10).into());
    let mut journal = Journal::create(&place.state(), &writer).unwrap();
    let (_cancel, cancelled) = watch::channel(false);
    journal.intend(place.intent("1.0.0", "a", Persistence::Durable), cancelled).unwrap();
    std::fs::write(place.effect("a"), "harm").unwrap();
    assert_eq!(place.recover().await.outcome, RunOutcome::Live);
    assert!(matches!(forget(&place.state(), "r1", "1.0.0", "x", "0.1.0"), Err(ForgetError::Journal(JournalError::Live(_)))));
    assert!(place.effect("a").exists());
    journal.note(&Record::Finished).unwrap();
}

#[tokio::test]
async fn a_journal_that_never_got_its_name_is_removed() {
    let place = Place::new();
    let left = place.state().path().join("journals/.r0.journal.new-1");
    std::fs::write(&left, "").unwrap();
    assert!(place.recovery().recover(None).await.unwrap().runs.is_empty());
    assert!(!left.exists());
}

#[tokio::test]
async fn undo_prints_itself_for_a_person_and_nothing_is_done() {
    let place = Place::new();
    place.dead_run(|_| {});
    let lines = place.recovery().print().unwrap();
    assert_eq!(lines[0], "# run r1");
    assert_eq!(lines.iter().filter(|l| l.starts_with("rm -f ")).count(), 2, "{lines:?}");
    assert!(place.effect("a").exists());
}

/// A dead run with one effect in force, whose revert misbehaves as told.
fn dead_run_of_one(place: &Place, run: &str, effect: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let mut journal = Journal::create(&place.state(), &Writer::here(run, "0.1.0", Duration::from_secs(10).into())).unwrap();
    let (_cancel, cancelled) = watch::channel(false);
    let mut intent = place.intent("1.0.0", effect, Persistence::Durable);
    change(&mut intent.undo["spec"]);
    journal.intend(intent, cancelled).unwrap();
    std::fs::write(place.effect(effect), "harm").unwrap();
}

#[tokio::test]
async fn rule_02_a_revert_that_was_given_up_keeps_its_journal_until_it_really_ends() {
    let place = Place::new();
    dead_run_of_one(&place, "r1", "a", |spec| spec["revert_ms"] = json!(3_000));
    assert_eq!(place.recover().await.outcome, RunOutcome::Residue);
    assert_eq!(place.recover().await.outcome, RunOutcome::Live, "a second revert beside the first could undo what it does");
    while place.effect("a").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn rule_11_a_run_that_is_stuck_keeps_no_other_run_in_force() {
    let place = Place::new();
    dead_run_of_one(&place, "r1", "a", |spec| spec["revert_fails"] = json!(1_000_000));
    dead_run_of_one(&place, "r2", "b", |_| {});
    let mut recovery = place.recovery();
    recovery.patience.give_up = Duration::from_secs(60);
    let gone = async {
        while place.effect("b").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        report = recovery.recover(None) => panic!("the second waited for the first: {report:?}"),
        () = gone => {}
    }
}

#[tokio::test]
async fn rule_13_an_undo_beside_its_effect_is_followed_in_its_own_time_unless_its_run_lives() {
    let place = Place::new();
    let recovery = place.recovery();
    let undo = json!({"spec": Spec { path: place.effect("a"), revert_ms: 50, ..Spec::default() }});
    std::fs::write(place.effect("a"), "harm").unwrap();
    let id = InjectionId { run: "r1".into(), slot: "1.0.0".into() };
    let elsewhere = recovery.claims.take("file:a", &id).unwrap();
    let refused = recovery.follow_stamp("r1", FILE, &undo).await.unwrap_err();
    assert!(refused.message.contains("run r1 lives"), "{refused}");
    assert!(place.effect("a").exists());
    drop(elsewhere);
    recovery.follow_stamp("r1", FILE, &undo).await.unwrap();
    assert!(!place.effect("a").exists());
}

#[tokio::test]
async fn what_somebody_else_has_recovered_is_known_and_what_nobody_knows_is_not_called_clean() {
    let place = Place::new();
    place.dead_run(|_| {});
    place.recover().await;
    let again = place.recovery().recover(Some(&["r1".to_owned()])).await.unwrap();
    assert_eq!(again.runs[0].outcome, RunOutcome::Clean);
    assert_eq!(again.reverted(), ["1.0.0", "1.0.1"]);
    let unknown = place.recovery().recover(Some(&["r2".to_owned()])).await.unwrap();
    assert!(unknown.has_residue() && unknown.reverted().is_empty(), "{unknown}");
}
