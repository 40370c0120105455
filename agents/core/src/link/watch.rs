//! Keeping watch over an executor.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::spawn::{Program, Recover};
use super::{HEARTBEAT, Heard};
use crate::clock::Mono;
use crate::lines::{Lines, send};
use crate::recover::RunOutcome;
use crate::wire::{Reply, Request};

/// Between the attempts to start a recovering executor.
const RECOVERY_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(2)];

/// An executor that closed its socket ends within this, or is ended.
pub(super) const END_WITHIN: Duration = Duration::from_secs(2);

/// The process at the other end.
pub(super) enum Executor {
    /// Our child.
    Child(Child),
    /// Our parent: when it is gone, so are we.
    Parent,
}

pub(super) struct Watch {
    replies: Lines<OwnedReadHalf, Reply>,
    requests: OwnedWriteHalf,
    executor: Executor,
    program: Program,
    /// Silence after which the executor counts as lost.
    lease: Duration,
    /// The coordinator wants everything to end.
    asked_to_close: bool,
}

/// What recovery came to.
struct Recovered {
    residue: Vec<String>,
    reverted: Vec<String>,
    message: String,
    system_stands: bool,
}

/// How watching ends.
enum End {
    /// The executor finished its work.
    Closed,
    /// Nobody listens to us any more.
    Dropped,
    /// It is gone.
    Lost(String),
}

impl Watch {
    pub(super) fn new(socket: StdStream, executor: Executor, program: Program, lease: Duration) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (read, write) = UnixStream::from_std(socket)?.into_split();
        Ok(Self { replies: Lines::new(read), requests: write, executor, program, lease, asked_to_close: false })
    }

    pub(super) async fn run(
        mut self,
        mut outgoing: mpsc::UnboundedReceiver<Request>,
        told: mpsc::UnboundedSender<Heard>,
        mut dropped: oneshot::Receiver<()>,
    ) {
        match self.listen(&mut outgoing, &told, &mut dropped).await {
            End::Closed => {
                let _ = timeout(END_WITHIN, self.ended()).await;
            }
            // The socket closes with us; the executor takes everything back by itself.
            End::Dropped => {}
            End::Lost(message) => {
                let _ = told.send(Heard::Lost { message });
                self.make_sure_it_is_dead().await;
                let first = self.recover(Recover::AllButTheSystem).await;
                let _ = told.send(Heard::Recovered { residue: first.residue.clone(), reverted: first.reverted, message: first.message });
                // The system comes down last, when its recovery has been watched (RULES 39), or with us.
                if !self.asked_to_close && !asked_to_close(&mut outgoing, &mut dropped).await {
                    return;
                }
                let residue = if first.system_stands { self.recover(Recover::All).await.residue } else { first.residue };
                let _ = told.send(Heard::Reply(Reply::Closed { residue }));
            }
        }
    }

    async fn listen(
        &mut self,
        outgoing: &mut mpsc::UnboundedReceiver<Request>,
        told: &mpsc::UnboundedSender<Heard>,
        dropped: &mut oneshot::Receiver<()>,
    ) -> End {
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // A machine that sleeps stops both sides: its time does not count as silence here.
        let mut last_heard = Mono::now();
        let mut last_beat = last_heard;
        let mut n = 0;
        loop {
            tokio::select! {
                // What was said before comes first: after standing still, it tells why there was silence.
                biased;
                reply = self.replies.next() => {
                    last_heard = Mono::now();
                    match reply {
                        Ok(Some(Reply::Pong { .. })) => {}
                        Ok(Some(reply)) => {
                            let closed = matches!(reply, Reply::Closed { .. });
                            let _ = told.send(Heard::Reply(reply));
                            if closed {
                                return End::Closed;
                            }
                        }
                        Ok(None) => return End::Lost(format!("the executor is gone: {}", self.how_it_ended().await)),
                        Err(e) => return End::Lost(format!("the executor cannot be understood: {e}")),
                    }
                }
                Some(request) = outgoing.recv() => {
                    self.asked_to_close |= matches!(request, Request::Close);
                    self.tell(&request).await;
                }
                _ = beat.tick() => {
                    let now = Mono::now();
                    // Silence counts only while we listened: whoever stopped us did not stop the executor.
                    if now.since(last_beat) > 3 * HEARTBEAT {
                        last_heard = now;
                    }
                    last_beat = now;
                    let silence = now.since(last_heard);
                    if silence > self.lease {
                        return End::Lost(format!("the executor has been silent for {:.0} s", silence.as_secs_f64()));
                    }
                    n += 1;
                    self.tell(&Request::Ping { n }).await;
                }
                _ = &mut *dropped => return End::Dropped,
            }
        }
    }

    /// A failure shows as a closed socket, where it is dealt with.
    async fn tell(&mut self, request: &Request) {
        let _ = timeout(self.lease, send(&mut self.requests, request)).await;
    }

    async fn ended(&mut self) -> io::Result<String> {
        match &mut self.executor {
            Executor::Child(child) => child.wait().await.map(|status| status.to_string()),
            Executor::Parent => std::future::pending().await,
        }
    }

    async fn how_it_ended(&mut self) -> String {
        match timeout(END_WITHIN, self.ended()).await {
            Ok(Ok(how)) => how,
            _ => "it closed its socket".into(),
        }
    }

    /// Two executors over one journal would be worse than none. One that hangs in the kernel dies when it comes out of it;
    /// until then it holds its lock, and is found to live.
    async fn make_sure_it_is_dead(&mut self) {
        if let Executor::Child(child) = &mut self.executor {
            let _ = timeout(END_WITHIN, child.kill()).await;
        }
    }

    async fn recover(&self, what: Recover) -> Recovered {
        let nothing_known = |message| Recovered { residue: vec!["journal".into()], reverted: Vec::new(), message, system_stands: false };
        if matches!(self.executor, Executor::Parent) {
            return nothing_known("the executor is this container's first process: nobody else can take back what it has done".into());
        }
        let (mut last, mut reverted) = (Err("no recovering executor could be started".to_owned()), BTreeSet::new());
        for pause in RECOVERY_PAUSES {
            tokio::time::sleep(pause).await;
            last = self.program.recover(what).await.map_err(|e| e.to_string());
            let Ok(report) = &last else { continue };
            // What the first attempt took back is over for the second, which does not speak of it.
            reverted.extend(report.reverted());
            if !report.runs.iter().any(|run| matches!(run.outcome, RunOutcome::Live | RunOutcome::Failed(_))) {
                break;
            }
        }
        match last {
            Ok(report) => Recovered {
                residue: report.residue(),
                reverted: reverted.into_iter().collect(),
                message: report.to_string(),
                system_stands: report.runs.iter().any(|run| run.outcome != RunOutcome::Clean),
            },
            Err(message) => nothing_known(message),
        }
    }
}

/// Waits until the coordinator wants everything to end. False: it is gone.
async fn asked_to_close(outgoing: &mut mpsc::UnboundedReceiver<Request>, dropped: &mut oneshot::Receiver<()>) -> bool {
    loop {
        tokio::select! {
            request = outgoing.recv() => match request {
                Some(Request::Close) => return true,
                Some(_) => {}
                None => return false,
            },
            _ = &mut *dropped => return false,
        }
    }
}
