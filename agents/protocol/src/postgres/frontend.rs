//! What a client's frames say, as far as it must be known to tell statements apart. Each takes a whole frame, or its beginning
//! of [`HELD_MAX`](super::HELD_MAX) bytes.

use std::borrow::Cow;

/// The text of a simple query (`Q`).
#[must_use]
pub fn query(frame: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text(&mut body(frame)))
}

/// The name of the statement that is prepared (`P`; empty: the unnamed one), and its text.
#[must_use]
pub fn parse(frame: &[u8]) -> (&[u8], Cow<'_, str>) {
    let mut rest = body(frame);
    let name = text(&mut rest);
    (name, String::from_utf8_lossy(text(&mut rest)))
}

/// The portal that is bound (`B`), and to which statement.
#[must_use]
pub fn bind(frame: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = body(frame);
    (text(&mut rest), text(&mut rest))
}

/// The portal that is executed (`E`).
#[must_use]
pub fn execute(frame: &[u8]) -> &[u8] {
    text(&mut body(frame))
}

/// What is closed (`C`): `S` a statement, `P` a portal, and its name.
#[must_use]
pub fn close(frame: &[u8]) -> (u8, &[u8]) {
    let mut rest = body(frame);
    let what = crate::take(&mut rest, 1).first().copied().unwrap_or_default();
    (what, text(&mut rest))
}

/// A simple query.
#[must_use]
pub fn write_query(sql: &str) -> Vec<u8> {
    framed(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

/// The execution of a portal, all its rows.
#[must_use]
pub fn write_execute(portal: &str) -> Vec<u8> {
    framed(b'E', &[portal.as_bytes(), b"\0\0\0\0\0"].concat())
}

pub(super) fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn body(frame: &[u8]) -> &[u8] {
    frame.get(5..).unwrap_or_default()
}

/// Up to the next zero byte, or to the end.
pub(super) fn text<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    let text = crate::take(rest, end);
    crate::take(rest, 1);
    text
}
