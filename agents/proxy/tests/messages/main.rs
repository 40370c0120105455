//! Toxics on messages of Redis and PostgreSQL, against the real servers.

mod anything;
mod postgres;
mod redis;
#[path = "../scenes/mod.rs"]
mod scenes;
