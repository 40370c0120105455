//! What is answered to questions for chosen names, in place of the truth.

use std::net::IpAddr;

use chaos_core::fault::SpecError;
use chaos_core::literal::Duration;
use chaos_protocol::dns::{Data, Message, RecordType};
use glob::{MatchOptions, Pattern};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The names, and what is said of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lie {
    /// The names it is about: `store.internal`, `*.internal` (all below it), `db-?.internal`. Upper and lower case are the same. A name is
    /// meant as it is asked for: where the resolver adds a search domain, with that.
    pub(crate) names: Vec<String>,
    /// What is answered.
    #[serde(default)]
    pub(crate) answer: Answer,
    /// For how long an answer of addresses may be kept. Without it, not at all, so that nothing of it outlives the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<Duration>,
}

/// What is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// There is no such name. It comes without the word that would let it be kept.
    #[default]
    Nxdomain,
    /// The server has failed.
    Servfail,
    /// The server does not want to say.
    Refused,
    /// Nothing at all: whoever asks waits for as long as they do.
    Timeout,
    /// These addresses, of either version; of a version that is not among them, that the name has none.
    Addresses(Vec<IpAddr>),
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nxdomain => f.write_str("NXDOMAIN"),
            Self::Servfail => f.write_str("SERVFAIL"),
            Self::Refused => f.write_str("REFUSED"),
            Self::Timeout => f.write_str("no answer"),
            Self::Addresses(addresses) => f.write_str(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// What becomes of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The server that was asked shall answer.
    Truth,
    /// This.
    Bytes(Vec<u8>),
    /// Nothing.
    Silence,
}

impl Lie {
    /// Errors that need no world.
    pub(crate) fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.names.is_empty() {
            errors.push(
                SpecError::new("names", "no name is given").hint("for example `names: [store.internal]` or `names: [\"*.internal\"]`"),
            );
        }
        for (n, name) in self.names.iter().enumerate() {
            if let Some(wrong) = wrong_with(name) {
                errors.push(SpecError::new(format!("names[{n}]"), format!("`{name}` is no name, nor a pattern of names: {wrong}")));
            }
        }
        match &self.answer {
            Answer::Addresses(addresses) if addresses.is_empty() => {
                errors.push(
                    SpecError::new("answer.addresses", "no address is given").hint("`answer: nxdomain` says that there is no such name"),
                );
            }
            Answer::Addresses(_) => {}
            _ if self.ttl.is_some() => {
                errors.push(SpecError::new("ttl", format!("{} is never kept, so there is no time for it", self.answer)))
            }
            _ => {}
        }
        errors
    }

    /// Is it about every name there is?
    pub(crate) fn is_about_everything(&self) -> bool {
        // Of a pattern that needs a dot, too.
        self.is_about("chaos.invalid") && self.is_about("a.b.c.d.example")
    }

    /// Is it about this name?
    pub(crate) fn is_about(&self, name: &str) -> bool {
        let options = MatchOptions { case_sensitive: false, require_literal_separator: false, require_literal_leading_dot: false };
        let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_owned();
        let name = bare(name);
        self.names.iter().filter_map(|pattern| Pattern::new(&bare(pattern)).ok()).any(|pattern| pattern.matches_with(&name, options))
    }

    /// What is answered to this message, in at most so many bytes, or as many as it says that it can take.
    pub(crate) fn answer_to(&self, question: &[u8], most: usize) -> Said {
        let Ok(asked) = Message::parse(question) else { return Said::Truth };
        let [one] = asked.questions.as_slice() else { return Said::Truth };
        if asked.flags.is_response() || !self.is_about(&one.name.to_string()) {
            return Said::Truth;
        }
        let ttl = self.ttl.map_or(0, |ttl| u32::try_from(ttl.get().as_secs()).unwrap_or(u32::MAX));
        let answer = match &self.answer {
            Answer::Timeout => return Said::Silence,
            Answer::Servfail => asked.answer(2),
            Answer::Nxdomain => asked.answer(3),
            Answer::Refused => asked.answer(5),
            Answer::Addresses(addresses) => {
                let of_type = addresses.iter().filter_map(|address| record(*address, one.record_type));
                of_type.fold(asked.answer(0), |answer, data| answer.with(ttl, data))
            }
        };
        answer.write_within(most.max(room(&asked))).map_or(Said::Silence, Said::Bytes)
    }
}

fn record(address: IpAddr, wanted: RecordType) -> Option<Data> {
    let data = match address {
        IpAddr::V4(address) => Data::A(address),
        IpAddr::V6(address) => Data::Aaaa(address),
    };
    (data.record_type() == wanted).then_some(data)
}

/// How much whoever asks can take in a datagram: the class of `OPT` says (RFC 6891).
fn room(asked: &Message) -> usize {
    const OPT: RecordType = RecordType(41);
    asked.additionals.iter().find(|r| r.data.record_type() == OPT).map_or(0, |opt| usize::from(opt.class))
}

