//! Targets that are proxies: one that an application is pointed at, or one that the kernel leads connections to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use chaos_core::SpecError;
use chaos_core::experiment::{Question, Ready, SystemProcess};
use chaos_core::expression::Expression;
use chaos_core::literal::{Address, Duration, Ports};
use chaos_core::target::{
    Facets, Identity, Population, ProxyFacet, ResolveContext, ResolveError, Target, TargetKind, TargetKindProfile, TargetKindTable,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::control::{ControlError, State, place, place_before, state};
use crate::engine::is_itself;
use crate::termination::Termination;
use crate::toxic::Speaks;

/// Every kind of target that is a proxy.
#[must_use]
pub fn target_kinds() -> TargetKindTable {
    TargetKindTable::new().with(Proxy)
}

/// `proxy`: what stands between an application and what it uses.
struct Proxy;

/// Where a proxy stands: `listen` and `upstream`, or `before`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Selector {
    /// Where the proxy listens: what the application is pointed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listen: Option<Address>,
    /// What it stands before: what the application would use without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<Address>,
    /// In place of `listen` and `upstream`: a set of processes whose connections the kernel leads through the proxy. Needs root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// With `before`: connections to these ports; the ports that the processes listen on where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ports: Option<Ports>,
    /// What it understands. Toxics on bytes and connections work with any.
    #[serde(default)]
    speaks: Speaks,
    /// End TLS here, so that faults on HTTP meet what is inside. Without it TLS passes untouched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<Termination>,
}

impl TargetKind for Proxy {
    type Selector = Selector;
    const KIND: &'static str = "proxy";

    fn profile(&self) -> TargetKindProfile {
        TargetKindProfile {
            summary: "a fault proxy between an application and what it uses",
            about: "One member: the proxy that listens there. It passes bytes on until a fault acts on them, and needs no root. What it does \
                not understand of the protocol that it `speaks` passes unchanged, TLS among it unless `tls` says that it ends here. The run starts it before everything else and \
                ends it after everything else, unless a `chaos proxy` of the same user listens there already, with the same upstream.\n\n\
                With `before` the application is not pointed anywhere: in the network namespace of these processes the kernel leads \
                connections to `ports` to the proxy, which passes them on to where they were going. Connections that exist already go on as \
                they are, and meet no fault. The redirect belongs to the proxy's process: when that dies, however it dies, connections go \
                where they always went. One member for each network namespace.",
            example: "store: {proxy: {listen: 127.0.0.1:6390, upstream: 127.0.0.1:6379, speaks: redis}}",
        }
    }

    fn check(&self, selector: &Selector) -> Vec<SpecError> {
        let Selector { listen, upstream, before, ports, speaks, tls } = selector;
        let error = |path: &str, message: &str, hint: &str| vec![SpecError::new(path, message).hint(hint)];
        if let Some(tls) = tls {
            if before.is_some() {
                return error(
                    "tls",
                    "TLS ends only at a proxy that is connected to",
                    "give it `listen` and `upstream` instead of `before`",
                );
            }
            if !speaks.is_http() {
                return error("tls", "TLS ends only at a proxy that understands HTTP", "`speaks: http`, or `sse`, or `s3`");
            }
            if let Some((field, why)) = tls.contradiction() {
                return vec![SpecError::new(format!("tls.{field}"), why)];
            }
        }
        match (listen, upstream, before, ports) {
            (Some(listen), Some(upstream), None, None) if is_itself(listen, upstream) => {
                error("upstream", "the proxy would stand before itself", "`listen` is where the application connects")
            }
            (Some(_), Some(_), None, None) | (None, None, Some(_), _) => Vec::new(),
            (Some(_), None, None, _) => error("", "`upstream` is missing", "what the application would use without the proxy"),
            (None, Some(_), None, _) => {
                error("", "`listen` is missing", "where the application is to connect, for example `127.0.0.1:6390`")
            }
            (None, None, None, _) => {
                error("", "nothing says where the proxy stands", "`listen` and `upstream`, or `before` a set of processes")
            }
            (_, _, None, Some(_)) => error("ports", "`ports` says which connections `before` means", "leave it out"),
            (_, _, Some(_), _) => error("before", "a proxy has `listen` and `upstream`, or `before`, not both", "leave one out"),
        }
    }

    fn excludes(&self, selector: &Selector, other: &Selector) -> Option<SpecError> {
        let at = |one: &Selector| one.listen.clone().zip(one.upstream.clone());
        let ((listen, upstream), (other_listen, other_upstream)) = at(selector).zip(at(other))?;
        let what = |one: &Selector| (one.upstream.clone(), one.speaks, one.tls.clone());
        if is_itself(&listen, &other_listen) && what(selector) != what(other) {
            let message = format!("another proxy listens on {listen} already, with other words");
            return Some(SpecError::new("listen", message).hint("give each an address of its own, or describe both alike"));
        }
        let round = is_itself(&other_listen, &upstream) && is_itself(&listen, &other_upstream);
        round.then(|| {
            SpecError::new("upstream", "this proxy and another would stand before each other: connections would go round for ever")
                .hint("`upstream` is what the application would use without any proxy")
        })
    }

