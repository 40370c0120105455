//! Whole messages.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Cursor, Data, DnsError, MESSAGE_MAX, Name, Record, RecordType};

/// The class of the internet.
const IN: u16 = 1;

/// The flags of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    const RESPONSE: u16 = 1 << 15;
    const TRUNCATED: u16 = 1 << 9;
    const RECURSION_DESIRED: u16 = 1 << 8;
    const RECURSION_AVAILABLE: u16 = 1 << 7;

    /// Is it an answer?
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.0 & Self::RESPONSE != 0
    }

    /// Did not all fit in? Then it is asked again over TCP.
    #[must_use]
    pub const fn is_truncated(self) -> bool {
        self.0 & Self::TRUNCATED != 0
    }

    /// How it was answered: 0 well, 3 no such name ([`rcode_name`]).
    #[must_use]
    pub const fn rcode(self) -> u8 {
        (self.0 & 0xf) as u8
    }
}

/// The name of a response code: `NOERROR`, `NXDOMAIN` …
#[must_use]
pub fn rcode_name(rcode: u8) -> Cow<'static, str> {
    const NAMES: [&str; 11] =
        ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"];
    NAMES.get(usize::from(rcode)).map_or_else(|| format!("RCODE{rcode}").into(), |name| (*name).into())
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// About which name.
    pub name: Name,
    /// For which records.
    pub record_type: RecordType,
    /// Class; 1 is `IN`.
    pub class: u16,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Joins answer and query.
    pub id: u16,
    /// Its flags.
    pub flags: Flags,
    /// What is asked.
    pub questions: Vec<Question>,
    /// What is answered.
    pub answers: Vec<Record>,
    /// Who would know, or how long *no* may be kept.
    pub authorities: Vec<Record>,
    /// What helps besides; `OPT` too.
    pub additionals: Vec<Record>,
}

impl Message {
    /// A query that asks the server to find out.
    #[must_use]
    pub fn query(id: u16, name: Name, record_type: RecordType) -> Self {
        let questions = vec![Question { name, record_type, class: IN }];
        Self { id, flags: Flags(Flags::RECURSION_DESIRED), questions, ..Self::default() }
    }

    /// An answer to this query with this response code, as of a server that finds out; without records yet.
    #[must_use]
    pub fn answer(&self, rcode: u8) -> Self {
        let kept = self.flags.0 & (Flags::RECURSION_DESIRED | 0x7800);
        let flags = Flags(Flags::RESPONSE | Flags::RECURSION_AVAILABLE | kept | u16::from(rcode & 0xf));
        Self { id: self.id, flags, questions: self.questions.clone(), ..Self::default() }
    }

    /// The same answer with a record more, of the name that was asked for.
    #[must_use]
    pub fn with(mut self, ttl: u32, data: Data) -> Self {
        let name = self.questions.first().map_or_else(Name::root, |q| q.name.clone());
        self.answers.push(Record { name, class: IN, ttl, data });
        self
    }

    /// Is `self` an answer to `query`: the same id and question?
    #[must_use]
    pub fn answers_to(&self, query: &Self) -> bool {
        self.flags.is_response() && self.id == query.id && self.questions == query.questions
    }

    /// Reads a message.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, DnsError> {
        let mut cursor = Cursor { whole: bytes, at: 0 };
        let id = cursor.u16()?;
        let flags = Flags(cursor.u16()?);
        let counts = [cursor.u16()?, cursor.u16()?, cursor.u16()?, cursor.u16()?];
        let questions = (0..counts[0]).map(|_| question(&mut cursor)).collect::<Result<_, _>>()?;
        let mut section = |count: u16| (0..count).map(|_| record(&mut cursor)).collect::<Result<Vec<_>, _>>();
        Ok(Self { id, flags, questions, answers: section(counts[1])?, authorities: section(counts[2])?, additionals: section(counts[3])? })
    }

    /// The message as it is sent.
    ///
    /// # Errors
    /// If it would be too long.
    pub fn write(&self) -> Result<Vec<u8>, DnsError> {
        let mut to = Vec::with_capacity(512);
        let mut written = HashMap::new();
        to.extend_from_slice(&self.id.to_be_bytes());
        to.extend_from_slice(&self.flags.0.to_be_bytes());
        for count in [self.questions.len(), self.answers.len(), self.authorities.len(), self.additionals.len()] {
            to.extend_from_slice(&u16::try_from(count).map_err(|_| DnsError::Long)?.to_be_bytes());
        }
        for question in &self.questions {
            question.name.write(&mut to, &mut written);
            to.extend_from_slice(&question.record_type.0.to_be_bytes());
            to.extend_from_slice(&question.class.to_be_bytes());
        }
        for record in self.answers.iter().chain(&self.authorities).chain(&self.additionals) {
            write_record(record, &mut to, &mut written)?;
        }
        if to.len() > MESSAGE_MAX { Err(DnsError::Long) } else { Ok(to) }
    }

    /// What fits into `max` bytes: the whole message, or one that says that it is cut and must be asked for over TCP.
    ///
    /// # Errors
    /// If not even that could be written.
    pub fn write_within(&self, max: usize) -> Result<Vec<u8>, DnsError> {
        let whole = self.write();
        if whole.as_ref().is_ok_and(|bytes| bytes.len() <= max) {
            return whole;
        }
        let flags = Flags(self.flags.0 | Flags::TRUNCATED);
        Self { id: self.id, flags, questions: self.questions.clone(), ..Self::default() }.write()
    }
}

