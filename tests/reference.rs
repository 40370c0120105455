//! `docs/reference/` is written by the tables of faults, probes and targets, never by hand: what is documented is what there is.
//!
//! `CHAOS_UPDATE=1 cargo test --test reference` writes it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chaos_core::World;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference")
}

fn pages() -> BTreeMap<String, String> {
    let host = Arc::new(chaos_host::Host::new("chaos"));
    let docker = Arc::new(chaos_docker::Docker::new());
    let faults =
        chaos_host::faults(&host).join(chaos_proxy::faults(&Arc::new(chaos_proxy::Proxies::new()))).join(chaos_docker::faults(&docker));
    let kinds = chaos_host::target_kinds(host.view()).join(chaos_proxy::target_kinds()).join(chaos_docker::target_kinds(&docker));
    let probes = chaos_probe::probes().join(chaos_docker::probes(&docker));
    chaos::reference::pages(&faults, &probes, &kinds)
}

/// What lies in the folder, by name.
fn written() -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(folder()) else { return BTreeMap::new() };
    let text = |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    entries.map(|e| e.expect("an entry")).map(|e| (e.file_name().to_string_lossy().into_owned(), text(e.path()))).collect()
}

fn write(pages: &BTreeMap<String, String>) {
    std::fs::create_dir_all(folder()).expect("a folder");
    for (name, page) in pages {
        std::fs::write(folder().join(name), page).expect("a page");
    }
    for stale in written().keys().filter(|name| !pages.contains_key(*name)) {
        std::fs::remove_file(folder().join(stale)).expect("a stale page gone");
    }
}

#[test]
fn the_reference_says_what_the_tables_say() {
    let pages = pages();
    if std::env::var_os("CHAOS_UPDATE").is_some() {
        write(&pages);
    }
    let written = written();
    let names: std::collections::BTreeSet<_> = pages.keys().chain(written.keys()).collect();
    let stale: Vec<_> = names.into_iter().filter(|name| pages.get(*name) != written.get(*name)).collect();
    assert!(
        stale.is_empty(),
        "docs/reference is not what the tables say: {stale:?}; write it again with\n  CHAOS_UPDATE=1 cargo test --test reference"
    );
}

#[test]
fn every_page_is_in_the_index_and_says_something_of_every_field() {
    let pages = pages();
    let index = &pages["README.md"];
    for (name, page) in pages.iter().filter(|(name, _)| *name != "README.md") {
        assert!(index.contains(&format!("({name})")), "{name} is not in the index");
        for row in page.lines().filter(|l| l.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(cells.iter().all(|c| !c.is_empty()), "{name} leaves something unsaid: {row}");
        }
    }
}
