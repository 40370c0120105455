//! The proxies of this host as a world: what is in force on them is held by connections of ours.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chaos_core::World;
use chaos_core::clock::Boot;
use serde_json::Value;

use crate::control::{Answer, Ask, ControlError, Lifeline, State, ask, state};

/// The proxies that one executor uses. Every toxic of ours is in force for as long as this lives.
#[derive(Default)]
pub struct Proxies {
    view: ProxiesView,
    /// By the id of what was armed.
    held: Mutex<BTreeMap<String, Lifeline>>,
}

/// What can be read of proxies.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProxiesView;

impl Proxies {
    /// None is known yet: each is found by the control socket that its target names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn arm(&self, control: &Path, id: &str, kind: &str, with: &Value, until: Boot) -> Result<(), ControlError> {
        let lifeline = Lifeline::open(control)?;
        lifeline.ask(&Ask::Arm { id: id.to_owned(), kind: kind.to_owned(), with: with.clone(), until: Some(until) })?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), lifeline);
        Ok(())
    }

    pub(crate) fn adjust(&self, control: &Path, id: &str, with: &Value) -> Result<Answer, ControlError> {
        ask(control, &Ask::Adjust { id: id.to_owned(), with: with.clone() })
    }

    /// Takes a toxic back. A proxy that is gone has none.
    pub(crate) fn disarm(&self, control: &Path, id: &str) -> Result<(), ControlError> {
        let done = match ask(control, &Ask::Disarm { id: id.to_owned() }) {
            Ok(_) | Err(ControlError::Gone(_)) => Ok(()),
            Err(error) => Err(error),
        };
        // Even a proxy that does not answer sees this.
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        done
    }
}

impl World for Proxies {
    type View = ProxiesView;

    fn view(&self) -> &ProxiesView {
        &self.view
    }
}

impl ProxiesView {
    /// What the proxy of this control socket is, and what is in force on it.
    pub(crate) fn state(self, control: &Path) -> Result<State, ControlError> {
        state(control)
    }
}
