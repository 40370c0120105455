//! One connection: both sockets, a line each way, and the layer that relays between them.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use chaos_core::clock::Mono;
use rustix::net::sockopt::set_socket_linger;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::clock::{Alarm, Clock};
use super::line::{Ended, Finish, Line, Reader};
use super::live::Live;
use super::source::Source;
use super::tls::Tls;
use super::upstream::Upstream;
use crate::toxic::{Ending, Fate, Speaks, Way};
use crate::{http, postgres, redis};

/// How long the other side may take to close, once a connection has been ended in good order.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a client that has closed is remembered where its upstream is gone and it is not told.
const FORGOTTEN: Duration = Duration::from_secs(5);
/// How often a client is looked for while a toxic holds everything back: nobody reads its end then, or it waits behind what is held.
const LOOK: Duration = Duration::from_secs(1);

/// One connection through the proxy, as a layer has it.
///
/// A layer reads from a [`Source`], and sends into the [`Line`] of that direction; what byte toxics do to it there is none of its
/// business. It passes on the end of a direction with [`Line::finish`], and returns when both have ended. An error that it returns
/// resets both ends. It is dropped when a toxic ends the connection as a whole.
pub struct Connection {
    /// What the client sends.
    pub client: Source,
    /// What the upstream sends.
    pub upstream: Source,
    /// The way to the client.
    pub to_client: Arc<Line>,
    /// The way to the upstream.
    pub to_upstream: Arc<Line>,
    /// The toxics in force for this connection.
    pub live: Live,
    /// For waiting exactly.
    pub clock: Clock,
    /// What the proxy speaks.
    pub speaks: Speaks,
    /// Where TLS ends, if it does.
    pub tls: Option<Arc<Tls>>,
}

impl Connection {
    /// Relays bytes without looking at them, both ways, to the end.
    ///
    /// # Errors
    /// Never for what the sides do.
    pub async fn pass_through(&mut self) -> io::Result<()> {
        let Self { client, upstream, to_client, to_upstream, .. } = self;
        tokio::try_join!(super::source::copy(client, to_upstream), super::source::copy(upstream, to_client))?;
        Ok(())
    }
}

/// A connection that was accepted, on its way to a worker.
pub(crate) struct Accepted {
    pub(crate) client: std::net::TcpStream,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) speaks: Speaks,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) live: Live,
    pub(crate) room: OwnedSemaphorePermit,
}

/// Serves one connection from its first byte to its last.
pub(crate) async fn serve(accepted: Accepted, clock: Clock) {
    let Accepted { client, upstream, speaks, tls, live, room: _room } = accepted;
    let Ok(client) = TcpStream::from_std(client) else { return };
    let _ = client.set_nodelay(true);
    let mut fate = Watch { live: live.another(), alarm: clock.alarm(), begun: Mono::now() };
    let connected = tokio::select! {
        biased;
        end = fate.comes() => End::Fate(end),
        connected = upstream.connect(&client, &clock) => match connected {
            Ok(to) => return relayed(client, to, (speaks, tls), live, clock, fate).await,
            Err(error) => {
                live.unreachable(&error);
                End::Broken
            }
        },
    };
    match connected {
        End::Fate(Fate::HalfOpen) => {
            let (from, to) = client.into_split();
            to.forget();
            swallow(Source::new(from), &mut fate, &clock).await;
        }
        End::Fate(Fate::Close) => {}
        _ => reset(&client),
    }
}

/// Why a relay ended.
enum End {
    Fate(Fate),
    Broken,
    Closed,
}

