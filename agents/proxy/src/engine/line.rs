//! One direction of a connection on its way out: a true delay line under whatever toxics are in force.
//!
//! With none, bytes go straight from the worker's buffer into the socket, and only what the socket does not take is kept. With some,
//! each piece is stamped when it arrives and goes on when its time has come, in order. So a long transfer is delayed once, not once a
//! piece, as long as the line may hold bandwidth × delay: up to 16 MiB in one direction, 1 GiB in the whole process; then the sender
//! feels backpressure.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use chaos_core::clock::Mono;
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

use super::clock::{Alarm, Clock};
use super::live::Live;
use super::queue::{Queue, all_held};
use crate::engine::Chance;
use crate::toxic::{ArmedToxic, Ending, Meets, NEVER, Pass, Stream, Way};

/// What a direction holds at most where no toxic holds a line: as much as one read brings.
const HELD_BYTES: usize = 64 << 10;
/// What a direction holds at most where one does.
const LINE_BYTES: usize = 16 << 20;
/// What all lines of this process hold at most, before each is cut down to [`HELD_BYTES`].
const ALL_BYTES: usize = 1 << 30;

/// One direction of a connection on its way out.
pub struct Line(Mutex<State>);

/// What may follow the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The end of this direction; the other goes on.
    Eof,
    /// The end of the whole connection.
    Whole(Ending),
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything went, and the end was passed on.
    Passed,
    /// Whoever it leads to is gone. What it said before may still be on its way back: the other direction decides when all is over.
    Broken,
    /// The whole connection is to end so.
    Whole(Ending),
}

/// Whoever a line leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// It may send more.
    There,
    /// It sends no more, and may still read.
    Closed,
    /// It has reset the connection.
    Gone,
}

struct State {
    to: Option<OwnedWriteHalf>,
    way: Way,
    live: Live,
    streams: Vec<Running>,
    alarm: Alarm,
    queue: Queue,
    last_due: Mono,
    finish: Option<(Finish, Mono, Mono)>,
    ended: Option<Ended>,
    driver: Option<Waker>,
    waiting: Vec<Waker>,
}

/// A toxic at work on this line.
struct Running {
    toxic: Arc<ArmedToxic>,
    stream: Box<dyn Stream>,
    /// What waits has not met it yet.
    is_new: bool,
}

impl Running {
    fn met(&self, what: Meets) {
        if self.stream.meets() == what {
            self.toxic.met();
        }
    }

    /// What waits meets only those that have come since.
    fn met_if_new(&self, what: Meets) {
        if self.is_new {
            self.met(what);
        }
    }
}

