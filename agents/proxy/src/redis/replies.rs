//! Replies on their way to the client, each in its turn.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chaos_core::clock::Mono;
use chaos_protocol::resp::{Scan, Scanner};
use tokio::sync::Notify;

use crate::engine::{Finish, Line, Live, Source, copy};
use crate::toxic::ArmedToxic;

/// The longest reply that is watched; a longer one passes.
const WATCHED_MAX: usize = 1 << 20;
/// Replies of our own that wait at most, in bytes with what each costs, before no more commands are taken.
const IN_PLACE_MAX: usize = 1 << 20;
const EACH_COSTS: usize = 64;
/// Commands whose replies are watched and have not come, counted the same way. Many: clients may write all they have before they read.
const WATCHED_COMMANDS_MAX: usize = 16 << 20;

/// What comes next, for one command.
pub(super) enum Expected {
    /// The server's reply; to so many commands in a row, so that those that no toxic meets cost nothing while they wait.
    Replies(u64),
    /// The server's reply to a command that sets the version of the protocol, unless it is an error.
    Greeting { resp3: bool },
    /// The server's reply, which a toxic watches.
    Watched { toxic: Arc<ArmedToxic>, command: Vec<u8> },
    /// The server's reply, and this in its place.
    Replaced(Vec<u8>),
    /// This; the server knows nothing of the command.
    InPlace(Vec<u8>),
    /// From here on, bytes pass unseen.
    Blind,
}

impl Expected {
    /// What it holds, in bytes: of our own replies, and of commands that are watched.
    fn holds(&self) -> Held {
        match self {
            Self::InPlace(reply) | Self::Replaced(reply) => Held { ours: reply.len() + EACH_COSTS, watched: 0 },
            Self::Watched { command, .. } => Held { ours: 0, watched: command.len() + EACH_COSTS },
            Self::Replies(_) | Self::Greeting { .. } | Self::Blind => Held::default(),
        }
    }
}

#[derive(Default)]
struct Held {
    ours: usize,
    watched: usize,
}

/// What was asked and is not answered yet.
#[derive(Default)]
pub(super) struct Pending {
    state: Mutex<State>,
    added: Notify,
    freed: Notify,
}

#[derive(Default)]
struct State {
    expected: VecDeque<Expected>,
    held: Held,
    resp3: bool,
}

impl State {
    fn push(&mut self, expected: Expected) {
        if let (Some(Expected::Replies(before)), Expected::Replies(more)) = (self.expected.back_mut(), &expected) {
            *before += more;
            return;
        }
        let holds = expected.holds();
        self.held.ours += holds.ours;
        self.held.watched += holds.watched;
        self.expected.push_back(expected);
    }

    /// Takes what comes next, for one command.
    fn pop(&mut self) -> Option<Expected> {
        if let Some(Expected::Replies(count @ 2..)) = self.expected.front_mut() {
            *count -= 1;
            return Some(Expected::Replies(1));
        }
        let expected = self.expected.pop_front()?;
        let holds = expected.holds();
        self.held.ours -= holds.ours;
        self.held.watched -= holds.watched;
        Some(expected)
    }

    fn is_full(&self) -> bool {
        self.held.ours > IN_PLACE_MAX || self.held.watched > WATCHED_COMMANDS_MAX
    }
}

impl Pending {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_resp3(&self) -> bool {
        self.state().resp3
    }

    pub(super) fn push(&self, expected: Expected) {
        self.state().push(expected);
        self.added.notify_one();
    }

    /// Waits until not too much waits for what the server says.
    pub(super) async fn room(&self) {
        while self.state().is_full() {
            self.freed.notified().await;
        }
    }

    /// Appends the replies of our own whose turn it is; true: nothing after them is looked at.
    fn in_place(&self, out: &mut Vec<u8>) -> bool {
        let mut state = self.state();
        loop {
            match state.expected.front() {
                Some(Expected::InPlace(reply)) => {
                    out.extend_from_slice(reply);
                    state.pop();
                    self.freed.notify_one();
                }
                Some(Expected::Blind) => return true,
                _ => return false,
            }
        }
    }
}

/// Relays what the server sends, to its end.
pub(super) async fn relay(upstream: &mut Source, to: &Line, pending: &Pending, live: Live) -> io::Result<()> {
    let mut replies = Replies { scanner: Scanner::new(), pending, live, now: None };
    loop {
        let mut out = Vec::new();
        let blind = replies.is_between() && pending.in_place(&mut out);
        if !out.is_empty() && to.send(&out).await.is_err() {
            return Ok(());
        }
        drop(out);
        if blind {
            return copy(upstream, to).await;
        }
        let mut came = Vec::new();
        let read = tokio::select! {
            biased;
            () = pending.added.notified(), if replies.is_between() => continue,
            read = upstream.read(&mut came) => read?,
        };
        if read == 0 {
            if let Some(Now::Kept(begun)) = replies.now.take()
                && to.send(&begun).await.is_err()
            {
                return Ok(());
            }
            to.finish(Finish::Eof);
            return Ok(());
        }
        let mut out = Vec::new();
        let understood = replies.take(&came, &mut out);
        if !out.is_empty() && to.send(&out).await.is_err() {
            return Ok(());
        }
        if !understood {
            return copy(upstream, to).await;
        }
    }
}

