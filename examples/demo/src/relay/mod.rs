//! The relay: what users of the language model talk to. It passes answers on token by token and, where
//! it is told to, mends those that break off: it asks again with what has been said so far and goes on.

mod events;
mod said;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    failure::Failure,
    listen, llm, notice, values,
    web::{self, Cut, Reply},
};
use events::Events;
use said::{Meaning, Said};

/// Times that one answer is asked for again before the relay gives up on it.
const RESUMES_MAX: usize = 5;

/// Pause before asking again, so that a model that is restarting has a moment.
const PAUSE: Duration = Duration::from_millis(50);

/// How the relay is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Address of the language model, or of a proxy before it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9101")]
    model: SocketAddr,
    /// Mend answers that break off: ask again with what was said so far, and go on
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = false)]
    resume: bool,
    /// Longest silence of the model, before and between tokens; after it, the answer counts as broken
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "2s")]
    gap_timeout: Duration,
    #[arg(long, hide = true)]
    pub(crate) lifeline: bool,
}

/// Serves for ever.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let listener = listen::open(options.listen)?;
    let relay = Arc::new(Relay { model: options.model, resume: options.resume, patience: options.gap_timeout });
    web::serve(listener, move |request| Arc::clone(&relay).answer(request)).await;
    Ok(())
}

struct Relay {
    model: SocketAddr,
    resume: bool,
    patience: Duration,
}

/// How one stream of the model ended.
enum End {
    /// With `[DONE]`.
    Whole,
    /// Before that.
    Broken(String),
    /// The user left.
    Unheard,
}

impl Relay {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::GET, llm::HEALTH) => web::json(StatusCode::OK, &json!({ "status": "ok" })),
            (&Method::POST, llm::COMPLETIONS) => match web::read(request.into_body()).await {
                Ok(body) => match serde_json::from_slice(&body) {
                    Ok(asked) => self.complete(asked).await,
                    Err(error) => llm::refused(&format!("not a completion request: {error}")),
                },
                Err(why) => llm::refused(&why),
            },
            (_, path) => web::not_found(path),
        }
    }

    async fn complete(self: Arc<Self>, asked: Value) -> Reply {
        let streamed = asked["stream"] == true;
        let mut failed = 0;
        let why = loop {
            match self.ask(&asked).await {
                Ok(answer) if streamed && answer.status() == StatusCode::OK => {
                    let (feed, reply) = web::event_stream();
                    tokio::spawn(async move { self.pass_on(answer.into_body(), asked, feed).await });
                    return reply;
                }
                Ok(answer) => {
                    let status = answer.status();
                    match web::read(answer.into_body()).await {
                        Ok(body) => return web::bytes(status, body),
                        Err(why) if !self.resume || failed >= RESUMES_MAX => break why,
                        Err(_) => {}
                    }
                }
                Err(why) if !self.resume || failed >= RESUMES_MAX => break why,
                Err(_) => {}
            }
            failed += 1;
            sleep(PAUSE).await;
        };
        web::problem(StatusCode::BAD_GATEWAY, format_args!("the model failed: {why}"))
    }

    /// Asks the model over a new connection, and waits for the head of its answer.
    async fn ask(&self, asked: &Value) -> Result<Response<Incoming>, String> {
        let exchange = async {
            let stream = TcpStream::connect(self.model).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            // Ends when the answer was read to its end, or is dropped.
            tokio::spawn(async { drop(connection.await) });
            let request = Request::post(llm::COMPLETIONS)
                .header(header::HOST, self.model.to_string())
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(asked.to_string())))
                .map_err(|error| error.to_string())?;
            sender.send_request(request).await.map_err(|error| error.to_string())
        };
        timeout(self.patience, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.patience)))
    }

    /// Passes one answer on, resuming it as often as that helps.
    async fn pass_on(&self, first: Incoming, asked: Value, feed: mpsc::Sender<Result<Bytes, Cut>>) {
        let mut said = Said::new(asked);
        let mut end = self.stream(first, &mut said, &feed).await;
        for _ in 0..RESUMES_MAX {
            match &end {
                End::Broken(why) if self.resume => {
                    notice::say("relay", format_args!("an answer broke off after {said}: {why}; it is resumed"))
                }
                _ => break,
            }
            sleep(PAUSE).await;
            end = match self.ask(&said.resumed()).await {
                Ok(answer) if answer.status() == StatusCode::OK => self.stream(answer.into_body(), &mut said, &feed).await,
                Ok(answer) => End::Broken(format!("the model answered {}", answer.status())),
                Err(why) => End::Broken(why),
            };
        }
        if let End::Broken(_) = end {
            // Nobody listens any more, or the user learns it by the broken connection.
            let _ = feed.send(Err(Cut)).await;
        }
    }

    async fn stream(&self, mut body: Incoming, said: &mut Said, feed: &mpsc::Sender<Result<Bytes, Cut>>) -> End {
        let mut events = Events::default();
        loop {
            while let Some(event) = events.next() {
                let (bytes, last) = match said.hear(event, self.resume) {
                    Meaning::More(bytes) => (bytes, false),
                    Meaning::Last(bytes) => (bytes, true),
                    Meaning::Nonsense(why) => return End::Broken(why),
                };
                if feed.send(Ok(bytes)).await.is_err() {
                    return End::Unheard;
                }
                if last {
                    return End::Whole;
                }
            }
            let arrived = match timeout(self.patience, body.frame()).await {
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(error))) => return End::Broken(error.to_string()),
                Ok(None) => return End::Broken("it ended too early".into()),
                Err(_) => return End::Broken(format!("silent for {:?}", self.patience)),
            };
            if !events.arrived(&arrived) {
                return End::Broken("an event without end".into());
            }
        }
    }
}
