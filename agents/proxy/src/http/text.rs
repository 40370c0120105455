//! HTTP/1.1 between two byte streams. Two pumps run at once, joined by the queue of exchanges whose answers are still to come: so
//! pipelined requests go on as they come, and answers, those of toxics among them, keep their order.

mod answer;
mod answers;
mod input;
mod output;
mod requests;

use std::io;

use chaos_protocol::http1::{Body, Malformed, Piece};
use tokio::sync::{Notify, mpsc, oneshot};

use super::act::OwnAnswer;
use super::ends::{Deliver, Receive};
use super::exchange::{Exchange, Guide};
use crate::toxic::Ending;
use input::Input;
use output::Output;

/// How many requests may be under way before the next has to wait.
const PIPELINED_MAX: usize = 64;

/// An exchange whose answer is still to come, by who gives it.
enum Open {
    /// The upstream. Whoever waits is told what the connection became with it.
    Upstream(Exchange, Option<oneshot::Sender<Became>>),
    /// A toxic. `last`: the connection ends with it.
    Own { answer: OwnAnswer, to_head: bool, last: bool },
    /// Nobody knows: what came is no HTTP/1.1.
    Raw,
}

/// What a connection is after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    /// What it was.
    Http,
    /// Anything: bytes pass as they come.
    Raw,
}

/// Why a connection is over before both sides have ended it.
enum Over {
    /// A toxic ends it.
    Ended(Ending),
    /// A side broke.
    Broken,
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Relays one connection until it is over, and says how the client is to see it end. Of each side: whence, what was read already, whither.
pub(super) async fn relay<CR, CW, UR, UW>(client: (CR, Vec<u8>, CW), upstream: (UR, Vec<u8>, UW), guide: Guide) -> Option<Ending>
where
    CR: Receive,
    CW: Deliver,
    UR: Receive,
    UW: Deliver,
{
    let ((queue, open), strange) = (mpsc::channel(PIPELINED_MAX), Notify::new());
    let (mut client_in, mut client_out) = (Input::new(client.0, client.1), Output::new(client.2));
    let (mut upstream_in, mut upstream_out) = (Input::new(upstream.0, upstream.1), Output::new(upstream.2));
    let requests = requests::pump(&mut client_in, &mut upstream_out, queue, &strange, guide.another());
    let answers = answers::pump(&mut upstream_in, &mut client_out, open, &strange, guide);
    let ending = match tokio::try_join!(requests, answers) {
        Ok(_) => return None,
        Err(Over::Ended(ending)) => ending,
        Err(Over::Broken) => Ending::Reset,
    };
    // What was passed on before belongs to it.
    let flushed = client_out.flush().await;
    Some(if flushed.is_ok() { ending } else { Ending::Reset })
}

/// Passes bytes as they come, to the end.
async fn copy<R, W>(from: &mut Input<R>, to: &mut Output<W>) -> Result<(), Over>
where
    R: Receive,
    W: Deliver,
{
    loop {
        to.push(from.unread()).await?;
        from.take(from.unread().len());
        to.flush().await?;
        if !from.fill().await? {
            return Ok(to.end().await?);
        }
    }
}

/// What stands next in a body: at least one byte is there when this is `Some`. `None` where the sender ended before the body did.
async fn next_piece<R, W>(from: &mut Input<R>, body: &mut Body, to: &mut Output<W>) -> Result<Option<Result<Piece, Malformed>>, Over>
where
    R: Receive,
    W: Deliver,
{
    if from.unread().is_empty() {
        to.flush().await?;
        if !from.fill().await? {
            return Ok(None);
        }
    }
    Ok(Some(body.next(from.unread())))
}