async fn relayed(
    client: TcpStream,
    upstream: TcpStream,
    (speaks, tls): (Speaks, Option<Arc<Tls>>),
    live: Live,
    clock: Clock,
    mut fate: Watch,
) {
    let _ = upstream.set_nodelay(true);
    let ((client, to_client), (upstream, to_upstream)) = (client.into_split(), upstream.into_split());
    let to_client = Line::new(to_client, Way::Answers, live.another(), &clock);
    let to_upstream = Line::new(to_upstream, Way::Requests, live.another(), &clock);
    let (client, upstream) = (Source::new(client), Source::new(upstream));
    let mut connection =
        Connection { client, upstream, to_client: Arc::clone(&to_client), to_upstream: Arc::clone(&to_upstream), live, clock, speaks, tls };
    let end = drive(&mut connection, [&to_client, &to_upstream], &mut fate).await;
    farewell(end, connection, &mut fate).await;
}

/// Polls fate, lines and layer of one connection, in one task, until it ends.
async fn drive(connection: &mut Connection, lines: [&Line; 2], fate: &mut Watch) -> End {
    let mut absence = Absence { alarm: connection.clock.alarm(), look: None, closed: None };
    let mut layer = pin!(relay(connection));
    let mut layer_done = false;
    let mut step = |cx: &mut Context<'_>| {
        if let Poll::Ready(fate) = fate.poll(cx) {
            return Poll::Ready(End::Fate(fate));
        }
        loop {
            if let Some(end) = ended(lines, cx) {
                return Poll::Ready(end);
            }
            if layer_done {
                return Poll::Pending;
            }
            match layer.as_mut().poll(cx) {
                Poll::Pending => return ended(lines, cx).map_or(Poll::Pending, Poll::Ready),
                Poll::Ready(Err(_)) => return Poll::Ready(End::Broken),
                Poll::Ready(Ok(())) => {
                    layer_done = true;
                    lines.iter().for_each(|line| line.finish(Finish::Eof));
                }
            }
        }
    };
    poll_fn(|cx| match step(cx) {
        Poll::Pending => absence.poll(cx, lines).map(|()| End::Broken),
        end => end,
    })
    .await
}

/// Watches for a client that has gone while a toxic holds a line of its connection, which would keep both sockets until it is taken back.
struct Absence {
    alarm: Alarm,
    /// When it is looked for next.
    look: Option<Mono>,
    /// Since when it sends no more.
    closed: Option<Mono>,
}

impl Absence {
    /// Ready when it has gone: at once where it reset, after a while where it closed, for it may still wait for an answer.
    fn poll(&mut self, cx: &mut Context<'_>, lines: [&Line; 2]) -> Poll<()> {
        if !lines.iter().any(|line| line.is_held()) {
            (self.look, self.closed) = (None, None);
            self.alarm.clear();
            return Poll::Pending;
        }
        loop {
            let look = *self.look.get_or_insert_with(|| Mono::now().plus(LOOK));
            ready!(self.alarm.poll(cx, look));
            let now = Mono::now();
            self.look = Some(now.plus(LOOK));
            match lines[0].reader() {
                Reader::There => self.closed = None,
                Reader::Closed if now < self.closed.get_or_insert(now).plus(FORGOTTEN) => {}
                Reader::Closed | Reader::Gone => return Poll::Ready(()),
            }
        }
    }
}

/// Have the lines ended, and how?
fn ended(lines: [&Line; 2], cx: &mut Context<'_>) -> Option<End> {
    let ends = lines.map(|line| match line.poll_drive(cx) {
        Poll::Ready(ended) => Some(ended),
        Poll::Pending => None,
    });
    let any = |end| ends.contains(&Some(end));
    let over = ends.iter().all(Option::is_some);
    if any(Ended::Whole(Ending::Reset)) || over && any(Ended::Broken) {
        return Some(End::Broken);
    }
    (over || any(Ended::Whole(Ending::Close))).then_some(End::Closed)
}

/// The layer of what the proxy speaks.
fn relay(connection: &mut Connection) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> {
    match connection.speaks {
        Speaks::Tcp => Box::pin(connection.pass_through()),
        Speaks::Http | Speaks::Sse | Speaks::S3 => Box::pin(http::relay(connection)),
        Speaks::Redis => Box::pin(redis::relay(connection)),
        Speaks::Postgres => Box::pin(postgres::relay(connection)),
    }
}