fn wrong_with(name: &str) -> Option<String> {
    if name.is_empty() || name == "." {
        return Some("it is empty".into());
    }
    if let Some(odd) = name.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '/') {
        return Some(format!("it holds {odd:?}"));
    }
    Pattern::new(name).err().map(|e| e.msg.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lie(name: &str, answer: Answer) -> Lie {
        Lie { names: vec![name.into()], answer, ttl: None }
    }

    fn asked(name: &str, record_type: RecordType) -> Vec<u8> {
        Message::query(7, name.parse().expect("a name"), record_type).write().expect("a query")
    }

    fn answered(lie: &Lie, name: &str, record_type: RecordType) -> Message {
        match lie.answer_to(&asked(name, record_type), 512) {
            Said::Bytes(bytes) => Message::parse(&bytes).expect("an answer"),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn names_are_meant_by_pattern_whatever_their_case() {
        let about = |pattern: &str, name: &str| lie(pattern, Answer::Nxdomain).is_about(name);
        assert!(about("store.internal", "Store.INTERNAL.") && about("Store.Internal.", "store.internal"));
        assert!(about("*.internal", "a.b.internal") && !about("*.internal", "internal") && !about("*.internal", "x.internal.example"));
        assert!(about("db-?.internal", "db-7.internal") && !about("db-?.internal", "db-17.internal"));
        assert!(lie("*", Answer::Nxdomain).is_about_everything() && !lie("*.example", Answer::Nxdomain).is_about_everything());
    }

    #[test]
    fn every_answer_is_what_it_says() {
        for (answer, rcode) in [(Answer::Nxdomain, 3), (Answer::Servfail, 2), (Answer::Refused, 5)] {
            let message = answered(&lie("store", answer), "sToRe", RecordType::A);
            assert_eq!((message.id, message.flags.rcode(), message.answers.len(), message.authorities.len()), (7, rcode, 0, 0));
            assert_eq!(message.questions[0].name.to_string(), "sToRe", "as it was asked: some compare it by the bit");
        }
        assert_eq!(lie("store", Answer::Timeout).answer_to(&asked("store", RecordType::A), 512), Said::Silence);
        assert_eq!(lie("store", Answer::Timeout).answer_to(&asked("other", RecordType::A), 512), Said::Truth);
        assert_eq!(lie("*", Answer::Timeout).answer_to(b"no message", 512), Said::Truth);
        let answer = lie("*", Answer::Nxdomain);
        let Said::Bytes(bytes) = answer.answer_to(&asked("store", RecordType::A), 512) else { panic!("an answer") };
        assert_eq!(answer.answer_to(&bytes, 512), Said::Truth, "an answer is no question");
    }

    #[test]
    fn addresses_are_of_the_version_that_is_asked_for() {
        let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|a| a.parse().expect("an address"));
        let mut lie = lie("store", Answer::Addresses(addresses.to_vec()));
        let shown = |m: Message| m.answers.iter().map(|r| format!("{} {}", r.ttl, r.data)).collect::<Vec<_>>();
        assert_eq!(shown(answered(&lie, "store", RecordType::A)), ["0 192.0.2.1", "0 192.0.2.2"]);
        lie.ttl = Some(std::time::Duration::from_secs(60).into());
        assert_eq!(shown(answered(&lie, "store", RecordType::AAAA)), ["60 2001:db8::1"]);
        let none = answered(&lie, "store", RecordType::TXT);
        assert_eq!((none.flags.rcode(), none.answers.len()), (0, 0), "the name exists, and has no such thing");
    }

    #[test]
    fn what_does_not_fit_is_asked_for_again_over_tcp() {
        let many = (0..100).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        let lie = lie("store", Answer::Addresses(many));
        assert!(answered(&lie, "store", RecordType::A).flags.is_truncated());
        let Said::Bytes(bytes) = lie.answer_to(&asked("store", RecordType::A), 65_535) else { panic!("an answer") };
        assert_eq!(Message::parse(&bytes).expect("an answer").answers.len(), 100);
        let mut wide = Message::query(7, "store".parse().expect("a name"), RecordType::A);
        let opt = Data::Other(RecordType(41), Vec::new());
        wide.additionals.push(chaos_protocol::dns::Record { name: chaos_protocol::dns::Name::root(), class: 4096, ttl: 0, data: opt });
        let Said::Bytes(bytes) = lie.answer_to(&wide.write().expect("a query"), 512) else { panic!("an answer") };
        assert_eq!(Message::parse(&bytes).expect("an answer").answers.len(), 100);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |lie: &Lie| lie.check().into_iter().map(|e| e.path).collect::<Vec<_>>();
        assert_eq!(wrong(&Lie { names: vec![], answer: Answer::Nxdomain, ttl: None }), ["names"]);
        assert_eq!(wrong(&lie("a b", Answer::Nxdomain)), ["names[0]"]);
        assert_eq!(wrong(&lie("[a", Answer::Nxdomain)), ["names[0]"]);
        assert_eq!(wrong(&lie("a", Answer::Addresses(vec![]))), ["answer.addresses"]);
        let kept = Lie { ttl: Some(std::time::Duration::from_secs(1).into()), ..lie("a", Answer::Servfail) };
        assert_eq!(wrong(&kept), ["ttl"]);
        assert!(wrong(&lie("*.internal", Answer::Timeout)).is_empty());
    }
}
