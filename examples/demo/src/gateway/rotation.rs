//! Which replicas get requests: round robin over those that are considered healthy.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use super::Upstream;

/// Checks in a row that must fail before a replica leaves the rotation.
const FALL: u32 = 2;

/// Checks in a row that must succeed before it comes back.
const RISE: u32 = 2;

/// Most replicas that one gateway remembers; each that was started anew elsewhere is another.
const REMEMBERED_MAX: usize = 256;

/// The replicas and what is thought of each. None is ever forgotten, so that a number means one replica for good.
pub(super) struct Rotation {
    state: Mutex<State>,
}

struct State {
    members: Vec<Member>,
    next: usize,
}

struct Member {
    upstream: Arc<Upstream>,
    in_rotation: bool,
    /// Checks in a row that spoke against the present state.
    contrary: u32,
    reason: Option<String>,
}

impl Member {
    fn new(address: SocketAddr) -> Self {
        Self { upstream: Arc::new(Upstream::new(address)), in_rotation: true, contrary: 0, reason: None }
    }
}

impl Rotation {
    /// All replicas begin in rotation: a gateway that distrusts everybody at its start would turn a
    /// restart of itself into an outage.
    pub(super) fn new(replicas: impl Iterator<Item = SocketAddr>) -> Self {
        let state = State { members: replicas.map(Member::new).collect(), next: 0 };
        Self { state: Mutex::new(state) }
    }

    /// Adds a replica, in rotation. Its number, unless it is known already, or too many are.
    pub(super) fn add(&self, address: SocketAddr) -> Option<usize> {
        let mut state = self.lock();
        let members = &mut state.members;
        if members.len() == REMEMBERED_MAX || members.iter().any(|member| member.upstream.address() == address) {
            return None;
        }
        members.push(Member::new(address));
        Some(members.len() - 1)
    }

    /// How many replicas there are, in rotation or not.
    pub(super) fn count(&self) -> usize {
        self.lock().members.len()
    }

    /// The way to a replica.
    pub(super) fn upstream(&self, number: usize) -> Arc<Upstream> {
        Arc::clone(&self.lock().members[number].upstream)
    }

    /// The next replica's number, other than those `tried` already.
    pub(super) fn pick(&self, tried: &[usize]) -> Option<usize> {
        let mut state = self.lock();
        let count = state.members.len();
        let picked = (0..count)
            .map(|step| (state.next + step) % count)
            .find(|number| state.members[*number].in_rotation && !tried.contains(number))?;
        state.next = (picked + 1) % count;
        Some(picked)
    }

    /// Is anybody left to turn to, after those `tried` already?
    pub(super) fn has_other_than(&self, tried: &[usize]) -> bool {
        self.lock().members.iter().enumerate().any(|(number, member)| member.in_rotation && !tried.contains(&number))
    }

    /// Takes note of a health check's outcome. Says whether it moved the replica in or out.
    pub(super) fn checked(&self, number: usize, outcome: Result<(), String>) -> Option<Move> {
        let mut state = self.lock();
        let member = &mut state.members[number];
        let needed = if member.in_rotation { FALL } else { RISE };
        if outcome.is_ok() == member.in_rotation {
            member.contrary = 0;
            return None;
        }
        member.contrary += 1;
        if member.contrary < needed {
            return None;
        }
        member.contrary = 0;
        member.in_rotation = outcome.is_ok();
        member.reason = outcome.err();
        Some(if member.in_rotation { Move::In } else { Move::Out })
    }

    /// Takes a replica out at once, because a user's request found nobody there. A connection that is
    /// refused is no matter of opinion; one that only hangs is left to the checks.
    pub(super) fn unreachable(&self, number: usize, reason: String) -> bool {
        let mut state = self.lock();
        let member = &mut state.members[number];
        let left = member.in_rotation;
        (member.in_rotation, member.contrary, member.reason) = (false, 0, Some(reason));
        left
    }

    /// Is there anybody to send a request to?
    pub(super) fn any(&self) -> bool {
        self.lock().members.iter().any(|member| member.in_rotation)
    }

    /// The replicas as `/status` shows them.
    pub(super) fn describe(&self) -> Value {
        let state = self.lock();
        state
            .members
            .iter()
            .map(|member| {
                json!({
                    "address": member.upstream.address().to_string(),
                    "in_rotation": member.in_rotation,
                    "reason": member.reason,
                })
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A replica's change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    In,
    Out,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation() -> Rotation {
        Rotation::new((8001..=8003).map(|port| SocketAddr::from(([127, 0, 0, 1], port))))
    }

    fn bad() -> Result<(), String> {
        Err("no answer".into())
    }

    #[test]
    fn requests_go_round() {
        let rotation = rotation();
        let picks: Vec<_> = (0..6).map(|_| rotation.pick(&[]).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
        assert_eq!(rotation.pick(&[0, 1]), Some(2));
        assert_eq!(rotation.pick(&[0, 1, 2]), None);
        assert!(rotation.has_other_than(&[0, 1]) && !rotation.has_other_than(&[0, 1, 2]));
    }

    #[test]
    fn one_bad_check_is_forgiven_and_two_in_a_row_are_not() {
        let rotation = rotation();
        assert_eq!(rotation.checked(1, bad()), None);
        assert_eq!(rotation.checked(1, Ok(())), None);
        assert_eq!(rotation.checked(1, bad()), None);
        assert_eq!(rotation.checked(1, bad()), Some(Move::Out));
        assert!((0..4).all(|_| rotation.pick(&[]) != Some(1)));
        assert_eq!(rotation.checked(1, Ok(())), None);
        assert_eq!(rotation.checked(1, Ok(())), Some(Move::In));
        assert!((0..3).any(|_| rotation.pick(&[]) == Some(1)));
    }

    #[test]
    fn a_replica_found_later_gets_requests_and_is_known_once() {
        let rotation = rotation();
        let later = SocketAddr::from(([127, 0, 0, 1], 8004));
        assert_eq!(rotation.add(later), Some(3));
        assert_eq!(rotation.add(later), None);
        assert_eq!(rotation.upstream(3).address(), later);
        assert!((0..4).any(|_| rotation.pick(&[]) == Some(3)));
        assert_eq!(rotation.count(), 4);
    }

    #[test]
    fn a_refused_connection_takes_a_replica_out_at_once() {
        let rotation = rotation();
        assert!(rotation.unreachable(0, "refused".into()));
        assert!(!rotation.unreachable(0, "refused".into()));
        assert!((0..4).all(|_| rotation.pick(&[]) != Some(0)));
        assert!(rotation.any());
        for number in 1..3 {
            rotation.unreachable(number, "refused".into());
        }
        assert!(!rotation.any());
    }
}
