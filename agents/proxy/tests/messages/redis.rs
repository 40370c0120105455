//! What a Redis client sees through the proxy.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use chaos_protocol::resp::Value;
use chaos_proxy::toxic::Speaks;
use serde_json::json;

use crate::scenes::redis::{Client, Server, command_bytes, told};
use crate::scenes::{Standing, echo};

fn standing() -> (Server, Standing) {
    let server = Server::start();
    let proxy = Standing::before(server.address, Speaks::Redis);
    (server, proxy)
}

fn hits(proxy: &Standing) -> u64 {
    proxy.toxics().iter().map(|t| t.hits()).sum()
}

#[test]
fn whatever_redis_does_passes_unchanged() {
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    client.send(b"PING\r\n");
    assert_eq!(told(&client.reply()), "PONG");
    let large: String = (0..64_000_000_u32).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    assert_eq!(client.told(&format!("SET large {large}")), "OK");
    assert!(client.told("GET large") == large, "64 MB come back as they went");
    for command in ["MULTI", "INCR n", "INCR n"] {
        client.ask(command);
    }
    assert_eq!(client.told("EXEC"), "1 2");
    assert!(matches!(client.ask("HELLO 3"), Value::Map(_)));
    client.ask("HSET h a 1");
    assert!(matches!(client.ask("HGETALL h"), Value::Map(_)));
    // A pipeline of many commands, in pieces of every small length.
    let pipeline: Vec<u8> = (0..2_000).flat_map(|i| command_bytes(&format!("ECHO {i}"))).collect();
    let mut at = 0;
    for length in (1..97).cycle() {
        if at == pipeline.len() {
            break;
        }
        let end = (at + length).min(pipeline.len());
        client.send(&pipeline[at..end]);
        at = end;
    }
    for i in 0..2_000 {
        assert_eq!(told(&client.reply()), i.to_string());
    }
}

#[test]
fn subscribers_get_what_is_published() {
    let (server, proxy) = standing();
    proxy.arm("slow", "redis.error", &json!({"error": "LOADING", "commands": ["GET"]})).expect("armed");
    for hello in ["PING", "HELLO 3"] {
        let mut subscriber = Client::to(proxy.listen());
        subscriber.ask(hello);
        // In one write: the error has its turn before the connection is left alone.
        subscriber.send(&[command_bytes("GET k"), command_bytes("SUBSCRIBE news")].concat());
        assert!(told(&subscriber.reply()).starts_with("LOADING "));
        subscriber.reply();
        let mut publisher = Client::to(server.address);
        for i in 0..3 {
            publisher.ask(&format!("PUBLISH news {i}"));
            let (Value::Array(message) | Value::Push(message)) = subscriber.reply() else { panic!("no message") };
            assert_eq!(told(&message[2]), i.to_string());
        }
    }
}

#[test]
fn errors_come_in_their_turn_and_end_with_the_toxic() {
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    client.ask("SET k v");
    client.ask("SET features:7 x");
    proxy.arm("e", "redis.error", &json!({"error": "LOADING", "commands": ["get", "mget"], "keys": ["features:*"]})).expect("armed");
    let commands = ["GET k", "GET features:7", "SET a 1", "MGET k features:7", "GET a", "INCR a"];
    let expected = ["v", "LOADING", "OK", "LOADING", "1", "2"];
    client.send(&commands.map(command_bytes).concat());
    for expected in expected {
        let reply = told(&client.reply());
        assert_eq!(reply.split(' ').next(), Some(expected), "{reply}");
    }
    assert_eq!(hits(&proxy), 2);
    proxy.disarm("e");
    assert_eq!(client.told("GET features:7"), "x");
}

#[test]
fn errors_are_the_same_however_a_pipeline_is_split() {
    let (_server, proxy) = standing();
    proxy.arm("e", "redis.error", &json!({"error": "BUSY", "commands": ["GET", "EXEC"]})).expect("armed");
    let long = "x".repeat(40_000);
    let commands = ["DEL n".into(), "GET k".into(), format!("GET {long}"), "INCR n".into(), format!("ECHO {long}"), "GET k".into()];
    let pipeline: Vec<u8> = commands.iter().flat_map(|c| command_bytes(c)).chain(b"GET inline\r\nPING\r\n".to_vec()).collect();
    for length in [1, 2, 3, 5, 11, 100, 4_000, 16_384, pipeline.len()] {
        let mut client = Client::to(proxy.listen());
        // Small pieces where the commands are, large ones where the text is: else it takes for ever.
        let (short, rest) = pipeline.split_at(120);
        short.chunks(length).chain(rest.chunks(length.max(997))).for_each(|piece| client.send(piece));
        let replies: Vec<String> = (0..8).map(|_| told(&client.reply())).collect();
        let first: Vec<&str> = replies.iter().map(|r| r.split(' ').next().unwrap_or_default()).collect();
        assert!(first[0] == "1" || first[0] == "0");
        assert_eq!(first[1..], ["BUSY", "BUSY", "1", &long, "BUSY", "BUSY", "PONG"], "in pieces of {length}");
    }
}

