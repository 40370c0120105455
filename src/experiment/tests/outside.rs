//! What comes from outside the file: parameters, secrets, parts; and what points back into it later.

use std::collections::BTreeMap;
use std::path::Path;

use chaos_core::experiment::Action;
use chaos_core::literal::Duration;

use super::super::{Diagnostic, LoadOptions, Loaded, Vocabulary, load, render, schema};
use super::vocabulary;

const MAIN: &str = r#"version: 1
experiment: outside
title: $(run) in $(dir) costs $$(5) for $(who)
parameters:
  who: {default: nobody, env: WHO, file: who.txt}
  port: {default: 8080}
  pause: {default: 5s, one_of: [5s, 10s]}
  token: {env: TOKEN, secret: true}
system:
  api: {run: "api --port $(port)", env: {TOKEN: $(token), RAW: $$(token)}}
steady_state:
  users:
    probe: http
    with: {get: "http://127.0.0.1:$(port)/?t=$(token)", headers: {authorization: Bearer $(token)}, json: {port: $(port), quoted: "$(port)"}}
    every: 20ms
targets: {api: {processes: {system: api}}}
blast_radius: {duration: 1m, targets: {api: {at_most: 1}}}
method:
  - {inject: process.pause, into: api, for: $(pause)}
  - {run: "true", env: {TOKEN: $(token)}}
"#;

