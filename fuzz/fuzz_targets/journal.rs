//! A journal that somebody else wrote: any bytes, and any records behind right checksums. Never a panic; what is read is legal;
//! what cannot be read is named; undos print as commands, or not at all.
#![no_main]

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use chaos_core::Table;
use chaos_core::fault::UndoJson;
use chaos_core::journal::Contents;
use libfuzzer_sys::fuzz_target;

static FAULTS: LazyLock<Table> = LazyLock::new(|| chaos_host::faults(&Arc::new(chaos_host::Host::new("chaos"))));

fuzz_target!(|bytes: &[u8]| {
    look(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        look(framed(text).as_bytes());
    }
});

/// Each line becomes a record whose checksum is right.
fn framed(text: &str) -> String {
    let mut journal = String::new();
    for (seq, json) in text.lines().enumerate() {
        let body = format!("{seq} {json}");
        let _ = writeln!(journal, "{} {:08x} {body}", json.len(), crc32fast::hash(body.as_bytes()));
    }
    journal
}

fn look(bytes: &[u8]) {
    let Ok(contents) = Contents::read(bytes) else { return };
    let nothing = bytes.iter().all(|b| *b == b'\n');
    assert!(nothing || contents.torn || !contents.damage.is_empty() || contents.next_seq > 0, "bytes went by unnoticed");
    assert!(contents.open_entries().count() <= contents.entries.len());
    // A journal is over only if nothing in it is open and nothing is damaged.
    assert!(!contents.is_over() || contents.open_entries().count() == 0);
    for entry in &contents.entries {
        if let Some(fault) = FAULTS.get(&entry.intent.fault) {
            let undo: UndoJson = entry.intent.undo.clone();
            fault.explain(&undo);
        }
    }
}
