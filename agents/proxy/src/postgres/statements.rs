//! Statements on their way to the server.

use std::collections::HashMap;

use chaos_core::clock::Mono;
use chaos_protocol::Piece;
use chaos_protocol::postgres::{Frame, FrameReader, Side, frontend, statements};

use super::results::Poisoned;
use super::{Asked, Verdict};
use crate::engine::{Chance, Live};
use crate::messages::{Messages, Rest};
use crate::toxic::ArmedToxic;

/// Prepared statements and portals that are kept track of; those beyond are not known and pass.
const NAMES_MAX: usize = 10_000;

type Kinds = Vec<&'static str>;

/// The statements of one connection.
pub(super) struct Statements<'a> {
    reader: FrameReader,
    poisoned: &'a Poisoned,
    connection: u64,
    number: u64,
    prepared: HashMap<Vec<u8>, Kinds>,
    portals: HashMap<Vec<u8>, Kinds>,
}

/// A frame that waits.
pub(super) struct Waiting {
    frame: Frame,
    /// What it executes; nothing: not known yet, for the bytes are not there.
    kinds: Option<Kinds>,
    arrived: Mono,
    number: u64,
    /// What each toxic, in each generation, has said.
    said: Vec<((u64, u64), Verdict)>,
    error: Option<(String, String)>,
}

impl<'a> Statements<'a> {
    pub(super) fn new(poisoned: &'a Poisoned, connection: u64) -> Self {
        let reader = FrameReader::new(Side::Frontend);
        Self { reader, poisoned, connection, number: 0, prepared: HashMap::new(), portals: HashMap::new() }
    }

    /// What a toxic says of a statement, which it is asked only once.
    fn verdict(&self, waiting: &mut Waiting, kinds: &[&'static str], toxic: &ArmedToxic, act: &dyn super::Act) -> Verdict {
        let asked_as = toxic.identity();
        if let Some((_, verdict)) = waiting.said.iter().find(|(key, _)| *key == asked_as) {
            return verdict.clone();
        }
        let chance = Chance::new(toxic.seed, self.connection.wrapping_mul(0x1_0000_0001).wrapping_add(waiting.number));
        let verdict = act.statement(&Asked { kinds, arrived: waiting.arrived, chance });
        if verdict != Verdict::Pass {
            toxic.met();
        }
        waiting.said.push((asked_as, verdict.clone()));
        verdict
    }

    /// What this frame executes.
    fn kinds(&self, frame: Frame, bytes: &[u8]) -> Kinds {
        match frame {
            Frame::Tagged(b'Q') => statements(&frontend::query(bytes)),
            Frame::Tagged(b'E') => self.portals.get(frontend::execute(bytes)).cloned().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Keeps what names stand for.
    fn remember(&mut self, frame: Frame, bytes: &[u8]) {
        match frame {
            Frame::Tagged(b'P') => {
                let (name, text) = frontend::parse(bytes);
                keep(&mut self.prepared, name, statements(&text));
            }
            Frame::Tagged(b'B') => {
                let (portal, statement) = frontend::bind(bytes);
                let kinds = self.prepared.get(statement).cloned().unwrap_or_default();
                keep(&mut self.portals, portal, kinds);
            }
            Frame::Tagged(b'C') => match frontend::close(bytes) {
                (b'S', name) => drop(self.prepared.remove(name)),
                (_, name) => drop(self.portals.remove(name)),
            },
            Frame::EncryptionRequest => self.poisoned.encryption_asked(),
            _ => {}
        }
    }
}

fn keep(names: &mut HashMap<Vec<u8>, Kinds>, name: &[u8], kinds: Kinds) {
    if names.len() < NAMES_MAX || names.contains_key(name) {
        names.insert(name.to_vec(), kinds);
    }
}

impl Messages for Statements<'_> {
    type Head = Frame;
    type Waiting = Waiting;

    fn read<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a, Frame>>, ()> {
        self.reader.read(bytes).map_err(drop)
    }

    fn held(&mut self) -> Vec<u8> {
        self.reader.held().to_vec()
    }

    fn arrived(&mut self, frame: Frame, at: Mono) -> Waiting {
        self.number += 1;
        Waiting { frame, kinds: None, arrived: at, number: self.number, said: Vec::new(), error: None }
    }

    fn wait(&mut self, waiting: &mut Waiting, bytes: &[u8], live: &mut Live) -> Option<Mono> {
        waiting.error = None;
        if live.current().is_empty() {
            return None;
        }
        let kinds = waiting.kinds.take().unwrap_or_else(|| self.kinds(waiting.frame, bytes));
        let mut until = None;
        for toxic in live.current() {
            let Some(act) = toxic.act.postgres().filter(|_| !kinds.is_empty()) else { continue };
            match self.verdict(waiting, &kinds, toxic, act) {
                Verdict::NotBefore(time) => until = until.max(Some(time)),
                Verdict::Error { sqlstate, message } if waiting.error.is_none() => waiting.error = Some((sqlstate, message)),
                Verdict::Pass | Verdict::Error { .. } => {}
            }
        }
        waiting.kinds = Some(kinds);
        until.filter(|time| Mono::now() < *time)
    }

    fn release(&mut self, waiting: Waiting, bytes: Vec<u8>, out: &mut Vec<u8>) -> Rest {
        if let Some((sqlstate, message)) = waiting.error {
            let nothing = format!("chaos_{}_{}", self.connection, waiting.number);
            match waiting.frame {
                Frame::Tagged(b'E') => out.extend_from_slice(&frontend::write_execute(&nothing)),
                _ => out.extend_from_slice(&frontend::write_query(&format!("EXECUTE {nothing}"))),
            }
            self.poisoned.push(nothing, &sqlstate, &message);
            return Rest::Dropped;
        }
        self.remember(waiting.frame, &bytes);
        out.extend_from_slice(&bytes);
        Rest::Follows
    }

    fn blind(&mut self) {
        self.poisoned.blind();
    }

    async fn room(&self) {}
}
