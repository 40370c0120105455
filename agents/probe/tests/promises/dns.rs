//! The `dns` probe, against a name server that says what the test wants.

use std::net::SocketAddr;

use chaos_protocol::dns::{Data, Message, Record, RecordType, framed, unframe};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::asked::{any, ask, mistake, number, open, text};

/// Serves UDP and TCP on one port of its own.
async fn serve() -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut bytes).await {
            let query = Message::parse(&bytes[..length]).unwrap();
            let answer = answer(&query);
            // A late answer to somebody else's question, and to another question under our id.
            let late = Message { id: query.id.wrapping_add(1), ..answer.clone() };
            let other = Message::query(query.id, "other.example".parse().unwrap(), RecordType::A).answer(0);
            for message in [late, other, answer] {
                udp.send_to(&message.write_within(512).unwrap(), from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let mut came = Vec::new();
            while unframe(&came).is_none() && stream.read_buf(&mut came).await.is_ok_and(|n| n > 0) {}
            let query = Message::parse(unframe(&came).unwrap().0).unwrap();
            stream.write_all(&framed(&answer(&query).write().unwrap())).await.unwrap();
        }
    });
    address
}

fn answer(query: &Message) -> Message {
    let asked = &query.questions[0];
    let name = asked.name.to_string().to_lowercase();
    match (name.as_str(), asked.record_type) {
        ("store.example", RecordType::A) => {
            let mut answer = query.answer(0).with(300, Data::Cname("a.store.example".parse().unwrap()));
            for (ttl, last) in [(60, 7), (20, 8)] {
                let data = Data::A([10, 0, 0, last].into());
                answer.answers.push(Record { name: "a.store.example".parse().unwrap(), class: 1, ttl, data });
            }
            answer
        }
        ("store.example", RecordType::AAAA) => query.answer(0),
        ("_grpc._tcp.store.example", RecordType::SRV) => {
            query.answer(0).with(5, Data::Srv { priority: 1, weight: 2, port: 9000, target: "a.store.example".parse().unwrap() })
        }
        ("7.0.0.10.in-addr.arpa", RecordType::PTR) => query.answer(0).with(5, Data::Ptr("a.store.example".parse().unwrap())),
        ("large.example", _) => (0..100).fold(query.answer(0), |a, i| a.with(5, Data::A([10, 0, 0, i].into()))),
        ("broken.example", _) => query.answer(2),
        _ => query.answer(3),
    }
}

#[tokio::test]
async fn dns_tells_addresses_code_and_lifetime() {
    let server = serve().await.to_string();
    let asked = async |name: &str, record_type: &str| {
        ask(&open("dns", json!({"name": name, "type": record_type, "server": server})).await).await.unwrap()
    };
    let found = asked("store.example", "A").await;
    assert_eq!(any(&found, "addresses"), &json!(["10.0.0.7", "10.0.0.8"]));
    assert_eq!((text(&found, "rcode"), number(&found, "ttl")), ("NOERROR", 20.0));
    let none = asked("Store.Example.", "aaaa").await;
    assert_eq!((text(&none, "rcode"), any(&none, "addresses"), none.get("ttl")), ("NOERROR", &json!([]), None));
    assert_eq!(any(&asked("_grpc._tcp.store.example", "SRV").await, "addresses"), &json!(["1 2 9000 a.store.example"]));
    assert_eq!(any(&asked("10.0.0.7", "PTR").await, "addresses"), &json!(["a.store.example"]));
    assert_eq!(text(&asked("gone.example", "A").await, "rcode"), "NXDOMAIN");
    assert_eq!(text(&asked("broken.example", "A").await, "rcode"), "SERVFAIL");
    assert_eq!(any(&asked("large.example", "A").await, "addresses").as_array().unwrap().len(), 100, "asked again over TCP");
}

#[tokio::test]
async fn a_name_server_that_is_not_there_is_named_as_such() {
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let asked = open("dns", json!({"name": "store.example", "server": nobody.to_string()})).await;
    assert_eq!(ask(&asked).await.unwrap_err(), "connection refused");
}

#[test]
fn mistakes_in_a_dns_question_are_told_by_path() {
    for (with, told) in [
        (json!({"name": "a", "type": "ADDRESS"}), ("type", "`ADDRESS` is no type of record")),
        (json!({"name": "a..b"}), ("name", "`a..b` is no name")),
        (json!({"name": "10.0.0.1"}), ("name", "an address has no addresses")),
        (json!({"name": "a", "server": "127.0.0.1"}), ("server", "an address needs its port")),
    ] {
        let (path, message) = mistake("dns", &with);
        assert!(path == told.0 && message.starts_with(told.1), "{with}: {path}: {message}");
    }
}
