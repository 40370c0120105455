//! Any bytes as a DNS message: never a panic, never in a circle; what is read can be written and is read again alike.
#![no_main]

use chaos_protocol::dns::{MESSAGE_MAX, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes) else { return };
    let _ = message.answers.iter().map(|r| r.data.to_string()).collect::<String>();
    if let Ok(written) = message.write() {
        assert!(written.len() <= MESSAGE_MAX);
        assert_eq!(Message::parse(&written), Ok(message.clone()));
    }
    let refused = message.answer(2).write().map(|b| Message::parse(&b));
    assert!(!matches!(refused, Ok(Err(_))), "an answer to what was read cannot be read");
});
