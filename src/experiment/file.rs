//! The file as it is written, key by key. The JSON Schema of the language is derived from here, and the same schema decodes.
//!
//! Every field is an `Option`, also what is required: a mistake in one value must not keep the others from being checked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use chaos_core::experiment::Group;
use chaos_core::fault::Reach;
use chaos_core::literal::{Comparison, Duration, Name, Percent, Slug};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::walk::PIECE;

/// A part of the file that is decoded by itself, with its own errors; here it only has a schema.
pub(super) struct Piece<T>(PhantomData<T>);

impl<T> Default for Piece<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T> Deserialize<'de> for Piece<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self::default())
    }
}

impl<T: JsonSchema> JsonSchema for Piece<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<T>();
        schema.insert(PIECE.to_owned(), true.into());
        schema
    }
}

/// Things with names.
pub(super) struct Named<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names = generator.subschema_for::<Name>();
        json_schema!({
            "type": "object",
            "propertyNames": {"pattern": names.get("pattern")},
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}

/// Any map.
#[derive(JsonSchema)]
#[schemars(inline)]
pub(super) struct AnyMap(#[allow(dead_code)] BTreeMap<String, Json>);

/// An experiment: what healthy means, what may be harmed and how much, what to do.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Experiment {
    /// Version of the language.
    #[schemars(required, extend("const" = 1))]
    #[serde(rename = "version")]
    pub(super) _version: Option<u64>,
    /// Identity in history and reports.
    #[schemars(required)]
    pub(super) experiment: Option<Slug>,
    /// The claim, in one sentence. Default: the slug.
    pub(super) title: Option<String>,
    /// Everything that may be set from outside.
    #[serde(default, rename = "parameters")]
    pub(super) _parameters: Piece<BTreeMap<String, Parameter>>,
    /// Definitions from other files.
    #[serde(default, rename = "use")]
    pub(super) _parts: Piece<Vec<Use>>,
    /// Agents, engines and clusters. `here` exists always: this host.
    #[serde(default, rename = "places")]
    pub(super) _places: Piece<Named<Place>>,
    /// What the experiment itself starts before the baseline and stops at the end.
    #[serde(default, rename = "system")]
    pub(super) _system: Piece<Named<Process>>,
    /// What healthy means, measured all the time.
    #[serde(default, rename = "steady_state")]
    pub(super) _steady_state: Piece<Named<Hypothesis>>,
    /// What may be harmed.
    #[serde(default, rename = "targets")]
    pub(super) _targets: Piece<Named<TargetSet>>,
    /// How much of it at most.
    #[serde(rename = "blast_radius")]
    #[schemars(required)]
    pub(super) _blast_radius: Option<Piece<BlastRadius>>,
    /// When to stop and revert at once.
    #[serde(default, rename = "stop_when")]
    pub(super) _stop_when: Piece<Vec<StopCondition>>,
    /// What to do.
    #[serde(rename = "method")]
    #[schemars(required)]
    pub(super) _method: Option<Piece<Vec<Step>>>,
    /// Of every random choice. Default: drawn, printed, recorded.
    pub(super) seed: Option<u64>,
}

/// A part: definitions that experiments share. Limits, `stop_when`, `method` and `seed` never stand in a part.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Version of the language.
    #[schemars(required, extend("const" = 1))]
    #[serde(rename = "version")]
    pub(super) _version: Option<u64>,
    /// What the part is called.
    #[schemars(required)]
    #[serde(rename = "part")]
    pub(super) _part: Option<Slug>,
    /// What `with` of `use` may set.
    #[serde(default, rename = "parameters")]
    pub(super) _parameters: Piece<BTreeMap<String, Parameter>>,
    /// Agents, engines and clusters.
    #[serde(default, rename = "places")]
    pub(super) _places: Piece<Named<Place>>,
    /// What the experiment itself starts.
    #[serde(default, rename = "system")]
    pub(super) _system: Piece<Named<Process>>,
    /// What healthy means.
    #[serde(default, rename = "steady_state")]
    pub(super) _steady_state: Piece<Named<Hypothesis>>,
    /// What may be harmed.
    #[serde(default, rename = "targets")]
    pub(super) _targets: Piece<Named<TargetSet>>,
}

/// Something that may be set from outside: by `--set name=value`, else the variable `env`, else the content of `file`, else `default`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    /// The value where nothing else sets one.
    pub(super) default: Option<String>,
    /// The environment variable that sets it.
    pub(super) env: Option<String>,
    /// The file whose content sets it.
    pub(super) file: Option<String>,
    /// Never shown; may stand only under `with:` of a probe and under `env:`.
    pub(super) secret: Option<bool>,
    /// What is accepted.
    pub(super) one_of: Option<Vec<Option<String>>>,
    /// What it is for.
    #[serde(rename = "about")]
    pub(super) _about: Option<String>,
}

