//! A delay between two hosts: two virtual machines on one network, the real program on one of them, measured from there to the
//! other. What is meant takes as much longer as was asked for; what is not meant takes no longer.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use chaos_testbed::{Machine, Network, Payload, Twin, not_covered};

const ASKED: Duration = Duration::from_millis(100);
/// Ports of the other machine: packets to the first are meant.
const MEANT: u16 = 9001;
const BESIDE: u16 = 9002;
const PATIENCE: Duration = Duration::from_secs(240);

const EXPERIMENT: &str = "version: 1
experiment: a-long-line
steady_state:
  the client lives: {probe: process, of: client, good: alive == total, every: 500ms, timeout: 400ms, baseline: {for: 1s}}
targets:
  client: {processes: {pid_file: /run/client.pid}}
blast_radius: {duration: 5m, targets: {client: {at_most: 1}}, reach: [network namespace]}
method:
  - inject: net.delay
    into: client
    with: {delay: 100ms, hosts: [OTHER], ports: 9001, protocol: udp}
    for: 4m
";

#[test]
#[allow(clippy::print_stdout, reason = "the numbers are part of the result")]
fn a_delay_between_two_machines_is_as_long_as_it_was_asked_for() {
    let payload = Payload::new().with_this_test().with_program(env!("CARGO_BIN_EXE_chaos"));
    let network = Network::new(2).expect("a folder");
    let machines = match Machine::boot_on(&network, 2, &payload) {
        Ok(machines) => machines,
        Err(absent) => return not_covered("a_delay_between_two_machines_is_as_long_as_it_was_asked_for", &absent.0),
    };
    let [here, there] = &machines[..] else { panic!("two were asked for") };
    let this = std::env::current_exe().expect("our own path").display().to_string();
    there.sh(&format!("'{this}' --exact answers --ignored </dev/null >/dev/null 2>&1 &"));
    let experiment = EXPERIMENT.replace("OTHER", &Network::address(1));
    here.sh(&format!("sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > /run/client.pid\ncat > /run/delay.yaml <<'E'\n{experiment}E"));
    let measured = here.run_this_test(&["--exact", "measures", "--ignored", "--nocapture"], Duration::from_secs(300));
    println!("{measured}");
}

/// On the other machine: sends back what comes.
#[test]
#[ignore = "runs in a virtual machine"]
fn answers() {
    let answer = |port: u16| {
        let socket = UdpSocket::bind(("0.0.0.0", port)).expect("a socket");
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| answer(MEANT));
        scope.spawn(|| answer(BESIDE));
    });
}

/// On the machine of the experiment.
#[test]
#[ignore = "runs in a virtual machine"]
#[allow(clippy::print_stdout, reason = "the numbers are part of the result")]
fn measures() {
    let (meant, beside) = (Line::to(MEANT), Line::to(BESIDE));
    // The first answer waits for the other machine, and for its address on the wire.
    meant.round_trip();
    let own = i32::try_from(std::process::id()).expect("a pid");
    let before = Twin::of(own);
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_chaos"));
    let log = std::fs::File::create("/run/run.log").expect("a file");
    run.args(["run", "/run/delay.yaml", "--state-dir", "/run/state"]).stdout(log.try_clone().expect("a copy")).stderr(log);
    let mut run = run.spawn().expect("the program");
    let (since, said) = (Instant::now(), || std::fs::read_to_string("/run/run.log").unwrap_or_default());
    while !said().contains("in force") {
        assert!(since.elapsed() < PATIENCE && run.try_wait().is_ok_and(|ended| ended.is_none()), "no fault came: {}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    // A busy machine is late now and then; it is never early. So the best of several windows counts.
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..10 {
        let window = window(&meant, &beside);
        println!("median of 21: {:?} meant, {:?} beside, {:?} for a sleep of as long", window.0, window.1, sleep());
        best = best.min(window);
        if best.0 < ASKED + Duration::from_millis(1) {
            break;
        }
    }
    // How exact it is stands in what is printed, beside `tc`'s own: a machine by translation on a busy host is as late as it is.
    assert!(best.0 < ASKED + Duration::from_millis(60), "{:?} for what is meant, and {:?} beside it", best.0, best.1);
    assert!(best.1 < Duration::from_millis(60), "{:?} for what is not meant", best.1);
    let pid = rustix::process::Pid::from_raw(i32::try_from(run.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("ours");
    run.wait().expect("it ends");
    // The module `ifb`, loaded for this, has brought devices along, which are gone again.
    before.assert_same(&Twin::of(own), "after the run");
    assert!(meant.round_trip() < ASKED, "the delay is gone");
    println!("by `tc`, for everything: {:?}", window_of_tc(&meant));
}

/// The same delay as `tc` alone makes it, at the root of the interface: the floor. The median of 21.
fn window_of_tc(meant: &Line) -> Duration {
    let tc = |verb: &str, rest: &[&str]| {
        let status = std::process::Command::new("tc").args(["qdisc", verb, "dev", "eth0", "root"]).args(rest).status();
        assert!(status.is_ok_and(|s| s.success()), "tc qdisc {verb}");
    };
    tc("replace", &["netem", "delay", "100ms"]);
    let mut met: Vec<_> = (0..21).map(|_| meant.round_trip()).collect();
    tc("delete", &[]);
    met.sort();
    met[10]
}

/// What the clock of this machine adds by itself: the median of sleeps as long as the delay.
fn sleep() -> Duration {
    let mut slept: Vec<_> = (0..5).map(|_| Instant::now()).map(|since| (std::thread::sleep(ASKED), since.elapsed()).1).collect();
    slept.sort();
    slept[2]
}

/// The medians of what is meant and what is not, asked in turn.
fn window(meant: &Line, beside: &Line) -> (Duration, Duration) {
    let (mut met, mut passed): (Vec<_>, Vec<_>) = (0..21).map(|_| (meant.round_trip(), beside.round_trip())).unzip();
    met.sort();
    passed.sort();
    assert!(met[0] >= ASKED, "early: {met:?}");
    (met[10], passed[10])
}

/// A way to a port of the other machine.
struct Line(UdpSocket);

impl Line {
    fn to(port: u16) -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.connect((Network::address(1).as_str(), port)).expect("an address");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        Self(socket)
    }

    /// Until an answer comes; asked again where none does, as long as the other end is not there yet.
    fn round_trip(&self) -> Duration {
        let began = Instant::now();
        loop {
            let since = Instant::now();
            let number = (since - began).as_nanos().to_be_bytes();
            let asked = self.0.send(&number).and_then(|_| {
                let mut answer = [0; 16];
                // An answer that came too late for the one before is not this one's.
                while self.0.recv(&mut answer)? != 16 || answer != number {}
                Ok(())
            });
            match asked {
                Ok(()) => return since.elapsed(),
                Err(e) => assert!(began.elapsed() < PATIENCE, "no answer: {e}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
