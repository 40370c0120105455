//! Targets that are proxies.

use std::net::{SocketAddr, ToSocketAddrs};

use chaos_core::SpecError;
use chaos_core::literal::Address;
use chaos_core::target::{
    Facets, Identity, Population, ProxyFacet, ResolveContext, ResolveError, Target, TargetKind, TargetKindProfile, TargetKindTable,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::{ControlError, State, place, state};
use crate::toxic::Speaks;

/// Every kind of target that is a proxy.
#[must_use]
pub fn target_kinds() -> TargetKindTable {
    TargetKindTable::new().with(Proxy)
}

/// `proxy`: a proxy that an application is pointed at.
struct Proxy;

/// Where a proxy listens and what it stands before.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Selector {
    /// Where the proxy listens: what the application is pointed at.
    listen: Address,
    /// What it stands before: what the application would use without it.
    upstream: Address,
    /// What it understands. Toxics on bytes and connections work with any.
    #[serde(default)]
    speaks: Speaks,
}

impl TargetKind for Proxy {
    type Selector = Selector;
    const KIND: &'static str = "proxy";

    fn profile(&self) -> TargetKindProfile {
        TargetKindProfile {
            summary: "a fault proxy between an application and what it uses",
            about: "One member: the proxy that listens there. It passes bytes on until a fault acts on them, and needs no root. What it does \
                not understand of the protocol that it `speaks` passes unchanged, TLS among it. The run starts it before everything else and \
                ends it after everything else, unless a `chaos proxy` of the same user listens there already, with the same upstream.",
            example: "store: {proxy: {listen: 127.0.0.1:6390, upstream: 127.0.0.1:6379, speaks: redis}}",
        }
    }

    fn check(&self, selector: &Selector) -> Vec<SpecError> {
        if selector.listen == selector.upstream {
            return vec![
                SpecError::new("upstream", "the proxy would stand before itself").hint("`listen` is where the application connects"),
            ];
        }
        Vec::new()
    }

    async fn resolve(&self, selector: &Selector, _context: &ResolveContext) -> Result<Population, ResolveError> {
        let listen = address_of(&selector.listen)?;
        let control = place(listen);
        match state(&control) {
            Ok(found) => {
                is_meant(&found, selector)?;
                Ok(vec![member(listen, selector, control)])
            }
            Err(ControlError::Gone(_)) => Err(ResolveError::nothing(format!("no proxy of this user listens on {listen}"))
                .hint(format!("`chaos proxy --listen {listen} --upstream {}` starts one", selector.upstream))),
            Err(error) => Err(ResolveError::new(error.to_string())),
        }
    }
}

fn address_of(listen: &Address) -> Result<SocketAddr, ResolveError> {
    let found = (listen.host(), listen.port()).to_socket_addrs().map(|mut all| all.next());
    found.ok().flatten().ok_or_else(|| ResolveError::new(format!("{listen} has no address")))
}

/// The proxy that stands is the one that is meant.
fn is_meant(found: &State, selector: &Selector) -> Result<(), ResolveError> {
    let upstream = selector.upstream.to_string();
    if found.upstream.as_ref() == Some(&upstream) && found.speaks == selector.speaks {
        return Ok(());
    }
    let before = found.upstream.as_deref().unwrap_or("what each connection was going to");
    Err(ResolveError::new(format!(
        "the proxy on {} (pid {}) stands before {before} and speaks {}, not {upstream} and {}",
        found.listen,
        found.pid,
        found.speaks.word(),
        selector.speaks.word()
    ))
    .hint("stop it, or name it as it is"))
}

fn member(listen: SocketAddr, selector: &Selector, control: std::path::PathBuf) -> Target {
    let facet = ProxyFacet {
        listen: listen.to_string(),
        upstream: Some(selector.upstream.to_string()),
        speaks: selector.speaks.word().to_owned(),
        control,
    };
    Target {
        identity: Identity(format!("proxy:{listen}")),
        label: format!("proxy {listen} before {}", selector.upstream),
        place: "here".into(),
        order: listen.to_string(),
        healthy: true,
        started: 0,
        groups: std::collections::BTreeMap::new(),
        facets: Facets { proxy: Some(facet), ..Facets::default() },
    }
}
