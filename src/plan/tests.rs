//! Blast radius: over random populations, limits and methods, a plan never exceeds what it may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chaos_core::experiment::{Action, Amount, BlastRadius, Group, Hold, Inject, Order, Pick, Repeat, SetLimits, Step};
use chaos_core::literal::Percent;
use chaos_core::target::{ContainerFacet, Facets, Identity, SetRef, Target};
use proptest::prelude::*;
use serde_json::json;

use super::limits::{Harmed, at_once, in_total};
use super::schedule::{Asking, moments};
use super::{choice, slot};

fn member(n: usize, zone: Option<&str>, healthy: bool) -> Target {
    Target {
        identity: Identity(format!("process:{n}@1")),
        label: format!("replica {n}"),
        place: "here".into(),
        order: format!("{n:04}"),
        healthy,
        started: n as u64,
        groups: zone.map(|z| ("zone".to_owned(), z.to_owned())).into_iter().collect(),
        facets: Facets::default(),
    }
}

fn radius(limits: SetLimits) -> BlastRadius {
    let duration = chaos_core::literal::Duration::from_secs(60);
    BlastRadius { duration, at_most: None, reach: vec![], never: vec![], targets: vec![limits] }
}

fn pick(amount: Amount) -> Option<Pick> {
    Some(Pick { amount, order: None, per: None })
}

proptest! {
    #[test]
    fn what_the_limits_allow_is_never_exceeded(
        size in 1_usize..30,
        sick in proptest::collection::btree_set(0_usize..30, 0..10),
        chosen in 0_usize..30,
        at_most in proptest::option::of(0_u64..10),
        share in proptest::option::of(0_u8..=100),
        leave in proptest::option::of(0_u64..30),
    ) {
        let population: Vec<Target> = (0..size).map(|n| member(n, None, !sick.contains(&n))).collect();
        let limits = SetLimits { set: "s".into(), at_most, share: share.map(Percent::whole), leave, ..SetLimits::default() };
        let harmed: Vec<Harmed> = population.iter().take(chosen).map(|t| Harmed { set: "s".into(), target: t.clone() }).collect();
        let allowed = at_once(&radius(limits), &BTreeMap::from([("s".into(), population.clone())]), &harmed).is_ok();
        let hit = harmed.len() as u64;
        let left = population.iter().skip(chosen).filter(|t| t.healthy).count() as u64;
        // An oracle in exact whole numbers: nothing is ever rounded up.
        let fits = at_most.is_none_or(|n| hit <= n)
            && share.is_none_or(|p| hit * 100 <= u64::from(p) * size as u64)
            && (hit == 0 || leave.is_none_or(|n| left >= n));
        prop_assert_eq!(allowed, fits);
    }

    #[test]
    fn a_choice_is_the_same_for_the_same_seed_and_never_more_than_asked(size in 1_usize..40, n in 1_u64..40, seed: u64) {
        let population: Vec<Target> = (0..size).map(|i| member(i, None, true)).collect();
        let mut shuffled = population.clone();
        shuffled.reverse();
        let a = choice::choose(&population, "s", pick(Amount::Count(n)), seed, "method[0]/0", "method[0]");
        let b = choice::choose(&shuffled, "s", pick(Amount::Count(n)), seed, "method[0]/0", "method[0]");
        prop_assert_eq!(&a, &b, "the order in which the world lists its members must not matter");
        match a {
            Ok(chosen) => {
                let distinct: BTreeSet<_> = chosen.iter().map(|t| t.identity.clone()).collect();
                prop_assert_eq!(distinct.len() as u64, n);
            }
            Err(_) => prop_assert!(n > size as u64),
        }
    }

    #[test]
    fn a_share_is_rounded_down_and_never_to_something_from_nothing(size in 1_usize..200, percent in 0_u8..=100) {
        let population: Vec<Target> = (0..size).map(|i| member(i, None, true)).collect();
        let chosen = choice::choose(&population, "s", pick(Amount::Share(Percent::whole(percent))), 7, "p", "p");
        let exact = usize::from(percent) * size / 100;
        match chosen {
            Ok(chosen) => prop_assert_eq!(chosen.len(), exact),
            Err(_) => prop_assert_eq!(exact, 0),
        }
    }

    #[test]
    fn per_group_the_amount_is_taken_in_each(zones in proptest::collection::vec(1_usize..6, 1..5), n in 1_u64..6) {
        let names = ["a", "b", "c", "d", "e"];
        let mut population = Vec::new();
        for (zone, size) in zones.iter().enumerate() {
            for _ in 0..*size {
                population.push(member(population.len(), Some(names[zone]), true));
            }
        }
        let pick = Pick { amount: Amount::Count(n), order: Some(Order::Oldest), per: Some(Group::Zone) };
        match choice::choose(&population, "s", Some(pick), 1, "p", "p") {
            Ok(chosen) => prop_assert_eq!(chosen.len() as u64, n * zones.len() as u64),
            Err(_) => prop_assert!(zones.iter().any(|size| n > *size as u64)),
        }
    }
}

