//! From the upstream to the client.

use chaos_protocol::http1::{Framing, Head};
use tokio::sync::{Notify, mpsc, oneshot};

use super::answer::Answer;
use super::input::Input;
use super::output::Output;
use super::{Became, Open, Over, copy};
use crate::http::ends::{Deliver, Receive};
use crate::http::exchange::{Exchange, Guide};
use crate::toxic::Ending;

/// Relays answers until the upstream ends. `strange` is told when something comes that nobody asked for.
pub(super) async fn pump<R, W>(
    upstream: &mut Input<R>,
    client: &mut Output<W>,
    mut queue: mpsc::Receiver<Open>,
    strange: &Notify,
    mut guide: Guide,
) -> Result<(), Over>
where
    R: Receive,
    W: Deliver,
{
    loop {
        client.flush().await?;
        let open = tokio::select! {
            biased;
            open = queue.recv() => open,
            // What comes unasked (a greeting, that it waited too long, its end) is for the client as well.
            more = upstream.more() => {
                if !more? {
                    break;
                }
                queue.try_recv().ok()
            }
        };
        let became = match open {
            Some(Open::Own { answer, to_head, last }) => {
                client.push(&answer.text(to_head, last)).await?;
                if last {
                    return Err(Over::Ended(Ending::Close));
                }
                Became::Http
            }
            Some(Open::Upstream(exchange, tell)) => answer(upstream, client, &exchange, &mut guide, tell).await?,
            Some(Open::Raw) => Became::Raw,
            None => Became::Raw,
        };
        if became == Became::Raw {
            // Nothing of what is still asked can be told apart in the answers: requests pass as bytes from here on as well.
            queue.close();
            strange.notify_one();
            return copy(upstream, client).await;
        }
    }
    Ok(client.end().await?)
}

/// Relays the answer to one exchange, and the interim answers before it.
async fn answer<R, W>(
    upstream: &mut Input<R>,
    client: &mut Output<W>,
    exchange: &Exchange,
    guide: &mut Guide,
    tell: Option<oneshot::Sender<Became>>,
) -> Result<Became, Over>
where
    R: Receive,
    W: Deliver,
{
    let head = loop {
        let head = match upstream.head().await? {
            Ok(Some(head)) => head,
            // The end, or something else than an answer: the client is to see the same.
            Ok(None) | Err(_) => return Ok(Became::Raw),
        };
        if !is_interim(&head) {
            break head;
        }
        client.push(head.bytes()).await?;
        client.flush().await?;
    };
    let method = exchange.request.method();
    let switched = head.status() == Some(101) || method == "CONNECT" && matches!(head.status(), Some(200..=299));
    if let Some(tell) = tell {
        let _ = tell.send(if switched { Became::Raw } else { Became::Http });
    }
    match Framing::of_answer(&head, method) {
        Ok(framing) if !switched => Answer { upstream, client, exchange, guide }.relay(head, framing).await,
        _ => client.push(head.bytes()).await.map(|()| Became::Raw).map_err(Over::from),
    }
}

/// Is it followed by the real answer? A switch of protocols is the real one.
fn is_interim(head: &Head) -> bool {
    matches!(head.status(), Some(100 | 102..=199))
}
