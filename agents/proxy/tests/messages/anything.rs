//! With nothing armed, and with what nothing meets, any bytes pass unchanged, both ways.

use std::io::{Read, Write};
use std::net::Shutdown;

use chaos_proxy::toxic::Speaks;
use proptest::prelude::*;
use serde_json::json;

use crate::scenes::{Standing, upstream};

/// Bytes that are more often nearly right than random ones are.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".to_vec()),
        Just(b"PING\r\n".to_vec()),
        Just(b"*1\r\n$9\r\nSUBSCRIBE\r\n".to_vec()),
        Just(b"%1\r\n+a\r\n|1\r\n+b\r\n:1\r\n_\r\n>1\r\n:1\r\n".to_vec()),
        Just(b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec()),
        Just(b"\0\0\0\x11\0\x03\0\0user\0me\0\0".to_vec()),
        Just(b"Q\0\0\0\x0dselect 1\0".to_vec()),
        Just(b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04".to_vec()),
        Just(b"NSG".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..30),
        (any::<u8>(), 0..40_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn any_bytes_pass_unchanged(there in nearly(), back in nearly(), pieces in 1..5_000_usize) {
        for (speaks, idle) in [
            (Speaks::Redis, ("redis.error", json!({"error": "BUSY", "commands": ["NOBODY.ASKS"]}))),
            (Speaks::Postgres, ("postgres.error", json!({"sqlstate": "40001", "statements": ["vacuum"]}))),
        ] {
            let (heard, told) = std::sync::mpsc::channel();
            let answer = back.clone();
            let server = upstream(move |mut client| {
                let mut all = Vec::new();
                let _ = client.read_to_end(&mut all);
                answer.chunks(pieces).for_each(|piece| client.write_all(piece).expect("it is sent"));
                let _ = heard.send(all);
            });
            let proxy = Standing::before(server, speaks);
            proxy.arm("idle", idle.0, &idle.1).expect("armed");
            let mut client = proxy.connect();
            there.chunks(pieces).for_each(|piece| client.write_all(piece).expect("it is sent"));
            client.shutdown(Shutdown::Write).expect("it ends");
            let mut came = Vec::new();
            client.read_to_end(&mut came).expect("an answer, to its end");
            prop_assert!(told.recv().expect("all") == there, "{speaks:?}: to the server");
            prop_assert!(came == back, "{speaks:?}: from the server");
        }
    }
}