/// Definitions from another file.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Use {
    /// The file, from the folder of this one.
    #[schemars(required, example = &"parts/serving-stack.yaml")]
    pub(super) part: Option<String>,
    /// Sets the part's parameters.
    pub(super) with: Option<BTreeMap<String, String>>,
}

/// A place of another kind than `here`. This version of `chaos` reaches none.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// The failure zone it lies in.
    #[serde(rename = "zone")]
    pub(super) _zone: Option<String>,
}

/// A process that lives as long as the run.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Process {
    /// The command, split into words by quotes, no shell. `chaos` as the first word is this very program.
    #[schemars(required, example = &"chaos demo serving --check deep")]
    pub(super) run: Option<String>,
    /// Added to the environment.
    pub(super) env: Option<BTreeMap<String, String>>,
    /// Where it runs. Default: the folder of the file.
    pub(super) folder: Option<String>,
    /// When it counts as up.
    #[serde(default, rename = "ready")]
    pub(super) _ready: Piece<Ready>,
    /// Where its output goes.
    pub(super) log: Option<String>,
    /// Started again so long after it died; without it, what dies stays dead.
    pub(super) restart_after: Option<Duration>,
    /// Between SIGTERM and SIGKILL. Default: 5s.
    pub(super) stop_grace: Option<Duration>,
}

/// When a process of `system:` counts as up.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ready {
    /// Which question.
    #[schemars(required, example = &"tcp")]
    pub(super) probe: Option<String>,
    /// The probe's fields.
    #[serde(default, rename = "with")]
    pub(super) _with: Piece<AnyMap>,
    /// Is this sample good?
    #[serde(default, rename = "good")]
    pub(super) _good: Piece<Option<chaos_core::expression::Expression>>,
    /// It must be up within this.
    #[schemars(required)]
    pub(super) within: Option<Duration>,
    /// Cadence. Default: 100ms.
    pub(super) every: Option<Duration>,
    /// After it, the sample is bad. Default: 1s.
    pub(super) timeout: Option<Duration>,
}

/// What healthy means, measured all the time. Without `baseline`, `during` and `recovery`: an observation, never judged.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hypothesis {
    /// Which question; `chaos probes` lists them.
    #[schemars(required, example = &"http")]
    pub(super) probe: Option<String>,
    /// The probe's fields.
    #[serde(default, rename = "with")]
    pub(super) _with: Piece<AnyMap>,
    /// The target set, for probes that look at targets.
    pub(super) of: Option<String>,
    /// Where it is asked from. Default: `here`.
    pub(super) at: Option<String>,
    /// Is this sample good? Default: the probe's.
    #[serde(default, rename = "good")]
    pub(super) _good: Piece<Option<chaos_core::expression::Expression>>,
    /// Cadence; due times are fixed in advance and jittered. Default: 100ms.
    pub(super) every: Option<Duration>,
    /// After it, the sample is bad. May exceed `every`. Default: 1s.
    pub(super) timeout: Option<Duration>,
    /// Must be seen before anything is injected.
    #[serde(default, rename = "baseline")]
    pub(super) _baseline: Piece<Baseline>,
    /// While faults act; judged on what was observed.
    #[serde(default, rename = "during")]
    pub(super) _during: Piece<Objectives>,
    /// Claims beyond this run, judged by interval.
    #[serde(default, rename = "prove")]
    pub(super) _prove: Piece<Prove>,
    /// How soon it must be well again.
    #[serde(default, rename = "recovery")]
    pub(super) _recovery: Piece<Recovery>,
    /// What the system itself claims.
    #[serde(default, rename = "health")]
    pub(super) _health: Piece<Health>,
}

/// What the system itself claims, and how long the claim may be wrong.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    /// Which question.
    #[schemars(required, example = &"http")]
    pub(super) probe: Option<String>,
    /// The probe's fields.
    #[serde(default, rename = "with")]
    pub(super) _with: Piece<AnyMap>,
    /// Where it is asked from. Default: `here`.
    pub(super) at: Option<String>,
    /// Is this sample good? Default: the probe's.
    #[serde(default, rename = "good")]
    pub(super) _good: Piece<Option<chaos_core::expression::Expression>>,
    /// Cadence. Default: 100ms.
    pub(super) every: Option<Duration>,
    /// After it, the sample is bad. Default: 1s.
    pub(super) timeout: Option<Duration>,
    /// Health says well while a user's sample is bad: in all at most so long.
    pub(super) false_ready: Option<Comparison>,
    /// The reverse.
    pub(super) false_alarm: Option<Comparison>,
}

