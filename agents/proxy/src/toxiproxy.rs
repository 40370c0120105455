//! The HTTP API of Toxiproxy, version 2 (<https://github.com/Shopify/toxiproxy#http-api>): its client libraries work unchanged.
//!
//! What its toxics are here, with `stream: upstream` as `direction: requests`, `downstream` as `answers`, and `toxicity` as the share
//! of connections:
//!
//! | Toxiproxy | here | what differs |
//! |---|---|---|
//! | `latency` | `tcp.latency` | |
//! | `bandwidth` | `tcp.rate`; at 0 `tcp.blackhole` | |
//! | `slow_close` | `tcp.slow_close` | |
//! | `timeout` | `tcp.blackhole` | after the time connections are reset; what was held back goes on when the toxic is removed |
//! | `reset_peer` | `tcp.reset` | the time runs from the beginning of a connection, not from its first byte |
//! | `slicer` | `tcp.slice` | |
//! | `limit_data` | `tcp.limit` | the connection ends when one more byte would pass |

mod api;
mod collection;
mod form;
mod guard;
mod routes;
mod toxic;

pub use api::{Api, ApiAddress};
pub use collection::{ApiError, Collection, Declared};