struct World {
    folder: tempfile::TempDir,
    env: BTreeMap<&'static str, &'static str>,
    sets: BTreeMap<String, String>,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        Self { folder, env: BTreeMap::from([("TOKEN", "hunter2")]), sets: BTreeMap::new() }
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.sets.insert(name.to_owned(), value.to_owned());
        self
    }

    fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.insert(name, value);
        self
    }

    fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        let (faults, probes, kinds) = vocabulary::real();
        let env = |name: &str| self.env.get(name).map(|value| (*value).to_owned());
        let vocabulary = Vocabulary { faults: &faults, probes: &probes, kinds: &kinds };
        load(&self.path("main.yaml"), &LoadOptions { vocabulary, sets: &self.sets, env: &env, run_id: "run-7" })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{}", render(&problems, false)))
    }

    /// The errors, without the folder.
    fn refused(&self) -> String {
        let problems = self.load().expect_err("a wrong file");
        render(&problems, false).replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn a_parameter_is_set_by_the_first_that_says_so() {
    let main = ("main.yaml", MAIN);
    assert_eq!(World::new(&[main]).loaded().experiment.parameters["who"], "nobody");
    assert_eq!(World::new(&[main, ("who.txt", "Ann\n")]).loaded().experiment.parameters["who"], "Ann");
    assert_eq!(World::new(&[main, ("who.txt", "Ann\n")]).env("WHO", "Eve").loaded().experiment.parameters["who"], "Eve");
    assert_eq!(World::new(&[main]).env("WHO", "Eve").set("who", "Joe").loaded().experiment.parameters["who"], "Joe");
}

#[test]
fn values_are_read_as_the_type_of_their_key() {
    let world = World::new(&[("main.yaml", MAIN)]).set("pause", "10s");
    let experiment = world.loaded().experiment;
    let folder = world.folder.path().display();
    assert_eq!(experiment.title, format!("run-7 in {folder} costs $(5) for nobody"));
    assert_eq!(experiment.hypotheses[0].question.with["json"], serde_json::json!({"port": 8080, "quoted": "8080"}));
    assert_eq!(experiment.system[0].run, ["api", "--port", "8080"]);
    let Action::Inject(inject) = &experiment.method[0].action else { panic!("an inject step") };
    assert!(matches!(inject.hold, chaos_core::experiment::Hold::For(hold) if hold == Duration::from_secs(10)));
}

#[test]
fn rule_36_a_secret_stands_nowhere_but_where_it_is_filled_in() {
    let loaded = World::new(&[("main.yaml", MAIN)]).loaded();
    let written = format!("{}{:?}", serde_json::to_string(&loaded.experiment).expect("JSON"), loaded);
    assert!(!written.contains("hunter2"));
    assert_eq!(loaded.experiment.parameters["token"], "(secret)");
    let with = loaded.secrets.fill_value(&loaded.experiment.hypotheses[0].question.with);
    assert_eq!(with["headers"]["authorization"], "Bearer hunter2");
    assert_eq!(with["get"], "http://127.0.0.1:8080/?t=hunter2");
    let env = &loaded.experiment.system[0].env;
    assert_eq!((loaded.secrets.fill(&env["TOKEN"]), loaded.secrets.fill(&env["RAW"])), ("hunter2".into(), "$(token)".into()));
}

#[test]
fn rule_36_a_secret_is_refused_everywhere_else() {
    for (from, to) in [
        ("api --port $(port)", "api --token $(token)"),
        ("title: $(run)", "title: $(token)"),
        ("for: $(pause)", "for: 5s, with: {tree: $(token)}"),
        ("token: {env: TOKEN, secret: true}", "token: {default: x, secret: true}"),
    ] {
        assert!(MAIN.contains(from), "{from}");
        let told = World::new(&[("main.yaml", &MAIN.replacen(from, to, 1))]).refused();
        assert!(told.contains("secret") && !told.contains("hunter2"), "{told}");
    }
    let told = World::new(&[("main.yaml", MAIN)]).set("token", "hunter3").refused();
    assert!(told.contains("is not given by `--set`") && !told.contains("hunter3"), "{told}");
    let mut world = World::new(&[("main.yaml", MAIN)]);
    world.env.clear();
    assert!(world.refused().contains("hint: set the environment variable TOKEN"));
}

#[test]
fn a_value_from_outside_cannot_name_a_secret() {
    let main = MAIN.replacen("Bearer $(token)", "Bearer $(who)", 1);
    let loaded = World::new(&[("main.yaml", &main)]).set("who", "$(token)").loaded();
    let with = loaded.secrets.fill_value(&loaded.experiment.hypotheses[0].question.with);
    assert_eq!(with["headers"]["authorization"], "Bearer $(token)");
}

const USING: &str = r#"version: 1
experiment: using
use:
  - {part: part.yaml, with: {port: 9090}}
targets: {api: {processes: {system: api}}}
blast_radius: {duration: 1m, targets: {api: {at_most: 1}}}
method: [{inject: process.kill, into: api}]
"#;

const PART: &str = r#"version: 1
part: shared
parameters: {port: {default: 8080}}
system: {api: {run: "api --port $(port)"}}
steady_state: {users: {probe: tcp, with: {connect: 127.0.0.1:$(port)}}}
"#;

#[test]
fn a_part_brings_definitions() {
    let experiment = World::new(&[("main.yaml", USING), ("part.yaml", PART)]).loaded().experiment;
    assert_eq!(experiment.system[0].run, ["api", "--port", "9090"]);
    assert_eq!(experiment.hypotheses[0].question.with["connect"], "127.0.0.1:9090");
}

#[test]
fn mistakes_between_files() {
    let mut all = String::new();
    let mut told = |main: &str, part: &str| all.push_str(&World::new(&[("main.yaml", main), ("part.yaml", part)]).refused());
    told(&USING.replacen("targets: {api:", "system: {API: {run: other}}\ntargets: {api:", 1), PART);
    told(&USING.replace("with: {port", "with: {prot"), PART);
    told(USING, &PART.replace("steady_state", "method: []\nsteady_state"));
    told(USING, &PART.replace("probe: tcp", "probe: tpc"));
    told(USING, USING);
    told(USING, "version: 1\npart: [\n");
    told(USING, "version: 3\npart: x\n");
    insta::assert_snapshot!(all);
}

#[test]
fn references_do_not_run_in_a_circle() {
    let files = "targets: {api: {files: {path: /a, of: b}}, b: {files: {path: /b, of: api}}}";
    let main = USING.replace("targets: {api: {processes: {system: api}}}", files);
    let told = World::new(&[("main.yaml", &main), ("part.yaml", PART)]).refused();
    assert!(told.contains("`api` refers to itself: api → b → api"), "{told}");
}

#[test]
fn what_is_found_later_is_shown_at_its_place() {
    let main = USING.replace("into: api", "into: api, pick: 1");
    let world = World::new(&[("main.yaml", &main), ("part.yaml", PART)]);
    let loaded = world.loaded();
    let mut all = String::new();
    for path in
        ["method[0].pick", "method[0].with.signal", "blast_radius.targets.api.at_most", "steady_state.users.with.connect", "nowhere"]
    {
        all.push_str(&loaded.error_at(path, "plan", format!("something about {path}"), None).render(false));
    }
    insta::assert_snapshot!(all.replace(&format!("{}/", world.folder.path().display()), ""));
}

#[test]
fn a_set_that_no_parameter_has_is_refused() {
    let told = World::new(&[("main.yaml", MAIN)]).set("prot", "1").refused();
    assert!(told.contains("--set prot: no parameter has this name") && told.contains("did you mean `port`?"), "{told}");
}

#[test]
fn a_parameter_without_value_is_told_once_and_spoils_nothing_else() {
    let main = MAIN.replace("port: {default: 8080}", "port: {}").replace("{system: api}", "{listening_on: $(port)}");
    let refused = World::new(&[("main.yaml", &main)]).refused();
    assert!(refused.contains("`port` has no value, and is put in 5 times"), "{refused}");
    assert_eq!(refused.matches("error:").count(), 1, "{refused}");
    World::new(&[("main.yaml", &main)]).set("port", "8080").loaded();
}

#[test]
fn who_runs_it_again_sets_again_what_was_set() {
    let experiment = World::new(&[("main.yaml", MAIN)]).set("port", "9090").loaded().experiment;
    assert_eq!(experiment.set.into_iter().collect::<Vec<_>>(), ["port"]);
}

#[test]
fn what_ships_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let (faults, probes, kinds) = vocabulary::real();
    let vocabulary = Vocabulary { faults: &faults, probes: &probes, kinds: &kinds };
    let validator = jsonschema::validator_for(&schema(&vocabulary)).expect("a valid schema");
    for entry in std::fs::read_dir(folder).expect("the experiments") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let env = |_: &str| Some("/srv/models".to_owned());
        let options = LoadOptions { vocabulary, sets: &BTreeMap::new(), env: &env, run_id: "run-1" };
        let wrong = match load(&path, &options) {
            Ok(loaded) => {
                let json = super::corpus::as_json(&path);
                assert!(validator.is_valid(&json), "{} is refused by the schema", path.display());
                loaded.warnings
            }
            Err(problems) => problems.into_iter().filter(|problem| !super::corpus::LATER.contains(&problem.code)).collect(),
        };
        assert!(wrong.is_empty(), "{}", render(&wrong, false));
    }
}

