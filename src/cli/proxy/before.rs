//! `chaos proxy --before`: before a process that is not pointed at the proxy.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use chaos_core::target::ProcessId;
use chaos_host::Snapshot;
use chaos_host::redirect::{self, Redirection, Transport, Whose};
use chaos_proxy::toxic::Speaks;
use chaos_proxy::{Engine, Proxy, ProxyConfig, Upstream};

use crate::cli::{Console, Failure};

/// `4711`, or `4711@88123` for that very process and no later one of the same pid.
pub(super) fn process(text: &str) -> Result<ProcessId, String> {
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

/// Listens in the network namespace of the process, and has the kernel lead connections there for as long as it lives.
pub(super) fn run(process: ProcessId, ports: &[u16], speaks: Speaks, console: Console) -> Result<ExitCode, Failure> {
    let failed = |what: &str, error: std::io::Error| {
        let failure = Failure::usage(format!("no proxy: {what}: {error}"));
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            failure.hint("needs root (CAP_NET_ADMIN, and CAP_SYS_ADMIN for another network namespace)")
        } else {
            failure
        }
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
