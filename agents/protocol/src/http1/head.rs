//! The head of a message: its bytes, and where its fields stand in them.

use std::ops::Range;

use super::Malformed;

/// The longest head that is read, in bytes. Servers refuse far shorter ones (Apache 8 KiB a field, nginx 32 KiB a head).
pub const HEAD_MAX: usize = 64 * 1024;

/// The head of a request or an answer, as it came: request or status line, fields, empty line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    bytes: Vec<u8>,
    /// The first line, without its end.
    first: Range<usize>,
    /// The lines of the fields, without their ends.
    fields: Vec<Range<usize>>,
}

impl Head {
    /// Takes a head from the front of `bytes`: the head and how long it is, or `None` while its end has not come.
    /// `searched` says how many bytes were looked through in vain before, and is moved on.
    ///
    /// # Errors
    /// If it is too long, or is no HTTP/1.1.
    pub fn read(bytes: &[u8], searched: &mut usize) -> Result<Option<(Self, usize)>, Malformed> {
        let Some(end) = end_of_head(bytes, *searched) else {
            *searched = bytes.len();
            if bytes.len() >= HEAD_MAX {
                return Err(Malformed::Long);
            }
            return plausible(bytes).then_some(None).ok_or(Malformed::FirstLine);
        };
        *searched = 0;
        if end > HEAD_MAX {
            return Err(Malformed::Long);
        }
        Self::index(bytes[..end].to_vec()).map(|head| Some((head, end)))
    }

    fn index(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let mut lines = lines(&bytes).filter(|line| !line.is_empty());
        let first = lines.next().ok_or(Malformed::FirstLine)?;
        if !is_first_line(&bytes[first.clone()]) {
            return Err(Malformed::FirstLine);
        }
        let fields: Vec<_> = lines.collect();
        // A line that begins with space continues the one before (obsolete, RFC 9112 5.2).
        let is_field = |line: &Range<usize>| {
            let line = &bytes[line.clone()];
            line.contains(&b':') || line.first().is_some_and(u8::is_ascii_whitespace)
        };
        if !fields.iter().all(is_field) {
            return Err(Malformed::Field);
        }
        Ok(Self { bytes, first, fields })
    }

