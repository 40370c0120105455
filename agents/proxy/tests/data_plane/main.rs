//! The data plane as its users meet it: bytes in, bytes out, with toxics and without, many at once and under pressure.

mod control;
mod endings;
mod fault;
mod limits;
mod live;
mod messages;
#[path = "../scenes/mod.rs"]
mod scenes;
mod transfer;