impl Line {
    pub(crate) fn new(to: OwnedWriteHalf, way: Way, live: Live, clock: &Clock) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            to: Some(to),
            way,
            live,
            streams: Vec::new(),
            alarm: clock.alarm(),
            queue: Queue::default(),
            last_due: Mono(0),
            finish: None,
            ended: None,
            driver: None,
            waiting: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends bytes, once there is room for them. They have left this task then, though maybe not this machine.
    ///
    /// # Errors
    /// If this direction has ended: [`io::ErrorKind::BrokenPipe`].
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        poll_fn(|cx| {
            self.offer(cx, bytes);
            Poll::Ready(())
        })
        .await;
        Ok(())
    }

    /// Nothing follows: the end goes out behind whatever still waits.
    pub fn finish(&self, finish: Finish) {
        let mut state = self.state();
        if state.finish.is_none() && state.ended.is_none() {
            state.refresh();
            let arrived = Mono::now();
            let due = state.end_due(arrived, Running::met);
            state.finish = Some((finish, arrived, due));
        }
        if let Some(driver) = &state.driver {
            driver.wake_by_ref();
        }
    }

    /// Is there room for more? If not, wakes the caller when there is.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        // As a socket does, a broken line takes bytes and loses them.
        if state.ended.is_some_and(|ended| ended != Ended::Broken) || state.finish.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.queue.is_empty() || state.queue.held() < state.capacity() {
            return Poll::Ready(Ok(()));
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Takes bytes: as many as may go at once go, the rest waits here.
    pub(crate) fn offer(&self, cx: &mut Context<'_>, bytes: &[u8]) {
        self.state().offer(cx, bytes);
    }

    /// Moves what may move. Ready when this direction has ended. Called by the one task that drives the connection.
    pub(crate) fn poll_drive(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut state = self.state();
        if !state.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            state.driver = Some(cx.waker().clone());
        }
        state.drive(cx)
    }

    /// Does a toxic hold what waits for as long as it is armed?
    pub(crate) fn is_held(&self) -> bool {
        let state = self.state();
        let next = state.queue.first_due().or_else(|| state.finish.map(|(_, _, due)| due));
        state.ended.is_none() && next == Some(NEVER)
    }

    /// What the kernel knows of whoever this leads to, without reading what it sent.
    pub(crate) fn reader(&self) -> Reader {
        let state = self.state();
        let Some(to) = &state.to else { return Reader::Gone };
        let mut polled = [PollFd::from_borrowed_fd(to.as_ref().as_fd(), PollFlags::RDHUP)];
        if rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
            return Reader::There;
        }
        let told = polled[0].revents();
        // Where we have closed our half too, "hung up" says no more than that it has closed its own.
        if told.contains(PollFlags::ERR) || told.contains(PollFlags::HUP) && state.ended.is_none() {
            Reader::Gone
        } else if told.intersects(PollFlags::RDHUP | PollFlags::HUP) {
            Reader::Closed
        } else {
            Reader::There
        }
    }

    /// Ends this direction now; what still waits is lost.
    pub(crate) fn close(&self) {
        self.state().to = None;
    }

    /// Lets go of the socket without a farewell, so that whoever closes it last decides how.
    pub(crate) fn abandon(&self) {
        if let Some(to) = self.state().to.take() {
            to.forget();
        }
    }
}

