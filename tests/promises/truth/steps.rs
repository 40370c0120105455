//! Steps do what they say, when they say it.

use serde_json::Value;

use crate::scaffold::{HALF, Server, Stage, Text, Victim, answers};

fn on_a_well_system(stage: &Stage, change: impl FnOnce(Text) -> Text, exit: i32) -> (Victim, crate::scaffold::Outcome) {
    let (server, victim) = (Server::well(), Victim::new(stage));
    let outcome = stage.run(&change(Text::new(&server, &victim)).yaml()).expect(exit);
    stage.assert_clean();
    victim.assert_well();
    (victim, outcome)
}

/// When, in seconds on the record's clock, each event of this kind happened, and what it says.
fn events(stage: &Stage, kind: &str) -> Vec<(f64, Value)> {
    let events = stage.record().lines().map(|l| serde_json::from_str::<Value>(l).expect("an event")).collect::<Vec<_>>();
    let kind = |e: &Value| e["what"].get(kind).cloned();
    events.iter().filter_map(|e| Some((e["at"].as_f64().map_or(0.0, |ns| ns / 1e9), kind(e)?))).collect()
}

/// When each injection's effect was first seen.
fn effects(stage: &Stage) -> Vec<f64> {
    let mut seen = std::collections::BTreeSet::new();
    let present = events(stage, "injection").into_iter().filter(|(_, e)| e["state"].get("present").is_some());
    present.filter(|(_, e)| seen.insert(e["slot"].to_string())).map(|(at, _)| at).collect()
}

#[test]
fn a_command_that_fails_ends_the_run() {
    let stage = Stage::new();
    let (_, outcome) = on_a_well_system(
        &stage,
        |t| t.method("[{run: \"sh -c 'echo it is broken; exit 3'\"}, {inject: process.pause, into: victim, for: 300ms}]"),
        6,
    );
    outcome.says("exit 3, expected 0");
    stage.assert_nothing_was_done();
}

#[test]
fn a_command_that_does_not_end_is_ended() {
    let stage = Stage::new();
    let step = "[{inject: process.pause, into: victim, meanwhile: [{run: sleep 600, timeout: 300ms}]}]";
    let (_, outcome) = on_a_well_system(&stage, |t| t.method(step), 6);
    outcome.says("not done after 300ms");
    assert_eq!(effects(&stage).len(), 1);
}

#[test]
fn a_command_that_does_not_exist() {
    let stage = Stage::new();
    let (_, outcome) = on_a_well_system(&stage, |t| t.method("[{run: no-such-program --at-all}]"), 6);
    outcome.says("no-such-program");
}

#[test]
fn another_exit_may_be_what_is_wanted() {
    let stage = Stage::new();
    let steps = "[{run: \"sh -c 'exit 3'\", exit: 3}, {inject: process.pause, into: victim, for: 300ms}]";
    on_a_well_system(&stage, |t| t.method(steps), 0);
}

#[test]
fn what_is_waited_for_in_vain_leaves_the_rest_out() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let never = Server::new(|| crate::scaffold::Answer::Bad);
    let dream = format!("a dream: {{probe: http, with: {{get: '{}'}}, every: 20ms, timeout: 2s}}", never.url());
    let text = Text::new(&server, &victim)
        .steady_state(format!("{}\n  {dream}", answers(&server, HALF)))
        .method("[{inject: process.pause, into: victim, for: 300ms}, {wait_for: a dream, within: 300ms}, {inject: process.pause, into: victim, for: 300ms}]");
    stage.run(&text.yaml()).expect(3).says("INCONCLUSIVE").says("a dream");
    assert_eq!(effects(&stage).len(), 1, "the second injection is left out");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn what_is_waited_for_comes() {
    let stage = Stage::new();
    let victim = Victim::new(&stage);
    let server = victim.server();
    let text = Text::new(&server, &victim).method(
        "[{inject: process.pause, into: victim, for: 300ms}, {wait_for: answers, hold: 100ms, within: 60s}, {inject: process.pause, into: victim, for: 300ms}]",
    );
    stage.run(&text.yaml().replace("during: {success: '>= 50%'}, ", "")).expect(0);
    assert_eq!(effects(&stage).len(), 2);
}

#[test]
fn again_and_again() {
    let stage = Stage::new();
    on_a_well_system(&stage, |t| t.method("[{inject: process.pause, into: victim, for: 300ms, every: 3s, times: 3}]"), 0);
    let effects = effects(&stage);
    assert_eq!(effects.len(), 3);
    // From one asking to the next, never sooner; later only on a machine that is busy.
    assert!(effects.windows(2).all(|w| w[1] - w[0] > 2.0), "{effects:?}");
}

