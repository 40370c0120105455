//! Has a part come up?

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{gateway::Upstream, kserve};

/// How often a part that is not up yet is asked again.
const EVERY: Duration = Duration::from_millis(10);

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_millis(500);

/// What a part is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// `GET /v2/health/ready` → 200
    Ready,
    /// `PING` → `+PONG`
    Ping,
}

/// Does anybody accept connections there?
pub(super) async fn listens(address: SocketAddr) -> bool {
    matches!(timeout(TIMEOUT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Asks until the answer is yes.
pub(super) async fn answers(question: Question, address: SocketAddr) {
    while !says_yes(question, address).await {
        sleep(EVERY).await;
    }
}

/// Asks once.
pub(super) async fn says_yes(question: Question, address: SocketAddr) -> bool {
    let answer = async {
        match question {
            Question::Ready => ready(address).await,
            Question::Ping => ping(address).await.unwrap_or(false),
        }
    };
    timeout(TIMEOUT, answer).await.unwrap_or(false)
}

async fn ready(address: SocketAddr) -> bool {
    let answer = Upstream::new(address).ask_anew(Method::GET, kserve::READY, Bytes::new()).await;
    matches!(answer, Ok((StatusCode::OK, _)))
}

async fn ping(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut pong = [0; 7];
    stream.read_exact(&mut pong).await?;
    Ok(&pong == b"+PONG\r\n")
}
