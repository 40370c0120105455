//! `file.corrupt` and `disk.fill` where others write, remove, link and fill at the same time.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chaos_core::conformance::arm;
use chaos_core::fault::{FaultError, InPlace, InjectionId, Met, Reverted};
use chaos_host::{Host, faults};
use scenes::files::{everything, write_with_everything};
use scenes::{path_target, wait_for};
use serde_json::{Value, json};

/// A model's folder with one file in it, in a folder of the test's own.
struct Model {
    host: Arc<Host>,
    above: tempfile::TempDir,
    file: PathBuf,
    id: InjectionId,
}

impl Model {
    fn new() -> Self {
        let above = tempfile::tempdir().expect("a folder");
        let file = above.path().join("model/weights.bin");
        std::fs::create_dir(above.path().join("model")).expect("its folder");
        write_with_everything(&file, 50_000);
        let run = above.path().file_name().expect("a name").to_string_lossy().trim_start_matches('.').to_owned();
        Self { host: Arc::new(Host::new("chaos")), above, file, id: InjectionId { run, slot: "0.0.0".into() } }
    }

    async fn prepare(&self, spec: Value) -> Result<Value, FaultError> {
        let table = faults(&self.host);
        let prepared = table.get("file.corrupt").expect("the fault").prepare(&spec, &path_target(&self.file), &self.id).await;
        prepared.map(|p| p.undo)
    }

    async fn inject(&self, spec: Value) -> Value {
        let undo = self.prepare(spec).await.expect("prepared");
        let table = faults(&self.host);
        let fault = table.get("file.corrupt").expect("the fault");
        fault.stage(&arm(self.id.clone(), undo.clone())).await.expect("staged");
        fault.inject(arm(self.id.clone(), undo.clone())).await.expect("injected");
        undo
    }

    async fn revert(&self, undo: &Value) -> Result<Reverted, FaultError> {
        faults(&self.host).get("file.corrupt").expect("the fault").revert(undo).await
    }

    async fn in_place(&self, undo: &Value) -> InPlace {
        faults(&self.host).get("file.corrupt").expect("the fault").inspect(undo).await.expect("inspected").in_place
    }

    /// Where its original waits.
    fn vault(&self, undo: &Value) -> PathBuf {
        let place = &undo["vault"]["place"];
        Path::new(place["folder"].as_str().expect("a folder")).join(place["name"].as_str().expect("a name"))
    }
}

const ALL: [&str; 4] = ["truncate", "flip", "delete", "replace"];

fn damage(how: &str) -> Value {
    match how {
        "truncate" => json!({"truncate": "1 kB"}),
        "flip" => json!({"flip": "64 B"}),
        "delete" => json!({"delete": true}),
        _ => json!({"replace": "/proc/self/exe"}),
    }
}

#[tokio::test]
async fn a_newer_file_of_the_systems_own_is_kept() {
    for how in ALL {
        let model = Model::new();
        let undo = model.inject(damage(how)).await;
        let newer = model.above.path().join("newer");
        std::fs::write(&newer, "a newer model").expect("written");
        std::fs::rename(&newer, &model.file).expect("deployed");
        assert_eq!(model.in_place(&undo).await, InPlace::None, "{how}");
        let notes = model.revert(&undo).await.expect("reverted").notes;
        assert!(notes[0].contains("newer"), "{how}: {notes:?}");
        assert_eq!(std::fs::read(&model.file).expect("read"), b"a newer model", "{how}");
        assert!(!model.vault(&undo).exists(), "{how}: nothing is left behind");
    }
}

#[tokio::test]
async fn what_was_written_into_the_damaged_file_is_kept() {
    for how in ["truncate", "flip", "replace"] {
        let model = Model::new();
        let undo = model.inject(damage(how)).await;
        std::fs::write(&model.file, "written in place").expect("written");
        let notes = model.revert(&undo).await.expect("reverted").notes;
        assert!(notes[0].contains("newer"), "{how}: {notes:?}");
        assert_eq!(std::fs::read(&model.file).expect("read"), b"written in place", "{how}");
    }
}

