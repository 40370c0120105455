//! The blast radius, as one pure question: may these things be harmed together, in the world as found?
//!
//! Asked of every moment of the schedule when planning, and again right before each injection.

use std::collections::{BTreeMap, BTreeSet};

use chaos_core::experiment::{BlastRadius, SetLimits};
use chaos_core::target::{Identity, Population, Target};

use super::Refusal;
use super::choice::{grouped, smallest_share};

/// What was found, by target set.
pub type Populations = BTreeMap<String, Population>;

/// One thing that is harmed, or is about to be.
#[derive(Debug, Clone)]
pub struct Harmed {
    /// The set it was picked from.
    pub set: String,
    /// What it is.
    pub target: Target,
}

/// Checks everything harmed at one moment against every limit. All limits hold together; the smallest wins.
///
/// One identity is counted once, whatever sets it was picked from, and in every set that it belongs to. A container and a process in it
/// count as one wherever both are harmed, and a harmed process counts in a set of containers as the container that it lies in.
///
/// # Errors
/// With the limit that does not hold, at its place in the file.
pub fn at_once(blast: &BlastRadius, populations: &Populations, harmed: &[Harmed]) -> Result<(), Refusal> {
    let all = distinct(harmed.iter().map(|h| &h.target));
    if let Some(at_most) = blast.at_most
        && all.len() as u64 > at_most
    {
        return Err(Refusal::new("blast_radius.at_most", format!("{} would be harmed at once, and {at_most} may be", count(all.len())))
            .hint("let the steps run one after the other, pick fewer, or raise the limit knowingly"));
    }
    for limits in &blast.targets {
        set_at_once(limits, populations, harmed)?;
    }
    Ok(())
}

fn set_at_once(limits: &SetLimits, populations: &Populations, harmed: &[Harmed]) -> Result<(), Refusal> {
    let at = |field: &str| format!("blast_radius.targets.{}.{field}", limits.set);
    let Some(population) = populations.get(&limits.set) else {
        return Err(Refusal::new(at(""), format!("it is not known who belongs to `{}`, so its limits cannot be held", limits.set)));
    };
    let mine = harmed_of(limits, population, harmed);
    // Something killed is no longer found, but still counts: it joins the population that it was picked from.
    let mut everyone = population.clone();
    everyone.extend(
        mine.values().filter(|t| !population.iter().any(|m| m.identity == t.identity)).map(|t| Target { healthy: false, ..(*t).clone() }),
    );
    for (group, members) in grouped(&everyone, limits.per, &limits.set, &at("per"))? {
        let whose = group.map_or_else(|| format!("`{}`", limits.set), |g| format!("`{}` in {g}", limits.set));
        let hit = members.iter().filter(|m| mine.contains_key(&m.identity)).count() as u64;
        let found = members.iter().filter(|m| population.iter().any(|p| p.identity == m.identity)).count();
        if let Some(at_most) = limits.at_most.filter(|n| hit > *n) {
            return Err(Refusal::new(at("at_most"), format!("{hit} of {whose} would be harmed at once, and {at_most} may be"))
                .hint("pick fewer, or raise the limit knowingly"));
        }
        if let Some(share) = limits.share.filter(|s| hit > s.of(found as u64)) {
            let allowed = share.of(found as u64);
            let refusal = if allowed == 0 {
                Refusal::new(at("share"), format!("{share} of {found} members of {whose} is 0, so nothing may be harmed"))
                    .hint(smallest_share(found))
            } else {
                Refusal::new(at("share"), format!("{hit} of {whose} would be harmed at once, and {share} of {found} is {allowed}"))
                    .hint("pick fewer, or raise the limit knowingly")
            };
            return Err(refusal);
        }
        let left = members.iter().filter(|m| m.healthy && !mine.contains_key(&m.identity)).count() as u64;
        if let Some(leave) = limits.leave.filter(|n| hit > 0 && left < *n) {
            return Err(Refusal::new(at("leave"), format!("{left} healthy of {whose} would remain unharmed, and {leave} must"))
                .hint("pick fewer, wait until more are healthy, or lower the limit knowingly"));
        }
    }
    Ok(())
}

/// What of a set is harmed: what was picked from it, and every member that is harmed with something picked from another.
fn harmed_of<'a>(limits: &SetLimits, population: &'a Population, harmed: &'a [Harmed]) -> BTreeMap<&'a Identity, &'a Target> {
    let picked = harmed.iter().filter(|h| h.set == limits.set).map(|h| &h.target);
    let along = population.iter().filter(|m| harmed.iter().any(|h| h.target.is_harmed_with(m)));
    picked.chain(along).map(|t| (&t.identity, t)).collect()
}

/// Each thing once, and nothing that lies in another of them: a container and a process in it are one (RULES 25).
fn distinct<'a>(targets: impl Iterator<Item = &'a Target>) -> BTreeSet<&'a Identity> {
    let all: BTreeMap<&Identity, &Target> = targets.map(|t| (&t.identity, t)).collect();
    all.values().filter(|t| !all.values().any(|other| t.lies_in(other))).map(|t| &t.identity).collect()
}

/// Checks how many different members a whole run harms. Where the file does not say, `in_total` is `at_most`.
///
/// # Errors
/// With the limit that does not hold.
pub fn in_total(blast: &BlastRadius, harmed: &[Harmed]) -> Result<(), Refusal> {
    for limits in &blast.targets {
        let Some(allowed) = limits.in_total.or(limits.at_most.filter(|_| limits.per.is_none())) else { continue };
        let different: BTreeSet<&Identity> = harmed.iter().filter(|h| h.set == limits.set).map(|h| &h.target.identity).collect();
        let n = different.len() as u64;
        if n > allowed {
            let said = limits.in_total.is_some();
            let field = if said { "in_total" } else { "at_most" };
            let limit = if said {
                format!("`in_total: {allowed}`")
            } else {
                format!("`at_most: {allowed}` is the limit where `in_total` is not said")
            };
            return Err(Refusal::new(
                format!("blast_radius.targets.{}.{field}", limits.set),
                format!("the run would harm {n} different members of `{}` one after the other; {limit}", limits.set),
            )
            .hint(format!("say `in_total: {n}` if that is meant")));
        }
    }
    Ok(())
}

fn count(n: usize) -> String {
    if n == 1 { "1 target".into() } else { format!("{n} targets") }
}
