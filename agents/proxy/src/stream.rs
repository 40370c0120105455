//! Toxics on streams of events, such as language models send, one file each. The layer of HTTP carries them.

pub(crate) mod cut;
pub(crate) mod error;
pub(crate) mod first_token;
pub(crate) mod gap;
pub(crate) mod malformed;
pub(crate) mod stall;

/// An event as it goes on the wire.
fn written(name: &str, data: &str) -> String {
    let mut text = if name.is_empty() { String::new() } else { format!("event: {name}\n") };
    for line in data.split('\n') {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}
