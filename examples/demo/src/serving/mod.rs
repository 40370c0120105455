//! The supervisor: starts feature store, replicas and gateway as child processes, stays in the
//! foreground, and ends them when it ends.

mod children;
mod ready;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    failure::Failure,
    gateway::Behaviour,
    lifeline::Signals,
    notice,
    values::{self, Ports, Through},
    weights,
};
use children::{Children, Part};
use ready::Question;

/// How the whole system is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address of the gateway; the replicas listen on the same IP address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Ports of the replicas; as many replicas as ports
    #[arg(long, value_name = "PORTS", default_value = "8001-8003")]
    replicas: Ports,
    /// Address of the feature store. Where something listens there already (a proxy, a real store),
    /// that is used and none is started
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6379")]
    store: SocketAddr,
    /// Let the gateway reach the part on one port through another, where a proxy listens: `8002=9002`.
    /// Repeatable
    #[arg(long, value_name = "PORT=PORT")]
    through: Vec<Through>,
    /// Never start a feature store, even if nothing listens at its address yet
    #[arg(long)]
    external_store: bool,
    /// Directory with a model file for each replica: DIR/replica-1/ranker.bin and so on, written where
    /// absent. Without it, replicas have their weights built in and nothing touches the disk
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Start a part again this long after it ended by itself. Without it, what dies stays dead
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    restart_after: Option<Duration>,
    #[command(flatten)]
    behaviour: Behaviour,
}

/// Who is asked whether it is ready.
#[derive(Debug, Clone, clap::Args)]
pub struct ReadyOptions {
    /// Address of the gateway or replica, for example 127.0.0.1:8080
    address: SocketAddr,
}

/// Asks once.
pub(crate) async fn ready(options: &ReadyOptions) -> Result<(), Failure> {
    let address = options.address;
    if ready::says_yes(Question::Ready, address).await { Ok(()) } else { Err(Failure::Unready { address }) }
}

/// Serves until a signal says to stop, then ends every child.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let mut children = Children::new(options.restart_after)?;
    let outcome = tokio::select! {
        () = signals.received() => Ok(()),
        outcome = serve(&options, &mut children) => outcome,
    };
    children.end().await;
    outcome
}

/// Brings the system up in the order in which its parts need each other, then waits for ever.
async fn serve(options: &Options, children: &mut Children) -> Result<(), Failure> {
    let mut behind_the_gateway = replicas(options)?;
    let gateway = gateway(options);
    for part in behind_the_gateway.iter().chain([&gateway]) {
        if ready::listens(part.address).await {
            return Err(Failure::Taken { part: part.name.clone(), address: part.address });
        }
    }
    let own_store = !options.external_store && !ready::listens(options.store).await;
    if own_store {
        behind_the_gateway.push(store(options));
    }
    children.start(behind_the_gateway).await?;
    children.start(vec![gateway]).await?;
    let whose = if own_store { "" } else { " (not started here)" };
    notice::say(
        "serving",
        format_args!("http://{} with replicas on {} and the feature store on {}{whose}", options.listen, options.replicas, options.store),
    );
    std::future::pending().await
}

fn replicas(options: &Options) -> Result<Vec<Part>, Failure> {
    let replica = |(index, &port): (usize, &u16)| {
        let address = SocketAddr::new(options.listen.ip(), port);
        let mut words = vec!["replica".into(), "--listen".into(), address.to_string().into()];
        if let Some(models) = &options.models {
            let file = models.join(format!("replica-{}", index + 1)).join(weights::FILE_NAME);
            weights::install(&file)?;
            words.extend(["--model".into(), file.into()]);
        }
        Ok(Part { name: format!("replica {port}"), address, words, question: Question::Ready })
    };
    options.replicas.0.iter().enumerate().map(replica).collect()
}

fn store(options: &Options) -> Part {
    Part {
        name: "feature store".into(),
        address: options.store,
        words: vec!["store".into(), "--listen".into(), options.store.to_string().into()],
        question: Question::Ping,
    }
}

fn gateway(options: &Options) -> Part {
    let mut words = vec!["gateway".to_owned()];
    let values =
        [("--listen", options.listen.to_string()), ("--replicas", options.replicas.to_string()), ("--store", options.store.to_string())];
    words.extend(values.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    words.extend(options.through.iter().flat_map(|through| ["--through".to_owned(), through.to_string()]));
    words.extend(options.behaviour.words());
    Part { name: "gateway".into(), address: options.listen, words: words.into_iter().map(Into::into).collect(), question: Question::Ready }
}
