//! A leak to order: a replica that holds memory for nothing, as long as it lives.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::{failure::Failure, gateway::Upstream, notice};

/// Where a replica is asked to leak; the body is how many MiB.
pub(crate) const PATH: &str = "/leak";

/// Most that is leaked at once: a slip of the keyboard must not take a machine's memory.
const MEBIBYTES_MAX: u32 = 1024;

/// Between the answer and the leak, which may be the end of whoever asked as well.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Who is asked to leak, and how much.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address of the replica, for example 127.0.0.1:8002
    address: SocketAddr,
    /// How much, in MiB
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MEBIBYTES_MAX)))]
    mebibytes: u32,
}

/// Asks a running replica to leak.
pub(crate) async fn ask(options: &Options) -> Result<(), Failure> {
    let address = options.address;
    let failed = |why: String| Failure::Leak { address, why };
    let upstream = Upstream::new(address);
    let asked = upstream.ask_anew(Method::POST, PATH, Bytes::from(options.mebibytes.to_string()));
    match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(Ok((StatusCode::ACCEPTED, _))) => Ok(()),
        Ok(Ok((status, _))) => Err(failed(format!("it answered {status}"))),
        Ok(Err(broken)) => Err(failed(broken.to_string())),
        Err(_) => Err(failed(format!("no answer within {TIMEOUT:?}"))),
    }
}

/// What a replica has leaked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leaked(Arc<Mutex<Vec<Vec<u8>>>>);

impl Leaked {
    /// Leaks so many MiB, soon. False if that is no number of MiB, or too many.
    pub(crate) fn begin(&self, body: &[u8]) -> bool {
        let asked: Option<u32> = std::str::from_utf8(body).ok().and_then(|text| text.trim().parse().ok());
        let Some(mebibytes) = asked.filter(|n| (1..=MEBIBYTES_MAX).contains(n)) else {
            return false;
        };
        let held = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            notice::say("replica", format_args!("leaks {mebibytes} MiB, as it was asked to"));
            // Written to, page by page: memory that nobody touches is no memory.
            let leak = vec![1; mebibytes as usize * (1 << 20)];
            held.lock().unwrap_or_else(PoisonError::into_inner).push(leak);
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_sensible_number_of_mebibytes_is_leaked() {
        let leaked = Leaked::default();
        for wrong in ["", "0", "-1", "1025", "much", "1.5"] {
            assert!(!leaked.begin(wrong.as_bytes()), "{wrong}");
        }
        assert!(leaked.begin(b"1"));
    }
}
