//! Results on their way to the client: as they are, save the errors that stand for ours.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chaos_protocol::Piece;
use chaos_protocol::postgres::{ErrorFields, Frame, FrameReader, Side, error_response};
use tokio::sync::Notify;

use crate::engine::{Finish, Line, Source, copy};

/// What was made to fail and has not failed yet.
#[derive(Default)]
pub(super) struct Poisoned {
    state: Mutex<State>,
    blinded: Notify,
}

#[derive(Default)]
struct State {
    /// The name that does not exist, which the server's error will tell, and our error.
    errors: VecDeque<(String, Vec<u8>)>,
    encryption_requests: u32,
    blind: bool,
}

impl Poisoned {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, nothing: String, sqlstate: &str, message: &str) {
        self.state().errors.push_back((nothing, error_response(sqlstate, message)));
    }

    /// The client asked whether the connection can be encrypted: the next byte of the server answers that.
    pub(super) fn encryption_asked(&self) {
        self.state().encryption_requests += 1;
    }

    /// From here on, nothing that the client sends is understood (it may be encrypted from its first byte), nor are the answers.
    pub(super) fn blind(&self) {
        self.state().blind = true;
        self.blinded.notify_one();
    }

    /// The error to tell in place of this one, if it is of our making. Those before it never came: their transaction had failed.
    fn instead(&self, error: &[u8]) -> Option<Vec<u8>> {
        let mut state = self.state();
        if state.errors.is_empty() {
            return None;
        }
        let message = ErrorFields::parse(error).message;
        let at = state.errors.iter().position(|(nothing, _)| names(&message, nothing))?;
        state.errors.drain(..=at).next_back().map(|(_, ours)| ours)
    }
}

/// Does the message speak of this name, and not of one that only begins with it?
fn names(message: &str, nothing: &str) -> bool {
    message.match_indices(nothing).any(|(at, _)| !message[at + nothing.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

/// Relays what the server sends, to its end.
pub(super) async fn relay(upstream: &mut Source, to: &Line, poisoned: &Poisoned) -> io::Result<()> {
    let mut reader = FrameReader::new(Side::Backend);
    loop {
        let mut came = Vec::new();
        let read = tokio::select! {
            biased;
            () = poisoned.blinded.notified() => None,
            read = upstream.read(&mut came) => Some(read?),
        };
        if poisoned.state().blind {
            let held = [reader.held(), &came].concat();
            if !held.is_empty() && to.send(&held).await.is_err() {
                return Ok(());
            }
            // An end that was read is read again.
            return copy(upstream, to).await;
        }
        if read == Some(0) {
            // What was begun and never ended goes as it is.
            if !reader.held().is_empty() && to.send(reader.held()).await.is_err() {
                return Ok(());
            }
            to.finish(Finish::Eof);
            return Ok(());
        }
        let mut out = Vec::with_capacity(came.len());
        let understood = take(&mut reader, &came, poisoned, &mut out);
        if !out.is_empty() && to.send(&out).await.is_err() {
            return Ok(());
        }
        if !understood {
            return copy(upstream, to).await;
        }
    }
}

/// Takes what came; false: from here on it is not understood (it may be encrypted), and has been passed on as it is.
fn take(reader: &mut FrameReader, mut bytes: &[u8], poisoned: &Poisoned, out: &mut Vec<u8>) -> bool {
    for _ in 0..std::mem::take(&mut poisoned.state().encryption_requests) {
        reader.expect_encryption_answer();
    }
    loop {
        match reader.read(&mut bytes) {
            Ok(None) => return true,
            Ok(Some(Piece::Begins { head: Frame::Tagged(b'E'), bytes, ends: true })) => {
                out.extend_from_slice(poisoned.instead(&bytes).as_deref().unwrap_or(&bytes));
            }
            Ok(Some(Piece::Begins { head, bytes: begun, .. })) => {
                out.extend_from_slice(&begun);
                if matches!(head, Frame::EncryptionAnswer(b'S' | b'G')) {
                    out.extend_from_slice(bytes);
                    return false;
                }
            }
            Ok(Some(Piece::GoesOn { bytes, .. })) => out.extend_from_slice(bytes),
            Err(_) => {
                out.extend_from_slice(reader.held());
                out.extend_from_slice(bytes);
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_our_making_are_exchanged() {
        let poisoned = Poisoned::default();
        for (name, code) in [("chaos_1_1", "40001"), ("chaos_1_12", "40002"), ("chaos_1_3", "40003")] {
            poisoned.push(name.into(), code, "no");
        }
        let told = |message: &str| poisoned.instead(&error_response("34000", message)).map(|e| ErrorFields::parse(&e).code);
        assert_eq!(told("relation \"chaos\" does not exist"), None);
        assert_eq!(told("portal \"chaos_1_12\" does not exist").as_deref(), Some("40002"));
        assert_eq!(told("portal \"chaos_1_1\" does not exist"), None, "it came before, or never");
        assert_eq!(told("portal \"chaos_1_3\" does not exist").as_deref(), Some("40003"));
    }
}
