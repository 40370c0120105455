//! What `s3.*` does to objects.

use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use serde_json::json;

use super::scaffold::{Stand, pattern, web};

fn stand() -> Stand {
    Stand::before(web().0, Speaks::S3)
}

#[test]
fn a_store_that_is_asked_too_much_says_slow_down() {
    let stand = stand();
    let mut client = stand.client();
    stand.arm("s3.slow_down", &json!({"objects": "bytes/*", "operations": ["GetObject", "PutObject"]}));
    let answer = client.get("/bytes/9");
    assert_eq!((answer.status(), answer.head.get("content-type")), (503, Some("application/xml")));
    assert!(answer.text().contains("<Code>SlowDown</Code>"), "{}", answer.text());
    assert_eq!(client.get("/chunked/9").status(), 200, "another bucket");
    for (request, meant) in [
        ("HEAD /bytes/1 HTTP/1.1\r\n\r\n", false),
        ("DELETE /bytes/1 HTTP/1.1\r\n\r\n", false),
        ("PUT /bytes/1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", true),
        ("PUT /bytes/1?partNumber=1&uploadId=x HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", false),
        ("GET /bytes?list-type=2 HTTP/1.1\r\n\r\n", false),
        ("GET /%62ytes/1 HTTP/1.1\r\n\r\n", true),
        ("GET /1 HTTP/1.1\r\nHost: bytes.s3.eu-west-1.amazonaws.com\r\n\r\n", true),
    ] {
        let mut client = stand.client();
        client.send(request);
        let method = request.split(' ').next().unwrap_or_default();
        assert_eq!(client.answer(method).status() == 503, meant, "{request}");
    }
}

#[test]
fn objects_come_late_short_or_half_way() {
    let stand = stand();
    let mut client = stand.client();
    stand.arm("s3.slow_first_byte", &json!({"delay": "150ms"}));
    let begun = Instant::now();
    assert_eq!(client.get("/bytes/5000").body, pattern(5000));
    assert!(begun.elapsed() >= Duration::from_millis(150));
    stand.disarm("s3.slow_first_byte");

    stand.arm("s3.truncate", &json!({"after": "1KiB", "objects": "bytes/*"}));
    let answer = client.get("/bytes/5000");
    assert_eq!((answer.body, answer.complete, answer.head.get("content-length")), (pattern(1024), true, Some("1024")));
    stand.disarm("s3.truncate");

    stand.arm("s3.stall", &json!({"after": "1KiB"}));
    client.send(b"GET /bytes/5000 HTTP/1.1\r\n\r\n");
    client.head().expect("a head");
    assert_eq!(client.exactly(1024), pattern(5000)[..1024]);
    client.stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let nothing = std::io::Read::read(&mut client.stream, &mut [0]).expect_err("nothing comes");
    assert!(matches!(nothing.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{nothing}");
    client.stream.set_read_timeout(Some(super::scaffold::PATIENCE)).expect("a timeout");
    stand.disarm("s3.stall");
    assert_eq!(client.exactly(5000 - 1024), pattern(5000)[1024..], "the rest flows on");
}
