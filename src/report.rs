//! Reports: folds over a record and its verdict, one file a format. Nothing here measures, decides or prints.
//!
//! | format | for |
//! |---|---|
//! | [`terminal`] | the person who ran it: what was broken, what users saw, the verdict, what to do next |
//! | [`plan`](mod@plan) | the same person, before it runs: what will be harmed, and how it is taken back |
//! | [`live`] | the same person, while it runs |
//! | [`json`] | programs: the verdict and every fact |
//! | [`junit`] | CI servers: one case a hypothesis, one for the cleanup |
//! | [`markdown`] | a CI summary or a pull request |
//! | [`html`] | everybody else: one file, with charts, that can be kept and sent |

mod advice;
mod heading;
mod phrases;
mod strip;
mod style;

pub mod html;
pub mod json;
pub mod junit;
pub mod live;
pub mod markdown;
pub mod plan;
pub mod terminal;

#[cfg(test)]
mod tests;

pub use html::html;
pub use json::json;
pub use junit::junit;
pub use live::Live;
pub use markdown::markdown;
pub use plan::{outline, plan};
pub use style::Style;
pub use terminal::terminal;
