//! Processes: seen all at once, held by pidfd, signalled only here.
//!
//! A process is its pid *and* its start time. A zombie is dead everywhere: it only waits to be reaped.

mod brand;
mod ending;
mod held;
mod kin;
mod snapshot;
mod sockets;
mod tagged;

pub(crate) use brand::{brand, brand_of, brand_on, can_brand};
pub(crate) use ending::{Ending, end, living};
pub(crate) use held::Held;
pub(crate) use kin::Kin;
pub use snapshot::{Entry, Snapshot, name_of};
pub(crate) use snapshot::{io_error, look_at};
pub(crate) use sockets::{Listening, Sockets, sockets_of};
pub(crate) use tagged::{Mark, tagged};
