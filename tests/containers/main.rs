//! The demo system as containers, the experiments on it, and `chaos` itself in a container; with a real engine and Compose.

mod experiments;
mod first_process;
mod image;
mod promised;
mod shop;
