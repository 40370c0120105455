//! What a network namespace looks like, to be compared with itself later: byte for byte, as the kernel tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::Command;

use crate::namespace::run_in;
use crate::raw;

/// Everything about a network namespace's configuration: links, addresses, routes, rules, queueing disciplines with their
/// classes and filters, netfilter's tables; nothing of what traffic changes (counters, ages, neighbours, connections).
#[derive(Clone)]
pub struct Twin {
    /// Through whom it was looked at.
    pid: i32,
    parts: BTreeMap<String, String>,
}

/// Two that look the same are the same.
impl PartialEq for Twin {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Twin {}

impl fmt::Debug for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.parts).finish()
    }
}

/// What tools are asked when two differ, for whoever reads it.
const QUESTIONS: [&str; 4] = ["ip -d address show", "ip -d route show table all", "ip rule show", "tc -d qdisc show invisible"];

impl Twin {
    /// Of the namespace that a process lives in.
    ///
    /// # Panics
    /// When it cannot be looked at.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        let parts = run_in(pid, || {
            let mut parts = raw::network().expect("the kernel's own dump");
            // A tool takes much longer than the kernel's answer that there is nothing.
            if raw::has_tables().expect("the kernel's own dump") {
                parts.insert("tables of netfilter".into(), said("nft --stateless --numeric list ruleset"));
            }
            parts
        });
        Self { pid, parts }
    }

    /// What the kernel says of the queueing disciplines, classes and filters of one interface, in hexadecimal digits.
    #[must_use]
    pub fn bytes_of(&self, interface: &str) -> Vec<(&str, &str)> {
        let ours = format!("{interface}: ");
        self.parts.iter().filter(|(name, _)| name.starts_with(&ours)).map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }

    /// Nothing has changed.
    ///
    /// # Panics
    /// When something has; says what was there and what is.
    #[track_caller]
    pub fn assert_same(&self, now: &Self, when: &str) {
        let differences = self.differences(now);
        assert!(differences.is_empty(), "{when}:\n{}", differences.join("\n"));
    }

    /// Each part that is not the same, before and now, without the lines that both have; then how tools show it now.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.parts.keys().chain(now.parts.keys()).collect();
        let of = |twin: &Self, part: &str| twin.parts.get(part).cloned().unwrap_or_default();
        let only = |these: &str, those: &str, mark: char| -> String {
            these.lines().filter(|line| !those.lines().any(|l| l == *line)).map(|line| format!("\n  {mark} {line}")).collect()
        };
        let differs = |part: &&String| {
            let (was, is) = (of(self, part), of(now, part));
            (was != is).then(|| format!("{part}:{}{}", only(&was, &is, '-'), only(&is, &was, '+')))
        };
        let mut differences: Vec<String> = names.iter().filter_map(differs).collect();
        if !differences.is_empty() && std::path::Path::new(&format!("/proc/{}/ns/net", now.pid)).exists() {
            differences.extend(run_in(now.pid, || QUESTIONS.map(|question| format!("{question}:\n{}", said(question)))));
        }
        differences
    }
}

fn said(question: &str) -> String {
    let words: Vec<&str> = question.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|e| panic!("{question}: {e}"));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
