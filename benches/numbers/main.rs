//! The numbers that `chaos` promises, measured on this machine, each beside what was promised and a floor where there is one.
//!
//! `cargo bench --bench numbers [NAME…]`, with names of [`BENCHES`]. Every figure is taken from outside: wall clock, the kernel's
//! accounts of a process, `/proc`, and the clock of a server of our own. Never a test: a machine that is busy with other
//! things is late for everybody, which the floors show. `CHAOS_PROGRAM` measures another build, `RUNS` repeats more or less often.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod containers;
mod measure;
mod revert;
mod scene;
mod size;
mod start;

/// What can be measured, and how.
const BENCHES: [(&str, fn()); 8] = [
    ("version", start::version),
    ("trivial", start::trivial),
    ("validate", size::validate),
    ("stop", revert::stop_condition),
    ("killed", revert::coordinator_killed),
    ("million", size::million_samples),
    ("containers", containers::plan),
    ("frozen", containers::pause),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    println!("{}, {}", scene::program().display(), measure::machine());
    println!("{:<58} {:>12} {:>12} {:>7}", "what", "measured", "promised", "ratio");
    for (name, bench) in BENCHES {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            bench();
        }
    }
}
