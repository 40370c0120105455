//! What a PostgreSQL client sees through the proxy.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use serde_json::json;

use crate::scenes::postgres::{Client, Server, server, told};
use crate::scenes::{Standing, upstream, wait_for};

fn standing() -> (Arc<Server>, Standing) {
    let server = server();
    let proxy = Standing::before(server.address, Speaks::Postgres);
    (server, proxy)
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &u32::try_from(body.len() + 4).expect("short").to_be_bytes(), body].concat()
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

fn bind(portal: &str, name: &str) -> Vec<u8> {
    frame(b'B', format!("{portal}\0{name}\0\0\0\0\0\0\0").as_bytes())
}

fn execute(portal: &str) -> Vec<u8> {
    frame(b'E', format!("{portal}\0\0\0\0\0").as_bytes())
}

fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

#[test]
fn whatever_postgres_does_passes_unchanged() {
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    assert_eq!(client.simple("create temp table t(v text); insert into t select repeat('x', 30000000); select * from t"), "C C C Z:I");
    client.send(&frame(b'Q', b"copy t from stdin\0"));
    client.send(&frame(b'd', &[vec![b'y'; 50_000], b"\n".to_vec()].concat()));
    client.send(&frame(b'c', b""));
    assert_eq!(told(&client.until_ready()), "G C Z:I");
    client.send(&[parse("s", "select length(v) from t"), bind("", "s"), execute(""), sync()].concat());
    assert_eq!(told(&client.until_ready()), "1 2 C Z:I");
    assert_eq!(client.simple("select 1/0"), "E:22012 Z:I");
}

#[test]
fn a_statement_fails_with_its_transaction() {
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    client.simple("create temp table t(v int)");
    proxy.arm("e", "postgres.error", &json!({"sqlstate": "40001", "statements": ["insert"]})).expect("armed");
    assert_eq!(client.simple("insert into t values (1)"), "E:40001 Z:I");
    assert_eq!(client.simple("select 1; insert into t values (1)"), "E:40001 Z:I", "as a whole");
    assert_eq!(client.simple("begin"), "C Z:T");
    assert_eq!(client.simple("with a as (select 1) insert into t select * from a"), "E:40001 Z:E");
    assert_eq!(client.simple("select 1"), "E:25P02 Z:E", "the server's own transaction has failed");
    assert_eq!(client.simple("rollback"), "C Z:I");
    proxy.disarm("e");
    assert_eq!(client.simple("insert into t values (1)"), "C Z:I");
    client.send(&frame(b'Q', b"select count(*)::int from t\0"));
    let rows = client.until_ready();
    let (_, row) = rows.iter().find(|(tag, _)| *tag == 'D').expect("a row");
    assert_eq!(row.last(), Some(&b'1'), "nothing that failed was done");
}

#[test]
fn the_extended_protocol_skips_to_its_sync() {
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    // Prepared before the fault begins, and executed in it.
    client.send(&[parse("read", "select 1"), parse("write", "create temp table t2()"), sync()].concat());
    assert_eq!(told(&client.until_ready()), "1 1 Z:I");
    proxy.arm("e", "postgres.error", &json!({"sqlstate": "53100", "statements": ["create"], "message": "disk full"})).expect("armed");
    // A pipeline: one group fails, the groups before and after it do not.
    let group = |name: &str| [bind("", name), execute(""), bind("p", "read"), execute("p"), sync()].concat();
    client.send(&[group("read"), group("write"), group("read")].concat());
    let groups: Vec<String> = (0..3).map(|_| told(&client.until_ready())).collect();
    assert_eq!(groups, ["2 C 2 C Z:I", "2 E:53100 Z:I", "2 C 2 C Z:I"]);
    assert_eq!(proxy.toxics()[0].hits(), 1);
    proxy.disarm("e");
    client.send(&group("write"));
    assert_eq!(told(&client.until_ready()), "2 C 2 C Z:I");
}

