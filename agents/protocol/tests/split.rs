//! Every reader gives the same, however the bytes come in pieces, panics on nothing, and loses no byte.

use chaos_protocol::Piece;
use chaos_protocol::dns::{Data, Message, Name, RecordType};
use chaos_protocol::grpc::{self, MessageReader};
use chaos_protocol::postgres::{FrameReader, Side, statements};
use chaos_protocol::resp::{Command, CommandReader, Scan, Scanner, Value, ValueReader};
use chaos_protocol::sse::{Chunk, EventReader};
use proptest::prelude::*;

/// What a reader of `step` gives for these pieces, errors told by their text; reading ends with the first.
fn told<T>(pieces: &[&[u8]], mut step: impl FnMut(&mut &[u8]) -> Result<Option<T>, String>) -> Vec<Result<T, String>> {
    let mut out = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match step(&mut rest) {
                Ok(Some(thing)) => out.push(Ok(thing)),
                Ok(None) => break,
                Err(e) => {
                    out.push(Err(e));
                    return out;
                }
            }
        }
        assert!(rest.is_empty(), "nothing was given, and not all was taken");
    }
    out
}

/// The same at once, parted in two at every place, and byte by byte.
fn same_however_split<T: PartialEq + std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[&[u8]]) -> T) {
    let whole = read(&[bytes]);
    // Parting long streams everywhere would take for ever; these places are as good as any.
    let step = bytes.len() / 300 + 1;
    for at in (0..=bytes.len()).step_by(step) {
        assert_eq!(read(&[&bytes[..at], &bytes[at..]]), whole, "parted at {at}");
    }
    assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
}

/// Heads with the bytes of their messages put together again; nothing may be lost.
fn messages<H>(bytes: &[u8], pieces: Vec<Result<Piece<'_, H>, String>>, held: &[u8]) -> Vec<Result<(H, Vec<u8>), String>> {
    let mut out: Vec<Result<(H, Vec<u8>), String>> = Vec::new();
    let mut all = Vec::new();
    for piece in pieces {
        match piece {
            Ok(Piece::Begins { head, bytes, .. }) => {
                all.extend_from_slice(&bytes);
                out.push(Ok((head, bytes)));
            }
            Ok(Piece::GoesOn { bytes, .. }) => {
                all.extend_from_slice(bytes);
                let Some(Ok((_, message))) = out.last_mut() else { panic!("something goes on that never began") };
                message.extend_from_slice(bytes);
            }
            Err(e) => out.push(Err(e)),
        }
    }
    all.extend_from_slice(held);
    assert!(bytes.starts_with(&all), "what was given is not what came");
    out
}

fn commands(bytes: &[u8], pieces: &[&[u8]]) -> Vec<Result<(Command, Vec<u8>), String>> {
    let mut reader = CommandReader::new();
    let joined: Vec<_> = told_pieces(pieces, |b| reader.read(b).map_err(|e| e.to_string()));
    let failed = joined.iter().any(Result::is_err);
    let read = messages(bytes, joined, reader.held());
    let given: usize = read.iter().flatten().map(|(_, b)| b.len()).sum::<usize>() + reader.held().len();
    assert!(failed || given == bytes.len(), "bytes were lost");
    read
}

fn frames(side: Side, bytes: &[u8], pieces: &[&[u8]]) -> Vec<Result<(chaos_protocol::postgres::Frame, Vec<u8>), String>> {
    let mut reader = FrameReader::new(side);
    let joined: Vec<_> = told_pieces(pieces, |b| reader.read(b).map_err(|e| e.to_string()));
    let failed = joined.iter().any(Result::is_err);
    let read = messages(bytes, joined, reader.held());
    let given: usize = read.iter().flatten().map(|(_, b)| b.len()).sum::<usize>() + reader.held().len();
    assert!(failed || given == bytes.len(), "bytes were lost");
    read
}

/// As [`told`], for what borrows from the bytes.
fn told_pieces<'a, H>(
    pieces: &[&'a [u8]],
    mut step: impl FnMut(&mut &'a [u8]) -> Result<Option<Piece<'a, H>>, String>,
) -> Vec<Result<Piece<'a, H>, String>> {
    let mut out = Vec::new();
    for piece in pieces {
        let mut rest: &'a [u8] = piece;
        while let Some(thing) = step(&mut rest).transpose() {
            let failed = thing.is_err();
            out.push(thing);
            if failed {
                return out;
            }
        }
    }
    out
}

