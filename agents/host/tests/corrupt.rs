//! `file.corrupt` and `disk.fill` where others write, remove, link and fill at the same time.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::os::unix::fs::FileExt;
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

    /// The original is all that is left in its place, and the note says where that is.
    fn the_original_stays(&self, undo: &Value, how: &str, note: &str, original: &[u8]) {
        let left = std::fs::read_dir(self.vault(undo)).expect("its place").map(|e| e.expect("an entry").path());
        let left: Vec<PathBuf> = left.collect();
        assert_eq!(left.len(), 1, "{how}: {left:?}");
        assert!(note.contains(&left[0].display().to_string()), "{how}: {note}");
        assert!(std::fs::read(&left[0]).expect("read") == original, "{how}: what is left is not the original");
        std::fs::remove_dir_all(self.vault(undo)).expect("it lies outside the folder of the test");
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
        let before = std::fs::read(&model.file).expect("read");
        let undo = model.inject(damage(how)).await;
        let newer = model.above.path().join("newer");
        std::fs::write(&newer, "a newer model").expect("written");
        std::fs::rename(&newer, &model.file).expect("deployed");
        assert_eq!(model.in_place(&undo).await, InPlace::None, "{how}");
        let notes = model.revert(&undo).await.expect("reverted").notes;
        assert!(notes[0].contains("newer"), "{how}: {notes:?}");
        assert_eq!(std::fs::read(&model.file).expect("read"), b"a newer model", "{how}");
        model.the_original_stays(&undo, how, &notes[0], &before);
    }
}

#[tokio::test]
async fn what_was_written_into_the_damaged_file_is_kept() {
    for how in ["truncate", "flip", "replace"] {
        let model = Model::new();
        let before = std::fs::read(&model.file).expect("read");
        let undo = model.inject(damage(how)).await;
        std::fs::write(&model.file, "written in place").expect("written");
        let notes = model.revert(&undo).await.expect("reverted").notes;
        assert!(notes[0].contains("newer"), "{how}: {notes:?}");
        assert_eq!(std::fs::read(&model.file).expect("read"), b"written in place", "{how}");
        model.the_original_stays(&undo, how, &notes[0], &before);
    }
}

#[tokio::test]
async fn what_is_written_elsewhere_in_a_damaged_file_stays_and_the_damage_does_not() {
    for (how, at) in [("flip", 25_000), ("truncate", 10)] {
        let model = Model::new();
        let mut expected = std::fs::read(&model.file).expect("read");
        let original = expected.clone();
        let undo = model.inject(damage(how)).await;
        let file = std::fs::OpenOptions::new().write(true).open(&model.file).expect("opened");
        file.write_all_at(b"theirs", at).expect("written");
        let at = usize::try_from(at).expect("a place");
        expected[at..at + 6].copy_from_slice(b"theirs");
        let notes = model.revert(&undo).await.expect("reverted").notes;
        assert!(std::fs::read(&model.file).expect("read") == expected, "{how}: only our damage is taken back");
        assert_eq!(model.in_place(&undo).await, InPlace::None, "{how}: what is looked for is what was taken back");
        model.the_original_stays(&undo, how, &notes[0], &original);
        model.revert(&undo).await.expect("once more");
        assert!(std::fs::read(&model.file).expect("read") == expected, "{how}");
    }
}

#[tokio::test]
async fn what_was_added_to_a_cut_file_stays_beside_the_original() {
    let model = Model::new();
    let original = std::fs::read(&model.file).expect("read");
    let undo = model.inject(damage("truncate")).await;
    let mut file = std::fs::OpenOptions::new().append(true).open(&model.file).expect("opened");
    std::io::Write::write_all(&mut file, b"a line of a log").expect("added");
    assert_eq!(model.in_place(&undo).await, InPlace::None);
    let notes = model.revert(&undo).await.expect("reverted").notes;
    assert!(std::fs::read(&model.file).expect("read").ends_with(b"a line of a log"));
    model.the_original_stays(&undo, "truncate", &notes[0], &original);
}

#[tokio::test]
async fn an_empty_file_made_in_place_of_a_deleted_one_does_not_cost_the_original() {
    let model = Model::new();
    let original = std::fs::read(&model.file).expect("read");
    let undo = model.inject(damage("delete")).await;
    std::fs::File::create_new(&model.file).expect("a program that makes what it misses");
    let notes = model.revert(&undo).await.expect("reverted").notes;
    assert_eq!(model.in_place(&undo).await, InPlace::None);
    model.the_original_stays(&undo, "delete", &notes[0], &original);
}