/// How soon it must be well again.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Recovery {
    /// Values that are usual for this kind of system; a key beside it replaces that value.
    pub(super) preset: Option<Preset>,
    /// Counted from the effect, whether or not the fault is still on (the recovery time objective).
    pub(super) within: Option<Duration>,
    /// Counted from the last revert.
    pub(super) after_revert: Option<Duration>,
    /// How long it must stay well to count as recovered. Default: 3s.
    pub(super) hold: Option<Duration>,
}

/// Usual recovery times.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Preset {
    /// Within 5m.
    Inference,
    /// Within 15m.
    FeatureStore,
    /// Within 30m.
    VectorIndex,
    /// Within 4h.
    Training,
    /// Within 4h.
    Evaluation,
}

impl Preset {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::FeatureStore => "feature_store",
            Self::VectorIndex => "vector_index",
            Self::Training => "training",
            Self::Evaluation => "evaluation",
        }
    }

    pub(super) const fn within(self) -> Duration {
        Duration::from_secs(match self {
            Self::Inference => 5 * 60,
            Self::FeatureStore => 15 * 60,
            Self::VectorIndex => 30 * 60,
            Self::Training | Self::Evaluation => 4 * 3600,
        })
    }
}

/// The metrics that objectives may be about, without those of a sample's fields.
pub(super) const METRICS: [&str; 10] = ["success", "bad", "p50", "p90", "p95", "p99", "p999", "max", "longest_outage", "downtime"];

/// Objectives and what stands beside them.
fn objectives(generator: &mut SchemaGenerator, about: &str, beside: &[(&str, Schema)]) -> Schema {
    let comparison = generator.subschema_for::<Comparison>();
    let mut properties = serde_json::Map::new();
    for (key, schema) in beside {
        properties.insert((*key).to_owned(), schema.clone().to_value());
    }
    for metric in METRICS {
        properties.insert(metric.to_owned(), comparison.clone().to_value());
    }
    json_schema!({
        "type": "object",
        "description": about,
        "properties": properties,
        "patternProperties": {"^(min|max|p50|p90|p95|p99|p999) of [a-z_][a-z0-9_]*$": comparison},
        "additionalProperties": false,
    })
}

macro_rules! objectives {
    ($name:ident, $about:literal, |$generator:ident| [$($beside:expr),*]) => {
        #[doc = $about]
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                let beside = [$($beside),*];
                objectives($generator, $about, &beside)
            }
        }
    };
}

objectives!(Objectives, "`metric: comparison`, all of which must hold.", |generator| []);
objectives!(Baseline, "Objectives that must be seen before anything is injected, and `for` how long (default 10s).", |generator| [(
    "for",
    generator.subschema_for::<Duration>()
)]);
objectives!(Prove, "Claims beyond this run, with `confidence` (default 95%).", |generator| [(
    "confidence",
    generator.subschema_for::<Percent>()
)]);

/// Things of one kind, found by a selector. The kinds are filled in from their table.
pub(super) struct TargetSet;

impl JsonSchema for TargetSet {
    fn schema_name() -> Cow<'static, str> {
        "TargetSet".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Things of one kind, found by a selector. First the kind with its selector.",
            "properties": {
                "at": {"type": "string", "description": "The place. Default: `here`."},
                "expect": {"type": "integer", "minimum": 1, "description": "How many must be found; refused otherwise."},
            },
            "additionalProperties": false,
        })
    }
}

/// What is never harmed: a kind with its selector.
pub(super) struct Never;

impl JsonSchema for Never {
    fn schema_name() -> Cow<'static, str> {
        "Never".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "What is never harmed: a kind with its selector.",
            "properties": {},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        })
    }
}

/// The hard limits.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlastRadius {
    /// From the first intent to the last revert, or the end of the method.
    #[schemars(required, example = &"1m")]
    pub(super) duration: Option<Duration>,
    /// Targets at once, over all sets.
    pub(super) at_most: Option<u64>,
    /// What may be felt beyond the targets.
    #[schemars(extend("examples" = [["network namespace"]]))]
    pub(super) reach: Option<Vec<Option<Reach>>>,
    /// Never harmed.
    #[serde(default, rename = "never")]
    pub(super) _never: Piece<Vec<Never>>,
    /// Limits by set: for every set that a step injects into, `at_most` or `share` at the least.
    #[serde(rename = "targets")]
    #[schemars(required)]
    pub(super) _targets: Option<Piece<BTreeMap<String, SetLimits>>>,
}

/// The limits of one target set.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetLimits {
    /// Harmed at once.
    pub(super) at_most: Option<u64>,
    /// Of the set's population, rounded down.
    pub(super) share: Option<Percent>,
    /// Healthy members that must remain unharmed at every moment.
    pub(super) leave: Option<u64>,
    /// `at_most`, `share` and `leave` hold in each group.
    #[schemars(with = "Option<GroupWord>")]
    pub(super) per: Option<Group>,
    /// Different members harmed over the whole run.
    pub(super) in_total: Option<u64>,
}

