//! A model replica: loads its model file once, then speaks KServe v2.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    failure::Failure,
    gateway::Upstream,
    kserve::{self, InferRequest, InferResponse, Tensor},
    leak::{self, Leaked},
    listen, notice,
    web::{self, Reply},
    weights::Weights,
};

/// Where a replica is asked to exit (and so, under a supervisor that restarts, to start again).
const RESTART: &str = "/restart";

/// How long a request to restart may take.
const RESTART_TIMEOUT: Duration = Duration::from_secs(5);

/// How one replica is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8001")]
    listen: SocketAddr,
    /// Model file to load (`chaos demo weights DIR` writes one); without it, the built-in weights
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub(crate) lifeline: bool,
}

/// Which replica is asked to restart.
#[derive(Debug, Clone, clap::Args)]
pub struct RestartOptions {
    /// Address of the replica, for example 127.0.0.1:8002
    address: SocketAddr,
}

/// Loads the model, then serves until asked to restart.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    // The model comes first: a replica that cannot load it must not look alive.
    let weights = match &options.model {
        Some(path) => Weights::load(path)?,
        None => Weights::ranker(),
    };
    let replica = Arc::new(Replica { weights, restart: Notify::new(), leaked: Leaked::default() });
    let listener = listen::open(options.listen)?;
    let serving = Arc::clone(&replica);
    let handle = move |request| Arc::clone(&serving).answer(request);
    tokio::select! {
        () = web::serve(listener, handle) => {}
        () = replica.restart.notified() => {
            notice::say("replica", format_args!("{} exits, as it was asked to", options.listen));
            // The answer to whoever asked is on its way; give it the time to leave.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Asks a running replica to exit.
pub(crate) async fn restart(options: RestartOptions) -> Result<(), Failure> {
    let address = options.address;
    let failed = |why: String| Failure::Restart { address, why };
    let upstream = Upstream::new(address);
    let asked = upstream.ask_anew(Method::POST, RESTART, Bytes::new());
    match tokio::time::timeout(RESTART_TIMEOUT, asked).await {
        Ok(Ok((StatusCode::ACCEPTED, _))) => Ok(()),
        Ok(Ok((status, _))) => Err(failed(format!("it answered {status}"))),
        Ok(Err(broken)) => Err(failed(broken.to_string())),
        Err(_) => Err(failed(format!("no answer within {RESTART_TIMEOUT:?}"))),
    }
}

struct Replica {
    weights: Weights,
    restart: Notify,
    leaked: Leaked,
}

impl Replica {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::GET, kserve::LIVE) => web::json(StatusCode::OK, &json!({ "live": true })),
            (&Method::GET, kserve::READY) => web::json(StatusCode::OK, &json!({ "ready": true })),
            (&Method::GET, kserve::MODEL_READY) => web::json(StatusCode::OK, &json!({ "name": kserve::MODEL, "ready": true })),
            (&Method::POST, kserve::INFER) => match web::read(request.into_body()).await {
                Ok(body) => self.infer(&body),
                Err(why) => web::problem(StatusCode::BAD_REQUEST, why),
            },
            (&Method::POST, RESTART) => {
                self.restart.notify_one();
                web::json(StatusCode::ACCEPTED, &json!({ "restart": true }))
            }
            (&Method::POST, leak::PATH) => match web::read(request.into_body()).await {
                Ok(body) if self.leaked.begin(&body) => web::json(StatusCode::ACCEPTED, &json!({ "leak": true })),
                _ => web::problem(StatusCode::BAD_REQUEST, "how many MiB?"),
            },
            (_, path) => web::not_found(path),
        }
    }

    fn infer(&self, body: &[u8]) -> Reply {
        let request: InferRequest = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => {
                return web::problem(StatusCode::BAD_REQUEST, format_args!("not a KServe v2 inference request: {error}"));
            }
        };
        let features = match request.inputs.as_slice() {
            [] => &[][..],
            [tensor] if tensor.datatype == "FP32" => &tensor.data,
            _ => {
                return web::problem(StatusCode::BAD_REQUEST, "the ranker takes at most one input, of datatype FP32");
            }
        };
        let score = self.weights.score(features);
        let answer = InferResponse {
            model_name: kserve::MODEL.into(),
            model_version: "1".into(),
            id: request.id,
            parameters: serde_json::Map::new(),
            outputs: vec![Tensor::row("score", vec![score])],
        };
        web::json(StatusCode::OK, &json!(answer))
    }
}
