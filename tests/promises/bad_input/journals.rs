//! Journals that this program may not act on: of a newer version, of another host, damaged.

use serde_json::Value;

use crate::scaffold::{Stage, Victim, files, until};

use super::right;

/// A whole run, then its journal again as it was in the middle of the fault, with its first record changed; and the
/// victim as the fault had left it.
fn left_behind(stage: &Stage, change: fn(&mut Value)) -> (Victim, crate::scaffold::Server, std::path::PathBuf) {
    let (server, victim, text) = right(stage);
    stage.run(&text.yaml()).expect(0);
    let done = files(&stage.state().join("journals/done"));
    let [done] = done.as_slice() else { panic!("one journal: {done:?}") };
    let text = String::from_utf8(std::fs::read(done).unwrap()).unwrap();
    let mut journal = String::new();
    for line in text.trim_end_matches('\0').lines().filter(|line| line.contains('{')) {
        if line.contains("{\"reverted\"") {
            break;
        }
        if line.contains("{\"identity\"") {
            journal.push_str(&changed(line, change));
        } else {
            journal.push_str(line);
        }
        journal.push('\n');
    }
    let open = stage.state().join("journals").join(done.file_name().unwrap());
    std::fs::rename(done, &open).unwrap();
    std::fs::write(&open, journal).unwrap();
    let pid = rustix::process::Pid::from_raw(victim.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    until("the victim is stopped", || victim.is_stopped());
    (victim, server, open)
}

/// A line of a journal with its record changed and its sum made right.
fn changed(line: &str, change: fn(&mut Value)) -> String {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let [_, _, seq, json] = words.as_slice() else { panic!("no record: {line}") };
    let mut record: Value = serde_json::from_str(json).unwrap();
    change(&mut record);
    let json = serde_json::to_string(&record).unwrap();
    let body = format!("{seq} {json}");
    format!("{} {:08x} {body}", json.len(), crc32fast::hash(body.as_bytes()))
}

#[test]
fn a_journal_that_a_dead_run_left_is_taken_back_before_the_next_command() {
    let stage = Stage::new();
    let (victim, _server, open) = left_behind(&stage, |_| {});
    let printed = stage.chaos(&["recover", "--print"]).expect(0);
    assert!(printed.out.contains(&format!("kill -CONT {}", victim.pid())), "{}", printed.out);
    assert!(victim.is_stopped(), "printing changes nothing");
    stage.chaos(&["run", &stage.experiment(), "--quiet"]).expect(0).says("recovered:");
    victim.assert_well();
    assert!(!open.exists());
    stage.assert_clean();
}

#[test]
fn a_journal_of_a_newer_version() {
    let stage = Stage::new();
    let (victim, _server, open) = left_behind(&stage, |record| record["identity"]["journal"] = 999.into());
    let before = std::fs::read(&open).unwrap();
    stage.chaos(&["status"]).expect(7).says("has version 999").says("cannot be read");
    let refused = stage.chaos(&["run", &stage.experiment(), "--quiet"]).expect(7).says("has version 999");
    stage.chaos(&["recover"]).expect(7).says("has version 999");
    assert!(victim.is_stopped(), "what cannot be understood is not acted on");
    assert_eq!(std::fs::read(&open).unwrap(), before, "nor changed");
    insta::assert_snapshot!(stage.plain(&refused.err));
}

#[test]
fn rule_07_a_journal_from_another_host() {
    let stage = Stage::new();
    let (victim, _server, open) = left_behind(&stage, |record| {
        record["identity"]["host"]["machine"] = "00000000000000000000000000000000".into();
        record["identity"]["host"]["name"] = "elsewhere".into();
    });
    let before = std::fs::read(&open).unwrap();
    stage.chaos(&["status"]).expect(0).says("not ours").says("elsewhere");
    stage.chaos(&["recover"]).says("elsewhere");
    assert!(victim.is_stopped(), "what is of another host is listed, never acted on");
    assert_eq!(std::fs::read(&open).unwrap(), before);
}

#[test]
fn rule_12_damage_in_the_middle_of_a_journal_is_residue() {
    let stage = Stage::new();
    let (victim, _server, open) = left_behind(&stage, |_| {});
    let text = std::fs::read_to_string(&open).unwrap();
    let broken = text.replacen("\"approved\"", "\"approvex\"", 1);
    assert_ne!(broken, text);
    std::fs::write(&open, broken).unwrap();
    stage.chaos(&["run", &stage.experiment(), "--quiet"]).expect(7).says("/damage").says("--forget RUN/SLOT --because TEXT");
    victim.assert_well();
    let run = open.file_stem().unwrap().to_str().unwrap();
    stage.chaos(&["recover", "--forget", &format!("{run}/damage"), "--because", "looked at by hand"]).expect(0);
    stage.chaos(&["run", &stage.experiment(), "--quiet"]).expect(0);
    victim.assert_well();
}
