//! Which members of a set: sorted by a stable key, shuffled by the seed and the step's position, first n.

use chaos_core::experiment::{Amount, Group, Order, Pick};
use chaos_core::target::Target;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::Refusal;

/// The random numbers of one decision: the same seed and the same position give the same ones, on every platform.
#[must_use]
pub fn dice(seed: u64, position: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(position.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Chooses members of a population.
///
/// `position` is the step's path and repetition; `step` is where a refusal points.
///
/// # Errors
/// If the amount comes to nothing, if there are fewer members than asked for, if a member has no group to be counted
/// in, or if nothing says how many and the set has not exactly one member.
pub fn choose(population: &[Target], set: &str, pick: Option<Pick>, seed: u64, position: &str, step: &str) -> Result<Vec<Target>, Refusal> {
    let at = |field: &str| format!("{step}.{field}");
    let Some(pick) = pick else {
        return match population {
            [only] => Ok(vec![only.clone()]),
            _ => Err(Refusal::new(
                at("into"),
                format!("`{set}` has {} members, and the step does not say how many of them", population.len()),
            )
            .hint("add `pick: 1`, `pick: 50%` or `pick: all`")),
        };
    };
    if pick.order == Some(Order::Leader) {
        return Err(Refusal::new(at("pick"), format!("who leads `{set}` is not known: no kind of target of this version has a leader"))
            .hint("pick `oldest` or `newest`, or leave the order to the seed"));
    }
    let mut chosen = Vec::new();
    for (group, members) in grouped(population, pick.per, set, &at("pick"))? {
        let n = amount(pick.amount, members.len(), set, group.as_deref(), &at("pick"))?;
        chosen.extend(ordered(members, pick.order, seed, &format!("{position}/{}", group.unwrap_or_default())).into_iter().take(n));
    }
    Ok(chosen)
}

/// Members of one group; no name where none was asked for.
pub(super) type Grouped<'a> = (Option<String>, Vec<&'a Target>);

/// The population by group, in the order of the group names; one group without a name where none is asked for.
pub(super) fn grouped<'a>(population: &'a [Target], per: Option<Group>, set: &str, path: &str) -> Result<Vec<Grouped<'a>>, Refusal> {
    let Some(per) = per else {
        return Ok(vec![(None, population.iter().collect())]);
    };
    let mut groups = std::collections::BTreeMap::<String, Vec<&Target>>::new();
    for member in population {
        let Some(group) = member.groups.get(per.word()) else {
            return Err(Refusal::new(
                path,
                format!("`{}` of `{set}` is in no {}, so an amount per {0} cannot be taken", member.label, per.word()),
            )
            .hint(format!("give every member a {}, or leave `per {0}` out", per.word())));
        };
        groups.entry(group.clone()).or_default().push(member);
    }
    Ok(groups.into_iter().map(|(name, members)| (Some(name), members)).collect())
}

fn amount(amount: Amount, of: usize, set: &str, group: Option<&str>, path: &str) -> Result<usize, Refusal> {
    let whose = group.map_or_else(|| format!("`{set}`"), |g| format!("`{set}` in {g}"));
    let n = match amount {
        Amount::All => of,
        Amount::Count(n) => usize::try_from(n).unwrap_or(usize::MAX),
        Amount::Share(share) => {
            let n = share.of(of as u64);
            if n == 0 {
                return Err(Refusal::new(path, format!("{share} of {of} members of {whose} is 0, so nothing would be harmed"))
                    .hint(smallest_share(of)));
            }
            usize::try_from(n).unwrap_or(usize::MAX)
        }
    };
    if n == 0 || of == 0 {
        return Err(Refusal::new(path, format!("nothing of {whose} would be picked: it has {of} members")).hint("pick at least 1"));
    }
    if n > of {
        return Err(Refusal::new(path, format!("{n} of {whose} are to be picked, and it has {of} members"))
            .hint(format!("pick at most {of}, or `all`")));
    }
    Ok(n)
}

/// What share of `of` allows at least one, in words.
pub(super) fn smallest_share(of: usize) -> String {
    if of == 0 { "there is nothing to take a share of".into() } else { format!("{}% allows 1", 100_usize.div_ceil(of)) }
}

fn ordered(members: Vec<&Target>, order: Option<Order>, seed: u64, position: &str) -> Vec<Target> {
    let mut members: Vec<Target> = members.into_iter().cloned().collect();
    members.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.started.cmp(&b.started)).then_with(|| a.identity.cmp(&b.identity)));
    match order {
        Some(Order::Oldest) => members.sort_by_key(|m| m.started),
        Some(Order::Newest) => members.sort_by_key(|m| std::cmp::Reverse(m.started)),
        Some(Order::Leader) | None => members.shuffle(&mut dice(seed, position)),
    }
    members
}
