//! The house stays as it was drawn: who may use whom, read off the `use` lines and paths. Names file and rule.

use std::fs;
use std::path::{Path, PathBuf};

/// Who, what it must not mention, and why.
const NEVER: &[(&str, &[&str], &str)] = &[
    (
        "agents/core/src",
        &["chaos_docker", "chaos_host", "chaos_probe", "chaos_proxy", "chaos_demo", "hyper::", "clap::", "serde_saphyr"],
        "core knows no platform",
    ),
    (
        "agents/host/src",
        &["chaos_docker", "chaos_probe", "chaos_proxy", "chaos_demo", "hyper::", "clap::", "serde_saphyr"],
        "worlds do not know one another",
    ),
    (
        "agents/docker/src",
        &["chaos_host", "chaos_probe", "chaos_proxy", "chaos_demo", "hyper::", "clap::", "serde_saphyr"],
        "worlds do not know one another",
    ),
    ("agents/probe/src", &["chaos_host", "chaos_proxy", "chaos_demo", "clap::", "serde_saphyr"], "probes know no platform"),
    ("agents/proxy/src", &["chaos_host", "chaos_probe", "chaos_demo", "clap::", "serde_saphyr"], "worlds do not know one another"),
    (
        "agents/protocol/src",
        &[
            "chaos_core",
            "chaos_host",
            "chaos_probe",
            "chaos_proxy",
            "chaos_demo",
            "std::net::Tcp",
            "std::net::Udp",
            "std::fs",
            "std::io",
            "tokio::",
        ],
        "wire formats know nothing of ours and touch no socket",
    ),
    (
        "examples/demo/src",
        &["chaos_core", "chaos_host", "chaos_probe", "chaos_protocol", "chaos_proxy"],
        "the demo is a system under test, not a part of chaos",
    ),
    ("src/run", &["crate::report", "crate::cli", "chaos_host", "clap::"], "run knows no report: who listens is handed in"),
    (
        "src/judge",
        &["std::fs", "std::net", "tokio::", "crate::run", "crate::plan", "crate::report", "crate::cli", "chaos_host", "chaos_probe"],
        "judging is pure and sees the record alone",
    ),
    (
        "src/report",
        &["std::net", "crate::run", "crate::plan", "crate::cli", "crate::experiment", "chaos_host", "chaos_probe"],
        "a report is a fold over the record",
    ),
    (
        "src/plan",
        &["std::fs", "std::net", "crate::run", "crate::report", "crate::cli", "chaos_host", "chaos_probe"],
        "planning has no I/O of its own",
    ),
    (
        "src/experiment",
        &["crate::run", "crate::report", "crate::judge", "crate::cli", "chaos_host", "chaos_probe"],
        "reading a file touches nothing else",
    ),
];

/// One dependency has one home.
const HOMES: &[(&str, &[&str])] = &[
    ("clap::", &["src/cli", "examples/demo/src"]),
    ("serde_saphyr", &["src/experiment"]),
    ("hyper::", &["agents/probe/src", "agents/proxy/src/toxiproxy", "examples/demo/src"]),
    ("procfs::", &["agents/host/src", "agents/probe/src"]),
    ("h2::", &["agents/proxy/src"]),
    ("bollard::", &["agents/docker/src"]),
    ("maud::", &["src/report"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(under: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut folders = vec![under.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
                out.push(path);
            }
        }
    }
    out
}

/// Tests may reach across; the house is about what is built.
fn is_test(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests") || path.file_stem().is_some_and(|s| s == "tests")
}

/// The sources of one module: its folder, and the file of the same name beside it.
fn module(place: &str) -> Vec<PathBuf> {
    let folder = root().join(place);
    let mut files = if folder.is_dir() { sources(&folder) } else { Vec::new() };
    files.extend(Some(folder.with_extension("rs")).filter(|f| f.is_file()));
    assert!(!files.is_empty(), "{place} does not exist: is the rule about it still needed?");
    files
}

/// The lines of a file that are code.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")).map(|(n, l)| (n + 1, l.to_owned())).collect()
}

fn mentions(files: &[PathBuf], word: &str) -> Vec<String> {
    let in_file = |path: &PathBuf| {
        let hits = code(path).into_iter().filter(|(_, line)| line.contains(word));
        hits.map(|(n, line)| format!("{}:{n}: {}", path.display(), line.trim())).collect::<Vec<_>>()
    };
    files.iter().flat_map(in_file).collect()
}