    /// As it goes on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first line: `GET /x HTTP/1.1`, `HTTP/1.1 200 OK`.
    #[must_use]
    pub fn first_line(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.first.clone()]).unwrap_or_default()
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// The target of a request, as it stands: `/v1/x?y=1`, `http://host/x`, `*`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.word(1)
    }

    /// The status of an answer; `None` for a request.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let first = self.first_line();
        first.starts_with("HTTP/").then(|| first.split(' ').nth(1)?.parse().ok()).flatten()
    }

    /// Gives an answer another status; the reason becomes the usual one.
    pub fn set_status(&mut self, status: u16, reason: &str) {
        let version = self.first_line().split(' ').next().unwrap_or("HTTP/1.1").to_owned();
        let first = clean(&format!("{version} {status} {reason}"));
        let mut bytes = self.bytes.clone();
        bytes.splice(self.first.clone(), first.bytes());
        if let Ok(head) = Self::index(bytes) {
            *self = head;
        }
    }

    /// Spoken by one who does not know HTTP/1.1.
    #[must_use]
    pub fn is_http_1_0(&self) -> bool {
        let first = self.first_line();
        first.starts_with("HTTP/1.0") || first.ends_with("HTTP/1.0")
    }

    fn word(&self, n: usize) -> &str {
        self.first_line().split(' ').filter(|w| !w.is_empty()).nth(n).unwrap_or_default()
    }

    /// Names and values of all fields, in their order. A value that is no UTF-8 reads as empty.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().filter_map(|line| {
            let line = std::str::from_utf8(&self.bytes[line.clone()]).ok()?;
            let (name, value) = line.split_once(':')?;
            Some((name.trim_end(), value.trim()))
        })
    }

    /// The first value of a field, by its name in any letter case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Does a field that is a list hold this word (`Connection: keep-alive, Upgrade`)?
    #[must_use]
    pub fn lists(&self, name: &str, word: &str) -> bool {
        let values = self.fields().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.flat_map(|v| v.split(',')).any(|w| w.trim().eq_ignore_ascii_case(word))
    }

    /// Sets a field: the first of that name keeps its place and its letter case, others of that name go.
    pub fn set(&mut self, name: &str, value: &str) {
        let old = self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(n, _)| n.to_owned());
        let Some(old) = old else { return self.add(name, value) };
        let mut done = false;
        self.rewrite(|n, line, out| {
            if !n.eq_ignore_ascii_case(name) {
                out.extend_from_slice(line);
            } else if !std::mem::replace(&mut done, true) {
                out.extend_from_slice(format!("{old}: {}\r\n", clean(value)).as_bytes());
            }
        });
    }

    /// Adds a field after the others.
    pub fn add(&mut self, name: &str, value: &str) {
        let start = self.end_of_fields();
        let line = format!("{}: {}\r\n", clean(name), clean(value));
        self.bytes.splice(start..start, line.bytes());
        self.fields.push(start..start + line.len() - 2);
    }

    /// Takes every field of that name away.
    pub fn remove(&mut self, name: &str) {
        self.rewrite(|n, line, out| {
            if !n.eq_ignore_ascii_case(name) {
                out.extend_from_slice(line);
            }
        });
    }

    /// Writes all fields anew; `each` gets the name of each and its whole line, its end included.
    fn rewrite(&mut self, mut each: impl FnMut(&str, &[u8], &mut Vec<u8>)) {
        let starts: Vec<usize> = self.fields.iter().map(|f| f.start).chain([self.end_of_fields()]).collect();
        let mut bytes = self.bytes[..starts[0]].to_vec();
        let mut name = String::new();
        for (field, span) in self.fields.iter().zip(starts.windows(2)) {
            let line = &self.bytes[field.clone()];
            // A continued line belongs to the field that it continues.
            if !line.first().is_some_and(u8::is_ascii_whitespace) {
                name = String::from_utf8_lossy(line.split(|b| *b == b':').next().unwrap_or_default()).trim_end().to_owned();
            }
            each(&name, &self.bytes[span[0]..span[1]], &mut bytes);
        }
        bytes.extend_from_slice(&self.bytes[self.end_of_fields()..]);
        if let Ok(head) = Self::index(bytes) {
            *self = head;
        }
    }

    /// Where the empty line begins.
    fn end_of_fields(&self) -> usize {
        let end = self.bytes.len() - if self.bytes.ends_with(b"\r\n") { 2 } else { 1 };
        end.max(self.first.end)
    }
}

/// No end of line may come in from outside a head: it would begin another field.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}

/// The lines of a head, without their ends. Lines may end in LF alone (RFC 9112 2.2).
fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let length = bytes[start..].iter().position(|b| *b == b'\n')?;
        let line = start..start + length;
        start += length + 1;
        Some(if bytes[line.clone()].ends_with(b"\r") { line.start..line.end - 1 } else { line })
    })
}

/// The length of the head at the front, the empty line included. Empty lines before it are a part of it (RFC 9112 2.2).
fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    let content = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let mut at = searched.saturating_sub(3).max(content);
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == b'\n')? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// Can this become a head? What cannot is told at once: a stranger is not kept waiting for an empty line. Methods are written in capitals
/// by everybody, and an answer begins with `HTTP/1.`.
fn plausible(bytes: &[u8]) -> bool {
    let Some(start) = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')) else { return true };
    let content = &bytes[start..];
    if let Some(end) = content.iter().position(|b| *b == b'\n') {
        return is_first_line(content[..end].strip_suffix(b"\r").unwrap_or(&content[..end]));
    }
    is_first_word(content.split(|b| *b == b' ').next().unwrap_or_default())
}

fn is_first_word(word: &[u8]) -> bool {
    word.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"/.-_".contains(b))
}

fn is_first_line(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let words: Vec<&str> = line.split(' ').filter(|w| !w.is_empty()).collect();
    if !words.first().is_some_and(|word| is_first_word(word.as_bytes())) {
        return false;
    }
    let status = words.first().is_some_and(|w| w.starts_with("HTTP/1.")) && words.get(1).is_some_and(|w| w.parse::<u16>().is_ok());
    status || words.len() == 3 && words[2].starts_with("HTTP/1.")
}
