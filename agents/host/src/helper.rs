//! Helpers: `chaos helper KIND …`, processes that hold an effect for as long as they live and not longer.
//!
//! A helper is known by its tag, in argv and environ. Save for `keep`, it dies when its lifeline (standard input) reaches its end, when its parent dies,
//! when its deadline has passed on the boot clock, or when it is killed: whichever comes first. It offers itself to the kernel's
//! out-of-memory killer before it takes anything.

#![allow(clippy::disallowed_methods, reason = "this is the world's own module for helpers: what they take is theirs, and goes with them")]

mod burn;
mod dns;
mod fill_memory;
mod hold_file;
mod keep;
mod lifeline;

pub(crate) use dns::{redirection as dns_redirection, tally_of as dns_tally_of};
pub(crate) use start::{Helper, Helpers};
mod start;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use chaos_core::clock::Boot;
use chaos_core::target::ProcessId;

use crate::process::Held;

/// Runs a helper; `words` are the arguments after `chaos helper`. For the program's `main`, and nobody else.
///
/// Never returns before the effect is over.
pub fn helper_main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(order) = Order::read(words) else {
        return ExitCode::from(2);
    };
    if order.kind != "keep" && lifeline::attach(order.parent).and_then(|()| order.lodge()).is_err() {
        return ExitCode::from(1);
    }
    let done = match order.kind.as_str() {
        "keep" => keep::run(&order),
        "burn" => burn::run(&order),
        "fill-memory" => fill_memory::run(&order),
        "hold-file" => hold_file::run(&order),
        "dns" => dns::run(&order),
        _ => return ExitCode::from(2),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

/// What a helper was told in its arguments.
struct Order {
    kind: String,
    parent: i32,
    deadline: Boot,
    more: BTreeMap<String, OsString>,
}

impl Order {
    fn read(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut words = words.into_iter();
        let kind = words.next()?.into_string().ok()?;
        let mut more = BTreeMap::new();
        while let Some(key) = words.next() {
            more.insert(key.to_str()?.strip_prefix("--")?.to_owned(), words.next()?);
        }
        let mut order = Self { kind, parent: 0, deadline: Boot(0), more };
        order.parent = i32::try_from(order.number("parent")?).ok()?;
        order.deadline = Boot(order.number("deadline")?);
        Some(order)
    }

    /// `[--procs FILE --with PID --with-start TICKS]`: enters the control group of that file, and ends with that process. Before any
    /// thread is started and anything is taken.
    fn lodge(&self) -> io::Result<()> {
        let (Some(procs), Some(pid), Some(start_ticks)) = (self.more.get("procs"), self.number("with"), self.number("with-start")) else {
            return Ok(());
        };
        let with = ProcessId { pid: i32::try_from(pid).map_err(io::Error::other)?, start_ticks };
        let held = Held::open(with)?.ok_or(io::ErrorKind::NotFound)?;
        std::fs::write(procs, std::process::id().to_string())?;
        lifeline::end_with(held);
        Ok(())
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.more.get(key)?.to_str()?.parse().ok()
    }

    /// The number under this key, zero where there is none.
    fn amount(&self, key: &str) -> u64 {
        self.number(key).unwrap_or(0)
    }
}
