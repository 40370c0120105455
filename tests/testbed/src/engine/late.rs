//! A socket before the engine's own, through which some requests come late.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Engine;

/// Passes everything on; a request of the kind asked for is held first, and then reaches the engine whether or not whoever
/// sent it still lives. Nobody can take such a request back.
#[derive(Debug)]
pub struct Late {
    path: PathBuf,
    way: Arc<Way>,
}

#[derive(Debug)]
struct Way {
    engine: PathBuf,
    /// Words that the request's first line has, all of them.
    words: Vec<String>,
    delay: Duration,
    held: AtomicUsize,
    landed: AtomicUsize,
    open: Mutex<Vec<UnixStream>>,
}

impl Engine {
    /// Such a socket. A request is held when its first line has all these words (`POST /pause`).
    ///
    /// # Panics
    /// When there can be no socket.
    #[must_use]
    pub fn late(&self, words: &str, delay: Duration) -> Late {
        let path = self.folder().join(format!("{}.sock", Self::unique("late")));
        let listener = UnixListener::bind(&path).expect("a socket");
        let words = words.split_whitespace().map(ToOwned::to_owned).collect();
        let counts = (AtomicUsize::new(0), AtomicUsize::new(0));
        let way = Arc::new(Way { engine: self.socket(), words, delay, held: counts.0, landed: counts.1, open: Mutex::default() });
        let ours = Arc::clone(&way);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let way = Arc::clone(&ours);
                std::thread::spawn(move || way.pass(client));
            }
        });
        Late { path, way }
    }
}

impl Late {
    /// As `DOCKER_HOST` has it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// How many requests were held, so far; some of them may still be.
    #[must_use]
    pub fn held(&self) -> usize {
        self.way.held.load(Ordering::SeqCst)
    }

    /// How many of those the engine has answered.
    #[must_use]
    pub fn landed(&self) -> usize {
        self.way.landed.load(Ordering::SeqCst)
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        for stream in self.way.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Way {
    /// One connection. The engine's side stays open when the client has gone: it cancels what nobody waits for.
    fn pass(self: &Arc<Self>, client: UnixStream) {
        let Ok(engine) = UnixStream::connect(&self.engine) else { return };
        let both = || Ok::<_, std::io::Error>((client.try_clone()?, engine.try_clone()?, engine.try_clone()?));
        let Ok((to, from, kept)) = both() else { return };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        let (way, waiting) = (Arc::clone(self), Arc::new(AtomicUsize::new(0)));
        let answers = Arc::clone(&waiting);
        std::thread::spawn(move || way.answer(from, to, &answers));
        let _ = self.ask(BufReader::new(client), engine, &waiting);
    }

    fn ask(&self, mut client: BufReader<UnixStream>, mut engine: UnixStream, waiting: &AtomicUsize) -> std::io::Result<()> {
        while let Some((request, raw)) = request(&mut client)? {
            let first = String::from_utf8_lossy(request.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
            if self.words.iter().all(|word| first.contains(word)) {
                self.held.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(self.delay);
                waiting.fetch_add(1, Ordering::SeqCst);
            }
            engine.write_all(&request)?;
            if raw {
                std::io::copy(&mut client, &mut engine)?;
            }
        }
        Ok(())
    }

    fn answer(&self, mut engine: UnixStream, mut client: UnixStream, waiting: &AtomicUsize) {
        let mut bytes = [0; 65_536];
        while let Ok(n) = engine.read(&mut bytes) {
            if n == 0 {
                break;
            }
            self.landed.fetch_add(waiting.swap(0, Ordering::SeqCst), Ordering::SeqCst);
            // Nobody may be there any more; what the engine says is read all the same.
            let _ = client.write_all(&bytes[..n]);
        }
        let _ = client.shutdown(Shutdown::Both);
    }
}

/// A whole request, and whether what follows it is no HTTP any more; none at the end of the connection.
fn request(from: &mut impl BufRead) -> std::io::Result<Option<(Vec<u8>, bool)>> {
    let mut whole = Vec::new();
    let (mut length, mut chunked, mut upgrade) = (0, false, false);
    loop {
        let at = whole.len();
        if from.read_until(b'\n', &mut whole)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&whole[at..]).trim().to_ascii_lowercase();
        match line.split_once(':').map(|(name, value)| (name, value.trim())) {
            _ if line.is_empty() => break,
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(("upgrade", _)) => upgrade = true,
            _ => {}
        }
    }
    from.take(length).read_to_end(&mut whole)?;
    while chunked {
        let at = whole.len();
        from.read_until(b'\n', &mut whole)?;
        let size = u64::from_str_radix(String::from_utf8_lossy(&whole[at..]).trim(), 16).unwrap_or(0);
        from.take(size + 2).read_to_end(&mut whole)?;
        chunked = size > 0;
    }
    Ok(Some((whole, upgrade)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let mut wire: &[u8] = b"GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi\
            POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /d HTTP/1.1\r\nUpgrade: tcp\r\n\r\nraw";
        let mut seen = Vec::new();
        while let Some((whole, raw)) = request(&mut wire).expect("well formed") {
            seen.push((String::from_utf8_lossy(&whole[..6]).trim_end().to_owned(), whole.len(), raw));
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert_eq!(seen[1], ("POST /".into(), "POST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi".len(), false));
        assert!(seen[3].2);
    }
}
