//! Files that are no experiment, or a wrong one.

use std::os::unix::fs::PermissionsExt;

use crate::scaffold::{Stage, Text, root};

use super::{assert_no_run, refusals, right};

#[test]
fn files_that_are_no_experiment() {
    let stage = Stage::new();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    let said = refusals(
        &stage,
        &[
            ("malformed", "version: 1\nexperiment: [broken\n".into()),
            ("an alias bomb", bomb),
            ("10,000 deep", format!("version: {}{}", "[".repeat(10_000), "]".repeat(10_000))),
            ("10,000 maps deep", (0..10_000).map(|n| format!("{}a:\n", " ".repeat(n.min(1_000)))).collect()),
            ("empty", String::new()),
            ("only a comment", "# nothing\n".into()),
            ("a list", "- version: 1\n".into()),
            ("two documents", "version: 1\n---\nversion: 1\n".into()),
            ("a tag", "version: !!python/object:os.system 1\nexperiment: staged\n".into()),
        ],
    );
    insta::assert_snapshot!(said);
}

#[test]
fn files_that_are_no_text() {
    let stage = Stage::new();
    let cases: [(&str, std::path::PathBuf); 5] = [
        ("binary", stage.write("binary", [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0xff, 0xfe, 0x80])),
        ("with a NUL", stage.write("nul", "version: 1\n\0")),
        ("50 MB", {
            let path = stage.write("large", "version: 1\n");
            std::fs::File::options().write(true).open(&path).unwrap().set_len(50_000_000).unwrap();
            path
        }),
        ("a directory", stage.path("")),
        ("missing", stage.path("missing.yaml")),
    ];
    let mut said = String::new();
    for (name, path) in cases {
        let outcome = stage.chaos(&["run", path.to_str().unwrap()]);
        assert_no_run(&stage, &outcome);
        said.push_str(&format!("== {name}\n{}", outcome.err));
    }
    insta::assert_snapshot!(stage.plain(&said));
}

#[test]
fn a_file_without_permission() {
    if !root("a_file_without_permission") {
        return;
    }
    let stage = Stage::new();
    let file = stage.write("secret.yaml", "version: 1\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let outcome = stage.chaos_as_nobody(&["validate", file.to_str().unwrap()]).expect(2);
    insta::assert_snapshot!(stage.plain(&outcome.err));
}

#[test]
fn experiments_that_are_wrong() {
    let stage = Stage::new();
    let (server, victim, _) = right(&stage);
    let text = |change: fn(Text) -> Text| change(Text::new(&server, &victim)).yaml();
    let said = refusals(
        &stage,
        &[
            ("an unknown version", text(|t| t).replace("version: 1", "version: 7")),
            ("a negative duration", text(|t| t.method("[{inject: process.pause, into: victim, for: -3s}]"))),
            ("an absurd duration", text(|t| t.method("[{inject: process.pause, into: victim, for: 999999d}]"))),
            ("a duration that no number holds", text(|t| t.method("[{wait: 99999999999999999999999999999d}]"))),
            ("a duration without its unit", text(|t| t.method("[{wait: 20}]"))),
            ("more than all of them", text(|t| t.method("[{inject: process.pause, into: victim, pick: 150%, for: 1s}]"))),
            ("a share past 100%", text(|t| t.blast_radius("{duration: 2m, targets: {victim: {share: 101%}}}"))),
            ("held longer than the blast radius", text(|t| t.method("[{inject: process.pause, into: victim, for: 5m}]"))),
            (
                "a fault that takes other things",
                text(|t| t.method("[{inject: file.corrupt, into: victim, with: {truncate: 0 B}, for: 1s}]")),
            ),
            ("an unknown fault", text(|t| t.method("[{inject: process.puase, into: victim, for: 1s}]"))),
            ("a set that was never defined", text(|t| t.method("[{inject: process.pause, into: victims, for: 1s}]"))),
            ("no limit for a set", text(|t| t.blast_radius("{duration: 2m, targets: {}}"))),
            ("a reversible fault without an end", text(|t| t.method("[{inject: process.pause, into: victim}]"))),
            ("an irreversible one with an end", text(|t| t.method("[{inject: process.kill, into: victim, for: 1s}]"))),
            ("a stop condition on nothing", text(|t| t.top("stop_when: [{nobody: success < 50% over 2s}]"))),
        ],
    );
    victim.assert_well();
    insta::assert_snapshot!(said.replace(&server.port().to_string(), "[port]"));
}

#[test]
fn a_hypothesis_that_is_never_sampled() {
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    let outcome = stage.run(&text.yaml().replace("every: 10ms", "every: 1h")).expect(4);
    outcome.says("samples are too few to speak of 80%").says("not one sample speaks of it");
    stage.assert_nothing_was_done();
    victim.assert_well();
}

#[test]
fn a_parameter_that_nobody_declared() {
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    stage.write("experiment.yaml", text.yaml());
    let outcome = stage.chaos(&["run", &stage.experiment(), "--set", "chek=deep"]);
    assert_no_run(&stage, &outcome);
    victim.assert_well();
    insta::assert_snapshot!(stage.plain(&outcome.err));
}

#[test]
fn a_command_line_that_is_wrong() {
    let stage = Stage::new();
    let mut said = String::new();
    for args in [
        &["run"][..],
        &["run", "x.yaml", "--set", "check"],
        &["run", "x.yaml", "--seed", "-1"],
        &["rnu", "x.yaml"],
        &["faults", "process.puase"],
        &["probes", "htpt"],
        &["report", "nobody"],
        &["recover", "--within", "3"],
        &["recover", "--forget", "x/y"],
        &["recover", "--forget", "xy", "--because", "it is gone"],
        &["recover", "--forget", "no-run/1.1.1", "--because", "it is gone"],
        &["executor"],
    ] {
        let outcome = stage.chaos(args).expect(2);
        said.push_str(&format!("== chaos {}\n{}", args.join(" "), outcome.err));
    }
    insta::assert_snapshot!(stage.plain(&said));
}

#[test]
fn each_of_several_files_is_checked() {
    let stage = Stage::new();
    let (_server, _victim, text) = right(&stage);
    let good = stage.write("good.yaml", text.yaml());
    let bad = stage.write("bad.yaml", text.yaml().replace("version: 1", "version: 2"));
    let worse = stage.write("worse.yaml", "version: 1\nexperiment: worse\n");
    let [good, bad, worse] = [&good, &bad, &worse].map(|p| p.to_str().unwrap());
    let both = stage.chaos(&["validate", good, good]).expect(0);
    assert_eq!(both.out.lines().count(), 2, "{}", both.out);
    let mixed = stage.chaos(&["validate", good, bad, worse]).expect(2);
    assert_eq!(mixed.out.lines().count(), 1, "{}", mixed.out);
    assert!(mixed.err.contains("bad.yaml:1:10") && mixed.err.contains("worse.yaml"), "{}", mixed.err);
    let json = stage.chaos(&["validate", "--format", "json", bad, worse]).expect(2).json();
    let first = &json[0];
    assert_eq!((first["line"].as_u64(), first["severity"].as_str()), (Some(1), Some("error")), "{json:#}");
    assert!(stage.runs().is_empty());
}