#[test]
fn side_by_side_and_one_after_a_while() {
    let stage = Stage::new();
    let (server, first) = (Server::well(), Victim::named(&stage, "first"));
    let second = Victim::named(&stage, "second");
    let set = |v: &Victim| format!("{{processes: {{pid_file: {}}}}}", v.pid_file().display());
    let text = Text::new(&server, &first)
        .targets(format!("{{first: {}, second: {}}}", set(&first), set(&second)))
        .blast_radius("{duration: 2m, at_most: 2, targets: {first: {at_most: 1}, second: {at_most: 1}}}")
        .method(
            "[{parallel: [{inject: process.pause, into: first, for: 5s}, {inject: process.pause, into: second, after: 1s, for: 300ms}]}]",
        );
    stage.run(&text.yaml()).expect(0);
    let effects = effects(&stage);
    assert_eq!(effects.len(), 2);
    assert!(effects[1] - effects[0] > 0.5, "{effects:?}");
    first.assert_well();
    second.assert_well();
    stage.assert_clean();
}

#[test]
fn rule_32_a_draw_in_which_nothing_happens_is_refused() {
    let stage = Stage::new();
    let (_, outcome) = on_a_well_system(&stage, |t| t.method("[{inject: process.pause, into: victim, for: 300ms, probability: 0%}]"), 2);
    outcome.says("nothing would be injected").says("raise `probability`");
    stage.assert_nothing_was_done();
}

#[test]
fn a_step_that_is_not_drawn_passes_its_time() {
    let stage = Stage::new();
    let steps = "[{inject: process.pause, into: victim, for: 1s, probability: 0%}, {inject: process.pause, into: victim, for: 300ms}]";
    let (_, outcome) = on_a_well_system(&stage, |t| t.method(steps), 0);
    outcome.says("was not drawn");
    let (method, effects) = (events(&stage, "phase"), effects(&stage));
    let began = method.iter().find(|(_, phase)| phase == "method").map_or(0.0, |(at, _)| *at);
    assert_eq!(effects.len(), 1);
    assert!(effects[0] - began >= 1.0, "{began} {effects:?}");
}

#[test]
fn a_ramp_climbs_to_its_value() {
    let stage = Stage::new();
    let steps =
        "[{inject: cpu.burn, into: victim, with: {cores: 1, load: 20%}, ramp: {field: load, from: 5%, over: 600ms, steps: 3}, for: 300ms}]";
    let radius = "{duration: 2m, reach: [host], targets: {victim: {at_most: 1}}}";
    on_a_well_system(&stage, |t| t.method(steps).blast_radius(radius), 0);
    let adjusted: Vec<String> = events(&stage, "injection")
        .into_iter()
        .filter_map(|(_, e)| e["state"].get("adjusted").map(|a| a["to"]["load"].to_string()))
        .collect();
    assert_eq!(adjusted.last().map(String::as_str), Some("\"20%\""), "{adjusted:?}");
    assert!(adjusted.len() >= 3, "{adjusted:?}");
}

#[test]
fn latent_damage_waits_for_who_looks() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let weights = stage.write("weights.bin", vec![7; 4096]);
    let file = weights.display();
    let look = format!("{{run: \"sh -c 'test $(wc -c <{file}) = 16'\"}}").replace("$(", "$$(");
    let text = Text::new(&server, &victim)
        .targets(format!("{{weights: {{files: {{path: {file}}}}}}}"))
        .blast_radius("{duration: 2m, targets: {weights: {at_most: 1}}}")
        .method(format!(
            "[{{inject: file.corrupt, into: weights, with: {{truncate: 16 B}}, meanwhile: [{{wait: 300ms}}, {look}, {{wait: 300ms}}]}}]"
        ));
    stage.run(&text.yaml()).expect(0).says("activated at").says("by method[0].meanwhile[1]");
    assert_eq!(events(&stage, "activated").len(), 1);
    assert_eq!(std::fs::read(&weights).unwrap(), vec![7; 4096], "as it was");
    stage.assert_clean();
}

#[test]
fn the_same_seed_gives_the_same_plan() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let others: Vec<Victim> = (0..3)
        .map(|n| Victim::of(&stage, &format!("v{n}"), std::process::Command::new("sleep").arg(format!("60{}", victim.pid()))))
        .collect();
    let text = Text::new(&server, &victim)
        .targets(format!("{{victim: {{processes: {{command: 'sleep 60{}'}}, expect: 3}}}}", victim.pid()))
        .method("[{inject: process.pause, into: victim, pick: 1, for: 300ms, every: 1s, times: 6}]")
        .blast_radius("{duration: 2m, targets: {victim: {at_most: 1, in_total: 3}}}");
    stage.write("experiment.yaml", text.yaml());
    let plan = |seed: &str| stage.chaos(&["plan", &stage.experiment(), "--seed", seed, "--format", "json"]).expect(0).json();
    let targets = |plan: &Value| {
        plan["injections"].as_array().expect("a list").iter().map(|i| i["target"]["identity"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(plan("7"), plan("7"));
    assert_eq!(targets(&plan("7")).len(), 6);
    assert!((1..20).any(|seed| targets(&plan(&seed.to_string())) != targets(&plan("7"))), "the seed decides nothing");
    drop(others);
}
