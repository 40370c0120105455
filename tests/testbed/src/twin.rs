//! What a network namespace looks like, to be compared with itself later: by the usual tools, and byte for byte.

use std::collections::BTreeMap;
use std::process::Command;

use crate::namespace::run_in;
use crate::raw;

/// Everything about a network namespace's configuration: links, addresses, routes, rules, queueing disciplines with their
/// classes and filters, netfilter's tables; nothing of what traffic changes (counters, ages, neighbours, connections).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    parts: BTreeMap<String, String>,
}

/// What the tools are asked. `-d` for options, and no `-s`: counters go on.
const QUESTIONS: &[&str] = &[
    "ip -d link show",
    "ip -d address show",
    "ip -d route show table all",
    "ip -6 -d route show table all",
    "ip rule show",
    "ip -6 rule show",
    "tc -d qdisc show invisible",
    "nft --stateless --numeric list ruleset",
];

/// And of each interface, whose name follows.
const QUESTIONS_OF_AN_INTERFACE: &[&str] =
    &["tc -d class show dev", "tc -d filter show dev", "tc -d filter show ingress dev", "tc -d filter show egress dev"];

impl Twin {
    /// Of the namespace that a process lives in.
    ///
    /// # Panics
    /// When it cannot be looked at.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        run_in(pid, || {
            let mut parts: BTreeMap<String, String> = QUESTIONS.iter().map(|q| ((*q).to_owned(), said(q))).collect();
            for interface in interfaces() {
                for question in QUESTIONS_OF_AN_INTERFACE {
                    let question = format!("{question} {interface}");
                    let answer = said(&question);
                    parts.insert(question, answer);
                }
            }
            parts.extend(raw::traffic_control().expect("the kernel's own dump"));
            Self { parts }
        })
    }

    /// What the kernel itself says of the queueing disciplines, classes and filters of one interface, in hexadecimal digits.
    #[must_use]
    pub fn bytes_of(&self, interface: &str) -> Vec<(&str, &str)> {
        let ours = format!("raw {interface} ");
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

    /// Each part that is not the same: before and now, without the lines that both have.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let parts: std::collections::BTreeSet<&String> = self.parts.keys().chain(now.parts.keys()).collect();
        let of = |twin: &Self, part: &str| twin.parts.get(part).cloned().unwrap_or_default();
        let differs = |part: &&String| {
            let (was, is) = (of(self, part), of(now, part));
            let only = |these: &str, those: &str, mark: char| -> String {
                these.lines().filter(|line| !those.lines().any(|l| l == *line)).map(|line| format!("\n  {mark} {line}")).collect()
            };
            (was != is).then(|| format!("{part}:{}{}", only(&was, &is, '-'), only(&is, &was, '+')))
        };
        parts.iter().filter_map(differs).collect()
    }
}

fn interfaces() -> Vec<String> {
    // `/sys` shows the namespace in which it was mounted; this shows the reader's.
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    table.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

fn said(question: &str) -> String {
    let words: Vec<&str> = question.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|e| panic!("{question}: {e}"));
    // `tc` fails for hooks that there are not; that is an answer, too.
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
