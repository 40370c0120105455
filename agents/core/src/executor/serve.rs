//! From the first message to the last: hears what run it is, takes its journal, and serves it.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::reporter::Reporter;
use super::session::Session;
use super::shared::{Shared, Started};
use super::{Executor, TellSystem};
use crate::event::SystemState;
use crate::fault::FaultError;
use crate::journal::{Journal, Writer};
use crate::lever::LeverSight;
use crate::lines::{Lines, send};
use crate::wire::{Begin, Reply, Request};

/// Why an executor could not serve. Nothing was injected.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct ServeError {
    what: String,
}

impl ServeError {
    pub(super) fn new(doing: &str, e: impl std::fmt::Display) -> Self {
        Self { what: format!("{doing}: {e}") }
    }
}

/// Serves one run, until it is closed or its coordinator is gone. Gives the slots that are residue.
///
/// # Errors
/// If it cannot even begin.
pub async fn serve(executor: Executor) -> Result<Vec<String>, ServeError> {
    let mut executor = executor;
    let stream = std::os::unix::net::UnixStream::from(executor.socket.try_clone().map_err(|e| ServeError::new("take the socket", e))?);
    stream.set_nonblocking(true).map_err(|e| ServeError::new("take the socket", e))?;
    let stream = UnixStream::from_std(stream).map_err(|e| ServeError::new("take the socket", e))?;
    let (read, write) = stream.into_split();
    let mut requests = Lines::new(read);
    let (out, replies) = mpsc::unbounded_channel();
    let writer = tokio::spawn(write_replies(write, replies));
    let served = match begin(&mut requests).await {
        Ok(begin) => match start(&mut executor, &begin, out.clone()) {
            Ok(started) => {
                let (lease, coordinator) = (begin.lease.get(), executor.coordinator);
                let shared = Arc::new(Shared::new(executor, started, begin.run));
                drop(out);
                Ok(Session::new(shared, lease, coordinator).run(requests).await)
            }
            Err(e) => {
                let _ = out.send(Reply::Refused { message: e.message.clone(), hint: e.hint.clone() });
                drop(out);
                Err(ServeError { what: e.to_string() })
            }
        },
        Err(e) => Err(ServeError::new("hear what to do", e)),
    };
    // A coordinator that reads nothing any more must not keep us.
    let _ = tokio::time::timeout(Duration::from_secs(5), writer).await;
    served
}

async fn begin(requests: &mut Lines<OwnedReadHalf, Request>) -> io::Result<Begin> {
    match requests.next().await? {
        Some(Request::Begin(begin)) => Ok(*begin),
        Some(_) => Err(io::Error::other("the first message does not begin a run")),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn start(executor: &mut Executor, begin: &Begin, out: mpsc::UnboundedSender<Reply>) -> Result<Started, FaultError> {
    if let Some(pulled) = executor.lever.pulled() {
        return Err(FaultError::new(format!("nothing was started: {pulled}")).hint("`chaos resume` releases it"));
    }
    let folder = executor.state.make_run_folder(&begin.run).map_err(|e| FaultError::new(e.to_string()).hint(e.hint.clone()))?;
    let events = folder.join("executor.jsonl");
    let file = File::options().create(true).append(true).mode(0o600).open(&events);
    let file = file.map_err(|e| FaultError::new(format!("make {}: {e}", events.display())))?;
    let writer = Writer::here(&begin.run, &executor.chaos, begin.lease);
    let journal = Journal::create(&executor.state, &writer)
        .map_err(|e| FaultError { hint: e.hint().map(str::to_owned), ..FaultError::new(e.to_string()) })?;
    let compose = std::mem::replace(&mut executor.compose, Box::new(|_, _| unreachable!("composed once")));
    let no_thread = |e: io::Error| FaultError::new(format!("start a thread: {e}"));
    let reporter = Arc::new(Reporter::new(out, file).map_err(no_thread)?);
    let lever = LeverSight::new(executor.lever.clone()).map_err(no_thread)?;
    let world = compose(begin, tell_system(&reporter, executor.surroundings.oom_score_adj.clone()));
    reporter.reply(Reply::Ready { survives: executor.surroundings.survives.clone() });
    if let Some(note) = executor.claims.note() {
        reporter.note(note);
    }
    Ok(Started { journal, world, reporter, lever })
}

/// Says what becomes of the system's processes, and takes our own protection from memory pressure off each new one.
fn tell_system(reporter: &Arc<Reporter>, oom_score_adj: Option<String>) -> TellSystem {
    let reporter = Arc::downgrade(reporter);
    Arc::new(move |name, state| {
        if let (SystemState::Started { pid } | SystemState::Restarted { pid }, Some(score)) = (&state, &oom_score_adj) {
            let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), score);
        }
        if let Some(reporter) = reporter.upgrade() {
            reporter.system(name, state);
        }
    })
}

async fn write_replies(mut socket: OwnedWriteHalf, mut replies: mpsc::UnboundedReceiver<Reply>) {
    let mut heard = true;
    while let Some(reply) = replies.recv().await {
        // Once nobody listens, what is left is read and dropped, so that nothing piles up.
        heard = heard && send(&mut socket, &reply).await.is_ok();
    }
}