#[tokio::test]
async fn rule_32_a_folder_that_cannot_be_reached_is_residue_and_not_the_end_of_it() {
    for how in ALL {
        for pointer in ["/place", "/vault/place"] {
            for missing in [json!({"inode": 1}), json!({"device": 1, "filesystem": 1}), json!({"folder": "/proc/no-such-folder"})] {
                let model = Model::new();
                let before = everything(&model.file);
                let undo = model.inject(damage(how)).await;
                let mut elsewhere = undo.clone();
                for (key, value) in missing.as_object().expect("a map") {
                    elsewhere.pointer_mut(pointer).expect("a place")[key] = value.clone();
                }
                assert!(model.revert(&elsewhere).await.is_err(), "{how} {pointer} {missing}: it said that all is well");
                let seen = faults(&model.host).get("file.corrupt").expect("the fault").inspect(&elsewhere).await;
                let absent = seen.is_ok_and(|p| p.in_place == InPlace::None);
                assert!(!absent || (pointer == "/vault/place" && how == "replace"), "{how} {pointer} {missing}");
                model.revert(&undo).await.expect("reverted");
                assert_eq!(everything(&model.file), before, "{how}");
            }
        }
    }
}

#[tokio::test]
async fn another_number_of_the_same_disk_after_a_reboot_does_not_matter() {
    let model = Model::new();
    let before = everything(&model.file);
    let mut undo = model.inject(damage("delete")).await;
    if undo["place"]["filesystem"] == json!(0) {
        return scenes::not_covered("another_number_of_the_same_disk", "this file system has no number of its own");
    }
    for place in ["/place", "/vault/place"] {
        undo.pointer_mut(place).expect("a place")["device"] = json!(1);
    }
    model.revert(&undo).await.expect("reverted");
    assert_eq!(everything(&model.file), before);
}

#[tokio::test]
async fn two_names_of_one_file_are_one_claim() {
    let model = Model::new();
    let other = model.above.path().join("model/other-name.bin");
    std::fs::hard_link(&model.file, &other).expect("a second name");
    let table = faults(&model.host);
    let fault = table.get("file.corrupt").expect("the fault");
    let mut claims = Vec::new();
    for path in [&model.file, &other] {
        claims.push(fault.prepare(&damage("flip"), &path_target(path), &model.id).await.expect("prepared").claims);
    }
    assert!(claims[0].iter().any(|claim| claims[1].contains(claim)), "{claims:?}");
}

#[tokio::test]
async fn a_damaged_program_comes_back_with_what_lets_it_run_as_another() {
    // `cap_net_bind_service=ep`, as the kernel keeps it.
    const BIND: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for how in ["flip", "truncate"] {
        let model = Model::new();
        std::fs::set_permissions(&model.file, std::os::unix::fs::PermissionsExt::from_mode(0o4750)).expect("its mode");
        let file = std::fs::File::open(&model.file).expect("opened");
        if rustix::fs::fsetxattr(&file, "security.capability", &BIND, rustix::fs::XattrFlags::empty()).is_err() {
            return scenes::not_covered("a_damaged_program_comes_back", "capabilities of files cannot be set here");
        }
        let before = everything(&model.file);
        let undo = model.inject(damage(how)).await;
        model.revert(&undo).await.expect("reverted");
        let mut value = [0; 64];
        let length = rustix::fs::fgetxattr(&file, "security.capability", &mut value[..]).unwrap_or(0);
        assert_eq!(value[..length], BIND, "{how}");
        assert_eq!(everything(&model.file), before, "{how}");
    }
}

#[tokio::test]
async fn a_damaged_program_that_is_being_executed_gives_way_to_its_copy() {
    let model = Model::new();
    let mut program = std::fs::read("/bin/sleep").expect("a program");
    program.resize(program.len() + 20_000_000, 0);
    std::fs::write(&model.file, &program).expect("written");
    std::fs::set_permissions(&model.file, std::os::unix::fs::PermissionsExt::from_mode(0o750)).expect("its mode");
    let undo = model.inject(json!({"flip": "1 B"})).await;
    let mut running = std::process::Command::new(&model.file).arg("600").spawn().expect("it runs all the same");
    wait_for("it runs", || std::fs::OpenOptions::new().write(true).open(&model.file).is_err());
    let reverted = model.revert(&undo).await;
    running.kill().expect("ours");
    running.wait().expect("reaped");
    assert!(reverted.expect("reverted").notes[0].contains("executed"));
    assert!(std::fs::read(&model.file).expect("read") == program);
    assert!(!model.vault(&undo).exists());
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
