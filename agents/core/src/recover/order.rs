//! In which order things are taken back.

use std::collections::BTreeSet;

use crate::fault::Class;
use crate::journal::Intent;

/// Classes in order; in each, chains that may run beside one another; in each chain, newest first.
///
/// Injections that share a claim are one chain: the later one found what the earlier one had made.
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