#[test]
fn nobody_uses_what_is_not_theirs() {
    let mut broken = Vec::new();
    for (place, words, why) in NEVER {
        for word in *words {
            broken.extend(mentions(&module(place), word).into_iter().map(|hit| format!("{hit}\n    {place} must not use {word}: {why}")));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn one_dependency_has_one_home() {
    let everything: Vec<PathBuf> =
        ["src", "agents/core/src", "agents/host/src", "agents/probe/src", "agents/protocol/src", "agents/proxy/src", "examples/demo/src"]
            .iter()
            .flat_map(|p| sources(&root().join(p)))
            .collect();
    let mut broken = Vec::new();
    for (word, homes) in HOMES {
        let away: Vec<PathBuf> = everything.iter().filter(|f| !homes.iter().any(|h| f.starts_with(root().join(h)))).cloned().collect();
        broken.extend(mentions(&away, word).into_iter().map(|hit| format!("{hit}\n    {word} belongs to {}", homes.join(" and "))));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// The modules directly under a place that define a kind: `process_pause` of `agents/host/src/faults`.
fn kinds(place: &str) -> Vec<String> {
    let defines = |f: &PathBuf| fs::read_to_string(f).is_ok_and(|text| text.contains("const KIND: &'static str"));
    let of = |f: &PathBuf| {
        Some(f.strip_prefix(root().join(place)).ok()?.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned())
    };
    let found: Vec<String> = sources(&root().join(place)).iter().filter(|f| defines(f)).filter_map(of).collect();
    assert!(!found.is_empty(), "{place} holds no kind: is the rule about it still needed?");
    found
}

#[test]
fn faults_probes_and_kinds_of_target_do_not_know_one_another() {
    for place in ["agents/host/src/faults", "agents/host/src/target", "agents/probe/src"] {
        let kinds = kinds(place);
        for kind in &kinds {
            let own: Vec<PathBuf> =
                sources(&root().join(place)).into_iter().filter(|f| f.to_string_lossy().contains(&format!("/{kind}"))).collect();
            for other in kinds.iter().filter(|k| *k != kind) {
                let within = place.rsplit_once("/src").map_or("", |(_, module)| module).replace('/', "::");
                let hits = mentions(&own, &format!("crate{within}::{other}::"));
                assert!(hits.is_empty(), "`{kind}` uses `{other}`:\n{}", hits.join("\n"));
            }
        }
    }
}

#[test]
fn only_the_executor_injects_and_reverts() {
    let callers: Vec<PathBuf> = ["src/run", "src/plan", "src/cli", "agents/host/src", "agents/probe/src", "agents/proxy/src"]
        .iter()
        .flat_map(|p| sources(&root().join(p)))
        .collect();
    for word in [".inject(", ".revert("] {
        let hits: Vec<String> = mentions(&callers, word).into_iter().filter(|h| !h.contains("/tests")).collect();
        assert!(hits.is_empty(), "only agents/core's executor calls {word}:\n{}", hits.join("\n"));
    }
}

#[test]
fn names_say_something() {
    let vague = ["util", "utils", "helpers", "common", "misc", "manager", "managers"];
    for place in ["src", "agents", "examples"] {
        for file in sources(&root().join(place)) {
            let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            let folder = file.parent().and_then(Path::file_name).and_then(|s| s.to_str()).unwrap_or_default();
            assert!(!vague.contains(&stem) && !vague.contains(&folder), "{}: this name says nothing", file.display());
        }
    }
}

/// What is built for a host alone stays slim: the agent of other machines will be this very program.
#[test]
fn the_program_stays_slim() {
    const CRATES_MAX: usize = 150;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = std::process::Command::new(cargo)
        .args([
            "tree",
            "--package",
            "chaos",
            "--no-default-features",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--no-dedupe",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo tree runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let crates: std::collections::BTreeSet<String> =
        String::from_utf8_lossy(&tree.stdout).lines().filter_map(|l| l.split(" (").next().map(|l| l.trim().to_owned())).collect();
    assert!(crates.len() <= CRATES_MAX, "{} crates, and {CRATES_MAX} may be: what came in, and is it worth it?", crates.len());
}
