//! The proxies that the API knows, and what it does to them.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use chaos_core::SpecError;
use chaos_core::literal::Address;
use serde::Serialize;
use serde_json::Map;

use super::form::{ProxyForm, ProxyInput, ToxicForm, ToxicInput, ToxicUpdate};
use super::toxic::Toxic;
use crate::engine::{Engine, Proxy, ProxyConfig, Tls, Upstream};
use crate::toxic::Speaks;

/// Why the API refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What happened.
    #[serde(rename = "error")]
    pub message: String,
    /// The status of the answer.
    pub status: u16,
    /// What the system said, where it was asked.
    #[serde(skip)]
    pub kind: io::ErrorKind,
}

impl ApiError {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { message: message.into(), status, kind: io::ErrorKind::Other }
    }

    pub(super) fn bad_body(why: impl std::fmt::Display) -> Self {
        Self::new(400, format!("bad request body: {why}"))
    }

    fn missing(field: impl std::fmt::Display) -> Self {
        Self::new(400, format!("missing required field: {field}"))
    }

    fn no_proxy() -> Self {
        Self::new(404, "proxy not found")
    }

    fn no_toxic() -> Self {
        Self::new(404, "toxic not found")
    }
}

/// A proxy as it is declared, before it stands.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Where it listens: `127.0.0.1:6390`, `localhost:0`, `:6390`.
    pub listen: String,
    /// What it stands before: `127.0.0.1:6379`.
    pub upstream: String,
    /// What it speaks.
    pub speaks: Speaks,
    /// Where TLS ends, if it does.
    pub tls: Option<Tls>,
    /// Does it stand from the beginning?
    pub enabled: bool,
}

impl Declared {
    /// What the engine is to open.
    fn config(&self) -> Result<ProxyConfig, ApiError> {
        let upstream: Address = self.upstream.parse().map_err(|e| ApiError::bad_body(format!("upstream: {e}")))?;
        Ok(ProxyConfig { listen: resolved(&self.listen)?, upstream: Upstream::Fixed(upstream), speaks: self.speaks })
    }
}

/// The proxies that the API knows.
pub struct Collection {
    engine: Engine,
    proxies: BTreeMap<String, Entry>,
}

struct Entry {
    declared: Declared,
    toxics: Vec<Toxic>,
    standing: Option<Arc<Proxy>>,
}

