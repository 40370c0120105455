//! Every fault of the table, by the table: a fault without a scene fails here.

mod scenes;

use std::sync::Arc;

use chaos_core::conformance::{Scene, check};
use chaos_proxy::{Proxies, faults};

#[test]
fn every_fault_of_the_table_keeps_the_contract() {
    let table = &faults(&Arc::new(Proxies::new()));
    // Looking is mostly waiting: side by side, a thread each.
    std::thread::scope(|scope| {
        for fault in table.iter() {
            let kind = fault.kind();
            let stage = scene_for(kind).unwrap_or_else(|| panic!("{kind} has no scene in this test: every fault of the table is checked"));
            std::thread::Builder::new()
                .name(kind.to_owned())
                .spawn_scoped(scope, move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                    runtime.block_on(check(table, fault, &stage));
                })
                .expect("a thread");
        }
    });
}

/// Scenes by the level on which a toxic acts, one file each.
fn scene_for(kind: &str) -> Option<fn() -> Scene> {
    let levels = [scenes::tcp::scene_for, scenes::http::scene_for, scenes::redis::scene_for, scenes::postgres::scene_for];
    levels.into_iter().find_map(|scene_for| scene_for(kind))
}
