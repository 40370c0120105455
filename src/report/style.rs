//! How text may look: colour only where it was allowed, and meaning never by colour alone.

use anstyle::{AnsiColor, Effects, Style as Ansi};

/// What the reader's terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colour and weight may be used.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

impl Default for Style {
    /// Plain text, 80 columns.
    fn default() -> Self {
        Self { colour: false, width: 80 }
    }
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Good,
    Bad,
    Doubt,
    Faint,
    Strong,
    Fault,
}

impl Style {
    /// `text` as what it is.
    pub(super) fn ink(self, ink: Ink, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let colour = |c: AnsiColor| Ansi::new().fg_color(Some(c.into()));
        let style = match ink {
            Ink::Good => colour(AnsiColor::Green),
            Ink::Bad => colour(AnsiColor::Red).effects(Effects::BOLD),
            Ink::Doubt => colour(AnsiColor::Yellow),
            Ink::Faint => Ansi::new().effects(Effects::DIMMED),
            Ink::Strong => Ansi::new().effects(Effects::BOLD),
            Ink::Fault => colour(AnsiColor::Magenta),
        };
        format!("{style}{text}{style:#}")
    }
}

/// Text from outside (a probe's reason, a process's name) without control characters: no report moves a cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` in lines of at most `width` columns, broken between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        let long = line.chars().count() + 1 + word.chars().count() > width;
        if line.is_empty() {
            line.push_str(word);
        } else if long {
            lines.push(word.to_owned());
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines
}

/// `text` in at most `width` columns, with an ellipsis where it is cut.
pub(super) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}
