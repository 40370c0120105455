//! Places at which a test can hold an executor and kill somebody.
//!
//! With `CHAOS_FAILPOINT=<point>` (and `CHAOS_FAILPOINT_SLOT=<slot>`) in its environment, a debug build that gets to the
//! point creates `$CHAOS_FAILPOINT_DIR/<point>.hit` and goes on when `<point>.go` exists. A release build has none of it.
//!
//! | point | the executor has |
//! |---|---|
//! | `prepared` | read the world, and written nothing |
//! | `after-intend` | the undo on disk, nothing else |
//! | `staged` | its own objects made, no effect |
//! | `mid-inject` | begun to inject: the fault asked whether it is cancelled |
//! | `injected` | had the effect, and inspected it |
//! | `mid-revert` | been asked to take it back, and not begun |
//! | `before-done` | taken it back, and not yet written that down |

/// Nothing on disk yet.
pub const PREPARED: &str = "prepared";
/// Undo on disk.
pub const AFTER_INTEND: &str = "after-intend";
/// Own objects made.
pub const STAGED: &str = "staged";
/// Between two steps of inject.
pub const MID_INJECT: &str = "mid-inject";
/// Effect there.
pub const INJECTED: &str = "injected";
/// Asked to revert.
pub const MID_REVERT: &str = "mid-revert";
/// Reverted, not journaled.
pub const BEFORE_DONE: &str = "before-done";

/// Every point, in the order in which an injection passes them.
pub const ALL: [&str; 7] = [PREPARED, AFTER_INTEND, STAGED, MID_INJECT, INJECTED, MID_REVERT, BEFORE_DONE];

/// Holds the calling thread here if a test asks for it.
#[cfg(not(debug_assertions))]
pub(crate) fn reach(_point: &str, _slot: &str) {}

/// Holds the calling thread here if a test asks for it.
#[cfg(debug_assertions)]
pub(crate) fn reach(point: &str, slot: &str) {
    use std::sync::atomic::{AtomicBool, Ordering};

    static PASSED: AtomicBool = AtomicBool::new(false);
    let Some(armed) = armed() else { return };
    let here = armed.point == point && armed.slot.as_deref().is_none_or(|s| s == slot);
    // One stop a process: a loop that asks `cancelled` a thousand times is held once.
    if !here || PASSED.swap(true, Ordering::SeqCst) {
        return;
    }
    let _ = std::fs::write(armed.folder.join(format!("{point}.hit")), slot);
    let go = armed.folder.join(format!("{point}.go"));
    while !go.exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// As [`reach`], holding only the calling task.
pub(crate) async fn pass(point: &'static str, slot: &str) {
    if cfg!(debug_assertions) && is_armed() {
        let slot = slot.to_owned();
        let _ = tokio::task::spawn_blocking(move || reach(point, &slot)).await;
    }
}

#[cfg(not(debug_assertions))]
fn is_armed() -> bool {
    false
}

#[cfg(debug_assertions)]
fn is_armed() -> bool {
    armed().is_some()
}

#[cfg(debug_assertions)]
struct Failpoint {
    point: String,
    slot: Option<String>,
    folder: std::path::PathBuf,
}

#[cfg(debug_assertions)]
fn armed() -> Option<&'static Failpoint> {
    static ARMED: std::sync::OnceLock<Option<Failpoint>> = std::sync::OnceLock::new();
    ARMED
        .get_or_init(|| {
            Some(Failpoint {
                point: std::env::var("CHAOS_FAILPOINT").ok()?,
                slot: std::env::var("CHAOS_FAILPOINT_SLOT").ok(),
                folder: std::env::var_os("CHAOS_FAILPOINT_DIR")?.into(),
            })
        })
        .as_ref()
}
