//! Three mistakes that YAML reports in words of its own: an unquoted `>`, `${x}` in braces, and `!` in front of an expression.
//!
//! Each is explained where it stands. It is also repaired in a copy of the text, with characters of the same length, so that every place
//! stays true and the rest of the file is checked too.

use super::tree::{Data, Node, Source, Style};

/// A mistake that was recognised.
pub(super) struct Recognised {
    pub(super) code: &'static str,
    pub(super) offset: usize,
    pub(super) length: usize,
    pub(super) message: String,
    pub(super) hint: String,
    change: Change,
}

enum Change {
    /// The first character, which begins a value, is replaced by one that YAML does not mind, and put back into the tree.
    First(char),
    /// `${x}` becomes `$(x)`.
    Braces,
}

/// The code of `${x}`, after which nothing more is said about `x`.
pub(super) const BRACES: &str = "parameter-in-braces";
/// A character that begins a plain value.
const HARMLESS: &str = "~";

/// Looks for a mistake at the line where YAML gave up, or up to two lines before it (YAML notices late).
pub(super) fn recognise(source: &Source, text: &str, line: u32) -> Option<Recognised> {
    let mut starts = vec![0];
    starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
    let last = (line as usize).min(starts.len());
    (last.saturating_sub(2)..=last).rev().filter(|line| *line > 0).find_map(|line| {
        let start = starts[line - 1];
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        in_line(source, &text[start..end], start)
    })
}

fn in_line(source: &Source, line: &str, start: usize) -> Option<Recognised> {
    let code = line.split_once(" #").map_or(line, |(code, _)| code);
    if let Some((at, value, key)) = value_beginning(code, '>') {
        // `>`, `>-` and `>2` alone do begin a text block.
        if value.trim_start_matches(['>', '-', '+', '1', '2', '3', '4', '5', '6', '7', '8', '9']).trim() != "" {
            return Some(Recognised {
                code: "yaml",
                offset: start + at,
                length: 1,
                message: "a text block begins here, not a comparison".into(),
                hint: format!("YAML reads `>` as the start of a text block: write `{key}: \"{value}\"`"),
                change: Change::First('>'),
            });
        }
    }
    if let Some((at, value, key)) = value_beginning(code, '!') {
        return Some(Recognised {
            code: "yaml",
            offset: start + at,
            length: 1,
            message: "YAML reads `!` as the start of a tag".into(),
            hint: format!("write `{key}: \"{}\"`", value.replace('"', "'")),
            change: Change::First('!'),
        });
    }
    let at = code.find("${")?;
    let length = code[at..].find('}')? + 1;
    let name = &source.text.get(start + at + 2..start + at + length - 1)?;
    Some(Recognised {
        code: BRACES,
        offset: start + at,
        length,
        message: format!("`${{{name}}}` is not how a parameter is put in"),
        hint: format!("write `$({name})`, and declare `{name}` under `parameters:`"),
        change: Change::Braces,
    })
}

/// A value in this line that begins with `sign`: where, the whole value, and its key.
fn value_beginning(line: &str, sign: char) -> Option<(usize, &str, &str)> {
    for (at, _) in line.match_indices(sign) {
        let before = &line[..at];
        let Some(key) = before.trim_end_matches(' ').strip_suffix(':').filter(|_| before.ends_with(' ')) else { continue };
        let in_braces = key.contains('{');
        let key = key.rsplit(['{', ',']).next().unwrap_or(key).trim().trim_start_matches("- ").trim();
        return Some((at, line[at..at + end_of_value(&line[at..], in_braces)].trim_end(), key));
    }
    None
}

/// Where a value ends: at a bracket that it did not open, and in braces at a comma too.
fn end_of_value(text: &str, in_braces: bool) -> usize {
    let mut open = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' if open > 0 => open -= 1,
            ']' | '}' => return at,
            ',' if in_braces && open == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

impl Recognised {
    /// Repairs the copy of the text.
    pub(super) fn patch(&self, text: &mut String) {
        match self.change {
            Change::First(_) => text.replace_range(self.offset..=self.offset, HARMLESS),
            Change::Braces => {
                let end = self.offset + self.length;
                text.replace_range(self.offset + 1..self.offset + 2, "(");
                text.replace_range(end - 1..end, ")");
            }
        }
    }
}

/// Puts back into the tree what was replaced in the text.
pub(super) fn restore(node: &mut Node, repaired: &[Recognised]) {
    if repaired.is_empty() {
        return;
    }
    let at = node.place.offset as usize;
    match &mut node.data {
        Data::Scalar { text, style } => {
            let first = repaired.iter().find(|found| found.offset == at && matches!(found.change, Change::First(_)));
            if let Some(Change::First(sign)) = first.map(|found| &found.change) {
                text.replace_range(..1, sign.encode_utf8(&mut [0; 4]));
                *style = Style::Quoted;
            }
        }
        Data::List(items) => items.iter_mut().for_each(|item| restore(item, repaired)),
        Data::Map(entries) => entries.iter_mut().for_each(|(_, value)| restore(value, repaired)),
    }
}
