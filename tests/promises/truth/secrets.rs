//! A secret stands nowhere but where it is used (RULES 36).

use crate::scaffold::{Program, Server, Stage, Text, Victim, answers, files};

const SECRET: &str = "hunter2-correct-horse-battery";

#[test]
fn rule_36_a_secret_is_nowhere_to_be_found() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let steady = answers(&server, crate::scaffold::HALF)
        .replace(&format!("get: '{}'", server.url()), &format!("get: '{}', headers: {{authorization: Bearer $(key)}}", server.url()));
    let length = SECRET.len();
    let text = Text::new(&server, &victim)
        .top("parameters: {key: {env: CHAOS_TEST_KEY, secret: true}}")
        .top("system: {service: {run: \"sh -c 'test ${#KEY} = 29 && exec sleep 600'\", env: {KEY: $(key)}}}")
        .steady_state(format!("{steady}\n  a command: {{probe: command, with: {{run: 'true'}}, every: 200ms}}"))
        .method(format!(
            "[{{inject: process.pause, into: victim, meanwhile: [{{run: \"sh -c 'test ${{#KEY}} = {length}'\", env: {{KEY: $(key)}}}}, {{wait: 1s}}]}}]"
        ));
    stage.write("experiment.yaml", text.yaml());
    let outputs = ["html", "junit", "markdown", "json"].map(|name| (format!("--{name}"), stage.path(&format!("report.{name}"))));
    let mut args = vec!["-vv".to_owned(), "run".to_owned(), stage.experiment()];
    args.extend(outputs.iter().flat_map(|(flag, path)| [flag.clone(), path.display().to_string()]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut run = Program::start(&stage, &args, &[("CHAOS_TEST_KEY", SECRET)]);
    run.until("the fault acts", || victim.is_stopped());
    for (pid, words) in command_lines() {
        assert!(!words.contains(SECRET), "the command line of {pid}: {words}");
    }
    let outcome = run.wait().expect(0);
    let planned = Program::start(&stage, &["plan", &stage.experiment()], &[("CHAOS_TEST_KEY", SECRET)]).wait().expect(0);
    let again = stage.chaos(&["report", "last", "--json", "-"]).expect(0);
    for (what, text) in [("stdout", &outcome.out), ("stderr", &outcome.err), ("plan", &planned.out), ("report", &again.out)] {
        assert!(!text.contains(SECRET), "{what}: {text}");
    }
    let written = files(&stage.path(""));
    assert!(outputs.iter().all(|(_, path)| written.contains(path)), "{written:?}");
    for file in written {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes()), "{} holds the secret", file.display());
    }
}

/// Of every process of this host.
fn command_lines() -> Vec<(String, String)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|e| e.path());
    processes
        .filter_map(|p| {
            let words = std::fs::read(p.join("cmdline")).ok()?;
            Some((p.display().to_string(), String::from_utf8_lossy(&words).into_owned()))
        })
        .collect()
}

#[test]
fn rule_36_a_secret_that_is_missing_is_named_not_shown() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let text = Text::new(&server, &victim).top("parameters: {key: {env: CHAOS_TEST_KEY, secret: true}}");
    let shown = text.yaml().replace("for: 300ms}]", "for: $(key)}]");
    stage.write("experiment.yaml", &shown);
    let refused = Program::start(&stage, &["run", &stage.experiment()], &[("CHAOS_TEST_KEY", SECRET)]).wait().expect(2);
    assert!(!refused.err.contains(SECRET), "{}", refused.err);
    let used = text.yaml().replace("get: '", "headers: {authorization: $(key)}, get: '");
    stage.write("experiment.yaml", &used);
    stage.chaos(&["run", &stage.experiment()]).expect(2).says("CHAOS_TEST_KEY");
    stage.assert_nothing_was_done();
}
