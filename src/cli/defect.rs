//! A defect of ours: said in one line, without a backtrace, and exit code 70.

use std::panic::PanicHookInfo;

use super::Console;

/// DESIGN section 6: a defect of ours.
pub(super) const EXIT: u8 = 70;

/// From now on a panic is told to the person. `RUST_BACKTRACE` still shows where it came from.
pub(super) fn tell(console: Console) {
    let with_backtrace = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // A probe that panics is a bad sample of that probe, which the prober says itself.
        if std::thread::current().name() == Some("prober") {
            return;
        }
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            with_backtrace(info);
        }
        console.say(format_args!("error: a defect of chaos itself: {}", in_words(info)));
        console.say("hint: everything that was injected is taken back by the executor; please report this, with the line above");
    }));
}

fn in_words(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("no message");
    info.location().map_or_else(|| what.to_owned(), |at| format!("{what} ({}:{})", at.file(), at.line()))
}
