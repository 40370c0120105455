//! Turns at equal distances, given to those who wait in the order in which they came, and only to those who still wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chaos_core::clock::Mono;
use tokio::sync::Notify;

use crate::toxic::NEVER;

/// How late a turn may be taken without the ones after it being later: a busy machine does not lower the rate.
const LAG: Duration = Duration::from_millis(100);
/// Whoever does not take its turn for so long (its connection is full) does not hold up the others; it has had it.
const MISSED: Duration = Duration::from_secs(1);

/// The line of those who wait.
pub(super) struct Turns {
    distance: Duration,
    state: Mutex<State>,
}

struct State {
    waiting: VecDeque<Waits>,
    /// When the next turn is, at the earliest.
    next: Mono,
    /// The number of the next one who comes.
    number: u64,
}

struct Waits {
    number: u64,
    came: Mono,
    called: Arc<Notify>,
}

/// A place in the line; dropping it gives it up.
pub struct Turn {
    turns: Arc<Turns>,
    number: u64,
}

impl Turns {
    pub(super) fn new(distance: Duration) -> Arc<Self> {
        Arc::new(Self { distance, state: Mutex::new(State { waiting: VecDeque::new(), next: Mono(0), number: 0 }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place at the end of the line. `called` is told when it has become the first.
    pub(super) fn join(self: &Arc<Self>, called: &Arc<Notify>) -> Turn {
        let mut state = self.state();
        let number = state.number;
        state.number += 1;
        state.waiting.push_back(Waits { number, came: Mono::now(), called: Arc::clone(called) });
        Turn { turns: Arc::clone(self), number }
    }
}

impl State {
    /// When the turn of the first is.
    fn planned(&self) -> Mono {
        self.waiting.front().map_or(NEVER, |first| first.came.max(self.next))
    }

    /// The first has its turn.
    fn take(&mut self, now: Mono, distance: Duration) {
        self.next = self.planned().max(now.minus(LAG)).plus(distance);
        self.waiting.pop_front();
        self.call();
    }

    /// Tells the first that it is.
    fn call(&self) {
        if let Some(first) = self.waiting.front() {
            first.called.notify_one();
        }
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&number, |waits| waits.number).ok()
    }
}

impl Turn {
    /// Until when to wait before asking again; none: the turn has come. Asked again when it is called.
    pub(super) fn wait(&self, now: Mono) -> Option<Mono> {
        let distance = self.turns.distance;
        let mut state = self.turns.state();
        loop {
            let place = state.place(self.number)?;
            let planned = state.planned();
            let missed = planned.plus(MISSED);
            if place == 0 && planned > now {
                return Some(planned);
            }
            if place > 0 && missed > now {
                let turn = planned.plus(distance.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX)));
                return Some(if turn > now { turn } else { missed });
            }
            state.take(now, distance);
        }
    }

    /// Has the turn not come yet?
    pub(super) fn is_waiting(&self) -> bool {
        self.turns.state().place(self.number).is_some()
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.turns, &other.turns) && self.number == other.number
    }
}

impl Eq for Turn {}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "turn {}", self.number)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        if let Some(place) = state.place(self.number) {
            state.waiting.remove(place);
            if place == 0 {
                state.call();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(distance: Duration, people: usize) -> (Arc<Turns>, Vec<Turn>) {
        let turns = Turns::new(distance);
        let called = Arc::new(Notify::new());
        let line = (0..people).map(|_| turns.join(&called)).collect();
        (turns, line)
    }

    #[test]
    fn turns_come_in_order_at_equal_distances() {
        let (_, line) = line(Duration::from_secs(10), 3);
        let now = Mono::now();
        assert_eq!(line[0].wait(now), None, "at once");
        let second = line[1].wait(now).expect("it waits");
        assert!(second > now.plus(Duration::from_secs(9)) && second <= now.plus(Duration::from_secs(10)));
        assert_eq!(line[2].wait(now), Some(second.plus(Duration::from_secs(10))));
        assert_eq!(line[1].wait(second), None);
        assert_eq!(line[2].wait(second), Some(second.plus(Duration::from_secs(10))));
        assert_eq!(line[0].wait(now), None, "it has had it");
    }

    #[test]
    fn who_gives_up_leaves_no_hole() {
        let (_, mut line) = line(Duration::from_secs(10), 1_000);
        let now = Mono::now();
        assert_eq!(line[0].wait(now), None);
        let next = line[1].wait(now);
        let last = line.pop().expect("the last");
        line.drain(1..);
        assert_eq!(last.wait(now), next);
        assert!(last.is_waiting());
    }

    #[test]
    fn who_does_not_take_its_turn_holds_up_nobody() {
        let (_, line) = line(Duration::from_millis(1), 2);
        let now = Mono::now();
        assert!(line[1].wait(now).is_some_and(|until| until > now), "the first has not had its turn");
        let later = now.plus(Duration::from_secs(2));
        assert_eq!(line[1].wait(later), None);
        assert!(!line[0].is_waiting(), "it has missed its turn, and need not wait for it");
    }
}
