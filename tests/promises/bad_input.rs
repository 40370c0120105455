//! Bad input gets a clear error and changes nothing.

use std::fmt::Write as _;

use crate::scaffold::{Outcome, Server, Stage, Text, Victim};

mod files;
mod journals;
mod network;
mod state;
mod world;

/// Runs each experiment; every one is refused with exit 2, and nothing is done. What was said, for a snapshot.
#[track_caller]
fn refusals(stage: &Stage, cases: &[(&str, String)]) -> String {
    let running: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(n, (name, text))| {
            let file = stage.write(&format!("case-{n}.yaml"), text);
            (name, n, stage.start(&["run", file.to_str().expect("a path"), "--quiet"]))
        })
        .collect();
    let mut said = String::new();
    for (name, n, program) in running {
        let outcome = program.wait().expect(2);
        assert_eq!(outcome.out, "", "{name}: a refusal is no data");
        let _ = writeln!(said, "== {name}\n{}", outcome.err.replace(&format!("case-{n}.yaml"), "case.yaml"));
    }
    stage.assert_nothing_was_done();
    stage.plain(&said)
}

/// Refused before anything was even looked at: there is no run.
#[track_caller]
fn assert_no_run(stage: &Stage, outcome: &Outcome) {
    assert_eq!(outcome.exit, 2, "{}", outcome.err);
    assert!(stage.runs().is_empty(), "a run was begun: {:?}", stage.runs());
    stage.assert_nothing_was_done();
}

/// An experiment that is right, and what it acts on.
fn right(stage: &Stage) -> (Server, Victim, Text) {
    let (server, victim) = (Server::well(), Victim::new(stage));
    let text = Text::new(&server, &victim);
    (server, victim, text)
}