/// A kind of group that members belong to.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used: core's own type has none")]
enum GroupWord {
    Zone,
    Place,
    Node,
    Owner,
}

/// `hypothesis: metric comparison over window`.
pub(super) struct StopCondition;

impl JsonSchema for StopCondition {
    fn schema_name() -> Cow<'static, str> {
        "StopCondition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A hypothesis, and what observed value stops the run: `users are served: success < 80% over 2s`.",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {
                "type": "string",
                "pattern": r"^.+ *(>=|<=|==|<|>).+ over .+$",
                "examples": ["success < 80% over 2s"],
            },
        })
    }
}

/// One thing to do. It begins with what it does.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used: a step is decoded by its first key")]
pub(super) enum Step {
    Inject(Inject),
    Wait(Wait),
    WaitFor(WaitFor),
    Run(Run),
    Parallel(Parallel),
}

/// Injects a fault.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Inject {
    /// Which fault; `chaos faults` lists them.
    #[schemars(required, example = &"process.pause")]
    pub(super) inject: Option<String>,
    /// The target set.
    #[schemars(required)]
    pub(super) into: Option<String>,
    /// The fault's fields.
    #[serde(default, rename = "with")]
    pub(super) _with: Piece<AnyMap>,
    /// How many, and which: `1`, `50%`, `all`, `1 oldest`, `1 per zone`. Left out: the set must have exactly one member.
    #[schemars(extend("format" = "pick", "pattern" = r"^([1-9][0-9]*|all|[0-9.]+%)( (oldest|newest|leader))?( per (zone|place|node|owner))?$"))]
    pub(super) pick: Option<String>,
    /// Held so long, then taken back.
    #[serde(rename = "for")]
    pub(super) hold: Option<Duration>,
    /// Held while these run, then taken back.
    #[serde(default, rename = "meanwhile")]
    pub(super) _meanwhile: Piece<Vec<Step>>,
    /// Again at each multiple of this; together with `times`.
    pub(super) every: Option<Duration>,
    /// So many times in all; together with `every`.
    #[schemars(range(min = 1))]
    pub(super) times: Option<u32>,
    /// In equal steps up to the value in `with`; then `for` begins.
    #[serde(default, rename = "ramp")]
    pub(super) _ramp: Piece<Ramp>,
    /// Whether it happens at all, drawn from the seed when planning.
    pub(super) probability: Option<Percent>,
    /// Only in `parallel`: begins so long after it.
    #[serde(rename = "after")]
    pub(super) _after: Option<Duration>,
}

/// In equal steps up to the value in `with`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ramp {
    /// The field that is moved.
    #[schemars(required)]
    pub(super) field: Option<String>,
    /// Where it starts.
    #[serde(rename = "from")]
    #[schemars(required)]
    pub(super) _from: Option<Piece<Json>>,
    /// How long it takes.
    #[schemars(required, example = &"20s")]
    pub(super) over: Option<Duration>,
    /// In how many steps. Default: 5.
    #[schemars(range(min = 1))]
    pub(super) steps: Option<u32>,
}

/// Does nothing, for so long.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// How long.
    #[schemars(required)]
    pub(super) wait: Option<Duration>,
    /// Only in `parallel`: begins so long after it.
    #[serde(rename = "after")]
    pub(super) _after: Option<Duration>,
}

/// Waits until a hypothesis is good.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitFor {
    /// Which.
    #[schemars(required)]
    pub(super) wait_for: Option<String>,
    /// At the longest; after it the rest of the method is left out.
    #[schemars(required, example = &"30s")]
    pub(super) within: Option<Duration>,
    /// Good for so long. Default: 0s, one good sample.
    pub(super) hold: Option<Duration>,
    /// Only in `parallel`: begins so long after it.
    #[serde(rename = "after")]
    pub(super) _after: Option<Duration>,
}

/// Runs a command.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    /// Split into words by quotes, no shell.
    #[schemars(required)]
    pub(super) run: Option<String>,
    /// Where. Default: `here`.
    pub(super) at: Option<String>,
    /// Added to the environment.
    pub(super) env: Option<BTreeMap<String, String>>,
    /// Killed after this. Default: 30s.
    pub(super) timeout: Option<Duration>,
    /// The exit code that is expected. Default: 0.
    pub(super) exit: Option<i32>,
    /// Only in `parallel`: begins so long after it.
    #[serde(rename = "after")]
    pub(super) _after: Option<Duration>,
}

/// Several steps that begin together.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parallel {
    /// The steps; ends with the last.
    #[serde(rename = "parallel")]
    #[schemars(required)]
    pub(super) _parallel: Option<Piece<Vec<Step>>>,
    /// Only in `parallel`: begins so long after it.
    #[serde(rename = "after")]
    pub(super) _after: Option<Duration>,
}
