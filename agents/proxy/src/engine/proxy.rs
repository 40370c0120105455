//! One proxy: where it listens, what it stands before, and what is in force on it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chaos_core::SpecError;
use chaos_core::clock::Mono;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::live::{Armory, Unreachable};
use super::tls::Tls;
use super::upstream::Upstream;
use crate::catalogue;
use crate::engine::chance::seed_of;
use crate::toxic::{ArmedToxic, Speaks};

/// How many toxics a proxy takes at most.
pub(crate) const MOST_TOXICS: usize = 256;
/// How long an id may be.
const LONGEST_ID: usize = 256;

/// What the next toxic is known by within this process.
static SERIALS: AtomicU64 = AtomicU64::new(0);

/// One proxy of an engine.
pub struct Proxy {
    pub(crate) listen: SocketAddr,
    pub(crate) listen_v6: Option<SocketAddr>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) speaks: Speaks,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) armory: Arc<Armory>,
    /// What listens: at its address, and at its control socket.
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// How long closing waits for what listens; it ends at once unless this process is starved.
const CLOSING: Duration = Duration::from_secs(2);

impl Proxy {
    /// Where it listens. The port is the one that the kernel gave, if none was asked for.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where it listens for redirected connections of IPv6 as well, if it stands before whatever they were going to.
    #[must_use]
    pub fn listen_v6(&self) -> Option<SocketAddr> {
        self.listen_v6
    }

    /// What it stands before.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What it speaks.
    #[must_use]
    pub fn speaks(&self) -> Speaks {
        self.speaks
    }

    /// Does TLS end here?
    #[must_use]
    pub fn ends_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.armory.connections.load(Ordering::Relaxed)
    }

    /// The connections that it accepted and could not lead to the upstream, if there were any: it is down, or has no address.
    #[must_use]
    pub fn unreachable(&self) -> Option<Unreachable> {
        self.armory.unreachable()
    }

    /// What is in force, in the order in which it was armed.
    #[must_use]
    pub fn toxics(&self) -> Vec<Arc<ArmedToxic>> {
        self.armory.toxics()
    }

    /// Puts a toxic in force, on open connections too.
    ///
    /// # Errors
    /// If the kind or its fields are not valid, this proxy does not speak what it needs, the id is taken, or there are too many.
    pub fn arm(&self, id: &str, kind: &str, with: &Value) -> Result<(), SpecError> {
        if id.is_empty() || id.len() > LONGEST_ID {
            return Err(SpecError::new("", format!("an id has 1 to {LONGEST_ID} bytes")));
        }
        let toxic = self.made(id, kind, with)?;
        self.armory.change(|toxics| {
            if toxics.iter().any(|t| t.id == id) {
                return Err(SpecError::new("", format!("a toxic `{id}` is in force already")));
            }
            if toxics.len() >= MOST_TOXICS {
                return Err(SpecError::new("", format!("{MOST_TOXICS} toxics are in force already")));
            }
            toxics.push(Arc::new(toxic));
            Ok(())
        })
    }

    /// Gives a toxic in force other fields.
    ///
    /// # Errors
    /// If the fields are not valid, or none of that id is in force.
    pub fn adjust(&self, id: &str, with: &Value) -> Result<(), SpecError> {
        let missing = || SpecError::new("", format!("no toxic `{id}` is in force"));
        let kind = self.armory.toxics().iter().find(|t| t.id == id).map(|t| t.kind).ok_or_else(missing)?;
        let toxic = self.made(id, kind, with)?;
        self.armory.change(|toxics| {
            let before = toxics.iter_mut().find(|t| t.id == id).ok_or_else(missing)?;
            *before = Arc::new(ArmedToxic {
                serial: before.serial,
                generation: before.generation + 1,
                since: before.since,
                first_new: before.first_new,
                unreachable_before: before.unreachable_before,
                hits: Arc::clone(&before.hits),
                ..toxic
            });
            Ok(())
        })
    }

    /// Takes a toxic back, from open connections too. False: none of that id was in force.
    pub fn disarm(&self, id: &str) -> bool {
        self.armory.change(|toxics| {
            let before = toxics.len();
            toxics.retain(|t| t.id != id);
            toxics.len() != before
        })
    }

    pub(crate) async fn closed(&self) {
        self.armory.closed().await;
    }

    /// Waits until nothing listens any more.
    pub(crate) fn wait_until_closed(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let until = Mono::now().plus(CLOSING);
        while !tasks.iter().all(JoinHandle::is_finished) && Mono::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn made(&self, id: &str, kind: &str, with: &Value) -> Result<ArmedToxic, SpecError> {
        let made = catalogue::make(kind, with, self.speaks)?;
        Ok(ArmedToxic {
            id: id.to_owned(),
            kind: made.kind,
            with: with.clone(),
            seed: seed_of(id),
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            generation: 0,
            since: Mono::now(),
            first_new: self.connections(),
            unreachable_before: self.unreachable().map_or(0, |u| u.connections),
            connections: made.connections,
            act: made.act,
            hits: Arc::new(AtomicU64::new(0)),
        })
    }
}
