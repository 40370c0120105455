//! The gateway: what users talk to. It fetches the user's features, asks a replica to rank, and keeps
//! replicas that its checks consider unhealthy out of rotation.

mod breaker;
mod checks;
mod features;
mod rotation;
mod routes;
mod upstream;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub(crate) use upstream::Upstream;

use crate::{
    failure::Failure,
    listen,
    values::{self, Place, Ports, Through},
    web,
};
use features::Features;
use rotation::Rotation;

/// What the gateway asks its replicas, twice a second, to learn whether they are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Check {
    /// Does the port accept a connection? The kernel says yes on behalf of a frozen process
    Shallow,
    /// Does an inference come back right, and in time? Only a working replica can say yes
    Deep,
}

impl Check {
    /// The word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Check::Shallow => "shallow",
            Check::Deep => "deep",
        }
    }
}

/// How the gateway is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address to listen on; the replicas of `--replicas` are at the same IP address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Ports of the replicas
    #[arg(long, value_name = "PORTS", default_value = "8001-8003")]
    replicas: Ports,
    /// Instead of ports: the replicas are all that bear this name, looked up twice a second, as `ranker:8001`
    #[arg(long, value_name = "NAME:PORT", conflicts_with_all = ["replicas", "through"])]
    replicas_named: Option<Place>,
    /// Address of the feature store, by number or name
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6379")]
    store: Place,
    /// Reach the part on one port through another, where a proxy listens: `8002=9002`. Repeatable
    #[arg(long, value_name = "PORT=PORT")]
    through: Vec<Through>,
    #[command(flatten)]
    behaviour: Behaviour,
    #[arg(long, hide = true)]
    pub(crate) lifeline: bool,
}

/// How well the gateway is built: what experiments find out.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Behaviour {
    /// What the gateway asks its replicas to learn whether they are well
    #[arg(long, value_enum, default_value_t = Check::Deep)]
    pub(crate) check: Check,
    /// Answer from cached or default features while the feature store is slow or dead
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = false)]
    pub(crate) breaker: bool,
    /// How long the replicas may take to answer one request, all tries together
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "1s")]
    pub(crate) upstream_timeout: Duration,
    /// How long one replica may take before the next is asked. Without it, one that hangs costs its
    /// users the whole upstream timeout
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) try_timeout: Option<Duration>,
    /// How long the feature store may take to answer
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "200ms")]
    pub(crate) store_timeout: Duration,
}

impl Behaviour {
    /// The same, as words for the command line of a gateway.
    pub(crate) fn words(&self) -> Vec<String> {
        let milliseconds = |duration: Duration| format!("{}ms", duration.as_millis());
        let always = [
            ("--check", self.check.word().to_owned()),
            ("--breaker", self.breaker.to_string()),
            ("--upstream-timeout", milliseconds(self.upstream_timeout)),
            ("--store-timeout", milliseconds(self.store_timeout)),
        ];
        let per_try = self.try_timeout.map(|timeout| ("--try-timeout", milliseconds(timeout)));
        always.into_iter().chain(per_try).flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

/// Everything that requests and checks share.
struct Gateway {
    check: Check,
    rotation: Rotation,
    features: Features,
    upstream_timeout: Duration,
    try_timeout: Option<Duration>,
}

/// Serves for ever.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let Options { listen, replicas, replicas_named, store, through, behaviour, .. } = options;
    let ports = if replicas_named.is_some() { Vec::new() } else { replicas.0 };
    let reached = values::reached(&through, ports.iter().copied().chain([store.port]))?;
    let replicas = ports.iter().map(|port| SocketAddr::new(listen.ip(), reached(*port)));
    let store = Place { port: reached(store.port), ..store };
    let gateway = Arc::new(Gateway {
        check: behaviour.check,
        rotation: Rotation::new(replicas),
        features: Features::new(store, behaviour.store_timeout, behaviour.breaker),
        upstream_timeout: behaviour.upstream_timeout,
        try_timeout: behaviour.try_timeout,
    });
    let listener = listen::open(listen)?;
    checks::start(&gateway, replicas_named);
    web::serve(listener, move |request| Arc::clone(&gateway).answer(request)).await;
    Ok(())
}
