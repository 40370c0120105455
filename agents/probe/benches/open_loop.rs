//! How fast, how punctual, how small: 10,000 `http` questions a second on one core.
//!
//! ```text
//! core 0: prober (pinned) ── loopback ── core 1: hyper server (pinned)
//! floor:  a bare loop on the same core that sleeps to the same due times and does nothing else
//! ```
//! Numbers are given beside the floor measured in the same minute, because a machine that is busy with other things is late for
//! everybody. Run with `cargo bench -p chaos-probe`; `RATE` and `LASTS` (seconds) choose another load. Exits with 1 where the promise is broken
//! although the floor was good enough to keep it.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chaos_core::clock::Mono;
use chaos_core::experiment::Question;
use chaos_core::expression::Expression;
use chaos_core::sample::{Asked, Outcome, Series};
use chaos_core::secret::Secrets;
use chaos_probe::prober::{descriptors_needed, raise_descriptor_limit};
use chaos_probe::{AskedQuestion, Prober};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::Pid;
use rustix::thread::{ClockId, CpuSet, clock_nanosleep_absolute, gettid, sched_setaffinity};
use rustix::time::Timespec;

/// What is promised of the prober's lag, at the 99th percentile.
const LAG_PROMISED_US: u64 = 1_000;
const MILLION: usize = 1_000_000;

fn main() -> ExitCode {
    let rate = setting("RATE", 10_000);
    let seconds = setting("LASTS", 5);
    let (address, server) = serve_on_core(1);
    pin_to_core(0);
    probe(address, 50, 1);
    println!("memory {} MiB resident with one question asked (server and floor included)", resident_kib() / 1024);
    let floor = floor_lags(rate, seconds.min(2));
    let before = cpu_without(server);
    let series = probe(address, rate, seconds);
    let spent = cpu_without(server).saturating_sub(before);
    let kept = report(&series, &floor, rate, seconds, spent);
    memory_of_a_million();
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// True: the promise was kept, or the machine itself was too late for anybody to keep it.
fn report(series: &Series, floor: &[u64], rate: u64, seconds: u64, spent: Duration) -> bool {
    let asked = series.samples.iter().filter(|s| s.outcome != Outcome::Shed).count();
    let shed = series.samples.len() - asked;
    let bad = series.samples.iter().filter(|s| s.is_bad()).count();
    let mut lags: Vec<u64> = series.samples.iter().map(|s| s.lag_us.into()).collect();
    let mut took: Vec<u64> = series.samples.iter().map(|s| s.took_us.into()).collect();
    lags.sort_unstable();
    took.sort_unstable();
    let (p99, floor_p99) = (quantile(&lags, 99), quantile(floor, 99));
    println!("asked {rate}/s for {seconds} s: {:.0}/s, {shed} shed, {bad} bad", per(asked, seconds));
    println!("lag    p50 {} us, p99 {p99} us (promised {LAG_PROMISED_US} us)", quantile(&lags, 50));
    println!("floor  p50 {} us, p99 {floor_p99} us: a bare sleeping loop", quantile(floor, 50));
    println!("ratio  p99 lag / p99 floor: {:.2}", ratio(p99, floor_p99));
    println!("answer p50 {} us, p99 {} us", quantile(&took, 50), quantile(&took, 99));
    println!(
        "CPU    {:.1} us a question, the server's not counted",
        spent.as_secs_f64() * 1e6 / f64::from(u32::try_from(asked).unwrap_or(1).max(1))
    );
    let served = asked as u64 * 100 >= rate * seconds * 99;
    (served && p99 <= LAG_PROMISED_US) || floor_p99 > LAG_PROMISED_US / 2
}

/// One run, its samples taken as they come.
fn probe(address: SocketAddr, rate: u64, seconds: u64) -> Series {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let question = asked(address, rate);
    // Both ends of each connection are in this process.
    let _ = raise_descriptor_limit(2 * descriptors_needed([&question.question]));
    runtime.block_on(async {
        let table = Arc::new(chaos_probe::probes());
        let started = Prober::start(table, vec![question], 7, Secrets::new(), PathBuf::from("/")).await;
        let (prober, mut batches) = started.expect("a prober");
        let mut series = Series::default();
        let end = tokio::time::sleep(Duration::from_secs(seconds));
        tokio::pin!(end);
        let mut stopped = false;
        loop {
            tokio::select! {
                batch = batches.recv() => match batch {
                    Some(batch) => series.push(&batch),
                    None => return series,
                },
                () = &mut end, if !stopped => { prober.stop(); stopped = true; }
            }
        }
    })
}

fn asked(address: SocketAddr, rate: u64) -> AskedQuestion {
    AskedQuestion {
        hypothesis: 0,
        asked: Asked::Users,
        question: Question {
            probe: "http".into(),
            with: serde_json::json!({"get": format!("http://{address}/")}),
            of: None,
            at: "here".into(),
            good: Expression::parse_unchecked("status == 200").expect("an expression"),
            every: Duration::from_nanos(1_000_000_000 / rate).into(),
            timeout: Duration::from_millis(300).into(),
        },
        measured: BTreeSet::new(),
        targets: Vec::new(),
    }
}

/// How late a thread wakes that does nothing but sleep to the next due time.
fn floor_lags(rate: u64, seconds: u64) -> Vec<u64> {
    let every = 1_000_000_000 / rate;
    let start = Mono::now().0;
    let mut lags = Vec::new();
    for n in 1..=rate * seconds {
        let due = start + n * every;
        let at = Timespec { tv_sec: (due / 1_000_000_000) as i64, tv_nsec: (due % 1_000_000_000) as i64 };
        let _ = clock_nanosleep_absolute(ClockId::Monotonic, &at);
        lags.push(Mono::now().since(Mono(due)).as_micros() as u64);
    }
    lags.sort_unstable();
    lags
}

/// Its address, and the thread that it runs on.
fn serve_on_core(core: usize) -> (SocketAddr, Pid) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        pin_to_core(core);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tell.send((address, gettid())).expect("somebody waits");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("a socket");
                tokio::spawn(async move {
                    let answer =
                        service_fn(|_| async { Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::from_static(b"{}")))) });
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
    });
    told.recv().expect("a server")
}

