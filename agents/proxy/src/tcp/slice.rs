//! `tcp.slice`: in small pieces.

use chaos_core::SpecError;
use chaos_core::clock::Mono;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration, Percent, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::all;
use crate::engine::Chance;
use crate::toxic::{Act, Direction, Pass, Stream, Text, Toxic, Transport, Way};

/// The fields of `tcp.slice`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slice {
    /// How large a piece is. At least 1 B.
    size: Size,
    /// How far the size varies, evenly, to both sides; less than `size`.
    #[serde(default)]
    spread: Size,
    /// How long after each piece the next one goes.
    #[serde(default)]
    gap: Duration,
    /// Which way.
    #[serde(default)]
    direction: Direction,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for Slice {
    const KIND: &'static str = "tcp.slice";

    fn text() -> Text {
        Text {
            summary: "sends bytes in small pieces",
            about: "Each piece is a write of its own to a socket without delay (TCP_NODELAY), so that a reader that expects a whole message in one \
                read meets it in many. With `gap` there is a pause between them. Nothing is lost.",
            example: "inject: tcp.slice\ninto: store\nwith: {size: 16 B, gap: 1ms}\nfor: 30s",
            speaks: &[],
            rampable: &["gap"],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        if self.size.bytes() == 0 {
            return vec![SpecError::new("size", "a piece of nothing").hint("at least `1 B`")];
        }
        if self.spread >= self.size {
            return vec![SpecError::new("spread", "pieces would have no size").hint("less than `size`")];
        }
        Vec::new()
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn claims(&self) -> Vec<String> {
        self.direction.claims(Self::KIND)
    }

    fn act(self) -> Act {
        Act::Transport(Box::new(self))
    }
}

impl Transport for Slice {
    fn stream(&self, way: Way, chance: Chance) -> Option<Box<dyn Stream>> {
        let slicing =
            Slicing { size: self.size.bytes(), spread: self.spread.bytes(), gap: self.gap.get(), next: Mono(0), piece: None, chance };
        self.direction.covers(way).then(|| Box::new(slicing) as Box<dyn Stream>)
    }
}

struct Slicing {
    size: u64,
    spread: u64,
    gap: std::time::Duration,
    /// When the next piece goes.
    next: Mono,
    /// What is left of this one, where a socket took only a part.
    piece: Option<u64>,
    chance: Chance,
}

impl Slicing {
    fn draw(&mut self) -> u64 {
        self.size - self.spread + self.chance.number() % (2 * self.spread + 1)
    }
}

impl Stream for Slicing {
    fn pass(&mut self, now: Mono, len: usize) -> Pass {
        if now < self.next {
            return Pass::Later(self.next);
        }
        let piece = self.piece.unwrap_or_else(|| self.draw());
        self.piece = Some(piece);
        Pass::Now(usize::try_from(piece).map_or(len, |piece| piece.min(len)))
    }

    fn sent(&mut self, now: Mono, len: usize) {
        self.piece = self.piece.map(|piece| piece.saturating_sub(len as u64)).filter(|left| *left > 0);
        if self.piece.is_none() {
            self.next = now.plus(self.gap);
        }
    }
}
