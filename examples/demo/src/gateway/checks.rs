//! The health checks: one task a replica, so that a frozen one delays nobody else's check.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Check, Gateway, Upstream, rotation::Move};
use crate::{
    kserve::{self, InferResponse},
    notice,
    values::Place,
};

/// Each replica is checked this often.
const EVERY: Duration = Duration::from_millis(500);

/// A check that takes longer has failed.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Starts the checks, and the search for replicas where they have a name in common; all end with the runtime.
pub(super) fn start(gateway: &Arc<Gateway>, named: Option<Place>) {
    for number in 0..gateway.rotation.count() {
        tokio::spawn(watch(Arc::clone(gateway), number));
    }
    if let Some(name) = named {
        tokio::spawn(find(Arc::clone(gateway), name));
    }
}

/// Adds whatever bears the name. What no longer bears it stays: the checks keep it out of rotation, and it may come back.
async fn find(gateway: Arc<Gateway>, name: Place) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for address in name.addresses().await.unwrap_or_default() {
            if let Some(number) = gateway.rotation.add(address) {
                notice::say("gateway", format_args!("{address} was found as a replica"));
                tokio::spawn(watch(Arc::clone(&gateway), number));
            }
        }
    }
}

async fn watch(gateway: Arc<Gateway>, number: usize) {
    let upstream = gateway.rotation.upstream(number);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let outcome = match timeout(TIMEOUT, check(gateway.check, &upstream)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
        };
        let why = outcome.as_ref().err().cloned().unwrap_or_default();
        let address = upstream.address();
        match gateway.rotation.checked(number, outcome) {
            None => {}
            Some(Move::In) => notice::say("gateway", format_args!("{address} is back in rotation")),
            Some(Move::Out) => {
                notice::say("gateway", format_args!("{address} is out of rotation: {why}"));
            }
        }
    }
}

async fn check(check: Check, upstream: &Upstream) -> Result<(), String> {
    match check {
        Check::Shallow => TcpStream::connect(upstream.address()).await.map(drop).map_err(|error| error.to_string()),
        Check::Deep => infer(upstream).await,
    }
}

/// Asks what users ask, over a connection of its own.
async fn infer(upstream: &Upstream) -> Result<(), String> {
    let question = Bytes::from_static(br#"{"inputs":[]}"#);
    let (status, body) = upstream.ask_anew(Method::POST, kserve::INFER, question).await.map_err(|broken| broken.to_string())?;
    let score = || serde_json::from_slice::<InferResponse>(&body).ok()?.score();
    match (status, score()) {
        (StatusCode::OK, Some(_)) => Ok(()),
        (StatusCode::OK, None) => Err("an answer without a score".into()),
        (status, _) => Err(format!("it answered {status}")),
    }
}