#[test]
fn statements_are_delayed_by_kind() {
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    proxy.arm("d", "postgres.delay", &json!({"delay": "1h", "statements": ["select"]})).expect("armed");
    assert_eq!(client.simple("set search_path to public"), "C Z:I", "others pass");
    proxy.adjust("d", &json!({"delay": "300ms", "statements": ["select"]})).expect("adjusted");
    let begun = Instant::now();
    assert_eq!(client.simple("select 1"), "C Z:I");
    client.send(&[parse("", "select 2"), bind("", ""), execute(""), sync()].concat());
    assert_eq!(told(&client.until_ready()), "1 2 C Z:I");
    assert!(begun.elapsed() >= Duration::from_millis(600));
    proxy.adjust("d", &json!({"delay": "1h", "statements": ["select"]})).expect("adjusted");
    client.send(&frame(b'Q', b"select 1\0"));
    wait_for("it waits", || proxy.toxics()[0].hits() == 3);
    proxy.disarm("d");
    assert_eq!(told(&client.until_ready()), "C Z:I", "what waited goes on at once");
}

#[test]
fn what_is_encrypted_passes_as_it_is() {
    let server = upstream(|mut client| {
        let mut asked = [0; 8];
        client.read_exact(&mut asked).expect("a request");
        client.write_all(b"S").expect("yes");
        let mut from = client.try_clone().expect("a clone");
        let _ = std::io::copy(&mut from, &mut client);
    });
    let proxy = Standing::before(server, Speaks::Postgres);
    proxy.arm("e", "postgres.error", &json!({"sqlstate": "40001"})).expect("armed");
    let mut client = proxy.connect();
    client.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").expect("sent");
    let mut yes = [0];
    client.read_exact(&mut yes).expect("an answer");
    assert_eq!(yes, *b"S");
    // What looks like a frame is none.
    let hello = [&b"\x16\x03\x01\x00\x05"[..], b"Q\0\0\0\x0dselect 1\0E\0\0\0\x05"].concat();
    client.write_all(&hello).expect("sent");
    let mut back = vec![0; hello.len()];
    client.read_exact(&mut back).expect("it comes back");
    assert_eq!(back, hello);
}

#[test]
fn mistakes_are_told_by_path() {
    let proxy = Standing::before(crate::scenes::echo(), Speaks::Postgres);
    for (kind, with, path) in [
        ("postgres.error", json!({"sqlstate": "4000"}), "sqlstate"),
        ("postgres.error", json!({"sqlstate": "00000"}), "sqlstate"),
        ("postgres.error", json!({"sqlstate": "40001", "statements": ["select", "queries"]}), "statements[1]"),
        ("postgres.delay", json!({"delay": "1ms", "jitter": "2ms"}), "jitter"),
    ] {
        assert_eq!(proxy.arm("m", kind, &with).expect_err("refused").path, path, "{kind} {with}");
    }
}

/// `sslnegotiation=direct` of PostgreSQL 17.
#[test]
fn what_is_encrypted_from_the_first_byte_passes_as_it_is() {
    let server = upstream(|mut client| {
        let mut hello = [0; 10];
        client.read_exact(&mut hello).expect("a hello");
        client.write_all(b"\x16\x03\x03\x7a\x7ahello yourself").expect("an answer");
        let mut from = client.try_clone().expect("a clone");
        let _ = std::io::copy(&mut from, &mut client);
    });
    let proxy = Standing::before(server, Speaks::Postgres);
    proxy.arm("e", "postgres.error", &json!({"sqlstate": "40001"})).expect("armed");
    for _ in 0..20 {
        let mut client = proxy.connect();
        client.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03").expect("sent");
        let mut answer = [0; 19];
        client.read_exact(&mut answer).expect("all of it comes at once");
        assert_eq!(&answer[5..], b"hello yourself");
        client.write_all(b"goes on").expect("sent");
        let mut back = [0; 7];
        client.read_exact(&mut back).expect("it comes back");
        assert_eq!(&back, b"goes on");
    }
}
