//! `chaos proxy`: a fault proxy as a process of its own, for a run or as a service.

mod before;
mod listening;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chaos_core::World;
use chaos_core::literal::{Address, Ports};
use chaos_core::target::ProcessId;
use chaos_proxy::engine::nobody_at;
use chaos_proxy::toxic::Speaks;
use chaos_proxy::toxiproxy::{ApiAddress, Declared};
use chaos_proxy::{Service, ServiceError, Termination};
use serde::Deserialize;

use self::listening::Listening;
use super::worlds::Worlds;
use super::{Console, Failure};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// Where the proxy listens: what the application is pointed at; again for another proxy
    #[arg(long, value_name = "ADDRESS", requires = "upstream")]
    listen: Vec<Listening>,
    /// What the application would use without it: the first belongs to the first --listen, and so on
    #[arg(long, value_name = "ADDRESS", requires = "listen")]
    upstream: Vec<Address>,
    /// What it understands: once for all proxies, or once for each [default: tcp]
    #[arg(long, value_name = "PROTOCOL", value_parser = speaks)]
    speaks: Vec<Speaks>,
    /// End TLS here and show this certificate (PEM): faults on HTTP meet what is inside. Without it TLS passes untouched
    #[arg(long, value_name = "FILE", requires_all = ["key", "listen"])]
    certificate: Option<PathBuf>,
    /// The private key of --certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// With --certificate: speak TLS to the upstream too, whose certificate must bear this name
    #[arg(long, value_name = "NAME", requires = "certificate")]
    upstream_tls: Option<String>,
    /// With --certificate: the upstream understands HTTP/2 without TLS too; clients are offered HTTP/1.1 alone otherwise
    #[arg(long, requires = "certificate", conflicts_with = "upstream_tls")]
    upstream_http2: bool,
    /// With --upstream-tls: the authorities to trust (PEM), instead of those of this host
    #[arg(long, value_name = "FILE", requires = "upstream_tls")]
    upstream_ca: Option<PathBuf>,
    /// Stand before a process that is not pointed at the proxy: the kernel leads connections to its ports there. Needs root
    #[arg(long, value_name = "PID", requires = "ports", conflicts_with_all = ["listen", "config", "api"], value_parser = before::process)]
    before: Option<ProcessId>,
    /// With --before: connections to these ports
    #[arg(long, value_name = "PORTS", requires = "before")]
    ports: Option<Ports>,
    /// Proxies in a file, as Toxiproxy takes them, and what each `speaks`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve the HTTP API of Toxiproxy there: an address of this machine, such as 127.0.0.1:8474, or `unix:PATH`
    #[arg(long, value_name = "ADDRESS", value_parser = api_address)]
    api: Option<ApiAddress>,
    /// What requests to the API must bear; needed where other machines could reach it. Whoever lists processes sees it here: better
    /// CHAOS_API_TOKEN, or --api-token-file
    #[arg(long, value_name = "TOKEN", env = "CHAOS_API_TOKEN", hide_env_values = true)]
    api_token: Option<String>,
    /// The same, from the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "api_token")]
    api_token_file: Option<PathBuf>,
}

const AFTER: &str = "Bytes pass unchanged until a fault acts on them: one of an experiment whose target is a `proxy`, or a toxic that came \
by the API. Ends with SIGTERM or Ctrl-C.";

pub(super) fn run(args: Args, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    if let (Some(process), Some(ports)) = (args.before, &args.ports) {
        let speaks = args.speaks.first().copied().unwrap_or_default();
        return before::run(process, &ports.iter().collect::<Vec<_>>(), speaks, console);
    }
    let token = args.api_token_file.as_deref().map(token).transpose()?.or_else(|| args.api_token.clone());
    let mut proxies = declared(&args)?;
    proxies.extend(args.config.as_deref().map(written).transpose()?.unwrap_or_default());
    if proxies.is_empty() && args.api.is_none() {
        return Err(Failure::usage("nothing says where the proxy stands")
            .hint("for example `chaos proxy --listen 127.0.0.1:6390 --upstream 127.0.0.1:6379`"));
    }
    serve(Service { proxies, api: args.api, token }, console, worlds)
}