struct Replies<'a> {
    scanner: Scanner,
    pending: &'a Pending,
    live: Live,
    /// What the value that has begun is.
    now: Option<Now>,
}

/// What becomes of a value while it comes.
enum Now {
    /// It passes; pushed ones answer nothing.
    Passes {
        pushed: bool,
    },
    Dropped,
    Kept(Vec<u8>),
}

impl Replies<'_> {
    fn is_between(&self) -> bool {
        self.now.is_none()
    }

    /// Takes what came; false: from here on it is not understood, and has been passed on as it is.
    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> bool {
        while let Some(&first) = bytes.first() {
            if self.now.is_none() {
                if self.pending.in_place(out) {
                    out.extend_from_slice(bytes);
                    return false;
                }
                self.now = Some(self.begins(first));
            }
            let (taken, kind) = match self.scanner.scan(bytes) {
                Ok(Scan::Part) => (bytes.len(), None),
                Ok(Scan::Whole { taken, kind }) => (taken, Some(kind)),
                Err(_) => {
                    if let Some(Now::Kept(kept)) = self.now.take() {
                        out.extend_from_slice(&kept);
                    }
                    out.extend_from_slice(bytes);
                    return false;
                }
            };
            self.goes_on(&bytes[..taken], out);
            bytes = &bytes[taken..];
            if let Some(kind) = kind {
                self.ends(kind, out);
            }
        }
        true
    }

    /// A value begins: whose reply is it?
    fn begins(&self, first: u8) -> Now {
        if first == b'>' {
            return Now::Passes { pushed: true };
        }
        match self.pending.state().expected.front() {
            Some(Expected::Replaced(_)) => Now::Dropped,
            Some(Expected::Watched { .. }) => Now::Kept(Vec::new()),
            _ => Now::Passes { pushed: false },
        }
    }

    fn goes_on(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.now {
            Some(Now::Kept(kept)) if kept.len() + bytes.len() <= WATCHED_MAX => kept.extend_from_slice(bytes),
            Some(Now::Kept(kept)) => {
                out.append(kept);
                out.extend_from_slice(bytes);
                self.now = Some(Now::Passes { pushed: false });
            }
            Some(Now::Dropped) => {}
            Some(Now::Passes { .. }) | None => out.extend_from_slice(bytes),
        }
    }

    /// A value is over.
    fn ends(&mut self, kind: u8, out: &mut Vec<u8>) {
        let now = self.now.take();
        if matches!(now, Some(Now::Passes { pushed: true })) {
            return;
        }
        let mut state = self.pending.state();
        let expected = state.pop();
        self.pending.freed.notify_one();
        match (expected, now) {
            (Some(Expected::Greeting { resp3 }), _) if kind != b'-' && kind != b'!' => state.resp3 = resp3,
            (Some(Expected::Replaced(reply)), _) => out.extend_from_slice(&reply),
            (Some(Expected::Watched { toxic, command }), Some(Now::Kept(reply))) => {
                // Once it is taken back, nothing of it is told any more.
                let armed = self.live.current().iter().any(|t| Arc::ptr_eq(t, &toxic));
                let act = toxic.act.redis().filter(|_| armed);
                let other = act.and_then(|act| act.reply(&command, &reply, Mono::now()));
                out.extend_from_slice(&other.unwrap_or(reply));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_toxic_meets_costs_nothing_while_it_waits() {
        let pending = Pending::default();
        (0..1_000_000).for_each(|_| pending.push(Expected::Replies(1)));
        pending.push(Expected::InPlace(b"-BUSY".to_vec()));
        pending.push(Expected::Replies(1));
        let mut state = pending.state();
        assert_eq!(state.expected.len(), 3);
        assert!((0..1_000_000).all(|_| matches!(state.pop(), Some(Expected::Replies(1)))));
        assert_eq!(state.held.ours, 5 + EACH_COSTS);
        assert!(matches!(state.pop(), Some(Expected::InPlace(_))));
        assert!(matches!(state.pop(), Some(Expected::Replies(1))));
        assert!(state.pop().is_none() && state.held.ours == 0);
    }

    #[test]
    fn replies_of_our_own_that_nobody_reads_are_bounded() {
        let pending = Pending::default();
        while !pending.state().is_full() {
            pending.push(Expected::Replaced(vec![0; 1000]));
        }
        assert!(pending.state().expected.len() < 1_100);
        pending.state().pop();
        assert!(!pending.state().is_full());
    }
}
