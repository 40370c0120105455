//! Taking one injection back: tried until inspection finds nothing, within a bound. Executor and recovery share it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Boot;
use crate::fault::{Class, FaultError, InPlace, Presence, Profile, Reversibility, Reverted};
use crate::fault_call::{Call, FaultCall};

/// How long taking back is tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// After it, what is still there is residue; never before the fault's own revert budget.
    pub give_up: Duration,
    /// Between the first two attempts; doubled each time.
    pub first_pause: Duration,
    /// Never longer than this between two attempts.
    pub longest_pause: Duration,
    /// How long one attempt may take without being called a failure, where the fault does not ask for more.
    pub attempt: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            give_up: Duration::from_secs(600),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(10),
            attempt: Duration::from_secs(5),
        }
    }
}

/// One injection to be taken back.
pub(crate) struct TakeBack {
    pub(crate) fault: FaultCall,
    pub(crate) undo: Value,
    pub(crate) reversibility: Reversibility,
    /// A request may still be under way: nobody knows that every one was answered.
    pub(crate) unanswered: bool,
    pub(crate) patience: Patience,
    /// How many attempts may run at once, over all injections. Held while one runs, not between two.
    pub(crate) permits: Arc<Permits>,
}

/// How many attempts may run at once. What asks another server waits in a line of its own: one that is silent holds up nothing of this host.
pub(crate) struct Permits {
    here: Semaphore,
    elsewhere: Semaphore,
}

impl Permits {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { here: Semaphore::new(at_once), elsewhere: Semaphore::new(at_once) }
    }

    /// Waits for its turn.
    async fn of(&self, profile: &Profile) -> Option<SemaphorePermit<'_>> {
        self.line(profile.settle, profile.class).acquire().await.ok()
    }

    fn line(&self, settle: Duration, class: Class) -> &Semaphore {
        let asks_others = !settle.is_zero() || class == Class::Api;
        if asks_others { &self.elsewhere } else { &self.here }
    }
}

/// Attempts that run at once: fifty dead containers need not queue behind one another, nor start fifty threads.
pub(crate) const AT_ONCE: usize = 32;

const SETTLE_LOOK: Duration = Duration::from_millis(200);

impl TakeBack {
    /// Tries until nothing is found any more. `failed` hears of each attempt that did not do.
    ///
    /// # Errors
    /// The last failure, once the patience is at its end.
    pub(crate) async fn until_gone(&self, mut failed: impl FnMut(&FaultError)) -> Result<Reverted, FaultError> {
        // Given up before its time, a revert would never come to its end.
        let takes = self.fault.fault()?.profile().revert_budget + self.settles()?;
        let give_up = Boot::now().plus(self.patience.give_up.max(takes));
        let mut pause = self.patience.first_pause;
        loop {
            let e = match self.attempt(give_up, &mut failed).await {
                Ok(reverted) => return Ok(reverted),
                Err(e) => e,
            };
            failed(&e);
            if Boot::now().plus(pause) >= give_up {
                return Err(e);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.patience.longest_pause);
        }
    }

    async fn attempt(&self, give_up: Boot, failed: &mut impl FnMut(&FaultError)) -> Result<Reverted, FaultError> {
        let usual = self.patience.attempt.max(self.fault.fault()?.profile().revert_budget);
        let mut reverted = self.once(usual, give_up, failed).await?;
        let settles = self.settles()?;
        if settles.is_zero() {
            return Ok(reverted);
        }
        let settled = Boot::now().plus(settles);
        while Boot::now() < settled {
            tokio::time::sleep(SETTLE_LOOK).await;
            self.look(usual, give_up, failed).await?;
        }
        // Of what came late, an inspection tells the effect, not an object of ours beside it.
        let late = self.once(usual, give_up, failed).await?.notes;
        reverted.notes.extend(late.into_iter().filter(|note| !reverted.notes.contains(note)).collect::<Vec<_>>());
        Ok(reverted)
    }

    /// How long something may still arrive. What cannot be taken back stays "in place" for ever; that is observed as recovery, not here.
    fn settles(&self) -> Result<Duration, FaultError> {
        let waits = self.unanswered && self.reversibility != Reversibility::Irreversible;
        Ok(if waits { self.fault.fault()?.settle(&self.undo) } else { Duration::ZERO })
    }

    /// Reverts, and looks.
    async fn once(&self, usual: Duration, give_up: Boot, failed: &mut impl FnMut(&FaultError)) -> Result<Reverted, FaultError> {
        let _permit = self.permits.of(&self.fault.fault()?.profile()).await;
        let mut reverting = self.fault.revert(self.undo.clone());
        let reverted = wait_out(&mut reverting, "taking it back", usual, give_up, failed).await?;
        if self.reversibility != Reversibility::Irreversible {
            self.look(usual, give_up, failed).await?;
        }
        Ok(reverted)
    }

    async fn look(&self, usual: Duration, give_up: Boot, failed: &mut impl FnMut(&FaultError)) -> Result<(), FaultError> {
        let mut looking = self.fault.inspect(self.undo.clone());
        match wait_out(&mut looking, "inspecting it", usual, give_up, failed).await {
            Ok(Presence { in_place: InPlace::None, .. }) => Ok(()),
            Ok(Presence { finding, .. }) => Err(FaultError::new(match finding {
                Some(finding) => format!("still there after it was taken back: {finding}"),
                None => "still there after it was taken back".into(),
            })),
            Err(e) if e.gone => Ok(()),
            Err(e) => Err(FaultError { message: format!("cannot be inspected: {}", e.message), ..e }),
        }
    }
}

/// Waits for a call. One that takes too long is said to, and waited for all the same: a second one beside it could
/// undo what the first does.
async fn wait_out<T>(
    call: &mut Call<Result<T, FaultError>>,
    doing: &str,
    usual: Duration,
    give_up: Boot,
    failed: &mut impl FnMut(&FaultError),
) -> Result<T, FaultError> {
    let began = Boot::now();
    loop {
        let limit = usual.min(give_up.from_now()).max(Duration::from_millis(1));
        match tokio::time::timeout(limit, call.result()).await {
            Ok(result) => return result,
            Err(_) => {
                let e = FaultError::new(format!("{doing} has not ended after {:.1} s", Boot::now().since(began).as_secs_f64()));
                if Boot::now() >= give_up {
                    return Err(e);
                }
                failed(&e);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_11_a_silent_server_holds_up_nothing_of_this_host() {
        let permits = Permits::new(1);
        let settle = Duration::from_secs(20);
        let _silent = permits.line(settle, Class::Process).try_acquire().expect("the first");
        assert!(permits.line(Duration::ZERO, Class::Api).try_acquire().is_err(), "both ask somebody else");
        assert!(permits.line(Duration::ZERO, Class::Process).try_acquire().is_ok());
    }
}
