//! What this crate promises, each against a server, file or process that the test itself made.

mod asked;
mod dns;
mod grpc;
mod here;
mod http;
mod open_loop;
mod redis;
mod server;
mod sse;
mod truth;