#[tokio::test]
async fn a_damaged_file_that_somebody_removed_comes_back_whole() {
    for how in ["truncate", "flip", "replace"] {
        let model = Model::new();
        let before = everything(&model.file);
        let undo = model.inject(damage(how)).await;
        std::fs::remove_file(&model.file).expect("removed");
        model.revert(&undo).await.expect("reverted");
        let without_inode =
            |text: &str| text.split(' ').enumerate().filter(|(i, _)| *i != 2).map(|(_, w)| w.to_owned()).collect::<Vec<_>>();
        assert_eq!(without_inode(&everything(&model.file)), without_inode(&before), "{how}");
    }
}

#[tokio::test]
async fn a_damage_or_repair_that_was_cut_off_is_taken_back() {
    let model = Model::new();
    let before = everything(&model.file);
    let original = std::fs::read(&model.file).expect("read");
    let undo = model.inject(json!({"flip": "64 B"})).await;
    let mut half = std::fs::read(&model.file).expect("read");
    half[..25_000].copy_from_slice(&original[..25_000]);
    std::fs::write(&model.file, &half).expect("as if killed half-way");
    assert_eq!(model.in_place(&undo).await, InPlace::Partial);
    model.revert(&undo).await.expect("reverted");
    assert_eq!(everything(&model.file), before);

    let undo = model.inject(json!({"truncate": "1 kB"})).await;
    std::fs::write(&model.file, &original[..30_000]).expect("as if the repair was killed half-way");
    model.revert(&undo).await.expect("reverted");
    assert_eq!(everything(&model.file), before);
}

#[tokio::test]
async fn the_same_injection_changes_the_same_bytes_and_times_stay() {
    let model = Model::new();
    let before = std::fs::metadata(&model.file).expect("seen").modified().expect("a time");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let undo = model.inject(json!({"flip": "64 B"})).await;
        assert_eq!(std::fs::metadata(&model.file).expect("seen").modified().expect("a time"), before);
        seen.push(std::fs::read(&model.file).expect("read"));
        model.revert(&undo).await.expect("reverted");
    }
    let original = std::fs::read(&model.file).expect("read");
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].iter().zip(&original).filter(|(a, b)| a != b).count(), 64);
}

#[tokio::test]
async fn rule_12_the_original_waits_outside_the_folder_and_its_stamp_beside_it() {
    let model = Model::new();
    let undo = model.inject(json!({"delete": true})).await;
    let vault = model.vault(&undo);
    assert!(!vault.starts_with(model.file.parent().expect("its folder")), "{}", vault.display());
    assert!(vault.file_name().expect("a name").to_string_lossy().starts_with(".chaos-"));
    let stamp: Value = serde_json::from_slice(&std::fs::read(vault.join("0-0-0.undo")).expect("the stamp")).expect("JSON");
    assert_eq!((stamp["kind"].as_str(), &stamp["undo"]), (Some("file.corrupt"), &undo));
    let swept = chaos_host::sweep(std::slice::from_ref(&model.file)).expect("swept");
    let found = swept.iter().find(|f| f.run == model.id.run).expect("the second net holds it");
    assert_eq!(found.stamps, [("file.corrupt".to_owned(), undo.clone())]);
    model.revert(&undo).await.expect("reverted");
    assert!(!vault.exists());
}

#[tokio::test]
async fn rule_35_a_folder_swapped_for_a_link_is_never_written_through() {
    for how in ALL {
        let model = Model::new();
        let before = everything(&model.file);
        let undo = model.inject(damage(how)).await;
        let victim = model.above.path().join("victim");
        std::fs::create_dir(&victim).expect("a folder");
        std::fs::write(victim.join("weights.bin"), "somebody else's").expect("a file");
        let folder = model.file.parent().expect("its folder");
        std::fs::rename(folder, model.above.path().join("away")).expect("moved away");
        std::os::unix::fs::symlink(&victim, folder).expect("a link in its place");
        let error = model.revert(&undo).await;
        assert_eq!(std::fs::read(victim.join("weights.bin")).expect("read"), b"somebody else's", "{how}");
        assert!(error.expect_err("the original is not thrown away").hint.unwrap_or_default().contains(".chaos-"), "{how}");
        std::fs::remove_file(folder).expect("the link");
        std::fs::rename(model.above.path().join("away"), folder).expect("moved back");
        model.revert(&undo).await.expect("reverted");
        assert_eq!(everything(&model.file), before, "{how}");
        assert!(!model.vault(&undo).exists(), "{how}");
    }
}