impl Collection {
    /// None yet.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, proxies: BTreeMap::new() }
    }

    /// Adds a proxy; it listens when this returns, and where: the port is the one that the kernel gave, if none was asked for.
    ///
    /// # Errors
    /// If there is one of that name, or it cannot listen.
    pub fn add(&mut self, declared: Declared) -> Result<Option<SocketAddr>, ApiError> {
        if self.proxies.contains_key(&declared.name) {
            return Err(ApiError::new(409, "proxy already exists"));
        }
        let mut entry = Entry { declared, toxics: Vec::new(), standing: None };
        entry.begin(&self.engine)?;
        let listen = entry.standing.as_ref().map(|proxy| proxy.listen());
        self.proxies.insert(entry.declared.name.clone(), entry);
        Ok(listen)
    }

    pub(super) fn all(&self) -> BTreeMap<&str, ProxyForm> {
        self.proxies.iter().map(|(name, entry)| (name.as_str(), entry.form())).collect()
    }

    pub(super) fn show(&self, name: &str) -> Result<ProxyForm, ApiError> {
        self.proxies.get(name).map(Entry::form).ok_or_else(ApiError::no_proxy)
    }

    pub(super) fn create(&mut self, input: ProxyInput) -> Result<ProxyForm, ApiError> {
        let name = input.name.clone();
        self.add(declared(input, "")?)?;
        self.show(&name)
    }

    /// Creates or replaces proxies, in their order, until one cannot be. What is as it is asked for stays, with its connections.
    pub(super) fn populate(&mut self, inputs: Vec<ProxyInput>) -> (Vec<ProxyForm>, Option<ApiError>) {
        let numbered = inputs.into_iter().enumerate();
        let all: Result<Vec<Declared>, ApiError> = numbered.map(|(n, input)| declared(input, &format!(" at proxy {}", n + 1))).collect();
        let mut done = Vec::new();
        let all = match all {
            Ok(all) => all,
            Err(error) => return (done, Some(error)),
        };
        for wanted in all {
            let name = wanted.name.clone();
            let replaced = self.replace(wanted);
            match replaced.and_then(|()| self.show(&name)) {
                Ok(form) => done.push(form),
                Err(error) => return (done, Some(error)),
            }
        }
        (done, None)
    }

    fn replace(&mut self, wanted: Declared) -> Result<(), ApiError> {
        match self.proxies.get_mut(&wanted.name) {
            Some(entry) if entry.differs(&wanted.listen, &wanted.upstream) => entry.become_other(wanted, Vec::new(), &self.engine),
            Some(_) => Ok(()),
            None => self.add(wanted).map(|_| ()),
        }
    }

    pub(super) fn update(&mut self, name: &str, input: &ProxyInput) -> Result<ProxyForm, ApiError> {
        let engine = &self.engine;
        let entry = self.proxies.get_mut(name).ok_or_else(ApiError::no_proxy)?;
        let listen = input.listen.clone().unwrap_or_else(|| entry.declared.listen.clone());
        let upstream = input.upstream.clone().unwrap_or_else(|| entry.declared.upstream.clone());
        let enabled = input.enabled.unwrap_or(entry.standing.is_some());
        if entry.differs(&listen, &upstream) {
            let wanted = Declared { listen, upstream, enabled, ..entry.declared.clone() };
            entry.become_other(wanted, entry.toxics.clone(), engine)?;
        } else if !enabled {
            entry.stop(engine);
        } else if entry.standing.is_none() {
            entry.start(engine)?;
        }
        Ok(entry.form())
    }

    pub(super) fn delete(&mut self, name: &str) -> Result<(), ApiError> {
        let mut entry = self.proxies.remove(name).ok_or_else(ApiError::no_proxy)?;
        entry.stop(&self.engine);
        Ok(())
    }

    /// Every proxy stands, and nothing that came by the API is in force.
    pub(super) fn reset(&mut self) -> Result<(), ApiError> {
        for entry in self.proxies.values_mut() {
            if entry.standing.is_none() {
                entry.start(&self.engine)?;
            }
            for toxic in std::mem::take(&mut entry.toxics) {
                entry.disarm(&toxic);
            }
        }
        Ok(())
    }

    pub(super) fn toxics(&self, proxy: &str) -> Result<Vec<ToxicForm>, ApiError> {
        self.proxies.get(proxy).map(Entry::toxic_forms).ok_or_else(ApiError::no_proxy)
    }

    pub(super) fn toxic(&self, proxy: &str, name: &str) -> Result<ToxicForm, ApiError> {
        let entry = self.proxies.get(proxy).ok_or_else(ApiError::no_proxy)?;
        entry.toxics.iter().find(|t| t.name == name).map(Toxic::form).ok_or_else(ApiError::no_toxic)
    }

    pub(super) fn add_toxic(&mut self, proxy: &str, input: ToxicInput) -> Result<ToxicForm, ApiError> {
        let entry = self.proxies.get_mut(proxy).ok_or_else(ApiError::no_proxy)?;
        let toxic = Toxic::new(input)?;
        if entry.toxics.iter().any(|t| t.name == toxic.name) {
            return Err(ApiError::new(409, "toxic already exists"));
        }
        entry.arm(&toxic)?;
        let form = toxic.form();
        entry.toxics.push(toxic);
        Ok(form)
    }

    pub(super) fn update_toxic(&mut self, proxy: &str, name: &str, update: &ToxicUpdate) -> Result<ToxicForm, ApiError> {
        let entry = self.proxies.get_mut(proxy).ok_or_else(ApiError::no_proxy)?;
        let at = entry.toxics.iter().position(|t| t.name == name).ok_or_else(ApiError::no_toxic)?;
        let toxic = entry.toxics[at].updated(update)?;
        entry.exchange(&entry.toxics[at], &toxic)?;
        let form = toxic.form();
        entry.toxics[at] = toxic;
        Ok(form)
    }

    pub(super) fn delete_toxic(&mut self, proxy: &str, name: &str) -> Result<(), ApiError> {
        let entry = self.proxies.get_mut(proxy).ok_or_else(ApiError::no_proxy)?;
        let at = entry.toxics.iter().position(|t| t.name == name).ok_or_else(ApiError::no_toxic)?;
        let toxic = entry.toxics.remove(at);
        entry.disarm(&toxic);
        Ok(())
    }
}

impl Entry {
    fn form(&self) -> ProxyForm {
        ProxyForm {
            name: self.declared.name.clone(),
            listen: self.declared.listen.clone(),
            upstream: self.declared.upstream.clone(),
            enabled: self.standing.is_some(),
            logger: Map::new(),
            toxics: self.toxic_forms(),
        }
    }

    /// Those on the way to the upstream come first.
    fn toxic_forms(&self) -> Vec<ToxicForm> {
        let to_upstream = self.toxics.iter().filter(|t| t.is_upstream());
        to_upstream.chain(self.toxics.iter().filter(|t| !t.is_upstream())).map(Toxic::form).collect()
    }

