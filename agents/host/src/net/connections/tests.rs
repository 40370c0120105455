//! Connections are found on both sides, and those meant are destroyed.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::net::testing::elsewhere;

#[test]
fn those_meant_are_destroyed_and_no_others() {
    let Some(namespace) = elsewhere("those_meant_are_destroyed_and_no_others") else { return };
    namespace.run(|| {
        can_destroy().expect("this kernel can");
        assert_eq!(established().expect("listed"), Vec::new());
        // Of version 4, of version 6, and version 4 over a socket of version 6.
        for (listen, dial) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let listener = TcpListener::bind(listen).expect("a listener");
            let to = SocketAddr::new(dial.parse().expect("an address"), listener.local_addr().expect("its address").port());
            let pair = || (TcpStream::connect(to).expect("connected"), listener.accept().expect("accepted").0);
            let ((mut harmed, mut left), (mut spared, mut beside)) = (pair(), pair());
            let me = harmed.local_addr().expect("its address");
            let all = established().expect("listed");
            let meant: Vec<Connection> = all.into_iter().filter(|c| c.local == me).collect();
            assert_eq!(meant.iter().map(|c| c.remote).collect::<Vec<_>>(), vec![to], "{listen}");
            assert_eq!(destroy(&meant, || false).expect("stopped before the first"), 0);
            assert_eq!(destroy(&meant, || true).expect("destroyed"), 1);
            assert_eq!(destroy(&meant, || true).expect("it is gone"), 0);
            assert_eq!(harmed.write(b"x").expect_err("it is gone").kind(), ErrorKind::ConnectionAborted);
            assert_eq!(left.read(&mut [0; 1]).expect_err("it was reset").kind(), ErrorKind::ConnectionReset);
            spared.write_all(b"x").expect("it lives");
            assert_eq!(beside.read(&mut [0; 1]).expect("it lives"), 1);
            assert!(!established().expect("listed").iter().any(|c| meant.iter().any(|m| m.cookie == c.cookie)));
        }
    });
}
