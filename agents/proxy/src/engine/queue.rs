//! Bytes that wait on a line, in the order of their arrival, each piece with its stamps.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::atomic::{AtomicUsize, Ordering};

use chaos_core::clock::Mono;

/// What a piece costs beside its bytes.
const PIECE_BYTES: usize = 64;
/// How many pieces are written by one call.
const TOGETHER: usize = 32;

static ALL_HELD: AtomicUsize = AtomicUsize::new(0);

/// What all queues of this process hold, in bytes.
pub(super) fn all_held() -> usize {
    ALL_HELD.load(Ordering::Relaxed)
}

/// Bytes that wait.
#[derive(Default)]
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    held: usize,
}

struct Piece {
    bytes: Vec<u8>,
    /// So many of them have gone.
    gone: usize,
    arrived: Mono,
    due: Mono,
}

impl Piece {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    fn cost(&self) -> usize {
        self.bytes.len() + PIECE_BYTES
    }
}

impl Queue {
    /// What it holds, with what that costs, in bytes.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// When the first piece is due.
    pub(super) fn first_due(&self) -> Option<Mono> {
        self.pieces.front().map(|piece| piece.due)
    }

    pub(super) fn push(&mut self, bytes: &[u8], arrived: Mono, due: Mono) {
        let piece = Piece { bytes: bytes.to_vec(), gone: 0, arrived, due };
        self.held += piece.cost();
        ALL_HELD.fetch_add(piece.cost(), Ordering::Relaxed);
        self.pieces.push_back(piece);
    }

    /// How many bytes at the front are due, within what one call writes.
    pub(super) fn due_bytes(&self, now: Mono) -> usize {
        self.pieces.iter().take(TOGETHER).take_while(|piece| piece.due <= now).map(|piece| piece.rest().len()).sum()
    }

    /// Shows the first `len` bytes, as one call writes them.
    pub(super) fn front<T>(&self, len: usize, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        let (mut slices, mut count, mut left) = ([IoSlice::new(&[]); TOGETHER], 0, len);
        for piece in self.pieces.iter().take(TOGETHER) {
            let bytes = &piece.rest()[..piece.rest().len().min(left)];
            if bytes.is_empty() {
                break;
            }
            slices[count] = IoSlice::new(bytes);
            (count, left) = (count + 1, left - bytes.len());
        }
        write(&slices[..count])
    }

    /// So many bytes have gone.
    pub(super) fn went(&mut self, mut sent: usize) {
        while let Some(first) = self.pieces.front_mut() {
            let rest = first.rest().len();
            if sent < rest {
                first.gone += sent;
                return;
            }
            sent -= rest;
            self.drop_first();
        }
        // A burst is over: nothing is kept of it.
        if self.pieces.capacity() > TOGETHER {
            self.pieces.shrink_to(0);
        }
    }

    /// Everything that waits is lost.
    pub(super) fn clear(&mut self) {
        while !self.pieces.is_empty() {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            self.held -= piece.cost();
            ALL_HELD.fetch_sub(piece.cost(), Ordering::Relaxed);
        }
    }

    /// Gives every piece another due time, in order.
    pub(super) fn stamp(&mut self, mut due: impl FnMut(Mono) -> Mono) {
        for piece in &mut self.pieces {
            piece.due = due(piece.arrived);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is written by whatever steps comes out as it went in, and nothing of it stays accounted for.
        #[test]
        fn bytes_come_out_as_they_went_in(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..60), steps in prop::collection::vec(1_usize..200, 1..50)) {
            let (mut queue, mut out) = (Queue::default(), Vec::new());
            for (number, piece) in pieces.iter().enumerate() {
                queue.push(piece, Mono(number as u64), Mono(number as u64));
            }
            for step in steps.iter().cycle() {
                let due = queue.due_bytes(Mono(u64::MAX));
                if due == 0 {
                    break;
                }
                let len = due.min(*step);
                queue.front(len, |slices| slices.iter().for_each(|slice| out.extend_from_slice(slice)));
                queue.went(len);
            }
            prop_assert_eq!(out, pieces.concat());
            prop_assert_eq!(queue.held(), 0);
            prop_assert!(queue.is_empty());
        }
    }
}
