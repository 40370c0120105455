//! Commands on their way to the server.

use std::sync::Arc;

use chaos_core::clock::Mono;
use chaos_protocol::Piece;
use chaos_protocol::resp::{Command, CommandReader};
use tokio::sync::Notify;

use super::replies::{Expected, Pending};
use super::{Asked, Verdict};
use crate::engine::{Chance, Live};
use crate::messages::{Messages, Rest};
use crate::toxic::ArmedToxic;

/// After these, what the server sends is no longer one reply to one command.
const BLIND: &[&str] = &["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC"];

/// The commands of one connection.
pub(super) struct Commands<'a> {
    reader: CommandReader,
    pending: &'a Pending,
    connection: u64,
    number: u64,
    /// Told when the turn of the command that waits may have come.
    called: Arc<Notify>,
    /// Between `MULTI` and its end.
    queued: bool,
    /// The database, as it was selected.
    database: Vec<u8>,
}

/// A command that waits.
pub(super) struct Waiting {
    command: Command,
    arrived: Mono,
    number: u64,
    /// What each toxic, in each generation, has said.
    said: Vec<((u64, u64), Verdict)>,
    outcome: Outcome,
}

enum Outcome {
    Pass,
    Reply(Vec<u8>),
    Watched(Arc<ArmedToxic>),
}

impl<'a> Commands<'a> {
    pub(super) fn new(pending: &'a Pending, connection: u64) -> Self {
        Self {
            reader: CommandReader::new(),
            pending,
            connection,
            number: 0,
            called: Arc::default(),
            queued: false,
            database: b"0".to_vec(),
        }
    }

    /// What a toxic says of a command, which it is asked only once.
    fn verdict(&self, waiting: &mut Waiting, toxic: &ArmedToxic, act: &dyn super::Act) -> Verdict {
        let asked_as = toxic.identity();
        if let Some((_, verdict)) = waiting.said.iter().find(|(key, _)| *key == asked_as) {
            return verdict.clone();
        }
        let chance = Chance::new(toxic.seed, self.connection.wrapping_mul(0x1_0000_0001).wrapping_add(waiting.number));
        let asked =
            Asked { command: &waiting.command, arrived: waiting.arrived, resp3: self.pending.is_resp3(), chance, called: &self.called };
        let verdict = act.command(&asked);
        if verdict != Verdict::Pass {
            toxic.met();
        }
        waiting.said.push((asked_as, verdict.clone()));
        verdict
    }

    /// Everything that a reply may depend on.
    fn identity(&self, bytes: &[u8]) -> Vec<u8> {
        let version = if self.pending.is_resp3() { b"3 " } else { b"2 " };
        [&version[..], &self.database, b" ", bytes].concat()
    }

    /// Keeps what later commands depend on.
    fn remember(&mut self, command: &Command) {
        match command.name.as_str() {
            "MULTI" => self.queued = true,
            "EXEC" | "DISCARD" => self.queued = false,
            "RESET" => (self.queued, self.database) = (false, b"0".to_vec()),
            "SELECT" => self.database = command.arguments.first().cloned().unwrap_or_default(),
            _ => {}
        }
    }
}

/// What will be answered to a command that passes.
fn expected(command: &Command) -> Expected {
    match command.name.as_str() {
        name if BLIND.contains(&name) => Expected::Blind,
        "CLIENT" if command.begins_with("REPLY") => Expected::Blind,
        "HELLO" => match command.arguments.first().map(Vec::as_slice) {
            Some(version) => Expected::Greeting { resp3: version == b"3" },
            None => Expected::Replies(1),
        },
        "RESET" => Expected::Greeting { resp3: false },
        _ => Expected::Replies(1),
    }
}

impl Messages for Commands<'_> {
    type Head = Command;
    type Waiting = Waiting;

    fn read<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a, Command>>, ()> {
        self.reader.read(bytes).map_err(drop)
    }

    fn held(&mut self) -> Vec<u8> {
        self.reader.held().to_vec()
    }

    fn arrived(&mut self, command: Command, at: Mono) -> Waiting {
        self.number += 1;
        Waiting { command, arrived: at, number: self.number, said: Vec::new(), outcome: Outcome::Pass }
    }

    fn wait(&mut self, waiting: &mut Waiting, _bytes: &[u8], live: &mut Live) -> Option<Mono> {
        waiting.outcome = Outcome::Pass;
        let exempt = waiting.command.name.is_empty() || (self.queued && !matches!(waiting.command.name.as_str(), "EXEC" | "DISCARD"));
        if exempt {
            return None;
        }
        let mut until = None;
        for toxic in live.current() {
            let Some(act) = toxic.act.redis() else { continue };
            match self.verdict(waiting, toxic, act) {
                Verdict::Pass => {}
                Verdict::NotBefore(time) => until = until.max(Some(time)),
                Verdict::Turn(turn) => until = until.max(turn.wait(Mono::now())),
                Verdict::Reply(reply) if matches!(waiting.outcome, Outcome::Pass) => waiting.outcome = Outcome::Reply(reply),
                Verdict::Watch if matches!(waiting.outcome, Outcome::Pass) => waiting.outcome = Outcome::Watched(Arc::clone(toxic)),
                Verdict::Reply(_) | Verdict::Watch => {}
            }
        }
        until.filter(|time| Mono::now() < *time)
    }

    fn release(&mut self, waiting: Waiting, bytes: Vec<u8>, out: &mut Vec<u8>) -> Rest {
        let command = waiting.command;
        if let Outcome::Reply(reply) = waiting.outcome {
            if command.name == "EXEC" && self.queued {
                // The server holds what was queued: it must not keep it.
                Command::write(&[b"DISCARD"], out);
                self.pending.push(Expected::Replaced(reply));
            } else {
                self.pending.push(Expected::InPlace(reply));
            }
            self.queued &= !matches!(command.name.as_str(), "EXEC" | "DISCARD");
            return Rest::Dropped;
        }
        let mut rest = Rest::Follows;
        match (waiting.outcome, expected(&command)) {
            _ if command.name.is_empty() => {}
            (_, Expected::Blind) => {
                self.pending.push(Expected::Blind);
                rest = Rest::Blind;
            }
            (Outcome::Watched(toxic), Expected::Replies(_)) => {
                self.pending.push(Expected::Watched { toxic, command: self.identity(&bytes) });
            }
            (_, expected) => self.pending.push(expected),
        }
        self.remember(&command);
        out.extend_from_slice(&bytes);
        rest
    }

    fn blind(&mut self) {
        self.pending.push(Expected::Blind);
    }

    /// It asked for a turn, and closed before that came.
    fn is_given_up(&self, waiting: &Waiting) -> bool {
        waiting.said.iter().any(|(_, verdict)| matches!(verdict, Verdict::Turn(turn) if turn.is_waiting()))
    }

    async fn called(&self) {
        self.called.notified().await;
    }

    async fn room(&self) {
        self.pending.room().await;
    }
}