/// Ends both sockets as the connection ended.
async fn farewell(end: End, connection: Connection, fate: &mut Watch) {
    let Connection { client, upstream, to_client, to_upstream, clock, .. } = connection;
    match end {
        End::Broken | End::Fate(Fate::Reset { .. }) => {
            for (source, line) in [(&client, &to_client), (&upstream, &to_upstream)] {
                reset(source.socket());
                line.abandon();
            }
        }
        // What is unread when a socket is closed makes the kernel reset it: read on for a while.
        End::Closed | End::Fate(Fate::Close) => {
            to_client.close();
            to_upstream.close();
            tokio::select! {
                () = clock.sleep(FAREWELL) => {}
                () = async { tokio::join!(drain(client), drain(upstream)); } => {}
            }
        }
        End::Fate(Fate::HalfOpen) => {
            reset(upstream.socket());
            to_upstream.abandon();
            to_client.abandon();
            drop(upstream);
            swallow(client, fate, &clock).await;
        }
    }
}

/// Reads and throws away, until the other side has closed.
async fn drain(mut from: Source) {
    while matches!(poll_fn(|cx| from.poll_read(cx, |_, bytes| bytes.len())).await, Ok(1..)) {}
}

/// The upstream is gone and the client is not told: what it sends is taken, for as long as that is its fate. Then it is reset.
async fn swallow(mut from: Source, fate: &mut Watch, clock: &Clock) {
    loop {
        let read = tokio::select! {
            biased;
            () = fate.leaves_half_open() => break,
            read = poll_fn(|cx| from.poll_read(cx, |_, bytes| bytes.len())) => read,
        };
        match read {
            Ok(1..) => {}
            // It may have closed its half and still wait for an answer; most have gone, and would fill this process.
            Ok(0) => {
                tokio::select! {
                    () = fate.leaves_half_open() => {}
                    () = clock.sleep(FORGOTTEN) => {}
                }
                break;
            }
            Err(_) => return,
        }
    }
    reset(from.socket());
}

/// Makes the last close of a socket a reset.
fn reset(socket: &TcpStream) {
    let _ = set_socket_linger(socket, Some(Duration::ZERO));
}

/// Watches for what befalls a connection as a whole.
struct Watch {
    live: Live,
    alarm: Alarm,
    begun: Mono,
}

impl Watch {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Fate> {
        loop {
            match self.next() {
                Some(next) if next.when.is_none_or(|time| self.alarm.poll(cx, time).is_ready()) => {
                    if let Some(toxic) = next.by.and_then(|at| self.live.current().get(at)) {
                        toxic.met();
                    }
                    return Poll::Ready(next.fate);
                }
                Some(_) => {}
                None => self.alarm.clear(),
            }
            if self.live.poll_changed(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    async fn comes(&mut self) -> Fate {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The first of the fates in force.
    fn next(&mut self) -> Option<Next> {
        if self.live.is_closed() {
            return Some(Next { fate: Fate::Close, when: None, by: None });
        }
        let (begun, connection) = (self.begun, self.live.connection());
        let fates = self.live.current().iter().enumerate().filter_map(|(at, toxic)| {
            let fate = toxic.act.transport()?.fate()?;
            let when = match fate {
                Fate::Reset { only_new: true, .. } if connection < toxic.first_new => return None,
                Fate::Reset { after, .. } if !after.is_zero() => Some(toxic.since.max(begun).plus(after)),
                _ => None,
            };
            Some(Next { fate, when, by: Some(at) })
        });
        fates.min_by_key(|next| next.when)
    }

    async fn leaves_half_open(&mut self) {
        while self.next().is_some_and(|next| next.fate == Fate::HalfOpen) {
            self.live.changed().await;
        }
    }
}

/// What befalls a connection next.
struct Next {
    fate: Fate,
    /// None: now.
    when: Option<Mono>,
    /// Its place among the toxics that the connection meets.
    by: Option<usize>,
}