#[test]
fn an_error_in_place_of_a_transaction_leaves_no_transaction() {
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    proxy.arm("e", "redis.error", &json!({"error": "BUSY", "commands": ["INCR", "EXEC"]})).expect("armed");
    client.send(&["MULTI", "INCR n", "EXEC", "SET n 5"].map(command_bytes).concat());
    let replies: Vec<String> = (0..4).map(|_| told(&client.reply())).collect();
    assert_eq!(replies[..2], ["OK", "QUEUED"]);
    assert!(replies[2].starts_with("BUSY "), "{replies:?}");
    assert_eq!(replies[3], "OK");
    assert!(client.told("INCR n").starts_with("BUSY "));
    proxy.disarm("e");
    assert_eq!(client.told("INCR n"), "6", "nothing of the transaction happened");
}

#[test]
fn a_delay_delays_a_pipeline_once_and_ends_with_the_toxic() {
    const DELAY: Duration = Duration::from_millis(300);
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    proxy.arm("d", "redis.delay", &json!({"delay": "300ms", "commands": ["GET"]})).expect("armed");
    let begun = Instant::now();
    client.send(&command_bytes("GET k").repeat(30));
    (0..30).for_each(|_| drop(client.reply()));
    let took = begun.elapsed();
    assert!(took >= DELAY && took < 10 * DELAY, "{took:?} for 30 commands");
    assert_eq!(hits(&proxy), 30);
    proxy.adjust("d", &json!({"delay": "1h"})).expect("adjusted");
    client.send(&command_bytes("GET k"));
    crate::scenes::wait_for("it waits", || hits(&proxy) == 31);
    proxy.disarm("d");
    assert_eq!(told(&client.reply()), "(nil)", "what waited goes on at once");
}

#[test]
fn a_delay_and_an_error_compose() {
    let (_server, proxy) = standing();
    let mut client = Client::to(proxy.listen());
    proxy.arm("d", "redis.delay", &json!({"delay": "200ms"})).expect("armed");
    proxy.arm("e", "redis.error", &json!({"error": "OOM"})).expect("armed");
    let begun = Instant::now();
    assert!(client.told("SET k v").starts_with("OOM "));
    assert_eq!(client.told("GET k"), "(nil)", "OOM meets what writes");
    assert!(begun.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_throttle_is_shared_by_all_connections() {
    let (_server, proxy) = standing();
    proxy.arm("t", "redis.throttle", &json!({"rate": "20/s", "commands": ["GET"]})).expect("armed");
    let begun = Instant::now();
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let listen = proxy.listen();
            std::thread::spawn(move || {
                let mut client = Client::to(listen);
                client.ask("SET k v");
                client.send(&command_bytes("GET k").repeat(7));
                (0..7).for_each(|_| assert_eq!(told(&client.reply()), "v"));
            })
        })
        .collect();
    asking.into_iter().for_each(|a| a.join().expect("it asked"));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(20 * 50), "21 commands at 20 a second: {took:?}");
    assert_eq!(hits(&proxy), 21);
}

/// Clients with a timeout, more of them than the rate serves: those that still wait get what the rate promises.
#[test]
fn a_throttle_serves_those_who_still_wait() {
    let (_server, proxy) = standing();
    Client::to(proxy.listen()).ask("SET k v");
    proxy.arm("t", "redis.throttle", &json!({"rate": "20/s", "commands": ["GET", "INCR"]})).expect("armed");
    let begun = Instant::now();
    let (listen, until) = (proxy.listen(), begun + Duration::from_secs(6));
    let asking: Vec<_> = (0..12)
        .map(|_| {
            std::thread::spawn(move || {
                let mut answered = 0_u32;
                while Instant::now() < until {
                    let mut client = std::net::TcpStream::connect(listen).expect("it accepts");
                    client.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
                    client.write_all(&command_bytes("GET k")).expect("it is sent");
                    let late = until - Duration::from_secs(3) < Instant::now();
                    answered += u32::from(client.read(&mut [0; 7]).is_ok_and(|n| n > 0) && late);
                }
                answered
            })
        })
        .collect();
    let answered: u32 = asking.into_iter().map(|a| a.join().expect("it asked")).sum();
    assert!(answered >= 20, "of 60 turns in the last 3 s, {answered} were taken by somebody who waited");
    assert!(answered <= 70, "{answered} in 3 s at 20 a second");
    // Who has given up is not served after all.
    for _ in 0..10 {
        drop(std::net::TcpStream::connect(listen).and_then(|mut client| client.write_all(&command_bytes("INCR given_up"))));
    }
    assert!(told(&Client::to(listen).ask("GET given_up")).parse().unwrap_or(0) <= 4, "only who had its turn at once");
}