fn question(cursor: &mut Cursor<'_>) -> Result<Question, DnsError> {
    Ok(Question { name: Name::read(cursor)?, record_type: RecordType(cursor.u16()?), class: cursor.u16()? })
}

fn record(cursor: &mut Cursor<'_>) -> Result<Record, DnsError> {
    let name = Name::read(cursor)?;
    let is = RecordType(cursor.u16()?);
    let (class, ttl, length) = (cursor.u16()?, cursor.u32()?, cursor.u16()?);
    Ok(Record { name, class, ttl, data: Data::read(cursor, is, usize::from(length))? })
}

fn write_record(record: &Record, to: &mut Vec<u8>, written: &mut HashMap<Vec<Vec<u8>>, u16>) -> Result<(), DnsError> {
    record.name.write(to, written);
    to.extend_from_slice(&record.data.record_type().0.to_be_bytes());
    to.extend_from_slice(&record.class.to_be_bytes());
    to.extend_from_slice(&record.ttl.to_be_bytes());
    let length_at = to.len();
    to.extend_from_slice(&[0, 0]);
    record.data.write(to, written);
    let length = u16::try_from(to.len() - length_at - 2).map_err(|_| DnsError::Long)?;
    to[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A message as TCP carries it: after its length.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&message[..usize::from(length)]);
    bytes
}

/// The first message of a TCP stream and what follows it, if it is complete.
#[must_use]
pub fn unframe(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// The answer of RFC 1035's kind that every resolver gives: `www.example.com` by way of a `CNAME`, compressed.
    #[test]
    fn an_answer_as_servers_send_it_is_read() {
        let mut bytes = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\x01\x03www\x07example\x03com\0\0\x01\0\x01".to_vec();
        bytes.extend_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x06\x03web\xc0\x10");
        bytes.extend_from_slice(b"\xc0\x2d\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01");
        bytes.extend_from_slice(b"\0\0\x29\x10\0\0\0\0\0\0\0");
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.id, message.flags.is_response(), message.flags.rcode()), (0x1234, true, 0));
        assert_eq!(message.answers[0].data, Data::Cname(name("web.example.com")));
        assert_eq!((message.answers[1].name.clone(), message.answers[1].ttl), (name("web.example.com"), 60));
        assert_eq!(message.answers[1].data.to_string(), "127.0.0.1");
        assert_eq!(message.additionals[0].data.record_type(), RecordType(41));
        assert_eq!(message.write().unwrap(), bytes, "written as it was read, compressed alike");
    }

    #[test]
    fn every_kind_of_record_is_written_and_read() {
        let query = Message::query(7, name("a.example"), RecordType::A);
        let answer = query
            .answer(0)
            .with(1, Data::A([127, 0, 0, 1].into()))
            .with(2, Data::Aaaa("::1".parse().unwrap()))
            .with(3, Data::Cname(name("b.example")))
            .with(4, Data::Ns(name("ns.example")))
            .with(5, Data::Ptr(name("a.example")))
            .with(6, Data::Mx { preference: 10, exchange: name("mail.example") })
            .with(7, Data::Srv { priority: 1, weight: 2, port: 6379, target: name("a.example") })
            .with(8, Data::Txt(vec![b"v=1".to_vec(), Vec::new()]))
            .with(9, Data::Soa { server: name("ns.example"), mailbox: name("me.example"), numbers: [1, 2, 3, 4, 5] })
            .with(10, Data::Other(RecordType(257), vec![0, 1]));
        let read = Message::parse(&answer.write().unwrap()).unwrap();
        assert_eq!(read, answer);
        assert!(read.answers_to(&query) && !query.answers_to(&query));
        let cut = Message::parse(&answer.write_within(100).unwrap()).unwrap();
        assert!(cut.flags.is_truncated() && cut.answers.is_empty() && cut.answers_to(&query));
    }

    #[test]
    fn codes_and_frames() {
        assert_eq!((rcode_name(3), rcode_name(15)), ("NXDOMAIN".into(), "RCODE15".into()));
        assert_eq!(unframe(&framed(b"abc")), Some((&b"abc"[..], &b""[..])));
        assert_eq!(unframe(b"\0\x03ab"), None);
    }
}
