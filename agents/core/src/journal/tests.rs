//! Torn, truncated, duplicated, flipped: never a panic, never a lost undo before the tear, damage named. And every
//! survives-with-sync has its lost-without-sync twin.

use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use serde_json::json;
use tokio::sync::watch;

use super::frame::encode;
use super::*;
use crate::clock::Boot;
use crate::fault::{Class, Persistence, Reversibility};
use crate::literal::Duration;
use crate::state_dir::StateDir;

fn intent(slot: &str) -> Intent {
    Intent {
        slot: slot.into(),
        fault: "fake.fault".into(),
        target: "a target".into(),
        undo: json!({"path": format!("/tmp/{slot}"), "text": "line\nline, ünïcödé"}),
        claims: vec![format!("file:{slot}")],
        stands_on: Vec::new(),
        class: Class::File,
        persistence: Persistence::Durable,
        reversibility: Reversibility::Exact,
        deadline: Boot(5),
        at: Boot(4),
    }
}

fn writer(run: &str) -> Writer {
    Writer::here(run, "0.1.0", Duration::from_secs(10))
}

fn records() -> Vec<Record> {
    let slot = |s: &str| s.to_owned();
    vec![
        Record::Identity(Box::new(writer("r1"))),
        Record::Approved { plan: "abc".into() },
        Record::Intended(Box::new(intent("1.0.0"))),
        Record::Staged { slot: slot("1.0.0") },
        Record::Intended(Box::new(intent("1.0.1"))),
        Record::Injected { slot: slot("1.0.0") },
        Record::Reverted { slot: slot("1.0.1"), notes: vec![] },
        Record::Intended(Box::new(intent("2.0.0"))),
    ]
}

fn lines(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().enumerate().map(|(seq, r)| encode(seq as u64, r).unwrap()).collect()
}

fn slots(contents: &Contents) -> Vec<&str> {
    contents.open_entries().map(|e| e.intent.slot.as_str()).collect()
}

#[test]
fn rule_12_torn_at_every_byte_of_the_last_record_only_that_record_is_missing() {
    let lines = lines(&records());
    let (last, before) = lines.split_last().unwrap();
    let before: Vec<u8> = before.concat();
    for kept in 0..last.len() {
        let bytes = [before.as_slice(), &last[..kept]].concat();
        let contents = Contents::read(&bytes).unwrap();
        assert_eq!(contents.damage, [], "a torn tail is no damage ({kept} bytes)");
        let whole = kept == last.len() - 1;
        assert_eq!(contents.torn, kept > 0 && !whole, "{kept}");
        assert_eq!(slots(&contents), if whole { vec!["1.0.0", "2.0.0"] } else { vec!["1.0.0"] });
    }
}

#[test]
fn rule_12_a_torn_tail_is_ended_when_the_journal_is_adopted_and_stays_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join("state")).unwrap();
    let lines = lines(&records());
    let (last, before) = lines.split_last().unwrap();
    for kept in 0..last.len() {
        let path = state.journal_path("r1");
        std::fs::write(&path, [before.concat().as_slice(), &last[..kept]].concat()).unwrap();
        for _ in 0..2 {
            let Adopted { journal, contents } = Journal::adopt(&state, &writer("r1")).unwrap();
            assert_eq!(contents.damage, [], "{kept}");
            drop(journal);
        }
        let mut adopted = Journal::adopt(&state, &writer("r1")).unwrap();
        adopted.journal.reverted("1.0.0", &["done".into()]).unwrap();
        drop(adopted);
        let (contents, live) = Journal::look(&state, "r1").unwrap();
        assert!(!live);
        assert_eq!(contents.damage, [], "{kept}");
        assert_eq!(slots(&contents), if kept == last.len() - 1 { vec!["2.0.0"] } else { vec![] }, "{kept}");
    }
}

