//! The other side: asking a proxy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Ask, LONGEST_LINE, State};
use crate::engine::MOST_TOXICS;

/// A proxy tells every toxic as it was told it.
const LONGEST_ANSWER: u64 = 2 * (LONGEST_LINE * MOST_TOXICS) as u64;
/// A proxy answers at once, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a proxy could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens there: no proxy stands, or it has died, and whatever was in force on it is gone.
    #[error("no proxy answers at {}", .0.display())]
    Gone(PathBuf),
    /// It said no; nothing was done.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// It could not be spoken with.
    #[error("ask the proxy at {}: {error}", path.display())]
    Broken {
        /// Its control socket.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
}

/// An open connection: what was armed through it is in force for as long as it lives.
#[derive(Debug)]
pub struct Lifeline {
    stream: UnixStream,
    path: PathBuf,
}

impl Lifeline {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(path: &Path) -> Result<Self, ControlError> {
        let broken = |error: io::Error| ControlError::Broken { path: path.to_owned(), error };
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::Gone(path.to_owned()),
            _ => broken(error),
        })?;
        stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(broken)?;
        Ok(Self { stream, path: path.to_owned() })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If the proxy refuses, or cannot be spoken with.
    pub fn ask(&self, ask: &Ask) -> Result<Answer, ControlError> {
        match self.exchange(ask) {
            Ok(Answer::Refused { message, hint }) => Err(ControlError::Refused { message, hint }),
            Ok(answer) => Ok(answer),
            Err(error) => Err(ControlError::Broken { path: self.path.clone(), error }),
        }
    }

    fn exchange(&self, ask: &Ask) -> io::Result<Answer> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        (&self.stream).write_all(&line)?;
        line.clear();
        // Answers come one by one, so that nothing is read ahead.
        BufReader::new((&self.stream).take(LONGEST_ANSWER)).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}

/// Asks once.
///
/// # Errors
/// As [`Lifeline::open`] and [`Lifeline::ask`].
pub fn ask(path: &Path, ask: &Ask) -> Result<Answer, ControlError> {
    Lifeline::open(path)?.ask(ask)
}

/// What a proxy is, and what is in force on it.
///
/// # Errors
/// As [`ask`].
pub fn state(path: &Path) -> Result<State, ControlError> {
    match ask(path, &Ask::State)? {
        Answer::State(state) => Ok(state),
        _ => Err(ControlError::Refused { message: "the proxy did not say its state".into(), hint: None }),
    }
}
