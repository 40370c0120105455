//! Any bytes as an experiment file: refused with errors at their places, or read; never a panic, never slow.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use chaos::experiment::{LoadOptions, Vocabulary, load, render};
use chaos_core::probe::ProbeTable;
use chaos_core::target::TargetKindTable;
use chaos_core::{Table, World};
use libfuzzer_sys::fuzz_target;

struct Words {
    faults: Table,
    probes: ProbeTable,
    kinds: TargetKindTable,
    file: PathBuf,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let host = Arc::new(chaos_host::Host::new("chaos"));
    let folder = std::env::temp_dir().join(format!("chaos-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    Words {
        faults: chaos_host::faults(&host),
        probes: chaos_probe::probes(),
        kinds: chaos_host::target_kinds(host.view()),
        file: folder.join("experiment.yaml"),
    }
});

fuzz_target!(|bytes: &[u8]| {
    let words = &*WORDS;
    std::fs::write(&words.file, bytes).expect("a file");
    let options = LoadOptions {
        vocabulary: Vocabulary { faults: &words.faults, probes: &words.probes, kinds: &words.kinds },
        sets: &BTreeMap::new(),
        env: &|_| None,
        run_id: "fuzz",
    };
    match load(&words.file, &options) {
        Ok(loaded) => {
            let _ = render(&loaded.warnings, false);
            let _ = loaded.error_at("method[0].for", "code", "an error found later", None);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let _ = render(&problems, false);
        }
    }
});
