//! A file's text, within bounds. Every refusal names the file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::diagnostic::Diagnostic;
use super::tree::Source;

/// The largest file, in bytes.
pub(super) const LARGEST: u64 = 1 << 20;

/// Reads a file that a person named.
pub(super) fn read(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let refuse = |message: &str, hint: &str| Box::new(Diagnostic::of_file(path, "file", message, hint));
    let failed = |error: &std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the name and the folder",
            std::io::ErrorKind::PermissionDenied => "make it readable for the user that runs `chaos`",
            _ => "check the file and the disk it is on",
        };
        refuse(&format!("cannot be read: {}", reason(error)), hint)
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if metadata.is_dir() {
        return Err(refuse("is a directory, not an experiment", "name the file in it"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(refuse("is larger than 1 MiB", "an experiment is a short text: is this the right file?"));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(refuse("is empty", "begin with `version: 1` and `experiment: NAME`"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refuse(&format!("is not text in UTF-8 (byte {at})"), "save it as UTF-8; is this the right file?")
    })?;
    if text.contains('\0') {
        return Err(refuse("is not text: it holds a NUL byte", "is this the right file?"));
    }
    // A byte order mark is allowed at the start and means nothing.
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(Source { path: path.to_owned(), text })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
