//! Files, damaged and restored only here: never through a symbolic link, never in a folder that is not the one it was (RULES 35).

#![allow(clippy::disallowed_methods, reason = "this is the world's own module for files")]

mod copy;
mod edit;
mod layers;
mod mounts;
mod place;
mod root;
mod vault;

pub(crate) use copy::{Times, copy_belongings, copy_content, dress, each_chunk, each_chunk_from, fill, give_back_belongings};
pub(crate) use edit::{cut, flip, put_back_bytes, repair};
pub(crate) use place::{Place, open_folder};
pub(crate) use root::{Held, Root, seen_by};
pub(crate) use vault::{Kept, PREFIX, Vault};