/// Threads started afterwards inherit it. Where there is only one core, everybody shares it.
fn pin_to_core(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// CPU time of this process so far, the server's thread left out.
fn cpu_without(server: Pid) -> Duration {
    let all = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let all = Duration::new(all.tv_sec.unsigned_abs(), u32::try_from(all.tv_nsec).unwrap_or_default());
    let path = format!("/proc/self/task/{}/schedstat", server.as_raw_nonzero());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let server = text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default();
    all.saturating_sub(Duration::from_nanos(server))
}

/// What a million samples cost the process that keeps them, from batches to the sorted series.
fn memory_of_a_million() {
    let before = resident_kib();
    let mut series = Series::default();
    for n in 0..MILLION / 100 {
        let row = |i: usize| chaos_core::sample::Sample {
            due: Mono((n * 100 + (i * 37) % 100) as u64),
            lag_us: 10,
            took_us: 200,
            outcome: Outcome::Good,
        };
        series.push(&chaos_core::sample::SampleBatch {
            hypothesis: 0,
            asked: Asked::Users,
            rows: (0..100).map(row).collect(),
            reasons: Vec::new(),
            values: Vec::new(),
        });
    }
    series.sort();
    let grown = peak_kib().saturating_sub(before);
    println!("memory {} MiB at most for {} samples, sorted (promised 64 MiB)", grown / 1024, series.samples.len());
}

fn resident_kib() -> u64 {
    status("VmRSS:")
}

fn peak_kib() -> u64 {
    status("VmHWM:")
}

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

fn quantile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn per(count: usize, seconds: u64) -> f64 {
    count as f64 / seconds as f64
}

fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}
