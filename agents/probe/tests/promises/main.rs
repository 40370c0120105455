//! What this crate promises, each against a server, file or process that the test itself made.

mod here;
mod http;
mod open_loop;
mod server;
mod truth;
