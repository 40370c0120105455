//! The `sse` probe, against a model that streams as the test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chaos_core::expression::Expression;
use chaos_core::value::{FieldType, FieldValue};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::asked::{ask, mistake, number, open, text};

/// What is streamed, in order.
#[derive(Clone, Copy)]
enum Part {
    Token,
    Data(&'static str),
    Wait(Duration),
    /// The proper end of the body.
    End,
}

const PAUSE: Duration = Duration::from_millis(60);
const STOP: Part = Part::Data(r#"{"choices":[{"text":"","finish_reason":"stop"}]}"#);
const DONE: Part = Part::Data("[DONE]");

/// Streams these parts to everybody and then closes the connection, unless the body has ended properly.
async fn serve(head: &'static str, parts: &'static [Part]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(connection(stream, head, parts));
        }
    });
    (address, connections)
}

async fn connection(mut stream: TcpStream, head: &str, parts: &[Part]) -> std::io::Result<()> {
    let mut asked = Vec::new();
    loop {
        while !asked.ends_with(b"}") {
            if stream.read_buf(&mut asked).await? == 0 {
                return Ok(());
            }
        }
        asked.clear();
        stream.write_all(format!("HTTP/1.1 {head}\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
        let mut ended = false;
        for part in parts {
            let data = match part {
                Part::Token => r#"{"choices":[{"text":" sea","finish_reason":null}]}"#,
                Part::Data(data) => data,
                Part::Wait(pause) => {
                    tokio::time::sleep(*pause).await;
                    continue;
                }
                Part::End => {
                    ended = true;
                    stream.write_all(b"0\r\n\r\n").await?;
                    continue;
                }
            };
            let event = format!("data: {data}\n\n");
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        }
        if !ended {
            return Ok(());
        }
    }
}

async fn asked(parts: &'static [Part]) -> Result<chaos_core::probe::Answer, String> {
    let (address, _) = serve("200 OK", parts).await;
    ask(&open("sse", json!({"post": format!("http://{address}/v1/completions"), "json": {"stream": true}})).await).await
}

fn complete(answer: &chaos_core::probe::Answer) -> bool {
    answer.get("complete") == Some(&FieldValue::Bool(true))
}

#[tokio::test]
async fn sse_measures_a_whole_stream() {
    const PARTS: &[Part] = &[Part::Wait(PAUSE), Part::Token, Part::Token, Part::Wait(PAUSE), Part::Token, STOP, DONE, Part::End];
    let answer = asked(PARTS).await.unwrap();
    assert!(complete(&answer));
    assert_eq!((number(&answer, "status"), number(&answer, "tokens")), (200.0, 3.0));
    assert_eq!((text(&answer, "finish"), text(&answer, "text")), ("stop", " sea sea sea"));
    assert!(number(&answer, "first_token") >= PAUSE.as_secs_f64());
    assert!(number(&answer, "gap") >= PAUSE.as_secs_f64() * 0.9, "{answer:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_not_complete_and_keeps_its_times() {
    for parts in [
        &[Part::Token, Part::Token][..],
        &[Part::Token, Part::Data(r#"{"error": {"message": "overloaded"}}"#), DONE, Part::End],
        &[Part::Token, Part::Data(r#"{"choices": [{"#), DONE, Part::End],
        &[Part::Token, Part::End],
    ] {
        let answer = asked(parts).await.unwrap();
        assert!(!complete(&answer), "{answer:?}");
        assert!(number(&answer, "tokens") >= 1.0 && answer.get("first_token").is_some() && answer.get("gap").is_some());
    }
}

#[tokio::test]
async fn a_finish_and_a_proper_end_do_without_done_and_done_without_an_end() {
    const FINISHED: &[Part] = &[Part::Token, STOP, Part::End];
    const OPEN: &[Part] = &[Part::Token, DONE, Part::Wait(Duration::from_secs(60))];
    assert!(complete(&asked(FINISHED).await.unwrap()));
    assert!(complete(&asked(OPEN).await.unwrap()));
}

#[tokio::test]
async fn no_token_is_no_answer_and_an_error_status_is_one() {
    assert_eq!(asked(&[]).await.unwrap_err(), "connection closed before the answer was complete");
    let (address, _) = serve("429 Too Many Requests", &[Part::Data(r#"{"error": {"message": "slow down"}}"#), Part::End]).await;
    let answer = ask(&open("sse", json!({"post": format!("http://{address}/"), "json": {}})).await).await.unwrap();
    assert_eq!((number(&answer, "status"), number(&answer, "tokens")), (429.0, 0.0));
    assert!(!complete(&answer) && answer.get("first_token").is_none());
}

#[tokio::test]
async fn sse_connections_are_kept_unless_fresh() {
    const PARTS: &[Part] = &[Part::Token, DONE, Part::End];
    let (address, connections) = serve("200 OK", PARTS).await;
    let url = format!("http://{address}/v1/completions");
    let kept = open("sse", json!({"post": url, "json": {}})).await;
    for _ in 0..3 {
        assert!(complete(&ask(&kept).await.unwrap()));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let fresh = open("sse", json!({"post": url, "json": {}, "fresh": true})).await;
    for _ in 0..3 {
        assert!(complete(&ask(&fresh).await.unwrap()));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

/// What experiment 8 of the language asks for.
#[test]
fn the_fields_are_of_the_types_that_experiments_speak_of() {
    let table = chaos_probe::probes();
    let fields: Vec<_> = table.get("sse").unwrap().profile().fields.iter().map(|f| (f.name, f.is)).collect();
    Expression::parse("complete && finish in [\"stop\", \"length\"]", &fields).unwrap();
    for (name, is) in [("first_token", FieldType::Duration), ("gap", FieldType::Duration), ("tokens", FieldType::Number)] {
        assert!(fields.contains(&(name, is)), "{name}");
    }
    assert_eq!(mistake("sse", &json!({"post": "127.0.0.1:9000"})).0, "post");
    assert_eq!(mistake("sse", &json!({"post": "http://a/", "tls": {}})).0, "tls");
}