#[test]
fn rule_25_one_thing_under_two_names_is_counted_once_and_in_both_sets() {
    let one = member(1, None, true);
    let populations = BTreeMap::from([("a".to_owned(), vec![one.clone(), member(2, None, true)]), ("b".to_owned(), vec![one.clone()])]);
    let harmed = [Harmed { set: "a".into(), target: one.clone() }, Harmed { set: "b".into(), target: one }];
    let blast = BlastRadius {
        at_most: Some(1),
        targets: vec![SetLimits { set: "b".into(), at_most: Some(1), leave: Some(0), ..SetLimits::default() }],
        ..radius(SetLimits::default())
    };
    assert!(at_once(&blast, &populations, &harmed).is_ok());
    let by_another_name = [Harmed { set: "a".into(), target: populations["b"][0].clone() }];
    let none_of_b = BlastRadius { targets: vec![SetLimits { set: "b".into(), at_most: Some(0), ..SetLimits::default() }], ..blast };
    assert!(at_once(&none_of_b, &populations, &by_another_name).is_err(), "picked from `a`, but `b` may not be harmed");
}

#[test]
fn rule_25_walking_through_all_replicas_needs_to_be_said() {
    let blast = |in_total| radius(SetLimits { set: "s".into(), at_most: Some(1), in_total, ..SetLimits::default() });
    let walked: Vec<Harmed> = (0..3).map(|n| Harmed { set: "s".into(), target: member(n, None, true) }).collect();
    assert!(in_total(&blast(None), &walked).is_err());
    assert!(in_total(&blast(Some(2)), &walked).is_err());
    assert!(in_total(&blast(Some(3)), &walked).is_ok());
}

#[test]
fn rule_25_a_killed_member_still_counts_and_is_not_left() {
    let killed = Harmed { set: "s".into(), target: member(9, None, true) };
    let found = BTreeMap::from([("s".to_owned(), vec![member(1, None, true), member(2, None, true)])]);
    let next = Harmed { set: "s".into(), target: found["s"][0].clone() };
    let limits = |at_most, leave| radius(SetLimits { set: "s".into(), at_most, leave, ..SetLimits::default() });
    assert!(at_once(&limits(Some(1), None), &found, &[killed.clone(), next.clone()]).is_err());
    assert!(at_once(&limits(None, Some(2)), &found, &[killed.clone(), next]).is_err());
    assert!(at_once(&limits(None, Some(2)), &found, &[killed]).is_ok());
}

/// A container, and the processes in it as `processes` finds them.
fn container(n: usize) -> Target {
    let id = format!("{n:064x}");
    let facet = ContainerFacet { engine: "unix:///docker.sock".into(), id: id.clone(), name: format!("c{n}"), beyond: None };
    Target {
        identity: Identity(format!("container:{id}")),
        facets: Facets { container: Some(facet), cgroup: Some(format!("/docker/{id}")), ..Facets::default() },
        ..member(n, None, true)
    }
}

