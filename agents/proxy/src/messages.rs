//! What a client sends, message by message: each waits in its order for what is in force, and then goes on, or something in its place.
//!
//! A true delay line, as [`Line`] is for bytes: messages are stamped when they arrive, reading goes on while they wait, up to 64 KiB
//! of them, and whatever is armed, adjusted or disarmed meanwhile reaches those that wait.

use std::collections::VecDeque;
use std::io;

use chaos_core::clock::Mono;
use chaos_protocol::Piece;

use crate::engine::{Clock, Finish, Line, Live, Source, copy};

/// What waits at most, in bytes, before the client feels it.
const WAITING_BYTES: usize = 64 << 10;

/// How the messages of one protocol are read, held and let go.
pub(crate) trait Messages: Send {
    /// What a reader says of a message.
    type Head: Send;
    /// A message that waits.
    type Waiting: Send;

    /// The next piece; an error: from here on it is not understood.
    fn read<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a, Self::Head>>, ()>;

    /// What the reader had taken and not given when it failed.
    fn held(&mut self) -> Vec<u8>;

    /// A message arrived.
    fn arrived(&mut self, head: Self::Head, at: Mono) -> Self::Waiting;

    /// Until when the first of those that wait has to; nothing: it may go. `bytes` are those of it that are there.
    fn wait(&mut self, message: &mut Self::Waiting, bytes: &[u8], live: &mut Live) -> Option<Mono>;

    /// Lets a message go: appends what goes in its place, its bytes so far if it goes itself.
    fn release(&mut self, message: Self::Waiting, bytes: Vec<u8>, out: &mut Vec<u8>) -> Rest;

    /// Does nobody want this message any more, which is the first of those that wait, now that the client has closed?
    fn is_given_up(&self, _message: &Self::Waiting) -> bool {
        false
    }

    /// Waits until [`wait`](Self::wait) should be asked again, before the time that it told.
    fn called(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// From here on, bytes pass unseen.
    fn blind(&mut self);

    /// Waits until there is room for what may be answered in place of the upstream.
    fn room(&self) -> impl Future<Output = ()> + Send;
}

/// What becomes of the rest of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It follows.
    Follows,
    /// It is left out, as its beginning was.
    Dropped,
    /// It follows, and all after it passes unseen.
    Blind,
}

enum Step<W> {
    Begins { message: W, bytes: Vec<u8>, ends: bool },
    GoesOn(Vec<u8>),
}

impl<W> Step<W> {
    fn len(&self) -> usize {
        match self {
            Self::Begins { bytes, .. } | Self::GoesOn(bytes) => bytes.len(),
        }
    }
}

/// Relays what a client sends, to its end.
///
/// # Errors
/// If the client's connection broke.
pub(crate) async fn relay<M: Messages>(messages: &mut M, client: &mut Source, to: &Line, mut live: Live, clock: &Clock) -> io::Result<()> {
    let mut queue = Queue { steps: VecDeque::new(), held: 0, dropping: false, blind: false };
    let mut ended = false;
    loop {
        messages.room().await;
        let mut out = Vec::new();
        let until = queue.release(messages, &mut live, &mut out);
        if !out.is_empty() && to.send(&out).await.is_err() {
            return Ok(());
        }
        drop(out);
        if ended && queue.is_given_up(messages) {
            queue.clear();
        }
        if queue.steps.is_empty() && queue.blind {
            return copy(client, to).await;
        }
        if queue.steps.is_empty() && ended {
            to.finish(Finish::Eof);
            return Ok(());
        }
        let mut came = Vec::new();
        tokio::select! {
            biased;
            () = comes(until, &mut live, clock), if until.is_some() => {}
            () = messages.called(), if until.is_some() => {}
            read = client.read(&mut came), if !ended && !queue.blind && queue.held < WAITING_BYTES => match read? {
                0 => {
                    ended = true;
                    // What was begun and never ended goes as it is.
                    queue.push(Step::GoesOn(messages.held()));
                }
                _ => queue.take(messages, &came),
            }
        }
    }
}

/// Waits for a time, or for a change of what is in force.
async fn comes(time: Option<Mono>, live: &mut Live, clock: &Clock) {
    let Some(time) = time else { return };
    tokio::select! {
        biased;
        () = live.changed() => {}
        () = clock.until(time) => {}
    }
}

struct Queue<W> {
    steps: VecDeque<Step<W>>,
    held: usize,
    /// The rest of a message whose beginning did not go does not go either.
    dropping: bool,
    /// Nothing is looked at any more.
    blind: bool,
}

impl<W> Queue<W> {
    fn take<M: Messages<Waiting = W>>(&mut self, messages: &mut M, mut bytes: &[u8]) {
        let now = Mono::now();
        loop {
            match messages.read(&mut bytes) {
                Ok(None) => return,
                Ok(Some(Piece::Begins { head, bytes, ends })) => {
                    let message = messages.arrived(head, now);
                    self.push(Step::Begins { message, bytes, ends });
                }
                Ok(Some(Piece::GoesOn { bytes, .. })) => self.push(Step::GoesOn(bytes.to_vec())),
                Err(()) => {
                    self.push(Step::GoesOn([messages.held().as_slice(), bytes].concat()));
                    self.blind = true;
                    return;
                }
            }
        }
    }

    fn push(&mut self, step: Step<W>) {
        self.held += step.len();
        self.steps.push_back(step);
    }

    fn is_given_up<M: Messages<Waiting = W>>(&self, messages: &M) -> bool {
        matches!(self.steps.front(), Some(Step::Begins { message, .. }) if messages.is_given_up(message))
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.held = 0;
    }

    /// Lets go of what may; until when the first of the others waits.
    fn release<M: Messages<Waiting = W>>(&mut self, messages: &mut M, live: &mut Live, out: &mut Vec<u8>) -> Option<Mono> {
        while let Some(first) = self.steps.front_mut() {
            if let Step::Begins { message, bytes, .. } = first
                && let Some(time) = messages.wait(message, bytes, live)
            {
                return Some(time);
            }
            let Some(step) = self.steps.pop_front() else { break };
            self.held -= step.len();
            match step {
                Step::GoesOn(bytes) if !self.dropping => out.extend_from_slice(&bytes),
                Step::GoesOn(_) => {}
                Step::Begins { message, bytes, ends } => self.let_go(messages, message, bytes, ends, out),
            }
        }
        if self.blind {
            messages.blind();
        }
        None
    }

    fn let_go<M: Messages<Waiting = W>>(&mut self, messages: &mut M, message: W, bytes: Vec<u8>, ends: bool, out: &mut Vec<u8>) {
        let rest = messages.release(message, bytes, out);
        self.dropping = rest == Rest::Dropped && !ends;
        if rest == Rest::Blind {
            self.blind = true;
            // What waits behind it is not looked at either.
            for step in self.steps.drain(..) {
                match step {
                    Step::Begins { bytes, .. } | Step::GoesOn(bytes) => out.extend_from_slice(&bytes),
                }
            }
            self.held = 0;
            // The reader may be within a message.
            out.extend_from_slice(&messages.held());
        }
    }
}
