//! Speaking to a machine: one script at a time over the serial port, answered with what it says and its exit status.

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What came of a script.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// Everything it said, errors included.
    pub text: String,
}

/// The port. Dropping it switches the machine off.
#[derive(Debug)]
pub(crate) struct Shell {
    to: ChildStdin,
    from: ChildStdout,
    scripts: u32,
    heard: Vec<u8>,
}

/// Why there is no answer, and what was said until then.
#[derive(Debug)]
pub(crate) struct Silence {
    pub(crate) why: String,
    pub(crate) heard: String,
}

impl Shell {
    pub(crate) fn new(to: ChildStdin, from: ChildStdout) -> Self {
        Self { to, from, scripts: 0, heard: Vec::new() }
    }

    pub(crate) fn ready(&mut self, patience: Duration) -> Result<(), Silence> {
        self.until("READY", patience).map(|_| ())
    }

    pub(crate) fn run(&mut self, script: &str, patience: Duration) -> Result<Output, Silence> {
        self.scripts += 1;
        let word = format!("=testbed-{}=", self.scripts);
        let line = format!("{word} {}\n", base64(script.as_bytes()));
        self.to.write_all(line.as_bytes()).map_err(|e| Silence { why: e.to_string(), heard: String::new() })?;
        let (text, status) = self.until(&word, patience)?;
        Ok(Output { status: status.trim().parse().unwrap_or(-1), text })
    }

    /// What was said before the line that begins with a word, and the rest of that line.
    fn until(&mut self, word: &str, patience: Duration) -> Result<(String, String), Silence> {
        let deadline = Instant::now() + patience;
        let mut searched = 0;
        loop {
            if let Some(found) = line_with(&self.heard[searched..], word.as_bytes()).map(|(at, end)| (at + searched, end + searched)) {
                let rest = String::from_utf8_lossy(&self.heard[found.0 + word.len()..found.1]).into_owned();
                // The line break that the guest puts before the word is not the script's.
                let text = String::from_utf8_lossy(&self.heard[..found.0.saturating_sub(1)]).into_owned();
                self.heard.drain(..=found.1);
                return Ok((text, rest));
            }
            searched = self.heard.len().saturating_sub(word.len() + 20);
            if let Err(why) = self.hear(deadline) {
                return Err(Silence { why, heard: String::from_utf8_lossy(&self.heard).into_owned() });
            }
        }
    }

    fn hear(&mut self, deadline: Instant) -> Result<(), String> {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|e| e.to_string())?;
        match poll(&mut [PollFd::new(&self.from, PollFlags::IN)], Some(&left)) {
            Ok(0) => Err("nothing within the time for it".into()),
            Ok(_) => {
                let mut bytes = [0; 65_536];
                match self.from.read(&mut bytes) {
                    Ok(0) => Err("the machine is off".into()),
                    Ok(n) => {
                        self.heard.extend_from_slice(&bytes[..n]);
                        Ok(())
                    }
                    Err(e) => Err(e.to_string()),
                }
            }
            Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// The whole line, by its first and last place, that begins with a word.
fn line_with(heard: &[u8], word: &[u8]) -> Option<(usize, usize)> {
    let at = heard.windows(word.len()).enumerate().find(|(n, w)| w == &word && (*n == 0 || heard[n - 1] == b'\n'))?.0;
    let end = heard[at..].iter().position(|b| *b == b'\n')? + at;
    Some((at, end))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * n) & 63) as usize];
            out.push(if n <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_rfc_4648_shows_it() {
        for (text, code) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), code);
        }
    }

    #[test]
    fn an_answer_ends_at_a_line_of_its_own() {
        assert_eq!(line_with(b"not =1= 0\n=1= 7", b"=1="), None);
        assert_eq!(line_with(b"not =1= 0\n=1= 7\n", b"=1="), Some((10, 15)));
    }
}
