//! `chaos proxy`: a fault proxy as a process of its own, for a run or as a service.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use chaos_core::World;
use chaos_core::literal::{Address, Ports};
use chaos_core::target::ProcessId;
use chaos_host::Snapshot;
use chaos_host::redirect::{self, Redirection, Transport, Whose};
use chaos_proxy::toxic::Speaks;
use chaos_proxy::{Engine, Proxy, ProxyConfig, Upstream};

use super::worlds::Worlds;
use super::{Console, Failure};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the proxy listens: what the application is pointed at
    #[arg(long, value_name = "ADDRESS", requires = "upstream")]
    listen: Option<SocketAddr>,
    /// What the application would use without it
    #[arg(long, value_name = "ADDRESS", requires = "listen")]
    upstream: Option<Address>,
    /// Stand before a process that is not pointed at the proxy: the kernel leads connections to its ports there. Needs root
    #[arg(long, value_name = "PID", requires = "ports", conflicts_with = "listen", value_parser = process)]
    before: Option<ProcessId>,
    /// With --before: connections to these ports
    #[arg(long, value_name = "PORTS", requires = "before")]
    ports: Option<Ports>,
    /// What it understands
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp", value_parser = speaks)]
    speaks: Speaks,
}

/// `4711`, or `4711@88123` for that very process and no later one of the same pid.
fn process(text: &str) -> Result<ProcessId, String> {
    let (pid, start) = text.split_once('@').map_or((text, None), |(pid, start)| (pid, Some(start)));
    let pid = pid.parse().map_err(|_| format!("`{pid}` is not a pid"))?;
    let processes = Snapshot::take().map_err(|e| format!("the processes of this host cannot be listed: {e}"))?;
    let found = processes.by_pid(pid).ok_or_else(|| format!("there is no process {pid}"))?.id;
    match start {
        Some(start) if start != found.start_ticks.to_string() => {
            Err(format!("process {pid} is not the one that was meant: it started later"))
        }
        _ => Ok(found),
    }
}

fn speaks(word: &str) -> Result<Speaks, String> {
    let words: Vec<&str> = Speaks::ALL.iter().map(|s| s.word()).collect();
    Speaks::ALL.into_iter().find(|s| s.word() == word).ok_or_else(|| format!("one of {}", words.join(", ")))
}

pub(super) fn run(args: &Args, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    match (args.listen, &args.upstream, args.before, &args.ports) {
        (Some(listen), Some(upstream), _, _) => endpoint(listen, upstream, args.speaks, console, worlds),
        (_, _, Some(process), Some(ports)) => transparent(process, &ports.iter().collect::<Vec<_>>(), args.speaks, console),
        _ => Err(Failure::usage("nothing says where the proxy stands")
            .hint("for example `chaos proxy --listen 127.0.0.1:6390 --upstream 127.0.0.1:6379`")),
    }
}

fn endpoint(listen: SocketAddr, upstream: &Address, speaks: Speaks, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let config = ProxyConfig { listen, upstream: Upstream::Fixed(upstream.clone()), speaks };
    let served = chaos_proxy::serve(vec![config], |engine| {
        for proxy in engine.proxies() {
            console.say(format_args!("{} before {upstream}, speaks {}", proxy.listen(), proxy.speaks().word()));
        }
        Ok(())
    });
    served.map(|()| ExitCode::SUCCESS).map_err(|error| {
        let owner = worlds.host.view().who_listens(listen.port()).filter(|_| error.kind() == std::io::ErrorKind::AddrInUse);
        Failure::usage(format!("no proxy: {error}")).maybe_hint(owner.map(|owner| format!("port {} is held by {owner}", listen.port())))
    })
}

/// Listens in the network namespace of the process, and has the kernel lead connections there for as long as it lives.
fn transparent(process: ProcessId, ports: &[u16], speaks: Speaks, console: Console) -> Result<ExitCode, Failure> {
    let failed = |what: &str, error: std::io::Error| {
        Failure::usage(format!("no proxy: {what}: {error}"))
            .hint("needs root (CAP_NET_ADMIN, and CAP_SYS_ADMIN for another network namespace)")
    };
    // Before any thread is started: each lives where the one that started it did.
    redirect::enter_namespace_of(process).map_err(|e| failed(&format!("enter the network namespace of process {}", process.pid), e))?;
    let upstream = Upstream::Original { ports: ports.to_vec(), mark: redirect::MARK };
    let config = ProxyConfig { listen: (Ipv4Addr::UNSPECIFIED, 0).into(), upstream, speaks };
    let tag = format!("chaos-proxy-{}", std::process::id());
    let mut held = None;
    let served = chaos_proxy::serve(vec![config], |engine: &Engine| {
        for proxy in engine.proxies() {
            held = Some(lead(&proxy, &tag, ports)?);
            console.say(format_args!("before process {}, ports {ports:?}, speaks {}", process.pid, proxy.speaks().word()));
        }
        Ok(())
    });
    drop(held);
    served.map(|()| ExitCode::SUCCESS).map_err(|e| failed("lead connections through it", e))
}

fn lead(proxy: &Proxy, tag: &str, ports: &[u16]) -> std::io::Result<redirect::Redirected> {
    Redirection {
        tag,
        transports: &[Transport::Tcp],
        ports,
        whose: Whose::ToThisHost,
        to_v4: Some(proxy.listen().port()),
        to_v6: proxy.listen_v6().map(|at| at.port()),
    }
    .begin()
}
