//! Features of users: from the feature store, or, behind a breaker, from memory while it is not well.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::breaker::Breaker;
use crate::{
    store::{Reply, read_reply, write_request},
    values::Place,
};

/// Users whose features are remembered.
const REMEMBERED_MAX: usize = 1024;

/// Idle connections kept to the store.
const IDLE_MAX: usize = 32;

/// From where a user's features came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From the store, just now.
    Fresh,
    /// From memory: as the store knew them earlier.
    Cached,
    /// Nobody knows this user; the model ranks for an average one.
    Default,
}

impl Origin {
    /// The word in answers.
    pub(super) fn word(self) -> &'static str {
        match self {
            Origin::Fresh => "fresh",
            Origin::Cached => "cached",
            Origin::Default => "default",
        }
    }
}

/// The features of users. A user that the store does not know has none.
pub(super) struct Features {
    store: Place,
    timeout: Duration,
    breaker: Option<Mutex<Breaker>>,
    remembered: Mutex<HashMap<String, Vec<f32>>>,
    idle: Mutex<Vec<TcpStream>>,
}

impl Features {
    /// Nothing is connected before the first question.
    pub(super) fn new(store: Place, timeout: Duration, breaker: bool) -> Self {
        Self { store, timeout, breaker: breaker.then(|| Mutex::new(Breaker::new())), remembered: Mutex::default(), idle: Mutex::default() }
    }

    /// A user's features. Without a breaker, they come from the store or not at all.
    pub(super) async fn of(&self, user: &str) -> Result<(Vec<f32>, Origin), String> {
        let Some(breaker) = &self.breaker else {
            return self.ask(user).await.map(|features| (features, Origin::Fresh));
        };
        if !lock(breaker).admits(Instant::now()) {
            return Ok(self.recall(user));
        }
        match self.ask(user).await {
            Ok(features) => {
                lock(breaker).succeeded();
                self.remember(user, &features);
                Ok((features, Origin::Fresh))
            }
            Err(_) => {
                lock(breaker).failed(Instant::now());
                Ok(self.recall(user))
            }
        }
    }

    /// The breaker's state, `none` where there is no breaker.
    pub(super) fn breaker(&self) -> &'static str {
        self.breaker.as_ref().map_or("none", |breaker| lock(breaker).name())
    }

    fn recall(&self, user: &str) -> (Vec<f32>, Origin) {
        match lock(&self.remembered).get(user) {
            Some(features) => (features.clone(), Origin::Cached),
            None => (Vec::new(), Origin::Default),
        }
    }

    fn remember(&self, user: &str, features: &[f32]) {
        let mut remembered = lock(&self.remembered);
        if remembered.len() < REMEMBERED_MAX || remembered.contains_key(user) {
            remembered.insert(user.to_owned(), features.to_vec());
        }
    }

    async fn ask(&self, user: &str) -> Result<Vec<f32>, String> {
        let key = format!("features:{user}");
        match timeout(self.timeout, self.get(key.as_bytes())).await {
            Ok(Ok(value)) => parse(&value),
            Ok(Err(why)) => Err(format!("the feature store failed: {why}")),
            Err(_) => Err(format!("the feature store did not answer within {:?}", self.timeout)),
        }
    }

    /// Asks over a connection kept alive, then over a new one. The value of an absent key is empty.
    async fn get(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        let question = write_request(&[b"GET", key]);
        loop {
            let kept = lock(&self.idle).pop();
            let reused = kept.is_some();
            let mut stream = match kept {
                Some(stream) => stream,
                None => self.connect().await.map_err(|error| error.to_string())?,
            };
            match exchange(&mut stream, &question).await {
                Ok(reply) => {
                    self.keep(stream);
                    return match reply {
                        Reply::Bulk(value) => Ok(value.unwrap_or_default()),
                        other => Err(format!("{other:?}")),
                    };
                }
                // A kept connection may be older than the store's last restart.
                Err(_) if reused => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = self.store.connect().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn keep(&self, stream: TcpStream) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MAX {
            idle.push(stream);
        }
    }
}

async fn exchange(stream: &mut TcpStream, question: &[u8]) -> std::io::Result<Reply> {
    stream.write_all(question).await?;
    let mut received = BytesMut::new();
    loop {
        match read_reply(&mut received) {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(breach) => return Err(std::io::Error::other(breach)),
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Features are written as `0.5,0.25`.
fn parse(value: &[u8]) -> Result<Vec<f32>, String> {
    let text = std::str::from_utf8(value).map_err(|_| "features that are no text".to_owned())?;
    text.split(',')
        .filter(|number| !number.is_empty())
        .map(|number| number.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| "features that are no numbers".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