#[test]
fn what_the_language_page_shows_is_right() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/language.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole: Vec<&str> = blocks.filter(|block| block.starts_with("version: 1\nexperiment: ")).collect();
    assert!(whole.len() >= 4, "{} whole files", whole.len());
    let (faults, probes, kinds) = vocabulary::real();
    for text in whole {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shown.yaml");
        std::fs::write(&path, text).expect("a file");
        let vocabulary = Vocabulary { faults: &faults, probes: &probes, kinds: &kinds };
        let env = |_: &str| Some("something".to_owned());
        let shown = load(&path, &LoadOptions { vocabulary, sets: &BTreeMap::new(), env: &env, run_id: "run-1" });
        let wrong = shown.map_or_else(|problems| problems, |loaded| loaded.warnings);
        assert!(wrong.is_empty(), "{}\n{text}", render(&wrong, false));
    }
}

#[test]
fn the_examples_of_faults_and_probes_are_right() {
    let (faults, probes, kinds) = vocabulary::real();
    let vocabulary = Vocabulary { faults: &faults, probes: &probes, kinds: &kinds };
    let check = |what: &str, text: String| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("example.yaml");
        std::fs::write(&path, &text).expect("a file");
        let options = LoadOptions { vocabulary, sets: &BTreeMap::new(), env: &|_| None, run_id: "run-1" };
        if let Err(problems) = load(&path, &options) {
            // An example names sets and hypotheses of its own choice.
            let wrong: Vec<_> =
                problems.into_iter().filter(|problem| !matches!(problem.code, "unknown-name" | "unlimited" | "unused")).collect();
            assert!(wrong.is_empty(), "{what}\n{}\n{text}", render(&wrong, false));
        }
    };
    let indented = |text: &str, by: usize| text.trim_end().lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect::<String>();
    // A step stands in a list, a hypothesis and a target set under a name; an example may leave these out.
    let item =
        |text: &str| if text.trim_start().starts_with("- ") { indented(text, 2) } else { indented(text, 4).replacen("    ", "  - ", 1) };
    let named = |text: &str, first: &str| {
        if text.trim_start().starts_with(&format!("{first}:")) {
            format!(
                "  replicas:
{}",
                indented(text, 4)
            )
        } else {
            indented(text, 2)
        }
    };
    let head = |replicas: &str| {
        format!(
            "version: 1\nexperiment: example\ntargets: {{replicas: {{{replicas}}}}}\nblast_radius: {{duration: 1d, targets: {{replicas: {{at_most: 1}}}}}}\n"
        )
    };
    let (processes, containers) = (head("processes: {listening_on: 8001}"), head("containers: {names: [ranker]}"));
    let users = "steady_state: {users: {probe: tcp, with: {connect: 127.0.0.1:1}}}\n";
    for fault in faults.iter().filter(|fault| !fault.profile().internal) {
        let head = if fault.profile().takes == ["containers"] { &containers } else { &processes };
        check(fault.kind(), format!("{head}{users}method:\n{}", item(fault.profile().example)));
    }
    for probe in probes.iter() {
        let (head, kill) = if probe.kind() == "container" {
            (&containers, "container.remove, with: {allowed: true}")
        } else {
            (&processes, "process.kill")
        };
        let example = named(probe.profile().example, "probe");
        check(probe.kind(), format!("{head}method: [{{inject: {kill}, into: replicas}}]\nsteady_state:\n{example}"));
    }
    for kind in kinds.iter() {
        let example = kind.profile().example;
        check(
            kind.kind(),
            format!(
                "version: 1\nexperiment: example\nblast_radius: {{duration: 1m, targets: {{}}}}\n{users}method: [wait: 1s]\ntargets:\n{}",
                named(example, kind.kind())
            ),
        );
    }
}
