//! Words of platforms that this `chaos` does not have yet: refused like every unknown word, but by their name.

/// The code of errors about them.
pub(super) const CODE: &str = "later-word";

const KUBERNETES: &str = "it belongs to Kubernetes, which this version of `chaos` does not reach";
const WRITES: &str = "it belongs to the probes `writes` and `progress`, which this version of `chaos` does not have";
const PLACES: &str = "it belongs to experiments over several places, which this version of `chaos` does not reach";

/// What is known about a key of a later version.
pub(super) fn key(key: &str) -> Option<&'static str> {
    Some(match key {
        "namespaces" | "may_exceed_budgets" | "leave_gpus" => KUBERNETES,
        "zones" | "zone_label" => PLACES,
        "lost" | "loss" | "holes" | "duplicates" => WRITES,
        _ => return None,
    })
}
