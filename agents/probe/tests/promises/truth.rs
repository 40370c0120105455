//! RULES 27: outages whose length the server knows lie inside what the samples claim.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::sample::{Sample, Series};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::open_loop::{asked, get, start};

/// Answers 200 or 503 by a switch that the test turns. A real answer observes one instant between sent and done.
async fn switched(healthy: Arc<AtomicBool>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let healthy = Arc::clone(&healthy);
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while stream.read_buf(&mut asked).await.is_ok_and(|n| n > 0) {
                    if !asked.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    asked.clear();
                    let status = if healthy.load(Ordering::SeqCst) { "200 OK" } else { "503 No" };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Earliest and latest begin, earliest and latest end: the rule as it is written.
fn bounds(samples: &[Sample]) -> Option<[Mono; 4]> {
    let first_bad = samples.iter().position(Sample::is_bad)?;
    let last_bad = samples.iter().rposition(Sample::is_bad)?;
    let (before, after) = (samples.get(first_bad.checked_sub(1)?)?, samples.get(last_bad + 1)?);
    Some([before.sent(), samples[first_bad].done(), samples[last_bad].sent(), after.done()])
}

#[tokio::test]
async fn rule_27_the_true_outage_lies_inside_the_samples_bounds() {
    let healthy = Arc::new(AtomicBool::new(true));
    let address = switched(Arc::clone(&healthy)).await;
    let (prober, mut batches) = start(vec![asked(get(address, 2, 20_000))]).await;
    let mut random = ChaCha8Rng::seed_from_u64(27);
    let mut truths = Vec::new();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(random.random_range(20..40))).await;
        let down = [Mono::now(), turn(&healthy, false)];
        tokio::time::sleep(Duration::from_millis(random.random_range(20..60))).await;
        let up = [Mono::now(), turn(&healthy, true)];
        truths.push((down, up));
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    prober.stop();
    let mut series = Series::default();
    while let Some(batch) = batches.recv().await {
        series.push(&batch);
    }
    series.sort();
    let mut judged = 0;
    for (i, (down, up)) in truths.iter().enumerate() {
        let from = if i == 0 { Mono(0) } else { truths[i - 1].1[1] };
        let to = truths.get(i + 1).map_or(Mono(u64::MAX), |next| next.0[0]);
        let mine: Vec<_> = series.samples.iter().filter(|s| s.sent() > from && s.done() < to).copied().collect();
        let Some([begin, begun, end, ended]) = bounds(&mine) else { continue };
        // The switch turned at some moment between the two readings of the clock.
        assert!(begin <= down[1] && down[0] <= begun, "outage {i} began {down:?}, claimed {begin:?} to {begun:?}");
        assert!(end <= up[1] && up[0] <= ended, "outage {i} ended {up:?}, claimed {end:?} to {ended:?}");
        judged += 1;
    }
    assert!(judged >= 5, "only {judged} of 20 outages were seen");
}

fn turn(healthy: &AtomicBool, to: bool) -> Mono {
    healthy.store(to, Ordering::SeqCst);
    Mono::now()
}
