//! What is printed, and where: data to stdout, talk to stderr, colour only where it is wanted.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use super::LogFormat;
use crate::report::Style;

/// When to colour what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The two streams of the program.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// Colour on stdout.
    pub color_out: bool,
    /// Colour on stderr.
    pub color_err: bool,
    /// Is stderr a terminal that can be redrawn?
    pub live: bool,
}

impl Console {
    /// Decides once, for the whole program.
    #[must_use]
    pub fn new(choice: ColorChoice) -> Self {
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let color = |terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !plain,
        };
        Self { color_out: color(out), color_err: color(err), live: err && !plain }
    }

    /// How a report on stdout may look.
    #[must_use]
    pub fn style_out(&self) -> Style {
        Style { colour: self.color_out, width: width(std::io::stdout()) }
    }

    /// How the display on stderr may look.
    #[must_use]
    pub fn style_err(&self) -> Style {
        Style { colour: self.color_err, width: width(std::io::stderr()) }
    }

    /// Writes data. A reader that has gone away (`| head`) is no failure.
    pub fn data(&self, text: impl Display) {
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "{text}").and_then(|()| out.flush());
    }

    /// Says something to the person, as a line of its own.
    pub fn say(&self, text: impl Display) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Says why nothing was done, and gives the exit code.
    #[must_use]
    pub fn fail(&self, failure: &Failure) -> ExitCode {
        let (red, cyan, off) = if self.color_err { ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
        if failure.rendered {
            self.say(failure.message.trim_end());
        } else {
            self.say(format_args!("{red}error:{off} {}", failure.message));
        }
        for hint in &failure.hints {
            self.say(format_args!("{cyan}hint:{off} {hint}"));
        }
        ExitCode::from(failure.exit)
    }
}

/// Columns of a terminal; of anything else, what a report is made for. Longer lines are hard to read anywhere.
fn width(stream: impl std::os::fd::AsFd) -> usize {
    const USUAL: u16 = 80;
    const WIDEST: u16 = 110;
    let columns = rustix::termios::tcgetwinsize(stream).map_or(USUAL, |size| size.ws_col);
    usize::from(if columns == 0 { USUAL } else { columns.min(WIDEST) })
}

/// Why a command ended without doing what it was asked: in words, with what to do and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was being done, to what, and what happened.
    pub message: String,
    /// What to do.
    pub hints: Vec<String>,
    /// DESIGN section 6.
    pub exit: u8,
    /// The message is complete as it stands (diagnostics with places).
    pub rendered: bool,
}

impl Failure {
    /// Exit 2: the command line, the experiment or the surroundings are wrong; nothing was run.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), exit: 2, rendered: false }
    }

    /// Diagnostics that carry their own layout. Exit 2.
    pub fn rendered(message: impl Into<String>) -> Self {
        Self { rendered: true, ..Self::usage(message) }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// With a hint, where there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hints.extend(hint);
        self
    }

    /// With another exit code.
    #[must_use]
    pub fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }
}

/// Starts the log: nothing unless asked for. `RUST_LOG` says more precisely what.
pub(super) fn start_log(verbose: u8, format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let asked = std::env::var("RUST_LOG").ok();
    if verbose == 0 && asked.is_none() {
        return;
    }
    let level = if verbose > 1 { "chaos=trace" } else { "chaos=debug" };
    let filter = EnvFilter::new(asked.as_deref().unwrap_or(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
