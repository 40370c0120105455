//! What bears our mark in the networks of this host: tables of nftables, devices, and the filters that lead there.

use std::collections::BTreeSet;
use std::path::Path;

use super::Found;
use crate::cgroup::quoted;
use crate::net::leaf::{self, Stray};
use crate::net::namespace::{Entrance, everywhere};
use crate::net::netlink::{Protocol, Socket};
use crate::net::nftables::{self, Standing};
use crate::process::Snapshot;

/// In every network namespace that we may enter.
pub(super) fn all(snapshot: &Snapshot) -> Vec<Found> {
    everywhere(snapshot).iter().flat_map(|place| [tables_in(place), leaves_in(place)].concat()).collect()
}

/// The tables of nftables in a network namespace. Where we may not look, there is nothing that we could have made.
fn tables_in(place: &Entrance) -> Vec<Found> {
    let listed = place.namespace.run(|| nftables::open().and_then(|mut socket| nftables::ours(&mut socket)));
    let tables = listed.ok().and_then(Result::ok).unwrap_or_default();
    let found = |table: &Standing| {
        let whose = if table.is_owned() { ", which goes with the process that holds it" } else { "" };
        Some(Found {
            run: run_of(&table.name)?.to_owned(),
            what: format!("the table {} of nftables in net:[{}]{whose}", table.name, place.namespace.inode),
            remove: vec![format!("{} nft delete table inet {}", place.way_in, quoted(Path::new(&table.name)))],
            stamps: Vec::new(),
        })
    };
    tables.iter().filter_map(found).collect()
}

/// Devices and filters, by tag: filters are removed first, for what is sent to a device that is gone is lost.
fn leaves_in(place: &Entrance) -> Vec<Found> {
    let listed = place.namespace.run(|| Socket::open(Protocol::Route).map(|mut socket| leaf::strays(&mut socket)));
    let strays: Vec<Stray> = listed.ok().and_then(Result::ok).unwrap_or_default();
    let tags: BTreeSet<&str> = strays.iter().map(|s| s.tag.as_str()).collect();
    let found = |tag: &str| {
        let own: Vec<&Stray> = strays.iter().filter(|s| s.tag == tag).collect();
        let names: Vec<&str> = own.iter().map(|s| s.what.as_str()).collect();
        Some(Found {
            run: run_of(tag)?.to_owned(),
            what: format!("{} in net:[{}]", names.join(", "), place.namespace.inode),
            remove: own.iter().map(|s| format!("{} {}", place.way_in, s.remove)).collect(),
            stamps: Vec::new(),
        })
    };
    tags.into_iter().filter_map(found).collect()
}

/// The run that a tag is of.
fn run_of(tag: &str) -> Option<&str> {
    Some(tag.strip_prefix("chaos-")?.rsplit_once('-')?.0)
}
