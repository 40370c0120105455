//! Records made by hand, and outages whose truth is known.

pub(crate) mod staged;

mod records;
mod rules;
mod truth_of_outages;
mod watching;