#[test]
fn rule_12_damage_in_the_middle_is_named_and_hides_nothing_else() {
    let lines = lines(&records());
    for hit in 0..lines.len() - 1 {
        for at in 0..lines[hit].len() {
            let mut bytes = lines.concat();
            let place: usize = lines[..hit].iter().map(Vec::len).sum::<usize>() + at;
            bytes[place] ^= 0x15;
            let Ok(contents) = Contents::read(&bytes) else { continue };
            assert!(!contents.damage.is_empty(), "record {hit}, byte {at}: {:?}", bytes[place] as char);
            assert!(!contents.is_over());
            let open = slots(&contents);
            assert!(hit == 2 || open.contains(&"1.0.0"), "record {hit}, byte {at}: {open:?}");
            assert!(open.contains(&"2.0.0"), "record {hit}, byte {at}: {open:?}");
        }
    }
}

#[test]
fn a_duplicated_record_is_damage_and_not_followed() {
    let lines = lines(&records());
    for twice in 0..lines.len() {
        let mut doubled = lines.clone();
        doubled.insert(twice, lines[twice].clone());
        let contents = Contents::read(&doubled.concat()).unwrap();
        assert_eq!(contents.damage.len(), 1, "{:?}", contents.damage);
        assert_eq!(slots(&contents), ["1.0.0", "2.0.0"]);
    }
}

#[test]
fn a_missing_record_is_noticed_by_its_number() {
    let lines = lines(&records());
    for missing in 1..lines.len() - 1 {
        let mut fewer = lines.clone();
        fewer.remove(missing);
        let contents = Contents::read(&fewer.concat()).unwrap();
        assert!(contents.damage.iter().any(|d| d.what.contains("missing")), "{missing}: {:?}", contents.damage);
    }
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut newer = writer("r1");
    newer.journal = JOURNAL_VERSION + 1;
    newer.chaos = "9.9.9".into();
    let refused = Contents::read(&lines(&[Record::Identity(Box::new(newer))]).concat()).unwrap_err();
    assert!(refused.to_string().contains("9.9.9"), "{refused}");
}

#[test]
fn records_follow_one_order_only() {
    let intended = Record::Intended(Box::new(intent("a")));
    let slot = "a".to_owned();
    let staged = Record::Staged { slot: slot.clone() };
    let injected = Record::Injected { slot: slot.clone() };
    let reverted = Record::Reverted { slot: slot.clone(), notes: vec![] };
    let residue = Record::Residue { slot: slot.clone(), finding: String::new() };
    let forgotten = Record::Forgotten { slot, because: String::new() };
    let all = [&intended, &staged, &injected, &reverted, &residue, &forgotten];
    let legal = |now: Option<Status>| -> Vec<Status> { all.iter().filter_map(|r| next_status(now, r).ok()).collect() };
    use Status as S;
    assert_eq!(legal(None), [S::Intended]);
    assert_eq!(legal(Some(S::Intended)), [S::Staged, S::Injected, S::Reverted, S::Residue, S::Forgotten]);
    assert_eq!(legal(Some(S::Staged)), [S::Injected, S::Reverted, S::Residue, S::Forgotten]);
    assert_eq!(legal(Some(S::Injected)), [S::Reverted, S::Residue, S::Forgotten]);
    assert_eq!(legal(Some(S::Residue)), [S::Reverted, S::Residue, S::Forgotten]);
    assert_eq!(legal(Some(S::Reverted)), [S::Reverted]);
    assert_eq!(legal(Some(S::Forgotten)), []);
}

fn journal(state: &StateDir) -> Journal {
    Journal::create(state, &writer("r1")).unwrap()
}

#[test]
fn rule_05_armed_carries_the_undo_as_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join("state")).unwrap();
    let mut journal = journal(&state);
    let (_cancel, cancelled) = watch::channel(false);
    let armed = journal.intend(intent("1.0.0"), cancelled.clone()).unwrap();
    assert_eq!(armed.undo(), &intent("1.0.0").undo);
    assert_eq!(armed.deadline(), Boot(5));
    // On disk before it is armed: another process reads it.
    let (contents, live) = Journal::look(&state, "r1").unwrap();
    assert!(live);
    assert_eq!(slots(&contents), ["1.0.0"]);
    let bytes = |path: &std::path::Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap()) * 512;
    assert!(bytes(&state.journal_path("r1")) >= 1 << 20, "room was taken beforehand");
    journal.reverted("1.0.0", &[]).unwrap();
    journal.finish(&state).unwrap();
    assert!(bytes(&state.path().join("journals/done/r1.journal")) < 1 << 16, "and is given back");
}