fn everything_reads(bytes: &[u8]) {
    same_however_split(bytes, |pieces| {
        let mut reader = ValueReader::new(4096);
        // Doubles may be no numbers, which are not equal to themselves.
        told(pieces, |b| reader.read(b).map(|v| v.map(|v| format!("{v:?}"))).map_err(|e| e.to_string()))
    });
    same_however_split(bytes, |pieces| {
        let mut reader = Scanner::new();
        told(pieces, |b| match reader.scan(b) {
            Ok(Scan::Whole { taken, kind }) => {
                *b = &b[taken..];
                Ok(Some(kind))
            }
            Ok(Scan::Part) => {
                *b = &[];
                Ok(None)
            }
            Err(e) => Err(e.to_string()),
        })
    });
    same_however_split(bytes, |pieces| commands(bytes, pieces));
    same_however_split(bytes, |pieces| frames(Side::Frontend, bytes, pieces));
    same_however_split(bytes, |pieces| frames(Side::Backend, bytes, pieces));
    same_however_split(bytes, |pieces| {
        let mut reader = EventReader::new();
        told(pieces, |b| reader.read(b).map_err(|e| e.to_string()))
    });
    same_however_split(bytes, |pieces| {
        let mut reader = MessageReader::new();
        told(pieces, |b| reader.read(b).map_err(|e| e.to_string()))
    });
    let text = String::from_utf8_lossy(bytes);
    let _ = (statements(&text), Chunk::parse(&text), grpc::read_health_response(bytes), grpc::read_health_request(bytes));
    if let Ok(message) = Message::parse(bytes)
        && let Ok(written) = message.write()
    {
        assert_eq!(Message::parse(&written), Ok(message), "what is written is read again");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        "[ -~]{0,20}".prop_map(Value::Simple),
        "[A-Z]{3,8} [ -~]{0,20}".prop_map(Value::Error),
        any::<i64>().prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean),
        proptest::num::f64::NORMAL.prop_map(Value::Double),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(Value::Bulk),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Set),
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Push),
            proptest::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn name() -> impl Strategy<Value = Name> {
    proptest::collection::vec("[a-z0-9_-]{1,20}", 1..6).prop_map(|labels| labels.join(".").parse().unwrap())
}

/// Bytes that are more often nearly right than random ones are.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n"),
        Just("GET k\r\n"),
        Just("$-1\r\n"),
        Just("%1\r\n+a\r\n|1\r\n+b\r\n:1\r\n_\r\n"),
        Just("data: {\"choices\":[{\"text\":\"a\"}]}\r\n\r\n"),
        Just("data: x\revent: y\r\r"),
        Just("\n\ndata: [DONE]\n\n"),
        Just("Q\0\0\0\x0dselect 1\0"),
        Just("\0\0\0\x11\0\x03\0\0user\0me\0\0"),
        Just("\0\0\0\0\x02\x08\x01"),
        Just("\r\n"),
        Just("*"),
        Just("\u{1}"),
    ];
    (proptest::collection::vec(part, 0..8), proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)).prop_map(
        |(parts, flips)| {
            let mut bytes = parts.concat().into_bytes();
            for (at, byte) in flips {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        everything_reads(&bytes);
    }

    #[test]
    fn nearly_right_bytes(bytes in nearly()) {
        everything_reads(&bytes);
    }

    #[test]
    fn values_survive(values in proptest::collection::vec(value(), 1..4)) {
        let mut bytes = Vec::new();
        values.iter().for_each(|v| v.write(&mut bytes));
        let mut reader = ValueReader::new(1 << 20);
        let read: Result<Vec<_>, _> = told(&[&bytes], |b| reader.read(b).map_err(|e| e.to_string())).into_iter().collect();
        prop_assert_eq!(read.unwrap(), values);
        everything_reads(&bytes);
    }

    #[test]
    fn commands_survive(words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..9)) {
        let mut bytes = Vec::new();
        Command::write(&words.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut bytes);
        Command::write(&[b"PING"], &mut bytes);
        let read = commands(&bytes, &[&bytes]);
        prop_assert_eq!(read.len(), 2);
        let (first, raw) = read[0].clone().unwrap();
        prop_assert_eq!(&raw[..], &bytes[..raw.len()]);
        for (known, sent) in first.arguments.iter().zip(&words[1..]) {
            prop_assert_eq!(known, sent);
        }
        prop_assert_eq!(&read[1].as_ref().unwrap().0.name, "PING");
        same_however_split(&bytes, |pieces| commands(&bytes, pieces));
    }

    #[test]
    fn dns_answers_survive(id in any::<u16>(), asked in name(), names in proptest::collection::vec(name(), 0..20), ttl in any::<u32>()) {
        let query = Message::query(id, asked, RecordType::CNAME);
        prop_assert_eq!(&Message::parse(&query.write().unwrap()).unwrap(), &query);
        let answer = names.into_iter().fold(query.answer(0), |a, name| a.with(ttl, Data::Cname(name)));
        let bytes = answer.write().unwrap();
        prop_assert_eq!(&Message::parse(&bytes).unwrap(), &answer);
        for end in 0..bytes.len() {
            prop_assert!(Message::parse(&bytes[..end]).is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn dns_bytes_lead_nowhere(mut bytes in proptest::collection::vec(any::<u8>(), 12..200)) {
        // A header that promises a little of everything, so that the rest is looked at.
        bytes[4..12].copy_from_slice(&[0, 1, 0, 2, 0, 1, 0, 1]);
        let _ = Message::parse(&bytes);
    }
}
