//! The `grpc` probe, against a server that speaks HTTP/2 and the health protocol as the test wants.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use chaos_protocol::grpc::{MessageReader, Serving, framed, read_health_request, write_health_response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpListener;

use crate::asked::{ask, mistake, open, text};

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>;

/// A server, and how many connections it got.
async fn serve() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = served.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
    (address, connections)
}

async fn answer(request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["grpc-timeout"], "5000m");
    let body = request.into_body().collect().await?.to_bytes();
    let message = MessageReader::new().read(&mut &body[..]).unwrap().unwrap();
    Ok(match read_health_request(&message).unwrap().as_str() {
        "" => health(Serving::Serving),
        "ranker" => health(Serving::NotServing),
        "none" => status(12, ""),
        "busy" => status(14, "connection%20lost"),
        "web" => Response::builder().status(404).body(Full::default().boxed()).unwrap(),
        _ => status(5, "unknown service"),
    })
}

fn health(serving: Serving) -> Answer {
    let body = Full::from(framed(&write_health_response(serving)));
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    Response::new(body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed())
}

/// A status without a message, in the headers.
fn status(code: u32, message: &str) -> Answer {
    Response::builder().header("grpc-status", code).header("grpc-message", message).body(Full::default().boxed()).unwrap()
}

#[tokio::test]
async fn grpc_tells_the_state_of_server_and_service() {
    let (address, _) = serve().await;
    let state = async |service: &str| {
        let asked = open("grpc", json!({"connect": address.to_string(), "service": service})).await;
        ask(&asked).await.map(|answer| text(&answer, "state").to_owned())
    };
    assert_eq!(state("").await.unwrap(), "SERVING");
    assert_eq!(state("ranker").await.unwrap(), "NOT_SERVING");
    assert_eq!(state("nobody").await.unwrap(), "SERVICE_UNKNOWN");
    assert_eq!(state("none").await.unwrap_err(), "the server has no health protocol");
    assert_eq!(state("busy").await.unwrap_err(), "gRPC status 14: connection%20lost");
    assert_eq!(state("web").await.unwrap_err(), "not gRPC: HTTP status 404");
}

#[tokio::test]
async fn grpc_questions_share_a_connection_unless_fresh() {
    let (address, connections) = serve().await;
    let kept = open("grpc", json!({"connect": address.to_string()})).await;
    for _ in 0..5 {
        ask(&kept).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let fresh = open("grpc", json!({"connect": address.to_string(), "fresh": true})).await;
    for _ in 0..3 {
        ask(&fresh).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn what_does_not_speak_grpc_gives_no_answer() {
    let (http1, _) = crate::server::serve(|_| crate::server::Then::Answer).await;
    let asked = open("grpc", json!({"connect": http1.to_string()})).await;
    assert!(ask(&asked).await.is_err());
    assert_eq!(mistake("grpc", &json!({"connect": "127.0.0.1"})).0, "connect");
    assert_eq!(mistake("grpc", &json!({"connect": "127.0.0.1:1", "headers": {"a b": "x"}})).0, "headers.a b");
}
