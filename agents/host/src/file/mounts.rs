//! What is mounted where, as a process sees it.

use std::io;
use std::path::{Path, PathBuf};

/// A line of `/proc/PID/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its number.
    pub(crate) id: u64,
    /// The file system's number: `254:0`.
    pub(crate) device: String,
    /// What of the file system is mounted.
    pub(crate) root: PathBuf,
    /// Where.
    pub(crate) point: PathBuf,
    /// Nothing can be written through it.
    pub(crate) read_only: bool,
    /// Kind of the file system.
    pub(crate) kind: String,
    /// The options of the file system, as written there.
    pub(crate) options: String,
}

/// All that a process sees; `self` for us.
///
/// # Errors
/// If it may not be looked at, or has ended.
pub(crate) fn mounts_of(who: impl std::fmt::Display) -> io::Result<Vec<Mount>> {
    let text = std::fs::read_to_string(Path::new("/proc").join(who.to_string()).join("mountinfo"))?;
    Ok(text.lines().filter_map(read).collect())
}

fn read(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let has = |options: &str, wanted: &str| options.split(',').any(|option| option == wanted);
    Some(Mount {
        id: left.first()?.parse().ok()?,
        device: (*left.get(2)?).to_owned(),
        root: PathBuf::from(unescaped(left.get(3)?)),
        point: PathBuf::from(unescaped(left.get(4)?)),
        read_only: has(left.get(5)?, "ro") || has(right.get(2)?, "ro"),
        kind: (*right.first()?).to_owned(),
        options: (*right.get(2)?).to_owned(),
    })
}

/// Spaces, commas and the like are written as three octal digits.
pub(super) fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut found = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                found.push(char::from(byte));
                found.push_str(&part[3..]);
            }
            _ => {
                found.push('\\');
                found.push_str(part);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_the_kernel_writes_it() {
        let line = "36 35 0:41 /@a\\040b /mnt/x\\040y ro,noatime shared:1 - overlay overlay rw,lowerdir=/l\\0541,upperdir=/u";
        let mount = read(line).expect("a mount");
        assert_eq!((mount.id, mount.device.as_str(), mount.read_only, mount.kind.as_str()), (36, "0:41", true, "overlay"));
        assert_eq!((mount.root.as_path(), mount.point.as_path()), (Path::new("/@a b"), Path::new("/mnt/x y")));
        assert_eq!(unescaped("a\\134b\\9"), "a\\b\\9");
        assert!(!mounts_of("self").expect("our own").is_empty());
    }
}
