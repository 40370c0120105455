//! Containers of every sort: without a shell, with nothing that can be written, with users of their own.

use chaos_testbed::{Engine, EngineTwin, Payload};

use super::{Shop, engine, own_engine};

/// Frozen by the engine and from its host, burdened from its host, cut off, stopped and started again.
const EVERY_WAY: &str = "[{inject: container.pause, into: shop, for: 300ms}, {inject: process.pause, into: shop, for: 300ms}, \
    {inject: cpu.burn, into: shop, with: {cores: 1, load: 10%}, for: 300ms}, {inject: container.disconnect, into: shop, for: 300ms}, \
    {inject: container.stop, into: shop, with: {grace: 1s}, for: 300ms}]";

/// Others take addresses that were not asked for by whoever started the container.
const DRAWN: &[&str] = &["State.ExitCode", "IPAddress", "MacAddress"];

#[track_caller]
fn every_way(shop: &Shop<'_>) {
    // Without a limit of its own, it shares the processors with everybody.
    let text = shop.text(EVERY_WAY).blast_radius("{duration: 5m, reach: [host], targets: {shop: {at_most: 1, share: 100%}}}");
    shop.start_text(&shop.engine.endpoint(), &text).wait().expect(0).says("inspection found nothing left");
    shop.assert_as_before(&[EngineTwin::STARTED, DRAWN].concat());
}

#[test]
fn a_container_without_a_shell_is_harmed_and_found_as_it_was() {
    let Some(engine) = engine("a_container_without_a_shell_is_harmed_and_found_as_it_was") else { return };
    let image = Engine::unique("bare");
    engine.image(&image, &Payload::new().with_program("/bin/sleep"));
    let shop = Shop::of(engine, 1, &[], &[&image, "/bin/sleep", "1000"]);
    assert!(engine.try_docker(&["exec", shop.name(), "sh"]).is_err(), "it has no shell");
    every_way(&shop);
}

#[test]
fn a_container_that_cannot_write_is_harmed_and_found_as_it_was() {
    let Some(engine) = engine("a_container_that_cannot_write_is_harmed_and_found_as_it_was") else { return };
    let shop = Shop::of(engine, 1, &["--read-only", "--cap-drop", "ALL"], &[Engine::BUSYBOX, "sleep", "1000"]);
    every_way(&shop);
}

#[test]
fn a_container_with_users_of_its_own_is_harmed_and_found_as_it_was() {
    let test = "a_container_with_users_of_its_own_is_harmed_and_found_as_it_was";
    let Some(engine) = own_engine(test, &["--userns-remap=nobody:nogroup"]) else { return };
    let shop = Shop::new(&engine);
    every_way(&shop);
}
