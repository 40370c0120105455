//! The prober's promises: open loop, true bounds, bounded in flight, nothing lost.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::server::{Then, serve};
use chaos_core::clock::Mono;
use chaos_core::experiment::Question;
use chaos_core::expression::Expression;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeProfile, ProbeTable};
use chaos_core::sample::{Asked, Outcome, SampleBatch, Series};
use chaos_core::secret::Secrets;
use chaos_probe::prober::{NotReady, StartError, wait_until_good};
use chaos_probe::{AskedQuestion, Prober};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

fn question(probe: &str, with: Value, good: &str, every: Duration, timeout: Duration) -> Question {
    Question {
        probe: probe.into(),
        with,
        of: None,
        at: "here".into(),
        good: Expression::parse_unchecked(good).unwrap(),
        every: every.into(),
        timeout: timeout.into(),
    }
}

pub(crate) fn get(address: std::net::SocketAddr, every_ms: u64, timeout_ms: u64) -> Question {
    let with = json!({"get": format!("http://{address}/")});
    question("http", with, "status == 200", Duration::from_millis(every_ms), Duration::from_millis(timeout_ms))
}

pub(crate) fn asked(question: Question) -> AskedQuestion {
    AskedQuestion { hypothesis: 0, asked: Asked::Users, question, measured: BTreeSet::new(), targets: Vec::new() }
}

pub(crate) async fn start(questions: Vec<AskedQuestion>) -> (Prober, Receiver<SampleBatch>) {
    let table = Arc::new(chaos_probe::probes().with(Panics));
    Prober::start(table, questions, 7, Secrets::new(), PathBuf::from("/")).await.unwrap()
}

/// Asks for so long, stops, and gives everything.
async fn observe(question: AskedQuestion, lasts: Duration) -> Series {
    let (prober, mut batches) = start(vec![question]).await;
    let stop = tokio::time::sleep(lasts);
    tokio::pin!(stop);
    let mut series = Series::default();
    let mut stopped = false;
    loop {
        tokio::select! {
            batch = batches.recv() => match batch {
                Some(batch) => series.push(&batch),
                None => break,
            },
            () = &mut stop, if !stopped => { prober.stop(); stopped = true; }
        }
    }
    series.sort();
    series
}

/// A probe with a defect.
struct Panics;

impl Probe for Panics {
    type Spec = serde_json::Map<String, Value>;
    type Client = ();
    const KIND: &'static str = "panics";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile { summary: "", about: "", example: "", fields: &[], good: None, of: &[] }
    }

    async fn open(&self, _: Self::Spec, _: &Asking) -> Result<(), ProbeError> {
        Ok(())
    }

    async fn ask((): &()) -> Result<Answer, NoAnswer> {
        tokio::task::yield_now().await;
        // Past the hook, which would fill the output of the test.
        std::panic::resume_unwind(Box::new("a defect"))
    }
}

#[tokio::test]
async fn coordinated_omission_a_slow_answer_delays_no_other_question() {
    // The third question takes 400 ms. A closed loop would see one slow sample and skip the rest.
    let (address, seen) = serve(|n| if n == 2 { Then::After(Duration::from_millis(400)) } else { Then::Answer }).await;
    let series = observe(asked(get(address, 10, 20_000)), Duration::from_millis(600)).await;
    let slots = series.samples.len();
    assert!(slots >= 55, "one question in each slot of 10 ms: {slots}");
    assert_eq!(seen.requests.load(Ordering::SeqCst), slots);
    for pair in series.samples.windows(2) {
        assert!(pair[1].due.since(pair[0].due) <= Duration::from_millis(20), "due times are independent of answers");
    }
    assert!(series.samples[2].latency() >= Duration::from_millis(400), "latency runs from the due time");
    assert!(series.samples.iter().all(chaos_core::sample::Sample::is_good));
}

