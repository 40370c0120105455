use proptest::prelude::*;

use super::{Body, Framing, Head, Malformed, Piece};

fn head(text: &str) -> Head {
    Head::read(text.as_bytes(), &mut 0).expect("a head").expect("a whole one").0
}

/// Content, and what follows the body, however the bytes are cut.
fn content(framing: Framing, bytes: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let (mut body, mut content, mut taken, mut came) = (Body::new(framing), Vec::new(), 0, 0);
    while !body.is_done() && taken < bytes.len() {
        came = (came.max(taken) + step).min(bytes.len());
        while taken < came && !body.is_done() {
            let piece = body.next(&bytes[taken..came])?;
            if let Piece::Data(n) = piece {
                content.extend_from_slice(&bytes[taken..taken + n]);
            }
            taken += piece.length();
        }
    }
    Ok((content, bytes[taken..].to_vec()))
}

#[test]
fn heads_are_read_as_they_stand_and_changed_where_asked() {
    let mut head = head("GET  /x?y HTTP/1.1\r\nHoSt:  a \r\nX: 1\r\n  more\r\nCookie: b\r\nx: 2\r\n\r\nrest");
    assert_eq!((head.method(), head.target(), head.get("host"), head.get("X")), ("GET", "/x?y", Some("a"), Some("1")));
    head.set("x", "3\r\nEvil: 1");
    assert_eq!(head.bytes(), b"GET  /x?y HTTP/1.1\r\nHoSt:  a \r\nX: 3  Evil: 1\r\nCookie: b\r\n\r\n");
    head.remove("HOST");
    head.add("New", "n");
    assert_eq!(head.bytes(), b"GET  /x?y HTTP/1.1\r\nX: 3  Evil: 1\r\nCookie: b\r\nNew: n\r\n\r\n");
    assert_eq!(head.get("new"), Some("n"));
    let mut answer = self::head("HTTP/1.0 200 OK\nA: b\n\n");
    answer.set_status(503, "Service Unavailable");
    assert_eq!(
        (answer.bytes(), answer.status(), answer.is_http_1_0()),
        (&b"HTTP/1.0 503 Service Unavailable\nA: b\n\n"[..], Some(503), true)
    );
}

#[test]
fn what_cannot_become_a_head_is_told_at_once() {
    for text in [
        "hello",
        "\x16\x03\x01",
        "*1\r\n$4\r\nPING\r\n",
        "PING\r\n",
        "GET / HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET /\r\n",
        "HTTP/1.1 x\r\n",
    ] {
        assert_eq!(Head::read(text.as_bytes(), &mut 0), Err(Malformed::FirstLine), "{text:?}");
    }
    for text in ["", "\r\n", "GE", "GET /", "HTTP/1.1 200", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA: b\r\n", "M-SEARCH * HTTP/1.1\r\n\r"]
    {
        assert_eq!(Head::read(text.as_bytes(), &mut 0), Ok(None), "{text:?}");
    }
    assert_eq!(Head::read(b"GET / HTTP/1.1\r\nno field\r\n\r\n", &mut 0), Err(Malformed::Field));
    let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(super::HEAD_MAX));
    assert_eq!(Head::read(long.as_bytes(), &mut 0), Err(Malformed::Long));
}

#[test]
fn bodies_end_where_they_say() {
    for (fields, framing) in [
        ("", Ok(Framing::Length(0))),
        ("Content-Length: 7\r\n", Ok(Framing::Length(7))),
        ("Content-Length: 7\r\ncontent-length: 7\r\n", Ok(Framing::Length(7))),
        ("Content-Length: 7, 8\r\n", Err(Malformed::Length)),
        ("Content-Length: +7\r\n", Err(Malformed::Length)),
        ("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 7\r\n", Ok(Framing::Chunked)),
    ] {
        assert_eq!(Framing::of_request(&head(&format!("PUT / HTTP/1.1\r\n{fields}\r\n"))), framing, "{fields}");
    }
    for (method, first, framing) in [
        ("GET", "200 OK", Framing::UntilClose),
        ("HEAD", "200 OK", Framing::Length(0)),
        ("GET", "204 No", Framing::Length(0)),
        ("GET", "304 No", Framing::Length(0)),
        ("CONNECT", "200 OK", Framing::Length(0)),
    ] {
        assert_eq!(Framing::of_answer(&head(&format!("HTTP/1.1 {first}\r\n\r\n")), method), Ok(framing), "{method} {first}");
    }
    let chunked = b"3;a=\"b\"\r\nabc\r\n00A \r\n0123456789\r\n0\r\nT: u\r\n\r\nnext";
    for step in 1..chunked.len() {
        assert_eq!(content(Framing::Chunked, chunked, step), Ok((b"abc0123456789".to_vec(), b"next".to_vec())), "{step}");
        assert_eq!(content(Framing::Length(5), chunked, step), Ok((chunked[..5].to_vec(), chunked[5..].to_vec())));
    }
    for bad in ["x\r\n", "\r\n", "3\r\nabcd", "11111111111111111\r\n", "-1\r\n"] {
        assert_eq!(content(Framing::Chunked, bad.as_bytes(), 99), Err(Malformed::Chunk), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), step in 1..9_usize) {
        let mut searched = 0;
        for end in (0..bytes.len()).step_by(step) {
            if !matches!(Head::read(&bytes[..end], &mut searched), Ok(None)) {
                break;
            }
        }
        let _ = content(Framing::Chunked, &bytes, step);
    }

    #[test]
    fn heads_are_the_same_in_pieces(fields in proptest::collection::vec(("[A-Za-z-]{1,9}", "[ -~]{0,20}"), 0..9), step in 1..40_usize) {
        let lines: String = fields.iter().map(|(n, v)| format!("{n}:{v}\r\n")).collect();
        let text = format!("GET /a HTTP/1.1\r\n{lines}\r\nbody");
        let whole = head(&text);
        prop_assert_eq!(whole.bytes(), &text.as_bytes()[..text.len() - 4]);
        let (mut searched, mut came) = (0, 0);
        let found = loop {
            came = (came + step).min(text.len());
            if let Some((found, length)) = Head::read(&text.as_bytes()[..came], &mut searched).expect("a head") {
                prop_assert_eq!(length, text.len() - 4);
                break found;
            }
        };
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn chunks_give_their_content(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..9), step in 1..40_usize) {
        let mut text = Vec::new();
        for part in &parts {
            text.extend(format!("{:X}\r\n", part.len()).bytes());
            text.extend(part);
            text.extend(b"\r\n");
        }
        text.extend(b"0\r\n\r\nnext");
        prop_assert_eq!(content(Framing::Chunked, &text, step), Ok((parts.concat(), b"next".to_vec())));
    }
}
