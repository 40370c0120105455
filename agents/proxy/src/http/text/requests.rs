//! From the client to the upstream.

use chaos_protocol::http1::{Body, Framing, Head};
use tokio::sync::{Notify, mpsc, oneshot};

use super::input::Input;
use super::output::Output;
use super::{Became, Open, Over, copy, next_piece};
use crate::http::act::OwnAnswer;
use crate::http::ends::{Deliver, Receive};
use crate::http::exchange::{Exchange, Guide};

/// How much of what follows a request that waits is read, to see whether its client still does.
const AHEAD_MAX: usize = 16 * 1024;

/// Relays requests until the client ends, or `strange` says that the upstream speaks something else.
pub(super) async fn pump<R, W>(
    client: &mut Input<R>,
    upstream: &mut Output<W>,
    queue: mpsc::Sender<Open>,
    strange: &Notify,
    mut guide: Guide,
) -> Result<(), Over>
where
    R: Receive,
    W: Deliver,
{
    for number in 0.. {
        let head = tokio::select! {
            biased;
            () = strange.notified() => return copy(client, upstream).await,
            head = client.head() => head?,
        };
        let head = match head {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(_) => return raw(client, upstream, &queue).await,
        };
        let Ok(framing) = Framing::of_request(&head) else {
            // Whoever reads it may make sense of it, or say why not.
            upstream.push(head.bytes()).await?;
            return raw(client, upstream, &queue).await;
        };
        let exchange = Exchange::new(number, Box::new(head.clone()));
        let asked = tokio::select! {
            biased;
            asked = guide.ask(&exchange) => asked,
            error = client.breaks(AHEAD_MAX) => return Err(error.into()),
        };
        let became = match asked {
            Some(answer) => own(client, upstream, &queue, answer, &head, framing).await?,
            None => forward(client, upstream, &queue, exchange, &head, framing).await?,
        };
        if became == Became::Raw {
            return copy(client, upstream).await;
        }
    }
    Ok(upstream.end().await?)
}

/// From here on this is no HTTP/1.1.
async fn raw<R, W>(client: &mut Input<R>, upstream: &mut Output<W>, queue: &mpsc::Sender<Open>) -> Result<(), Over>
where
    R: Receive,
    W: Deliver,
{
    send(queue, Open::Raw).await;
    copy(client, upstream).await
}

/// A toxic answers: what the client sends with the request goes nowhere.
async fn own<R, W>(
    client: &mut Input<R>,
    upstream: &mut Output<W>,
    queue: &mpsc::Sender<Open>,
    answer: OwnAnswer,
    head: &Head,
    framing: Framing,
) -> Result<Became, Over>
where
    R: Receive,
    W: Deliver,
{
    // Whoever waits for "100 Continue" may send the body after the answer, or not: nobody could tell what follows (RFC 9110 10.1.1).
    let unsure = head.lists("expect", "100-continue") && framing != Framing::Length(0);
    let last = unsure || head.lists("connection", "close") || head.is_http_1_0() && !head.lists("connection", "keep-alive");
    if !send(queue, Open::Own { answer, to_head: head.method() == "HEAD", last }).await {
        upstream.push(head.bytes()).await?;
        return Ok(Became::Raw);
    }
    if last {
        // The answer ends the connection; until then nothing more is read.
        queue.closed().await;
        return Ok(Became::Raw);
    }
    let mut body = Body::new(framing);
    while !body.is_done() {
        match next_piece(client, &mut body, upstream).await? {
            Some(Ok(piece)) => client.take(piece.length()),
            Some(Err(_)) => return Err(Over::Ended(crate::toxic::Ending::Close)),
            None => break,
        }
    }
    Ok(Became::Http)
}

/// The request goes on.
async fn forward<R, W>(
    client: &mut Input<R>,
    upstream: &mut Output<W>,
    queue: &mpsc::Sender<Open>,
    exchange: Exchange,
    head: &Head,
    framing: Framing,
) -> Result<Became, Over>
where
    R: Receive,
    W: Deliver,
{
    // What the connection becomes is known only when the answer is: until then nothing more is read from the client.
    let asks = head.get("upgrade").is_some() || head.method() == "CONNECT";
    let (tell, told) = if asks { Some(oneshot::channel()).unzip() } else { (None, None) };
    let is_answered = send(queue, Open::Upstream(exchange, tell)).await;
    upstream.push(head.bytes()).await?;
    if !is_answered {
        return Ok(Became::Raw);
    }
    let mut body = Body::new(framing);
    while !body.is_done() {
        match next_piece(client, &mut body, upstream).await? {
            Some(Ok(piece)) => {
                upstream.push(&client.unread()[..piece.length()]).await?;
                client.take(piece.length());
            }
            Some(Err(_)) => {
                send(queue, Open::Raw).await;
                return Ok(Became::Raw);
            }
            None => return Ok(Became::Http),
        }
    }
    upstream.flush().await?;
    match told {
        // The answers' pump being gone means that the connection is over.
        Some(told) => Ok(told.await.unwrap_or(Became::Http)),
        None => Ok(Became::Http),
    }
}

/// Puts an exchange in the queue; false where nobody takes it any more: what comes from the upstream is no answer to it.
async fn send(queue: &mpsc::Sender<Open>, open: Open) -> bool {
    queue.send(open).await.is_ok()
}