impl State {
    fn offer(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) {
        if self.ended.is_some() || bytes.is_empty() {
            return;
        }
        self.refresh();
        // The kernel wakes one writer a socket: only the driver may wait for it.
        let by_driver = self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker()));
        if by_driver && self.streams.is_empty() && self.queue.is_empty() {
            match self.write(cx, bytes) {
                Poll::Ready(written) => bytes = &bytes[written..],
                Poll::Pending => {}
            }
            if bytes.is_empty() || self.ended.is_some() {
                return;
            }
        }
        let arrived = Mono::now();
        let due = self.due(arrived, Running::met);
        self.queue.push(bytes, arrived, due);
        if by_driver {
            let _ = self.drive(cx);
        } else if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// When bytes that arrived then may go on, never before those in front of them. Each toxic is told to `met`.
    fn due(&mut self, arrived: Mono, met: fn(&Running, Meets)) -> Mono {
        let mut due = arrived;
        for running in &mut self.streams {
            met(running, Meets::Bytes);
            due = running.stream.due(due);
        }
        self.last_due = self.last_due.max(due);
        self.last_due
    }

    /// When the end that arrived then may go on. Each toxic is told to `met`.
    fn end_due(&mut self, arrived: Mono, met: fn(&Running, Meets)) -> Mono {
        self.streams.iter_mut().fold(arrived, |due, running| {
            met(running, Meets::TheEnd);
            running.stream.end_due(due)
        })
    }

    fn capacity(&self) -> usize {
        let holds = self.streams.iter().any(|running| running.stream.holds_a_line());
        if holds && all_held() < ALL_BYTES { LINE_BYTES } else { HELD_BYTES }
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            if let Some(ended) = self.ended {
                return Poll::Ready(ended);
            }
            while self.live.poll_changed(cx).is_ready() {
                self.refresh();
            }
            let Some(first) = self.queue.first_due() else {
                ready!(self.end(cx));
                continue;
            };
            let now = Mono::now();
            let due = self.queue.due_bytes(now);
            if due == 0 {
                ready!(self.alarm.poll(cx, first));
                continue;
            }
            match self.pass(now, due) {
                Pass::Now(len) => {
                    let sent = ready!(self.write_pieces(cx, len));
                    self.went(now, sent);
                }
                Pass::Later(time) => ready!(self.alarm.poll(cx, time)),
                Pass::End(ending) => self.ended = Some(Ended::Whole(ending)),
            }
        }
    }

    /// Everything went: passes the end on, when its time has come.
    fn end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((finish, _, due)) = self.finish else { return Poll::Pending };
        if Mono::now() < due {
            ready!(self.alarm.poll(cx, due));
        }
        self.ended = Some(match finish {
            Finish::Eof => {
                if let Some(to) = &mut self.to {
                    // Closing may fail only because the other side is gone, which its reader says.
                    let _ = Pin::new(to).poll_shutdown(cx);
                }
                Ended::Passed
            }
            Finish::Whole(ending) => Ended::Whole(ending),
        });
        Poll::Ready(())
    }

    fn pass(&mut self, now: Mono, len: usize) -> Pass {
        let mut may = len;
        for running in &mut self.streams {
            match running.stream.pass(now, may) {
                Pass::Now(len) => may = len.clamp(1, may),
                Pass::End(ending) => {
                    running.met(Meets::TheCut);
                    return Pass::End(ending);
                }
                later @ Pass::Later(_) => return later,
            }
        }
        Pass::Now(may)
    }

    /// Writes up to so many bytes of the pieces in front.
    fn write_pieces(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<usize> {
        let Some(to) = &mut self.to else { return Poll::Pending };
        let written = ready!(self.queue.front(len, |slices| Pin::new(to).poll_write_vectored(cx, slices)));
        Poll::Ready(self.written(written))
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<usize> {
        let Some(to) = &mut self.to else { return Poll::Pending };
        let written = ready!(Pin::new(to).poll_write(cx, bytes));
        Poll::Ready(self.written(written))
    }

    /// Whoever cannot be written to any more is gone.
    fn written(&mut self, written: io::Result<usize>) -> usize {
        written.unwrap_or_else(|_| {
            self.ended = Some(Ended::Broken);
            self.queue.clear();
            self.waiting.drain(..).for_each(Waker::wake);
            0
        })
    }

    /// So many bytes went.
    fn went(&mut self, now: Mono, sent: usize) {
        for running in &mut self.streams {
            running.stream.sent(now, sent);
        }
        self.queue.went(sent);
        if self.queue.held() < self.capacity() {
            self.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// Takes over a change of the toxics in force: what still waits is stamped anew.
    fn refresh(&mut self) {
        if !self.live.is_stale() {
            return;
        }
        let (way, connection) = (self.way, self.live.connection());
        let mut before = std::mem::take(&mut self.streams);
        for toxic in self.live.current() {
            let known = before.iter().position(|r| r.toxic.identity() == toxic.identity());
            let is_new = known.is_none();
            let stream = match known {
                Some(at) => Some(before.swap_remove(at).stream),
                None => toxic.act.transport().and_then(|act| act.stream(way, Chance::new(toxic.seed, connection * 2 + way as u64))),
            };
            self.streams.extend(stream.map(|stream| Running { toxic: Arc::clone(toxic), stream, is_new }));
        }
        self.restamp();
    }

    fn restamp(&mut self) {
        self.last_due = Mono(0);
        let mut queue = std::mem::take(&mut self.queue);
        queue.stamp(|arrived| self.due(arrived, Running::met_if_new));
        self.queue = queue;
        if let Some((finish, arrived, _)) = self.finish {
            let due = self.end_due(arrived, Running::met_if_new);
            self.finish = Some((finish, arrived, due));
        }
        self.waiting.drain(..).for_each(Waker::wake);
    }
}