/// The server itself tells what it says of keys that do not exist.
#[test]
fn what_is_missing_is_what_the_server_says_of_missing_keys() {
    const COMMANDS: &[&str] = &[
        "GET {}",
        "MGET {} {}",
        "HGET {} f",
        "HMGET {} f g",
        "HGETALL {}",
        "HKEYS {}",
        "HLEN {}",
        "HEXISTS {} f",
        "HSTRLEN {} f",
        "LRANGE {} 0 -1",
        "LLEN {}",
        "LINDEX {} 0",
        "LPOS {} a",
        "SMEMBERS {}",
        "SCARD {}",
        "SISMEMBER {} a",
        "SMISMEMBER {} a b",
        "SUNION {}",
        "ZRANGE {} 0 -1",
        "ZSCORE {} a",
        "ZMSCORE {} a b",
        "ZRANK {} a",
        "ZCARD {}",
        "ZCOUNT {} 0 1",
        "EXISTS {}",
        "TTL {}",
        "PTTL {}",
        "TYPE {}",
        "STRLEN {}",
        "GETRANGE {} 0 1",
        "GETBIT {} 1",
        "BITCOUNT {}",
        "BITPOS {} 1",
        "XLEN {}",
        "XRANGE {} - +",
        "GEOPOS {} a",
        "GEODIST {} a b",
        "GEOHASH {} a",
        "SRANDMEMBER {}",
        "HRANDFIELD {}",
        "DUMP {}",
        "ZREVRANGE {} 0 -1",
        "ZREVRANK {} a",
        "HVALS {}",
    ];
    let (server, proxy) = standing();
    let mut direct = Client::to(server.address);
    let mut through = Client::to(proxy.listen());
    direct.ask("SET k v");
    proxy.arm("n", "redis.null", &json!({"keys": ["k"]})).expect("armed");
    for hello in ["HELLO 2", "HELLO 3"] {
        direct.ask(hello);
        through.ask(hello);
        for command in COMMANDS {
            let of = |key: &str| command.replace("{}", key);
            assert_eq!(through.ask(&of("k")), direct.ask(&of("none")), "{command} after {hello}");
        }
    }
    assert_eq!(through.told("SET k w"), "OK", "what writes passes");
}

#[test]
fn answers_are_stale_by_database_and_command_until_the_toxic_ends() {
    let (server, proxy) = standing();
    let mut writer = Client::to(server.address);
    let mut reader = Client::to(proxy.listen());
    writer.ask("SET k old");
    writer.ask("SET other old");
    proxy.arm("s", "redis.stale", &json!({"keys": ["k"]})).expect("armed");
    assert_eq!(reader.told("GET k"), "old");
    for key in ["k", "other"] {
        writer.ask(&format!("SET {key} new"));
    }
    assert_eq!((reader.told("GET k"), reader.told("GET other")), ("old".into(), "new".into()));
    assert_eq!(reader.told("MGET k other"), "new new", "another question");
    reader.ask("SELECT 1");
    assert_eq!(reader.told("GET k"), "(nil)", "another database");
    let mut another = Client::to(proxy.listen());
    assert_eq!(another.told("GET k"), "old", "another connection");
    proxy.disarm("s");
    assert_eq!(another.told("GET k"), "new");
}

#[test]
fn what_is_not_redis_passes_as_it_is() {
    let proxy = Standing::before(echo(), Speaks::Redis);
    proxy.arm("e", "redis.error", &json!({"error": "LOADING"})).expect("armed");
    for bytes in [&[b'*'; 300][..], b"\x16\x03\x01\x02\x00\x01", b"*1\r\n:1\r\n\xff\xff\xff"] {
        let mut client = proxy.connect();
        client.write_all(bytes).expect("sent");
        let mut back = vec![0; bytes.len()];
        client.read_exact(&mut back).expect("it comes back");
        assert_eq!(back, bytes);
    }
}

#[test]
fn mistakes_are_told_by_path() {
    let proxy = Standing::before(echo(), Speaks::Redis);
    for (kind, with, path) in [
        ("redis.error", json!({"error": "loading"}), "error"),
        ("redis.error", json!({"error": "SOMETHING"}), "error"),
        ("redis.error", json!({"error": "ERR", "message": "a\r\nb"}), "message"),
        ("redis.delay", json!({"delay": "1ms", "jitter": "2ms"}), "jitter"),
        ("redis.delay", json!({"delay": "1ms", "commands": ["GET k"]}), "commands[0]"),
        ("redis.throttle", json!({"rate": "0/s"}), "rate"),
        ("redis.throttle", json!({"rate": "1 kB/s"}), "rate"),
        ("redis.stale", json!({"age": "0s"}), "age"),
        ("postgres.error", json!({"sqlstate": "40001"}), ""),
    ] {
        assert_eq!(proxy.arm("m", kind, &with).expect_err("refused").path, path, "{kind} {with}");
    }
}
