//! The toxics in force on a proxy, and what one connection sees of them.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::toxic::{Act, ArmedToxic};

/// Connections that could not be led to the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    /// How many.
    pub connections: u64,
    /// Why the last of them could not.
    pub why: String,
}

/// The toxics in force on one proxy. Every change wakes every connection.
pub(crate) struct Armory {
    version: AtomicU64,
    /// The number of the next connection.
    pub(crate) connections: AtomicU64,
    inner: Mutex<Inner>,
    unreachable: Mutex<Option<Unreachable>>,
    /// For the listener.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    toxics: Vec<Arc<ArmedToxic>>,
    closed: bool,
    /// Of the connections, by slot.
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Armory {
    pub(crate) fn new() -> Self {
        Self {
            version: AtomicU64::new(1),
            connections: AtomicU64::new(0),
            inner: Mutex::default(),
            unreachable: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in force, in the order in which it was armed.
    pub(crate) fn toxics(&self) -> Vec<Arc<ArmedToxic>> {
        self.inner().toxics.clone()
    }

    /// Changes what is in force, and tells every connection.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<ArmedToxic>>) -> T) -> T {
        let mut inner = self.inner();
        let done = change(&mut inner.toxics);
        self.tell(inner);
        done
    }

    /// Connections that could not be led to the upstream, if there were any.
    pub(crate) fn unreachable(&self) -> Option<Unreachable> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every connection ends, for good.
    pub(crate) fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.toxics.clear();
        self.tell(inner);
    }

    fn tell(&self, mut inner: MutexGuard<'_, Inner>) {
        self.version.fetch_add(1, Ordering::Release);
        let wakers: Vec<Waker> = inner.wakers.iter_mut().filter_map(Option::take).collect();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// Waits until the proxy is closed.
    pub(crate) async fn closed(&self) {
        self.until(|this| this.is_closed()).await;
    }

    /// Is a toxic in force that wants the listening socket closed?
    pub(crate) fn wants_listener_closed(&self) -> bool {
        self.inner().toxics.iter().any(|t| t.act.transport().is_some_and(|act| act.closes_listener()))
    }

    /// Waits until the listening socket should be closed, or open.
    pub(crate) async fn listener_wanted(&self, closed: bool) {
        self.until(|this| this.wants_listener_closed() == closed).await;
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }
}

/// What one connection sees of the toxics in force on its proxy: those whose share it is in.
pub struct Live {
    armory: Arc<Armory>,
    connection: u64,
    meets: Vec<Arc<ArmedToxic>>,
    closed: bool,
    /// The version that `meets` is of.
    seen: u64,
    /// Where our waker stands, whose it is, and the version that it waits to see pass.
    slot: Option<usize>,
    waker: Option<(Waker, u64)>,
}

impl Live {
    pub(crate) fn new(armory: Arc<Armory>, connection: u64) -> Self {
        Self { armory, connection, meets: Vec::new(), closed: false, seen: 0, slot: None, waker: None }
    }

    /// Another view of the same connection, for another task or part of it.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::new(Arc::clone(&self.armory), self.connection)
    }

    /// The upstream could not be reached for this connection.
    pub(crate) fn unreachable(&self, why: &io::Error) {
        let mut unreachable = self.armory.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = unreachable.as_ref().map_or(0, |before| before.connections) + 1;
        *unreachable = Some(Unreachable { connections, why: why.to_string() });
    }

    /// The number of the connection: what chance starts from.
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// What meets this connection right now, in the order in which it was armed. As cheap as reading a number when nothing changed.
    pub fn current(&mut self) -> &[Arc<ArmedToxic>] {
        if self.is_stale() {
            let inner = self.armory.inner();
            self.seen = self.armory.version.load(Ordering::Acquire);
            self.closed = inner.closed;
            self.meets = inner.toxics.iter().filter(|t| t.meets(self.connection)).cloned().collect();
        }
        &self.meets
    }

    /// Those that act at one level: `live.acts(Act::redis)`.
    pub fn acts<'a, T: ?Sized + 'a>(&'a mut self, level: fn(&Act) -> Option<&T>) -> impl Iterator<Item = (&'a ArmedToxic, &'a T)> {
        self.current().iter().filter_map(move |toxic| Some((toxic.as_ref(), level(&toxic.act)?)))
    }

    /// Has anything changed since [`current`](Self::current) was last asked? If not, wakes the caller when it has.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_stale() {
            return Poll::Ready(());
        }
        // The common case takes no lock: our waker stands already.
        if self.waker.as_ref().is_some_and(|(waker, version)| *version == self.seen && waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let mut inner = self.armory.inner();
        if self.armory.version.load(Ordering::Acquire) != self.seen {
            return Poll::Ready(());
        }
        let slot = *self.slot.get_or_insert_with(|| {
            inner.free.pop().unwrap_or_else(|| {
                inner.wakers.push(None);
                inner.wakers.len() - 1
            })
        });
        inner.wakers[slot] = Some(cx.waker().clone());
        self.waker = Some((cx.waker().clone(), self.seen));
        Poll::Pending
    }

    /// Waits until something changes. A wait for a toxic ends with it: race the two.
    pub async fn changed(&mut self) {
        poll_fn(|cx| self.poll_changed(cx)).await;
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.current();
        self.closed
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.armory.version.load(Ordering::Acquire) != self.seen
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let mut inner = self.armory.inner();
            inner.wakers[slot] = None;
            inner.free.push(slot);
        }
    }
}