fn process_in(container: usize, pid: usize) -> Target {
    let facets = Facets { cgroup: Some(format!("/system.slice/docker-{container:064x}.scope/app")), ..Facets::default() };
    Target { facets, ..member(pid, None, true) }
}

#[test]
fn rule_25_a_container_and_a_process_in_it_are_one_and_two_processes_in_it_are_two() {
    let populations = BTreeMap::from([
        ("containers".to_owned(), vec![container(1), container(2), container(3)]),
        ("workers".to_owned(), vec![process_in(1, 11), process_in(1, 12), process_in(2, 21)]),
    ]);
    let harmed = |set: &str, target: Target| Harmed { set: set.into(), target };
    let overall = |at_most| BlastRadius { at_most: Some(at_most), targets: vec![], ..radius(SetLimits::default()) };
    let both = [harmed("containers", container(1)), harmed("workers", process_in(1, 11))];
    assert!(at_once(&overall(1), &populations, &both).is_ok(), "one thing by two names");
    let elsewhere = [harmed("containers", container(1)), harmed("workers", process_in(2, 21))];
    assert!(at_once(&overall(1), &populations, &elsewhere).is_err());
    let two = [harmed("workers", process_in(1, 11)), harmed("workers", process_in(1, 12))];
    assert!(at_once(&overall(1), &populations, &two).is_err(), "two parts of one container are two");

    // What lies in a container counts in a set of containers, and whoever harms a container harms what lies in it.
    let leave = |set: &str, leave| radius(SetLimits { set: set.into(), leave: Some(leave), ..SetLimits::default() });
    let inside = [harmed("workers", process_in(2, 21))];
    assert!(at_once(&leave("containers", 2), &populations, &inside).is_ok());
    assert!(at_once(&leave("containers", 3), &populations, &inside).is_err());
    let outside = [harmed("containers", container(1))];
    assert!(at_once(&leave("workers", 1), &populations, &outside).is_ok());
    assert!(at_once(&leave("workers", 2), &populations, &outside).is_err());
}

#[test]
fn a_process_in_a_container_that_is_never_to_be_harmed_is_not_picked() {
    let populations = BTreeMap::from([("workers".to_owned(), vec![process_in(1, 11), process_in(2, 21)])]);
    assert_eq!(super::candidates(&populations, "workers", &[container(1)]), [process_in(2, 21)]);
}

#[test]
fn an_unknown_population_is_refused() {
    let harmed = [Harmed { set: "s".into(), target: member(1, None, true) }];
    let limits = SetLimits { set: "s".into(), at_most: Some(5), ..SetLimits::default() };
    assert!(at_once(&radius(limits), &BTreeMap::new(), &harmed).is_err());
}

#[test]
fn a_member_without_the_group_refuses_the_plan() {
    let population = [member(1, Some("a"), true), member(2, None, true)];
    let pick = Pick { amount: Amount::Count(1), order: None, per: Some(Group::Zone) };
    let refusal = choice::choose(&population, "s", Some(pick), 1, "p", "method[0]").unwrap_err();
    assert_eq!(refusal.path, "method[0].pick");
}

fn inject(path: &str, hold: Hold, after: Option<u64>, repeat: Option<Repeat>) -> Step {
    let inject = Inject {
        fault: "f".into(),
        into: "s".into(),
        with: serde_json::Value::Null,
        pick: None,
        hold,
        repeat,
        ramp: None,
        probability: None,
    };
    Step { path: path.into(), after: after.map(seconds), action: Action::Inject(Box::new(inject)) }
}

fn seconds(n: u64) -> chaos_core::literal::Duration {
    chaos_core::literal::Duration::from_secs(n)
}

fn together(method: &[Step], a: &str, b: &str) -> bool {
    let in_force = |m: &super::schedule::Moment<'_>, path: &str| m.in_force.iter().any(|x: &Asking<'_>| x.step == path);
    moments(method, &|_| Duration::from_secs(1)).iter().any(|m| in_force(m, a) && in_force(m, b))
}