#[test]
fn rule_07_live_is_locked_and_residue_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join("state")).unwrap();
    let journal = journal(&state);
    assert!(matches!(Journal::adopt(&state, &writer("r1")), Err(JournalError::Live(_))));
    assert!(matches!(Journal::create(&state, &writer("r1")), Err(JournalError::System { .. })), "one journal a run");
    drop(journal);
    let mut adopted = Journal::adopt(&state, &writer("r1")).unwrap();
    assert!(matches!(Journal::adopt(&state, &writer("r1")), Err(JournalError::Live(_))));
    adopted.journal.finish(&state).unwrap();
    assert!(state.unfinished().unwrap().is_empty());
    assert!(matches!(Journal::adopt(&state, &writer("r1")), Err(JournalError::Absent(_))));
    assert!(state.path().join("journals/done/r1.journal").exists());
}

#[test]
fn rule_12_after_a_failed_write_nothing_is_armed_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join("state")).unwrap();
    let mut journal = journal(&state);
    let (_cancel, cancelled) = watch::channel(false);
    journal.intend(intent("1.0.0"), cancelled.clone()).unwrap();
    // A full disk, as the kernel gives it.
    let full = std::fs::OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    assert!(full.write_at(b"x", 0).is_err());
    journal.break_file(full);
    let first = journal.intend(intent("1.0.1"), cancelled.clone()).unwrap_err();
    assert!(first.to_string().contains(&state.journal_path("r1").display().to_string()), "{first}");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(state.journal_path("r1")).unwrap();
    journal.break_file(file);
    // The disk is well again; the journal is not.
    let second = journal.intend(intent("1.0.2"), cancelled).unwrap_err();
    assert!(matches!(second, JournalError::Poisoned { .. }), "{second}");
    assert!(journal.reverted("1.0.0", &[]).is_err());
    journal.finish(&state).unwrap();
}

#[test]
fn rule_12_an_undo_that_reads_back_otherwise_is_not_armed() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join("state")).unwrap();
    let mut journal = journal(&state);
    // Writes go nowhere and read back as zeros.
    journal.break_file(std::fs::OpenOptions::new().read(true).write(true).open("/dev/zero").unwrap());
    let (_cancel, cancelled) = watch::channel(false);
    journal.intend(intent("1.0.0"), cancelled).unwrap_err();
}

/// The disk after a power cut, as a journal must expect it: what was synced is there, of the rest any prefix.
#[test]
fn rule_12_what_was_synced_survives_and_its_unsynced_twin_may_not() {
    let lines = lines(&records());
    let synced: Vec<u8> = lines[..3].concat();
    let unsynced: Vec<u8> = lines[3..].concat();
    let mut twin_lost = false;
    for kept in 0..=unsynced.len() {
        let contents = Contents::read(&[synced.as_slice(), &unsynced[..kept]].concat()).unwrap();
        assert!(slots(&contents).contains(&"1.0.0"), "synced, so it survives ({kept})");
        twin_lost |= !slots(&contents).contains(&"2.0.0");
    }
    assert!(twin_lost, "the test can tell the difference");
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let whole: Vec<u8> = lines(&records()).concat();
    let len = whole.len();
    let change = (0..len, any::<u8>(), 0..4u8, 0..64usize);
    proptest::collection::vec(change, 1..6).prop_map(move |changes| {
        let mut bytes = whole.clone();
        for (at, value, kind, much) in changes {
            let at = at.min(bytes.len().saturating_sub(1));
            match kind {
                0 if !bytes.is_empty() => bytes[at] ^= value,
                1 => bytes.insert(at, value),
                2 => drop(bytes.drain(at..(at + much).min(bytes.len()))),
                _ => {
                    let part: Vec<u8> = bytes[at..(at + much).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn whatever_the_bytes_reading_neither_panics_nor_invents_an_undo(bytes in mutated()) {
        if let Ok(contents) = Contents::read(&bytes) {
            for entry in &contents.entries {
                // A checksum stands between a flipped bit and an undo that we would follow.
                prop_assert_eq!(&entry.intent, &intent(&entry.intent.slot));
            }
        }
    }

    #[test]
    fn noise_is_no_journal(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(contents) = Contents::read(&bytes) {
            prop_assert!(contents.entries.is_empty());
        }
    }
}