#[tokio::test]
async fn a_frozen_service_costs_every_question_that_was_due() {
    let (address, seen) = serve(|n| if n >= 10 { Then::Hang } else { Then::Answer }).await;
    let patience = Duration::from_millis(400);
    let series = observe(asked(get(address, 10, 400)), Duration::from_millis(900)).await;
    let count = |outcome| series.samples.iter().filter(|s| s.outcome == outcome).count();
    // On a machine that is busy beyond measure the prober may shed; what it asked, it lost.
    assert_eq!(count(Outcome::TimedOut), series.samples.len() - 10 - count(Outcome::Shed));
    assert!(count(Outcome::TimedOut) >= 20);
    assert!(series.samples.iter().filter(|s| s.is_bad()).all(|s| s.done().since(s.sent()) >= patience));
    // A question that was given up takes its connection with it.
    for _ in 0..500 {
        if seen.left.load(Ordering::SeqCst) == seen.connections.load(Ordering::SeqCst) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("connections were left open");
}

#[tokio::test]
async fn rule_30_there_is_room_for_a_whole_outage() {
    let (address, seen) = serve(|_| Then::Hang).await;
    let series = observe(asked(get(address, 10, 400)), Duration::from_millis(900)).await;
    let shed = series.samples.iter().filter(|s| s.outcome == Outcome::Shed).count();
    assert_eq!(seen.requests.load(Ordering::SeqCst), series.samples.len() - shed, "a shed question is never asked");
    // None, where the prober gets its share of a core.
    assert!(shed * 2 < series.samples.len(), "{shed} of {} shed", series.samples.len());
}

#[tokio::test]
async fn rule_30_too_many_in_flight_are_shed_and_counted() {
    // A timeout of 200 µs takes the runtime a millisecond or two to notice: long enough to fill the four places.
    let (address, seen) = serve(|_| Then::Hang).await;
    let mut question = get(address, 1, 1);
    question.every = Duration::from_micros(100).into();
    question.timeout = Duration::from_micros(200).into();
    let series = observe(asked(question), Duration::from_millis(100)).await;
    let shed: Vec<_> = series.samples.iter().filter(|s| s.outcome == Outcome::Shed).collect();
    assert!(!shed.is_empty());
    assert!(shed.iter().all(|s| s.is_void(Duration::from_millis(300)) && !s.is_bad() && !s.is_good()));
    assert!(seen.requests.load(Ordering::SeqCst) <= series.samples.len() - shed.len());
}

#[tokio::test]
async fn a_panic_inside_a_probe_is_a_bad_sample() {
    let question = question("panics", json!({}), "true", Duration::from_millis(10), Duration::from_secs(20));
    let series = observe(asked(question), Duration::from_millis(100)).await;
    assert!(!series.samples.is_empty());
    assert!(series.samples.iter().all(|s| s.outcome == Outcome::Bad(0)));
    assert_eq!(series.reasons, ["the probe panicked: a defect"]);
}

#[tokio::test]
async fn a_sample_is_handed_over_soon_after_it_ended() {
    let (address, _) = serve(|_| Then::Answer).await;
    let (prober, mut batches) = start(vec![asked(get(address, 50, 20_000))]).await;
    let mut delays = Vec::new();
    while delays.len() < 10 {
        let batch = batches.recv().await.unwrap();
        let now = Mono::now();
        delays.extend(batch.rows.iter().map(|s| now.since(s.done())));
    }
    drop(prober);
    delays.sort_unstable();
    // 5 ms are promised; a busy machine adds to that. Handed over once a second, half of them would be later than this.
    assert!(delays[5] <= Duration::from_millis(400), "{delays:?}");
}

#[tokio::test]
async fn objectives_get_the_values_of_their_fields() {
    let (address, _) = serve(|_| Then::Answer).await;
    let mut question = asked(get(address, 10, 20_000));
    question.measured = BTreeSet::from(["bytes".to_owned(), "latency".to_owned()]);
    let series = observe(question, Duration::from_millis(100)).await;
    assert_eq!(series.fields[0].field, "bytes");
    assert!(series.fields[0].values.iter().all(|v| *v == Some(19.0)));
    assert!(series.fields[1].values.iter().all(|v| v.is_some_and(|l| l > 0.0)));
}

#[tokio::test]
async fn rule_36_neither_errors_nor_reasons_show_a_secret() {
    let table = Arc::new(chaos_probe::probes());
    let mut secrets = Secrets::new();
    secrets.insert("key", "hunter2 !");
    let with = json!({"get": "http://127.0.0.1:1/$(key)"});
    let question = question("http", with, "status == 200", Duration::from_millis(10), Duration::from_millis(10));
    let started = Prober::start(table, vec![asked(question)], 7, secrets, PathBuf::from("/")).await;
    let Err(StartError::NotOpened(failed)) = started else { panic!("a URL with a space was taken") };
    assert!(failed[0].error.message.contains("(secret)"), "{failed:?}");
    assert!(!format!("{failed:?}").contains("hunter2"), "{failed:?}");
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_for_each_question() {
    let every = Duration::from_millis(10);
    let missing = question("http", json!({"get": "https://127.0.0.1:1/", "tls": {"ca": "/no/such.pem"}}), "true", every, every);
    let unknown = question("telnet", json!({}), "true", every, every);
    let questions = vec![asked(missing), asked(unknown)];
    let started = Prober::start(Arc::new(chaos_probe::probes()), questions, 7, Secrets::new(), PathBuf::from("/")).await;
    let Err(StartError::NotOpened(failed)) = started else { panic!("nothing was refused") };
    assert!(failed[0].error.message.starts_with("read /no/such.pem"), "{failed:?}");
    assert_eq!(failed[1].error.message, "unknown probe `telnet`");
}

#[tokio::test]
async fn dropping_the_prober_ends_it_with_questions_in_flight_and_batches_unread() {
    let (address, _) = serve(|_| Then::Hang).await;
    let (prober, _batches) = start(vec![asked(get(address, 10, 60_000))]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ended = tokio::task::spawn_blocking(move || drop(prober));
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn ready_waits_for_the_first_good_answer_and_no_longer_than_allowed() {
    let table = || -> Arc<ProbeTable> { Arc::new(chaos_probe::probes()) };
    let (address, seen) = serve(|n| if n < 3 { Then::Close(Duration::from_millis(5)) } else { Then::Answer }).await;
    let up = get(address, 10, 500);
    wait_until_good(table(), &up, Duration::from_secs(20), Secrets::new(), PathBuf::from("/"), Vec::new()).await.unwrap();
    assert_eq!(seen.requests.load(Ordering::SeqCst), 4);

    let mut never = up.clone();
    never.good = Expression::parse_unchecked("status == 204").unwrap();
    let within = Duration::from_millis(100);
    let ended = wait_until_good(table(), &never, within, Secrets::new(), PathBuf::from("/"), Vec::new()).await;
    let Err(NotReady::NotGood { last, .. }) = ended else { panic!("{ended:?}") };
    assert!(last.contains("status is 200"), "{last}");
}

#[tokio::test]
async fn other_targets_are_looked_at_once_they_are_told() {
    let mut watched = asked(question("process", json!({}), "alive == total", Duration::from_millis(10), Duration::from_millis(500)));
    watched.measured = BTreeSet::from(["total".to_owned()]);
    watched.targets = vec![this_process()];
    let (prober, mut batches) = start(vec![watched]).await;
    prober.retarget(0, Asked::Users, vec![this_process(), this_process()]);
    let both = async {
        loop {
            let batch = batches.recv().await.unwrap();
            if batch.values[0].values.last() == Some(&Some(2.0)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
}

fn this_process() -> chaos_core::target::Target {
    let id = chaos_core::target::ProcessId { pid: i32::try_from(std::process::id()).unwrap(), start_ticks: 0 };
    serde_json::from_value(json!({
        "identity": "process:self", "label": "", "place": "here", "order": "", "healthy": true, "started": 0,
        "facets": {"process": id},
    }))
    .unwrap()
}