/// What stands in a file for requests to the API to bear.
fn token(file: &Path) -> Result<String, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::usage(format!("read the token in {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| failed(&e))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { Err(failed(&"its first line is empty")) } else { Ok(line.to_owned()) }
}

fn serve(service: Service, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let proxies: BTreeMap<String, Declared> = service.proxies.iter().map(|p| (p.name.clone(), p.clone())).collect();
    let served = chaos_proxy::serve_api(service, |listening, api| {
        for (proxy, listen) in listening.iter().filter_map(|(name, listen)| Some((proxies.get(name)?, listen))) {
            console.say(format_args!("{listen} before {}, speaks {}", proxy.upstream, proxy.speaks.word()));
            if listen.parse::<SocketAddr>().is_ok_and(|at| !at.ip().is_loopback()) {
                console.say(format_args!("other machines that reach {listen} reach {} through it", proxy.upstream));
            }
        }
        say_who_is_down(proxies.values().map(|proxy| proxy.upstream.clone()).collect(), console);
        if let Some(api) = api {
            console.say(format_args!("the API of Toxiproxy at {api}"));
        }
    });
    served.map(|()| ExitCode::SUCCESS).map_err(|error| {
        let failure = Failure::usage(format!("no proxy: {error}"));
        match (&error, error.kind()) {
            (ServiceError::Unguarded(_), _) => failure.hint("an API that other machines can reach needs `--api-token`"),
            (_, ErrorKind::AddrInUse) => failure.maybe_hint(holder(proxies.values(), worlds)),
            (ServiceError::Proxy { name, .. }, ErrorKind::PermissionDenied) if proxies.get(name).is_some_and(is_privileged) => {
                failure.hint("ports below 1024 need root, or CAP_NET_BIND_SERVICE")
            }
            _ => failure,
        }
    })
}

/// Does it listen on a port that is kept for the administrator?
fn is_privileged(proxy: &Declared) -> bool {
    let port = proxy.listen.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.is_some_and(|port| (1..1024).contains(&port))
}

/// Says which upstreams are down. An upstream may start after its proxy: nobody waits for this.
fn say_who_is_down(upstreams: Vec<String>, console: Console) {
    std::thread::spawn(move || {
        upstreams.iter().filter_map(|upstream| nobody_at(upstream)).for_each(|why| console.say(format_args!("{why}")))
    });
}

/// Who listens already where one of them should.
fn holder<'a>(proxies: impl Iterator<Item = &'a Declared>, worlds: &Worlds) -> Option<String> {
    let mut ports = proxies.filter_map(|p| p.listen.rsplit_once(':')?.1.parse::<u16>().ok());
    ports.find_map(|port| worlds.host.view().who_listens(port).map(|owner| format!("port {port} is held by {owner}")))
}

/// The proxies of the command line. Each is named by where it listens.
fn declared(args: &Args) -> Result<Vec<Declared>, Failure> {
    let count = args.listen.len();
    if args.upstream.len() != count {
        let message = format!("{count} × --listen, but {} × --upstream", args.upstream.len());
        return Err(Failure::usage(message).hint("each proxy has both, in the same order"));
    }
    if args.speaks.len() > 1 && args.speaks.len() != count {
        let message = format!("{count} × --listen, but {} × --speaks", args.speaks.len());
        return Err(Failure::usage(message).hint("give it once for all proxies, or once for each"));
    }
    let speaks = |n: usize| args.speaks.get(n).or(args.speaks.first()).copied().unwrap_or_default();
    let tls = termination(args).map(|t| t.made(Path::new(""))).transpose().map_err(|e| Failure::usage(format!("no proxy: {e}")))?;
    let twice = args.listen.iter().enumerate().find(|(n, listen)| !listen.is_anywhere() && args.listen[..*n].contains(listen));
    if let Some((_, listen)) = twice {
        return Err(Failure::usage(format!("two proxies would listen at {listen}")).hint("give each an address of its own"));
    }
    let one = |(n, (listen, upstream)): (usize, (&Listening, &Address))| Declared {
        name: if n > 0 && listen.is_anywhere() { format!("{listen} ({})", n + 1) } else { listen.to_string() },
        listen: listen.to_string(),
        upstream: upstream.to_string(),
        speaks: speaks(n),
        tls: tls.clone(),
        enabled: true,
    };
    Ok(args.listen.iter().zip(&args.upstream).enumerate().map(one).collect())
}

/// Where TLS ends, if it does.
fn termination(args: &Args) -> Option<Termination> {
    let (certificate, key) = args.certificate.clone().zip(args.key.clone())?;
    let (upstream, authorities) = (args.upstream_tls.clone(), args.upstream_ca.clone());
    Some(Termination { certificate, key, upstream, authorities, http2: args.upstream_http2 })
}

/// A proxy of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    listen: String,
    upstream: String,
    #[serde(default)]
    speaks: Speaks,
    #[serde(default = "yes")]
    enabled: bool,
    tls: Option<Termination>,
}

fn yes() -> bool {
    true
}

/// The proxies of a file.
fn written(file: &Path) -> Result<Vec<Declared>, Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::usage(format!("read the proxies in {}: {e}", file.display()))
            .hint(r#"for example [{"name": "store", "listen": "127.0.0.1:6390", "upstream": "127.0.0.1:6379"}]"#)
    };
    let text = std::fs::read(file).map_err(|e| failed(&e))?;
    let all: Vec<Written> = serde_json::from_slice(&text).map_err(|e| failed(&e))?;
    let one = |w: Written| {
        let tls = w.tls.map(|t| t.made(Path::new(""))).transpose().map_err(|e| failed(&format_args!("{}: {e}", w.name)))?;
        Ok(Declared { name: w.name, listen: w.listen, upstream: w.upstream, speaks: w.speaks, tls, enabled: w.enabled })
    };
    all.into_iter().map(one).collect()
}

fn speaks(word: &str) -> Result<Speaks, String> {
    let words: Vec<&str> = Speaks::ALL.iter().map(|s| s.word()).collect();
    Speaks::ALL.into_iter().find(|s| s.word() == word).ok_or_else(|| format!("one of {}", words.join(", ")))
}

fn api_address(text: &str) -> Result<ApiAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(ApiAddress::Unix(path.into()));
    }
    let text = text.replacen("localhost:", "127.0.0.1:", 1);
    text.parse::<SocketAddr>().map(ApiAddress::Tcp).map_err(|_| "an address with a port, or `unix:PATH`".to_owned())
}
