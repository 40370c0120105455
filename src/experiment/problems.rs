//! Where everything that is wrong is collected, so that all of it is told at once.

use super::diagnostic::{Diagnostic, Severity};
use super::tree::{Data, Node, Place, Source, Style};

/// The texts that were read, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) sources: Vec<Source>,
    pub(super) list: Vec<Diagnostic>,
    /// Values that are not what was meant: one error has been told, and nothing more is to be said about them.
    spoilt: Vec<Place>,
    /// So many were found, those among them about which nothing is said.
    pub(super) found: usize,
    /// A part could not be read: what is not found may well stand there.
    pub(super) incomplete: bool,
}

impl Problems {
    pub(super) fn error(&mut self, place: Place, code: &'static str, message: impl Into<String>, hint: impl Into<Option<String>>) {
        self.add(Severity::Error, place, code, message.into(), hint.into());
    }

    pub(super) fn warning(&mut self, place: Place, code: &'static str, message: impl Into<String>, hint: impl Into<Option<String>>) {
        self.add(Severity::Warning, place, code, message.into(), hint.into());
    }

    /// Nothing more is said about this value.
    pub(super) fn spoil(&mut self, place: Place) {
        self.spoilt.push(place);
    }

    fn add(&mut self, severity: Severity, place: Place, code: &'static str, message: String, hint: Option<String>) {
        self.found += 1;
        if self.spoilt.iter().any(|spoilt| spoilt.file == place.file && spoilt.offset == place.offset)
            || (self.incomplete && code == "unknown-name")
        {
            return;
        }
        if let Some(source) = self.sources.get(place.file as usize) {
            self.list.push(Diagnostic::at(source, place, severity, code, message, hint));
        }
    }

    pub(super) fn errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// The place of some bytes within a scalar, where the text stands as written; the whole scalar otherwise.
    pub(super) fn inside(&self, node: &Node, offset: usize, length: usize) -> Place {
        let Data::Scalar { text, style } = &node.data else { return node.place };
        let Some(source) = self.sources.get(node.place.file as usize) else { return node.place };
        let start = node.place.offset as usize;
        let written = match style {
            Style::Block => source.text.get(start..).and_then(|rest| rest.find(text.trim_end())).map(|at| start + at),
            Style::Quoted => [start + 1, start].into_iter().find(|at| begins(source, *at, text)),
            Style::Plain => begins(source, start, text).then_some(start),
        };
        match written {
            Some(at) => source.place(node.place.file, at + offset, length),
            None => node.place,
        }
    }
}

fn begins(source: &Source, at: usize, text: &str) -> bool {
    source.text.get(at..).is_some_and(|rest| rest.starts_with(text))
}

/// The one of `known` that was probably meant.
///
/// ```
/// assert_eq!(chaos::experiment::meant("process.kil", ["process.kill", "process.pause"]), Some("process.kill"));
/// ```
#[must_use]
pub fn meant<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let known: Vec<&str> = known.into_iter().collect();
    called(written, &known).or_else(|| misspelt(written, &known)).or_else(|| related(written, &known))
}

/// What other tools and people call it.
const ALSO: [(&str, &[&str]); 10] = [
    ("net.delay", &["net.latency", "net.lag", "net.slow", "network.delay", "network.latency"]),
    ("net.rate", &["net.throttle", "net.bandwidth", "net.limit", "network.rate", "network.throttle", "network.bandwidth"]),
    ("net.loss", &["net.drop", "network.loss", "packet.loss"]),
    ("net.duplicate", &["network.duplicate", "packet.duplicate"]),
    ("net.corrupt", &["network.corrupt", "packet.corrupt"]),
    ("net.reorder", &["network.reorder", "packet.reorder"]),
    ("net.partition", &["net.block", "net.cut", "net.blackhole", "network.partition", "network.block"]),
    ("net.dns", &["dns.error", "dns.fail", "network.dns"]),
    ("tcp.latency", &["tcp.delay", "tcp.lag", "proxy.latency"]),
    ("tcp.rate", &["tcp.throttle", "tcp.bandwidth", "proxy.bandwidth"]),
];

/// The one of `known` that goes by that name elsewhere.
fn called<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let lower = written.to_lowercase();
    let (ours, _) = ALSO.iter().find(|(_, also)| also.contains(&lower.as_str()))?;
    known.iter().copied().find(|word| word == ours)
}

/// The one of `known` that is written almost so.
fn misspelt<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let lower = written.to_lowercase();
    let distance = |word: &str| strsim::damerau_levenshtein(&lower, &word.to_lowercase());
    let near = known.iter().map(|word| (distance(word), *word)).min_by_key(|(distance, _)| *distance)?;
    let allowed = (written.chars().count().max(near.1.chars().count()) / 3).max(1);
    (near.0 <= allowed).then_some(near.1)
}

/// The one of `known` that begins like it, or the one of the same family (`process.freeze`, `process.pause`).
fn related<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    const LIKE: f64 = 0.8;
    let lower = written.to_lowercase();
    let mut begin = known.iter().filter(|word| lower.len() >= 3 && (word.starts_with(&lower) || lower.starts_with(**word)));
    if let (Some(one), None) = (begin.next(), begin.next()) {
        return Some(one);
    }
    let (family, _) = lower.split_once('.')?;
    let alike = |word: &str| strsim::jaro_winkler(word, &lower);
    let family = known.iter().filter(|word| word.split_once('.').is_some_and(|(of, _)| of == family) && alike(word) > LIKE);
    family.copied().max_by(|a, b| alike(a).total_cmp(&alike(b)))
}

/// ``did you mean `x`?``, or else what is known.
pub(super) fn did_you_mean<'k>(written: &str, known: &[&'k str], otherwise: impl FnOnce(&[&'k str]) -> Option<String>) -> Option<String> {
    match meant(written, known.iter().copied()) {
        Some(word) => Some(format!("did you mean `{word}`?")),
        None => otherwise(known),
    }
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn a_word_is_recognised_by_its_letters_its_beginning_or_its_family() {
        let faults = ["process.kill", "process.pause", "disk.fill", "cpu.burn"];
        assert_eq!(meant("proces.kill", faults), Some("process.kill"));
        assert_eq!(meant("process.freeze", faults), Some("process.pause"));
        assert_eq!(meant("steady", ["title", "steady_state"]), Some("steady_state"));
        assert_eq!(meant("net.delay", faults), None);
        assert_eq!(meant("", faults), None);
    }

    #[test]
    fn what_other_tools_call_it_is_recognised() {
        let faults = ["net.delay", "net.rate", "net.loss", "net.partition", "tcp.latency", "tcp.rate"];
        for (written, ours) in [
            ("net.latency", "net.delay"),
            ("network.delay", "net.delay"),
            ("net.throttle", "net.rate"),
            ("Net.Bandwidth", "net.rate"),
            ("net.block", "net.partition"),
            ("tcp.delay", "tcp.latency"),
        ] {
            assert_eq!(meant(written, faults), Some(ours), "{written}");
        }
        assert_eq!(meant("net.latency", ["cpu.burn"]), None, "only what there is");
    }
}