    /// Stands, where it is to stand from the beginning.
    fn begin(&mut self, engine: &Engine) -> Result<(), ApiError> {
        if self.declared.enabled { self.start(engine) } else { self.declared.config().map(|_| ()) }
    }

    fn start(&mut self, engine: &Engine) -> Result<(), ApiError> {
        let config = self.declared.config()?;
        let listen = config.listen;
        let proxy = engine
            .open_with(config, self.declared.tls.clone())
            .map_err(|e| ApiError { kind: e.kind(), ..ApiError::new(500, format!("listen tcp {listen}: {e}")) })?;
        self.declared.listen = proxy.listen().to_string();
        self.standing = Some(proxy);
        self.toxics.iter().try_for_each(|toxic| self.arm(toxic))
    }

    /// Becomes another proxy of its name, or, where that cannot stand, stays what it is.
    fn become_other(&mut self, declared: Declared, toxics: Vec<Toxic>, engine: &Engine) -> Result<(), ApiError> {
        let mut other = Self { declared, toxics, standing: None };
        let wanted = other.declared.config()?;
        // On one port only one of them can stand. Otherwise no connection ends before it is certain that the other does.
        let in_its_way = self.standing.as_ref().is_some_and(|proxy| proxy.listen().port() == wanted.listen.port());
        if in_its_way {
            self.stop(engine);
        }
        match other.begin(engine) {
            Ok(()) => {
                self.stop(engine);
                *self = other;
                Ok(())
            }
            Err(error) => {
                other.stop(engine);
                if in_its_way {
                    self.start(engine)?;
                }
                Err(error)
            }
        }
    }

    fn stop(&mut self, engine: &Engine) {
        if let Some(proxy) = self.standing.take() {
            engine.close(&proxy);
        }
    }

    fn differs(&self, listen: &str, upstream: &str) -> bool {
        let same_place = listen == self.declared.listen || resolved(listen).is_ok_and(|l| resolved(&self.declared.listen) == Ok(l));
        !same_place || upstream != self.declared.upstream
    }

    fn arm(&self, toxic: &Toxic) -> Result<(), ApiError> {
        let (kind, with) = toxic.fault();
        self.standing.as_ref().map_or(Ok(()), |proxy| proxy.arm(&id(toxic), kind, &with)).map_err(refused)
    }

    fn disarm(&self, toxic: &Toxic) {
        if let Some(proxy) = &self.standing {
            proxy.disarm(&id(toxic));
        }
    }

    /// One toxic becomes another of its name.
    fn exchange(&self, old: &Toxic, new: &Toxic) -> Result<(), ApiError> {
        let Some(proxy) = &self.standing else { return Ok(()) };
        let (kind, with) = new.fault();
        if old.fault().0 == kind {
            return proxy.adjust(&id(new), &with).map_err(refused);
        }
        proxy.disarm(&id(old));
        proxy.arm(&id(new), kind, &with).map_err(refused)
    }
}

/// By which the engine knows a toxic of the API.
fn id(toxic: &Toxic) -> String {
    format!("toxiproxy-{}", toxic.name)
}

fn refused(error: SpecError) -> ApiError {
    let path = if error.path.is_empty() { String::new() } else { format!("{}: ", error.path) };
    ApiError::bad_body(format!("{path}{}", error.message))
}

fn declared(input: ProxyInput, at: &str) -> Result<Declared, ApiError> {
    if input.name.is_empty() {
        return Err(ApiError::missing(format!("name{at}")));
    }
    let upstream = input.upstream.filter(|u| !u.is_empty()).ok_or_else(|| ApiError::missing(format!("upstream{at}")))?;
    let listen = input.listen.unwrap_or_default();
    Ok(Declared { name: input.name, listen, upstream, speaks: Speaks::Tcp, tls: None, enabled: input.enabled.unwrap_or(true) })
}

/// Where to listen. No host means every address of this machine, no port one that the kernel gives.
fn resolved(listen: &str) -> Result<SocketAddr, ApiError> {
    let (host, port) = listen.rsplit_once(':').unwrap_or((listen, "0"));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "::" } else { host };
    let failed = |why: &dyn std::fmt::Display| ApiError::new(500, format!("listen tcp {listen}: {why}"));
    let port: u16 = port.parse().map_err(|_| failed(&format!("{port} is no port")))?;
    let mut all = (host, port).to_socket_addrs().map_err(|e| failed(&e))?;
    all.next().ok_or_else(|| failed(&"no such host"))
}