    fn system(&self, set: &str, selector: &Selector, context: &ResolveContext) -> Result<Vec<SystemProcess>, ResolveError> {
        if let Some(tls) = &selector.tls {
            tls.made(&context.folder).map_err(|e| ResolveError::new(format!("TLS cannot end at the proxy: {e}")))?;
        }
        let mut processes = Vec::new();
        for stand in stands(selector, context)? {
            match state(&stand.control) {
                Ok(found) => stand.is_meant(&found, selector, context)?,
                Err(ControlError::Gone(_)) => {
                    remove_what_a_dead_one_left(&stand.control);
                    let number = if processes.is_empty() { String::new() } else { format!(" {}", processes.len() + 1) };
                    processes.push(stand.process(format!("proxy of {set}{number}"), selector, context));
                }
                Err(error) => return Err(ResolveError::new(error.to_string())),
            }
        }
        Ok(processes)
    }

    async fn resolve(&self, selector: &Selector, context: &ResolveContext) -> Result<Population, ResolveError> {
        let mut found = Vec::new();
        for stand in stands(selector, context)? {
            match state(&stand.control) {
                Ok(there) => {
                    stand.is_meant(&there, selector, context)?;
                    found.push(stand.member(selector));
                }
                Err(ControlError::Gone(_)) => {
                    let words = stand.command(selector).join(" ");
                    return Err(ResolveError::nothing(format!("proxy {} does not stand", stand.name)).hint(format!("`{words}` starts it")));
                }
                Err(error) => return Err(ResolveError::new(error.to_string())),
            }
        }
        Ok(found)
    }
}

/// The control socket of a killed proxy, which would say that the next one is ready before it is.
fn remove_what_a_dead_one_left(control: &Path) {
    if UnixStream::connect(control).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        let _ = std::fs::remove_file(control);
    }
}

/// One proxy, whether it stands or not.
struct Stand {
    /// What a person calls it, behind the word "proxy".
    name: String,
    /// Where it listens; a redirected one has no address that anybody would know, and is called by what it stands before.
    listen: String,
    /// Where it stands, in words that find it again.
    place: String,
    control: PathBuf,
    /// Its words for `chaos proxy`.
    words: Vec<String>,
}

fn stands(selector: &Selector, context: &ResolveContext) -> Result<Vec<Stand>, ResolveError> {
    match (&selector.listen, &selector.upstream, &selector.before) {
        (Some(listen), Some(upstream), _) => Ok(vec![endpoint(listen, upstream)?]),
        (_, _, Some(set)) => before(set, selector.ports.as_ref(), context),
        _ => Err(ResolveError::new("a proxy has `listen` and `upstream`, or `before`")),
    }
}

fn endpoint(listen: &Address, upstream: &Address) -> Result<Stand, ResolveError> {
    let found = (listen.host(), listen.port()).to_socket_addrs().map(|mut all| all.next());
    let at: SocketAddr = found.ok().flatten().ok_or_else(|| ResolveError::new(format!("{listen} has no address")))?;
    let words = ["--listen".to_owned(), at.to_string(), "--upstream".to_owned(), upstream.to_string()];
    Ok(Stand {
        name: format!("{at} before {upstream}"),
        listen: at.to_string(),
        place: at.to_string(),
        control: place(at),
        words: words.into(),
    })
}

/// One for each network namespace in which members of the set live.
fn before(set: &str, ports: Option<&Ports>, context: &ResolveContext) -> Result<Vec<Stand>, ResolveError> {
    let members = context.sets.get(set).ok_or_else(|| ResolveError::new(format!("nobody knows who is in `{set}`")))?;
    let mut namespaces: BTreeMap<u64, (&Target, BTreeSet<u16>)> = BTreeMap::new();
    for member in members {
        let Some(namespace) = member.facets.network_namespace else {
            let says = format!("the network namespace of {} cannot be seen, so no proxy can stand before it", member.label);
            return Err(ResolveError::new(says).hint("run as root, or give the proxy `listen` and `upstream`"));
        };
        let there = namespaces.entry(namespace).or_insert((member, BTreeSet::new()));
        there.1.extend(member.facets.listening.iter());
    }
    namespaces.into_iter().map(|(namespace, (member, listening))| redirected(set, namespace, member, ports, listening)).collect()
}