#[tokio::test]
async fn rule_35_a_place_for_the_original_that_somebody_else_laid_there_is_refused() {
    let model = Model::new();
    let undo = model.prepare(json!({"flip": "64 B"})).await.expect("prepared");
    let vault = model.vault(&undo);
    std::fs::create_dir(&vault).expect("laid there");
    std::fs::set_permissions(&vault, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("open to all");
    let table = faults(&model.host);
    let refused = table.get("file.corrupt").expect("the fault").stage(&arm(model.id.clone(), undo)).await;
    std::fs::remove_dir(&vault).expect("ours");
    assert!(refused.expect_err("not ours alone").message.contains("not ours alone"));
}

#[tokio::test]
async fn what_has_no_effect_or_may_not_be_is_refused_before_anything_is_done() {
    let model = Model::new();
    let table = faults(&model.host);
    let fault = table.get("file.corrupt").expect("the fault");
    for nonsense in [json!({}), json!({"flip": "64 B", "delete": true}), json!({"flip": "0 B"}), json!({"replace": "relative"})] {
        assert!(!fault.check(&nonsense).is_empty(), "{nonsense}");
    }
    assert!(model.prepare(json!({"truncate": "1 GB"})).await.is_err(), "it is shorter than that");
    model.host.protect(model.file.parent().expect("its folder"));
    let error = model.prepare(json!({"flip": "1 B"})).await.expect_err("protected");
    assert!(error.message.contains("journal"), "{error}");
}

#[tokio::test]
async fn rule_4_the_disk_of_the_journal_is_never_filled() {
    let model = Model::new();
    model.host.protect(model.above.path());
    let table = faults(&model.host);
    let fault = table.get("disk.fill").expect("the fault");
    let error = fault.prepare(&json!({"size": "1 MiB"}), &path_target(&model.file), &model.id).await.expect_err("its disk");
    assert!(error.message.contains("journal"), "{error}");
}

#[tokio::test]
async fn rule_31_a_full_disk_refuses_a_block_and_is_free_the_moment_the_helper_dies() {
    let disk = scenes::SmallDisk::new("rule_31_a_full_disk_refuses_a_block");
    if !disk.is_own() {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let fault = table.get("disk.fill").expect("the fault");
    let id = InjectionId { run: format!("full-{}", std::process::id()), slot: "0.0.0".into() };
    let prepared = fault.prepare(&json!({"free": "0 B"}), &path_target(disk.path()), &id).await.expect("prepared");
    fault.inject(arm(id, prepared.undo.clone())).await.expect("injected");
    assert!(std::fs::write(disk.path().join("more"), [1; 8192]).is_err(), "no space left");
    let presence = fault.inspect(&prepared.undo).await.expect("inspected");
    assert_eq!((presence.in_place, presence.met), (InPlace::Whole, Met::Count(1)));

    for helper in scenes::helpers("hold-file") {
        rustix::process::kill_process(rustix::process::Pid::from_raw(helper).expect("a pid"), rustix::process::Signal::KILL).expect("ours");
    }
    wait_for("the space is free again", || std::fs::write(disk.path().join("more"), [1; 8192]).is_ok());
    assert_eq!(fault.inspect(&prepared.undo).await.expect("inspected").in_place, InPlace::None);
    fault.revert(&prepared.undo).await.expect("reverted");
}

#[tokio::test]
async fn the_printed_commands_do_by_hand_what_revert_does() {
    for how in ALL {
        let model = Model::new();
        let before = everything(&model.file);
        let undo = model.inject(damage(how)).await;
        for line in faults(&model.host).get("file.corrupt").expect("the fault").explain(&undo) {
            assert!(std::process::Command::new("sh").args(["-c", &line]).status().expect("a shell").success(), "{how}: {line}");
        }
        assert_eq!(everything(&model.file), before, "{how}");
        assert!(!model.vault(&undo).exists(), "{how}");
        model.revert(&undo).await.expect("nothing is left to do");
    }
}
