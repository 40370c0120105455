//! Container engines: their containers as targets, and the faults and probes that are calls of the Engine API.
//!
//! - [`Docker`] is the world: the engines that one executor uses, each connected once it is asked for.
//! - The kind of target is `containers`. Each member carries the facets of a host beside [`chaos_core::target::ContainerFacet`], so faults of
//!   the host (network, CPU, memory, files) work inside a container without anything installed in it.

mod container;
mod engine;
mod faults;
mod first_process;
mod guard;
mod inside;
mod listed;
mod probe;
mod resident;
mod stamp;
mod target;
mod world;

pub use container::{Attachment, Compose, Container, Graph, Health, Limits, Mount, Published, RestartPolicy, State};
pub use engine::{Engine, EngineError, Failing, Fate, QUESTION};
pub use faults::faults;
pub use guard::{EXEMPT, TAG};
pub use probe::probes;
pub use stamp::{Stamp, sweep};
pub use target::target_kinds;
pub use world::{Docker, DockerView};