fn redirected(set: &str, namespace: u64, member: &Target, ports: Option<&Ports>, listening: BTreeSet<u16>) -> Result<Stand, ResolveError> {
    let ports: Vec<u16> = ports.map_or_else(|| listening.into_iter().collect(), |ports| ports.iter().collect());
    let process = member.facets.process.ok_or_else(|| ResolveError::new(format!("{} is no process of this host", member.label)))?;
    if ports.is_empty() {
        return Err(ResolveError::new(format!("nobody in `{set}` listens on a port")).hint("say `ports`"));
    }
    let listed: Vec<String> = ports.iter().map(u16::to_string).collect();
    let listed = listed.join(",");
    Ok(Stand {
        name: format!("before {set}, port {listed}"),
        listen: format!("before {set}, port {listed}"),
        place: format!("{namespace}:{listed}"),
        control: place_before(namespace, &ports),
        words: vec!["--before".into(), process.to_string(), "--ports".into(), listed],
    })
}

impl Stand {
    fn command(&self, selector: &Selector) -> Vec<String> {
        let speaks = ["--speaks".to_owned(), selector.speaks.word().to_owned()];
        let tls = selector.tls.iter().flat_map(Termination::words);
        ["chaos".to_owned(), "proxy".to_owned()].into_iter().chain(self.words.iter().cloned()).chain(speaks).chain(tls).collect()
    }

    fn process(&self, name: String, selector: &Selector, context: &ResolveContext) -> SystemProcess {
        SystemProcess {
            name,
            run: self.command(selector),
            env: BTreeMap::new(),
            folder: context.folder.clone(),
            ready: Some(Ready { question: self.stands_question(), within: Duration::from_secs(20) }),
            log: None,
            restart_after: None,
            stop_grace: Duration::from_secs(1),
        }
    }

    /// It can be controlled once it listens.
    fn stands_question(&self) -> Question {
        Question {
            probe: "file".into(),
            with: json!({"path": self.control}),
            of: None,
            at: "here".into(),
            good: Expression::parse_unchecked("exists").unwrap_or_else(|_| unreachable!("`exists` is an expression")),
            every: Duration::from_millis(20),
            timeout: Duration::from_secs(1),
        }
    }

    /// The proxy that stands is the one that is meant.
    fn is_meant(&self, found: &State, selector: &Selector, context: &ResolveContext) -> Result<(), ResolveError> {
        if let Some(run) = found.run.as_ref().filter(|run| **run != context.run) {
            let message = format!("the proxy on {} (pid {}) belongs to the run {run}, and ends with it", found.listen, found.pid);
            return Err(ResolveError::new(message).hint("wait until that is over, or let a `chaos proxy` stand for both"));
        }
        let upstream = selector.upstream.as_ref().map(Address::to_string);
        if found.upstream == upstream && found.speaks == selector.speaks {
            return ends_tls_as_meant(found, selector);
        }
        let original = || "what each connection was going to".to_owned();
        Err(ResolveError::new(format!(
            "the proxy on {} (pid {}) stands before {} and speaks {}, not {} and {}",
            found.listen,
            found.pid,
            found.upstream.clone().unwrap_or_else(original),
            found.speaks.word(),
            upstream.unwrap_or_else(original),
            selector.speaks.word()
        ))
        .hint("stop it, or name it as it is"))
    }

    fn member(self, selector: &Selector) -> Target {
        let facet = ProxyFacet {
            listen: self.listen,
            upstream: selector.upstream.as_ref().map(Address::to_string),
            speaks: selector.speaks.word().to_owned(),
            control: self.control,
        };
        Target {
            identity: Identity(format!("proxy:{}", self.place)),
            label: format!("proxy {}", self.name),
            place: "here".into(),
            order: self.place,
            healthy: true,
            started: 0,
            groups: BTreeMap::new(),
            facets: Facets { proxy: Some(facet), ..Facets::default() },
        }
    }
}

fn ends_tls_as_meant(found: &State, selector: &Selector) -> Result<(), ResolveError> {
    let does = match (found.ends_tls, selector.tls.is_some()) {
        (true, false) => "ends TLS, which is not asked for",
        (false, true) => "lets TLS pass, and is to end it",
        _ => return Ok(()),
    };
    let message = format!("the proxy on {} (pid {}) {does}", found.listen, found.pid);
    Err(ResolveError::new(message).hint("stop it, or describe it as it is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_proxy_left_does_not_make_the_next_one_ready() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let control = place(free);
        crate::control::made().expect("the folder");
        drop(std::os::unix::net::UnixListener::bind(&control).expect("a socket"));
        assert!(control.exists(), "as kill -9 leaves it");
        let selector = serde_json::from_value(json!({"listen": free.to_string(), "upstream": "127.0.0.1:1"})).expect("a selector");
        let processes = Proxy.system("s", &selector, &ResolveContext::default()).expect("a process");
        assert_eq!(processes.len(), 1);
        assert!(!control.exists());
    }
}
