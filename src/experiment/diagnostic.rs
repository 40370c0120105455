//! What is wrong with a file: where, what, and what to do. For people (with the line and a caret) and for programs (JSON).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::tree::{Place, Source};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, and somebody should know.
    Warning,
}

impl Severity {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file, as it was named by whoever reads it.
    pub file: PathBuf,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 where the file as a whole is meant.
    pub column: u32,
    /// How many characters are wrong.
    pub length: u32,
    /// How bad it is.
    pub severity: Severity,
    /// A word for programs: `unknown-key`, `wrong-literal` … Never renamed.
    pub code: &'static str,
    /// What is wrong, without full stop.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The line itself.
    #[serde(skip)]
    pub source: Option<String>,
}

impl Diagnostic {
    /// Something about the file as a whole.
    pub fn of_file(file: &Path, code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            length: 0,
            severity: Severity::Error,
            code,
            message: message.into(),
            hint: Some(hint.into()),
            source: None,
        }
    }

    /// Something at a place.
    pub(super) fn at(source: &Source, place: Place, severity: Severity, code: &'static str, message: String, hint: Option<String>) -> Self {
        Self {
            file: source.path.clone(),
            line: place.line,
            column: place.column,
            length: source.width(place),
            severity,
            code,
            message,
            hint,
            source: Some(source.line(place).to_owned()),
        }
    }

    /// For people: place first, the line, a caret under the wrong words, then what to do. Ends with a line break.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let word = match self.severity {
            Severity::Error => paint.red(self.severity.word()),
            Severity::Warning => paint.yellow(self.severity.word()),
        };
        let hint = self.hint.as_ref().map(|hint| format!("{} {hint}", paint.bold("hint:")));
        let mut text = String::new();
        let Some(source) = self.source.as_ref().filter(|_| self.line > 0) else {
            let _ = writeln!(text, "{}: {word}: {}", self.file.display(), self.message);
            if let Some(hint) = hint {
                let _ = writeln!(text, "  {}", hint.replace('\n', "\n        "));
            }
            return text;
        };
        let _ = writeln!(text, "{}:{}:{}: {word}: {}", self.file.display(), self.line, self.column, self.message);
        let window = Window::around(source, self.column, self.length);
        let number = self.line.to_string();
        let blank = " ".repeat(number.len());
        let caret = paint.red(&"^".repeat(window.carets));
        let _ = writeln!(text, " {number} | {}", window.text);
        let _ = write!(text, " {blank} | {}{caret}", window.padding);
        if let Some(hint) = hint {
            // A hint of several lines is a list.
            let _ = write!(text, " {}", hint.replace('\n', "\n        "));
        }
        text.push('\n');
        text
    }
}

/// The part of a line that is shown: all of it, unless it is very long.
struct Window {
    text: String,
    padding: String,
    carets: usize,
}

impl Window {
    const WIDEST: usize = 180;
    const BEFORE: usize = 80;

    fn around(line: &str, column: u32, length: u32) -> Self {
        let clean = |c: char| if c == '\t' || !c.is_control() { c } else { '\u{fffd}' };
        let chars: Vec<char> = line.chars().map(clean).collect();
        let (at, length) = (column.saturating_sub(1) as usize, length.max(1) as usize);
        let from = if chars.len() > Self::WIDEST && at > Self::BEFORE { at - Self::BEFORE } else { 0 };
        let shown = &chars[from.min(chars.len())..];
        let cut = shown.len() > Self::WIDEST;
        let mut text: String = shown.iter().take(Self::WIDEST).collect();
        if cut {
            text.push('…');
        }
        let padding = shown.iter().copied().chain(std::iter::repeat(' ')).take(at - from.min(at));
        let padding = padding.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        Self { text, padding, carets: length.min(Self::WIDEST - Self::BEFORE) }
    }
}

/// Colours, or none.
struct Paint(bool);

impl Paint {
    fn with(&self, style: anstyle::Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn red(&self, text: &str) -> String {
        self.with(anstyle::AnsiColor::Red.on_default().bold(), text)
    }

    fn yellow(&self, text: &str) -> String {
        self.with(anstyle::AnsiColor::Yellow.on_default().bold(), text)
    }

    fn bold(&self, text: &str) -> String {
        self.with(anstyle::Style::new().bold(), text)
    }
}

/// All of them for people, one after the other.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    diagnostics.iter().map(|diagnostic| diagnostic.render(colour)).collect()
}

/// `4 errors, 1 warning`; empty when there is nothing.
#[must_use]
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let say = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let parts = [say(count(Severity::Error), "error"), say(count(Severity::Warning), "warning")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// By place, each once.
pub(super) fn sort(diagnostics: &mut Vec<Diagnostic>, files: &[PathBuf]) {
    let rank = |diagnostic: &Diagnostic| files.iter().position(|file| *file == diagnostic.file);
    diagnostics.sort_by_key(|problem| (rank(problem), problem.line, problem.column, problem.severity));
    diagnostics.dedup_by(|a, b| (a.line, a.column, &a.message, &a.file) == (b.line, b.column, &b.message, &b.file));
}