#[test]
fn the_worst_moment_knows_what_can_meet() {
    let hold = |n| Hold::For(seconds(n));
    let sequence = [inject("a", hold(30), None, None), inject("b", hold(30), None, None)];
    assert!(!together(&sequence, "a", "b"), "a step begins when the one before is reverted");
    let parallel = |after| {
        let branches = vec![inject("a", hold(30), None, None), inject("b", hold(30), Some(after), None)];
        [Step { path: "p".into(), after: None, action: Action::Parallel(branches) }]
    };
    assert!(together(&parallel(15), "a", "b"));
    assert!(!together(&parallel(45), "a", "b"), "a is gone, its revert budget included, before b begins");
    let meanwhile = [inject("a", Hold::Meanwhile(vec![inject("b", hold(5), None, None)]), None, None)];
    assert!(together(&meanwhile, "a", "b"));
    let repeated = [inject("a", hold(5), None, Some(Repeat { every: seconds(10), times: 3 }))];
    assert!(moments(&repeated, &|_| Duration::from_secs(1)).iter().all(|m| m.in_force.len() == 1));
}

#[test]
fn a_slot_is_fit_for_a_tag() {
    assert_eq!(slot("method[0].meanwhile[1]", 2, 0), "1_2.3.1");
    assert_eq!(super::repetition("1_2.3.1"), Some(2));
}

#[test]
fn a_peer_is_handed_over_as_the_members_found() {
    let populations = BTreeMap::from([("store".to_owned(), vec![member(1, None, true)])]);
    let with = super::with_members(&json!({"delay": "200ms", "peer": "store"}), &populations);
    let peer: SetRef = serde_json::from_value(with["peer"].clone()).expect("a set");
    assert_eq!(peer.members(), [member(1, None, true)]);
    let unknown = json!({"peer": "nobody"});
    assert_eq!(super::with_members(&unknown, &populations), unknown);
}

/// What the plan says of two faults that are held at one moment and claim the same.
fn overlapping(first: &str, second: &str, targets: [usize; 2]) -> super::Refusal {
    let ready = |fault: &str, index: usize| {
        let step = format!("method[0].parallel[{index}]");
        let planned = chaos_core::plan::PlannedInjection {
            slot: slot(&step, 0, 0),
            step,
            fault: fault.to_owned(),
            with: serde_json::Value::Null,
            set: "s".into(),
            target: member(targets[index], None, true),
            at: seconds(0),
            hold: Some(seconds(9)),
            grade: chaos_core::fault::Grade::Leased,
            reversibility: chaos_core::fault::Reversibility::Exact,
            reach: chaos_core::fault::Reach::Target,
            revert_budget: seconds(1),
            latent: false,
            second_net: String::new(),
            notes: vec![],
            undo: vec![],
            bystanders: chaos_core::fault::Bystanders::default(),
        };
        super::Ready { planned, claims: vec!["net:4026/eth0/out".to_owned()], undo: serde_json::Value::Null }
    };
    let (first, second) = (ready(first, 0), ready(second, 1));
    let faults = chaos_host::faults(&std::sync::Arc::new(chaos_host::Host::new("test")));
    let mut overlaps = super::Overlaps::new(&faults);
    let refusal = overlaps.none(&[&first, &second]).expect_err("they overlap");
    assert_eq!(overlaps.none(&[&first, &second]), Ok(()), "told once");
    refusal
}

#[test]
fn rule_8_two_faults_on_one_thing_are_both_named_and_refused() {
    let refusal = overlapping("cpu.limit", "cpu.burn", [1, 1]);
    assert_eq!(refusal.path, "method[0].parallel[1].inject");
    assert_eq!(refusal.message, "cpu.burn and cpu.limit (method[0].parallel[0]) would act at once on replica 1");
    assert_eq!(refusal.hint.as_deref(), Some("let them run one after the other, or pick different targets"));
    let refusal = overlapping("cpu.limit", "cpu.limit", [1, 2]);
    assert!(refusal.message.ends_with("would act at once on net:4026/eth0/out (replica 1 and replica 2)"), "{refusal:?}");
}
