//! Many containers at once.

use super::{Shop, engine, kill};

/// `CHAOS_TEST_CONTAINERS` says how many; to start 200 takes two cores a minute.
#[test]
fn many_containers_are_frozen_at_once_and_all_go_on() {
    let Some(engine) = engine("many_containers_are_frozen_at_once_and_all_go_on") else { return };
    let count = std::env::var("CHAOS_TEST_CONTAINERS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let shop = Shop::of(engine, count, &["--network", "none"], &[chaos_testbed::Engine::BUSYBOX, "sleep", "1000"]);
    let run = shop.frozen();
    kill(shop.executor());
    run.wait().expect(5);
    shop.assert_as_before(&[]);
}
