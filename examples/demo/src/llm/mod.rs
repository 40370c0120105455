//! The language model: completions as OpenAI's servers give them, at a steady pace, a few at a time.

mod answer;
mod text;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    failure::Failure,
    listen, values,
    web::{self, Cut, Reply},
};
use answer::Answer;

/// Where completions are asked for, here and at the relay.
pub(crate) const COMPLETIONS: &str = "/v1/completions";

/// Is the server there, and how many of its slots are busy?
pub(crate) const HEALTH: &str = "/health";

/// How the language model is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9101")]
    listen: SocketAddr,
    /// Tokens a second that one answer gets
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    tokens_per_second: u32,
    /// Time before the first token of an answer
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "100ms")]
    first_token: Duration,
    /// Answers given at a time; who comes later waits for a free slot
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    slots: u16,
    #[arg(long, hide = true)]
    pub(crate) lifeline: bool,
}

/// Serves for ever.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let listener = listen::open(options.listen)?;
    let model = Arc::new(Model {
        every: Duration::from_secs(1) / options.tokens_per_second,
        first: options.first_token,
        slots: options.slots.into(),
        free: Arc::new(Semaphore::new(options.slots.into())),
    });
    web::serve(listener, move |request| Arc::clone(&model).answer(request)).await;
    Ok(())
}

/// Tokens of an answer where the question says nothing, as OpenAI's servers have it.
const USUAL_TOKENS: usize = 16;

/// What is asked of the model.
#[derive(Debug, Clone, Deserialize)]
struct Completion {
    prompt: String,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

struct Model {
    every: Duration,
    first: Duration,
    slots: usize,
    free: Arc<Semaphore>,
}

impl Model {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::GET, HEALTH) => web::json(StatusCode::OK, &self.health()),
            (&Method::GET, "/v1/models") => web::json(StatusCode::OK, &answer::models()),
            (&Method::POST, COMPLETIONS) => match web::read(request.into_body()).await {
                Ok(body) => self.complete(&body).await,
                Err(why) => refused(&why),
            },
            (_, path) => web::not_found(path),
        }
    }

    fn health(&self) -> Value {
        let idle = self.free.available_permits();
        json!({ "status": "ok", "slots_idle": idle, "slots_processing": self.slots - idle })
    }

    async fn complete(self: Arc<Self>, body: &[u8]) -> Reply {
        let asked: Completion = match serde_json::from_slice(body) {
            Ok(asked) => asked,
            Err(error) => return refused(&format!("not a completion request: {error}")),
        };
        let answer = Answer::to(&asked.prompt, asked.max_tokens.unwrap_or(USUAL_TOKENS));
        // Who hangs up while waiting is forgotten together with this future.
        let Ok(slot) = Arc::clone(&self.free).acquire_owned().await else {
            return web::problem(StatusCode::SERVICE_UNAVAILABLE, "no slots");
        };
        if asked.stream {
            let (feed, reply) = web::event_stream();
            let usage = asked.stream_options.is_some_and(|options| options.include_usage);
            tokio::spawn(async move { self.stream(&answer, usage, &feed, slot).await });
            return reply;
        }
        let tokens = u32::try_from(answer.tokens.len()).unwrap_or(u32::MAX);
        tokio::time::sleep(self.first + self.every * tokens.saturating_sub(1)).await;
        web::json(StatusCode::OK, &answer.whole())
    }

    /// Says the answer token by token, for as long as somebody listens; the slot is free afterwards.
    async fn stream(&self, answer: &Answer, usage: bool, feed: &mpsc::Sender<Result<Bytes, Cut>>, _slot: OwnedSemaphorePermit) {
        let mut pace = interval_at(Instant::now() + self.first, self.every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let say = async |event: Bytes| feed.send(Ok(event)).await.is_ok();
        for token in &answer.tokens {
            pace.tick().await;
            if !say(event(&answer.token(token))).await {
                return;
            }
        }
        let usage = usage.then(|| event(&answer.usage()));
        let rest = [event(&answer.last())].into_iter().chain(usage).chain([Bytes::from_static(b"data: [DONE]\n\n")]);
        for event in rest {
            if !say(event).await {
                return;
            }
        }
    }
}

/// One event of a stream.
pub(crate) fn event(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

/// A mistake of the caller, in OpenAI's words.
pub(crate) fn refused(message: &str) -> Reply {
    web::json(StatusCode::BAD_REQUEST, &json!({ "error": { "message": message, "type": "invalid_request_error" } }))
}
