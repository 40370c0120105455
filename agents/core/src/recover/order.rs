//! In which order things are taken back.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::Class;
use crate::journal::Intent;

/// Classes in order; in each, chains that may run beside one another; in each chain, newest first.
///
/// Injections that share a claim are one chain: the later one found what the earlier one had made. What stands on one scaffold
/// may go in any order; the scaffold itself waits for all of it ([`leaves`]).
pub(super) fn waves(intents: Vec<Intent>) -> Vec<(Class, Vec<Vec<Intent>>)> {
    let mut waves: Vec<(Class, Vec<Vec<Intent>>)> = Vec::new();
    for intent in intents.into_iter().rev() {
        match waves.iter_mut().find(|(class, _)| *class == intent.class) {
            Some((_, chains)) => join(chains, intent),
            None => waves.push((intent.class, vec![vec![intent]])),
        }
    }
    waves.sort_by_key(|(class, _)| *class);
    waves
}

/// Puts an older injection behind every newer one with which it shares a claim.
fn join(chains: &mut Vec<Vec<Intent>>, intent: Intent) {
    let claims: BTreeSet<&String> = intent.claims.iter().collect();
    let touches = |chain: &Vec<Intent>| chain.iter().any(|newer| newer.claims.iter().any(|c| claims.contains(c)));
    let (touching, mut apart): (Vec<_>, Vec<_>) = chains.drain(..).partition(touches);
    let mut chain: Vec<Intent> = touching.into_iter().flatten().collect();
    chain.push(intent);
    apart.push(chain);
    *chains = apart;
}

/// For each scaffold, by its slot, the slots of what stands on it (RULES 8).
pub(super) fn leaves(intents: &[Intent]) -> BTreeMap<String, Vec<String>> {
    let mut leaves: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for leaf in intents {
        for scaffold in intents.iter().filter(|s| s.claims.iter().any(|claim| leaf.stands_on.contains(claim))) {
            leaves.entry(scaffold.slot.clone()).or_default().push(leaf.slot.clone());
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Boot;
    use crate::fault::{Persistence, Reversibility};

    fn intent(slot: &str, class: Class, claims: &[&str]) -> Intent {
        Intent {
            slot: slot.into(),
            fault: "f".into(),
            target: "t".into(),
            undo: serde_json::Value::Null,
            claims: claims.iter().map(|c| (*c).to_owned()).collect(),
            stands_on: Vec::new(),
            class,
            persistence: Persistence::UntilReboot,
            reversibility: Reversibility::Exact,
            deadline: Boot(0),
            at: Boot(0),
        }
    }

    fn slots(intents: Vec<Intent>) -> Vec<Vec<Vec<String>>> {
        let slots = |chain: Vec<Intent>| chain.into_iter().map(|i| i.slot).collect();
        waves(intents).into_iter().map(|(_, chains)| chains.into_iter().map(slots).collect()).collect()
    }

    #[test]
    fn rule_11_newest_first_within_a_claim_and_beside_one_another_across_claims() {
        let found = slots(vec![
            intent("1", Class::File, &["x"]),
            intent("2", Class::File, &["y"]),
            intent("3", Class::File, &["x", "z"]),
            intent("4", Class::File, &["z"]),
        ]);
        assert_eq!(found, [[vec!["2"], vec!["4", "3", "1"]]]);
    }

    #[test]
    fn rule_08_a_scaffold_waits_for_all_that_stands_on_it_and_they_wait_for_nobody() {
        let leaf = |slot: &str, claim: &str| Intent { stands_on: vec!["eth0".into()], ..intent(slot, Class::Network, &[claim]) };
        let all =
            vec![intent("scaffold.1", Class::Network, &["eth0"]), leaf("1", "a"), intent("2", Class::Network, &["b"]), leaf("3", "c")];
        assert_eq!(leaves(&all), BTreeMap::from([("scaffold.1".to_owned(), vec!["1".to_owned(), "3".to_owned()])]));
        assert_eq!(slots(all), [[vec!["3"], vec!["2"], vec!["1"], vec!["scaffold.1"]]]);
    }

    #[test]
    fn an_older_one_that_touches_two_chains_waits_for_both() {
        let found = slots(vec![intent("1", Class::File, &["x", "y"]), intent("2", Class::File, &["x"]), intent("3", Class::File, &["y"])]);
        assert_eq!(found, [[vec!["3", "2", "1"]]]);
    }

    #[test]
    fn rule_39_what_stands_still_goes_on_first_and_the_system_comes_down_last() {
        let found = slots(vec![
            intent("system.db", Class::System, &[]),
            intent("1", Class::File, &[]),
            intent("2", Class::Process, &[]),
            intent("3", Class::Network, &[]),
        ]);
        assert_eq!(found.concat().concat(), ["2", "3", "1", "system.db"]);
    }
}
