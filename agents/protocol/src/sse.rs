//! Event streams (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>), and the chunks of
//! language models that are sent in them.

mod chunk;

pub use chunk::Chunk;

/// The most that one event may hold.
pub const EVENT_MAX: usize = 1024 * 1024;

/// More came without an end of the event than [`EVENT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {EVENT_MAX} bytes")]
pub struct EventTooLong;

/// One event that has data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its name; empty: `message`.
    pub name: String,
    /// Its data, several lines joined by line feeds.
    pub data: String,
}

/// Reads events. Comments, and events without data, are passed over. Lines end as the first line does, and a line feed that
/// belongs to a carriage return is taken along with it: so the bytes taken for one event are the whole of it.
#[derive(Debug, Clone, Default)]
pub struct EventReader {
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    kept: usize,
    /// A carriage return ends lines here, and no line feed follows it.
    bare_return: bool,
    /// A carriage return came; the next byte tells whether it was half of a line end.
    after_return: bool,
    begun: bool,
}

impl EventReader {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next event, if it is complete.
    ///
    /// # Errors
    /// If there is no end to it.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, EventTooLong> {
        while let Some(&byte) = bytes.first() {
            if std::mem::take(&mut self.after_return) && byte != b'\n' {
                self.bare_return = true;
                if let Some(event) = self.end_of_line() {
                    return Ok(Some(event));
                }
                continue;
            }
            crate::take(bytes, 1);
            let ended = match byte {
                b'\n' => self.end_of_line(),
                b'\r' if self.bare_return => self.end_of_line(),
                b'\r' => {
                    self.after_return = true;
                    None
                }
                other => {
                    self.line.push(other);
                    self.kept += 1;
                    None
                }
            };
            if ended.is_some() {
                return Ok(ended);
            }
            if self.kept > EVENT_MAX {
                return Err(EventTooLong);
            }
        }
        Ok(None)
    }

    /// Is it between two events, with nothing begun?
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.line.is_empty() && self.data.is_none() && self.name.is_empty()
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = if std::mem::replace(&mut self.begun, true) { &line[..] } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) };
        if line.is_empty() {
            self.kept = 0;
            let name = std::mem::take(&mut self.name);
            return self.data.take().map(|data| Event { name, data });
        }
        let (field, value) = line.iter().position(|b| *b == b':').map_or((line, &b""[..]), |at| (&line[..at], &line[at + 1..]));
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match (field, &mut self.data) {
            (b"data", None) => self.data = Some(value.into_owned()),
            (b"data", Some(data)) => {
                data.push('\n');
                data.push_str(&value);
            }
            (b"event", _) => self.name = value.into_owned(),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, usize)> {
        let (mut reader, mut found, mut bytes) = (EventReader::new(), Vec::new(), text.as_bytes());
        while let Some(event) = reader.read(&mut bytes).unwrap() {
            found.push((event.name, event.data, text.len() - bytes.len()));
        }
        found
    }

    #[test]
    fn the_three_line_ends_are_one() {
        let stream = "\u{feff}: hello\nevent: a\ndata: x\ndata:y\n\ndata\n\nid: 7\n\ndata: z\n\n";
        for end in ["\n", "\r\n"] {
            let text = stream.replace('\n', end);
            let events = read(&text);
            let told: Vec<_> = events.iter().map(|(name, data, _)| (name.as_str(), data.as_str())).collect();
            assert_eq!(told, [("a", "x\ny"), ("", ""), ("", "z")], "{end:?}");
            assert_eq!(events[2].2, text.len(), "the end belongs to the event");
        }
        // What ends in a bare return is given once the style is known.
        let told = read(&stream.replace('\n', "\r"));
        assert_eq!(told.len(), 3);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut reader = EventReader::new();
        assert_eq!(reader.read(&mut "x".repeat(EVENT_MAX + 1).as_bytes()), Err(EventTooLong));
    }
}
