//! What large things cost: a long file, and a million samples.

use std::fmt::Write;

use crate::measure::{Took, beside, line_mib, line_ms, median, run, run_undisturbed, runs};
use crate::scene::{Folder, Server, Victims, chaos};

pub fn validate() {
    let folder = Folder::new();
    let text = thousand_lines();
    let file = folder.experiment(&text);
    let mut command = chaos(&folder.state());
    command.arg("validate").arg(&file);
    let took: Vec<Took> = (0..runs(50)).map(|_| run_undisturbed(&mut command)).collect();
    assert!(took.iter().all(|t| t.exit == Some(0)), "the long file is not valid");
    let wall = median(took.iter().map(|t| t.wall).collect());
    line_ms(&format!("chaos validate of {} lines, median", text.lines().count()), wall, 20.0);
    beside("its peak memory", &format!("{:.1} MiB", took.iter().map(|t| t.peak).max().unwrap_or_default() as f64 / 1024.0));
}

/// Fifty hypotheses with expressions, fifty target sets, and steps enough to make a thousand lines.
fn thousand_lines() -> String {
    let mut text = "version: 1\nexperiment: long\nsteady_state:\n".to_owned();
    for n in 0..50 {
        let _ = write!(
            text,
            "  hypothesis {n}:\n    probe: http\n    with:\n      post: http://127.0.0.1:{}/infer\n      json: {{inputs: [1, 2, {n}]}}\n    \
             good: status == 200 && size(body.outputs) > 0 && latency < 300ms\n    every: 20ms\n    timeout: 500ms\n    baseline:\n      success: \">= 99%\"\n      \
             p99: <= 80ms\n    during:\n      success: \">= 90%\"\n",
            8000 + n
        );
    }
    text += "targets:\n";
    for n in 0..20 {
        let _ = writeln!(text, "  set {n}:\n    processes:\n      listening_on: {}", 9000 + n);
    }
    text += "blast_radius:\n  duration: 30m\n  at_most: 1\n  targets:\n";
    for n in 0..20 {
        let _ = writeln!(text, "    set {n}: {{at_most: 1}}");
    }
    text += "method:\n";
    while text.lines().count() < 1_000 {
        let set = text.lines().count() % 20;
        let _ = write!(text, "  - inject: process.pause\n    into: set {set}\n    pick: 1\n    for: 10s\n  - wait: 1s\n");
    }
    text
}

/// 24 bytes a sample in memory, and everything that goes along with them.
pub fn million_samples() {
    let (victims, server) = (Victims::start(1), Server::start());
    let asked = |seconds: u64| {
        let folder = Folder::new();
        let file = folder.experiment(&many_samples(&server, &victims, seconds));
        let mut command = chaos(&folder.state());
        let took = run(command.arg("run").arg(&file).arg("--quiet"), |_| {});
        (took, samples(&folder))
    };
    let seconds = std::env::var("SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(100);
    let (few, n_few) = asked(2);
    let (many, n_many) = asked(seconds);
    line_mib(&format!("memory of a coordinator with {n_many} samples"), many.peak, 64.0);
    let slope = (many.peak.saturating_sub(few.peak) * 1024) as f64 / (n_many - n_few).max(1) as f64;
    beside(&format!("with {n_few} samples"), &format!("{:.1} MiB", few.peak as f64 / 1024.0));
    beside("for each sample more", &format!("{slope:.0} bytes"));
    beside("exit", &format!("{:?}, {:.0} s", many.exit, many.wall.as_secs_f64()));
}

/// Ten questions of 1,000 a second each.
fn many_samples(server: &Server, victims: &Victims, seconds: u64) -> String {
    let mut text = "version: 1\nexperiment: million\nsteady_state:\n".to_owned();
    for n in 0..10 {
        let _ = write!(
            text,
            "  answers {n}:\n    probe: http\n    with: {{get: \"http://{}/\"}}\n    every: 1ms\n    timeout: 50ms\n    \
             baseline: {{success: \">= 1%\", for: 1s}}\n    recovery: {{within: 1s, hold: 0s}}\n",
            server.address
        );
    }
    let _ = write!(
        text,
        "targets:\n  sleepers: {{processes: {{command: {}}}, expect: {}}}\nblast_radius: {{duration: 10m, targets: {{sleepers: {{at_most: 1}}}}}}\n\
         method:\n  - wait: {seconds}s\n  - {{inject: process.pause, into: sleepers, for: 100ms}}\n",
        Victims::pattern(),
        victims.count()
    );
    text
}

/// How many samples the record of the only run in there holds.
fn samples(folder: &Folder) -> u64 {
    let runs = std::fs::read_dir(folder.state().join("runs")).expect("runs").flatten();
    let record = runs.map(|r| r.path().join("record.jsonl")).find(|p| p.is_file()).expect("a record");
    let mut all = 0;
    for line in std::io::BufRead::lines(std::io::BufReader::new(std::fs::File::open(record).expect("the record"))) {
        let event: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("an event");
        all += event["what"]["samples"]["rows"].as_array().map_or(0, |rows| rows.len() as u64);
    }
    all
}
