//! The engine answers late, and acts late: after whoever asked has died, or given up.

use std::time::Duration;

use chaos_testbed::{Engine, Late};
use rustix::process::Signal;

use super::{FROZEN, Shop, engine, kill};
use crate::scaffold::{Program, until};

/// A run whose request to freeze is on its way, and will arrive so late.
fn asked<'e>(engine: &'e Engine, delay: Duration) -> (Shop<'e>, Late, Program) {
    let shop = Shop::new(engine);
    let late = engine.late("POST /pause", delay);
    let mut run = shop.start_through(&late.endpoint(), FROZEN);
    run.until("the request is on its way", || late.held() == 1);
    (shop, late, run)
}

/// The request has landed, and its effect is gone.
#[track_caller]
fn let_go(shop: &Shop<'_>, late: &Late) {
    assert_eq!((late.held(), late.landed()), (1, 1), "nothing is on its way");
    shop.assert_as_before(&[]);
}

const SOON: Duration = Duration::from_secs(4);

#[test]
fn rule_01_a_request_that_lands_after_everybody_died_is_taken_back() {
    let Some(engine) = engine("rule_01_a_request_that_lands_after_everybody_died_is_taken_back") else { return };
    let (shop, late, run) = asked(engine, SOON);
    shop.kill_both(&run);
    run.wait();
    shop.recover(0);
    let_go(&shop, &late);
}

#[test]
fn rule_01_a_request_that_lands_after_the_executor_died_is_taken_back() {
    let Some(engine) = engine("rule_01_a_request_that_lands_after_the_executor_died_is_taken_back") else { return };
    let (shop, late, run) = asked(engine, SOON);
    kill(shop.executor());
    run.wait().expect(5);
    let_go(&shop, &late);
}

#[test]
fn rule_01_a_request_that_lands_after_the_coordinator_died_is_taken_back() {
    let Some(engine) = engine("rule_01_a_request_that_lands_after_the_coordinator_died_is_taken_back") else { return };
    let (shop, late, run) = asked(engine, SOON);
    run.signal(Signal::KILL);
    run.wait();
    until("its executor has finished", || shop.is_finished());
    let_go(&shop, &late);
}

/// Longer than anybody waits for an answer.
#[test]
fn rule_01_a_request_that_lands_after_it_was_given_up_is_taken_back() {
    let Some(engine) = engine("rule_01_a_request_that_lands_after_it_was_given_up_is_taken_back") else { return };
    let (shop, late, run) = asked(engine, Duration::from_secs(20));
    let outcome = run.wait();
    assert!(![0, 1, 7].contains(&outcome.exit), "{outcome:?}");
    let_go(&shop, &late);
}
