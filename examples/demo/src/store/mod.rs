//! The feature store: a map from keys to values behind enough RESP2 for `redis-cli`.

mod commands;
mod resp;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) use resp::{Reply, read_reply, write_request};

use crate::{failure::Failure, listen};
use commands::Store;

/// Users whose features the store knows from the start: `features:1` to `features:100`.
const USERS: u32 = 100;

/// Answers are sent when this much has gathered, or when no further request is waiting.
const ANSWERS_MAX_BYTES: usize = 64 << 10;

/// How the feature store is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6379")]
    listen: SocketAddr,
    #[arg(long, hide = true)]
    pub(crate) lifeline: bool,
}

/// Serves for ever.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let listener = listen::open(options.listen)?;
    let store = Arc::new(Mutex::new(seeded()));
    loop {
        let stream = listen::accept(&listener).await;
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            // A connection that breaks is the client's business.
            let _ = converse(stream, &store).await;
        });
    }
}

/// A store that knows some users, so that the demo ranks them differently.
fn seeded() -> Store {
    let mut store = Store::default();
    for user in 1..=USERS {
        let taste = |feature: u32| f64::from((user * 37 + feature * 11) % 100) / 100.0;
        let features: Vec<String> = (0..8).map(|feature| taste(feature).to_string()).collect();
        store.seed(&format!("features:{user}"), &features.join(","));
    }
    store
}

/// Answers one client, request by request, however the bytes arrive.
async fn converse(mut stream: TcpStream, store: &Mutex<Store>) -> std::io::Result<()> {
    let mut received = BytesMut::new();
    let mut answers = Vec::new();
    loop {
        loop {
            match resp::read_request(&mut received) {
                Ok(Some(request)) => {
                    let goodbye = lock(store).execute(&request, &mut answers);
                    if goodbye {
                        return stream.write_all(&answers).await;
                    }
                }
                Ok(None) => break,
                Err(breach) => {
                    Reply::Error(format!("ERR Protocol error: {breach}")).write(&mut answers);
                    return stream.write_all(&answers).await;
                }
            }
            if answers.len() >= ANSWERS_MAX_BYTES {
                stream.write_all(&answers).await?;
                answers.clear();
            }
        }
        stream.write_all(&answers).await?;
        answers.clear();
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
