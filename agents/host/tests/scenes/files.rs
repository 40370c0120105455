//! Files for tests, and what can be seen of them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// A file of so many bytes, with a mode, times and an extended attribute that nothing else here has.
pub(crate) fn write_with_everything(path: &Path, bytes: usize) {
    let content: Vec<u8> = (0..bytes).map(|i| u8::try_from(i * 31 % 251).expect("a byte")).collect();
    std::fs::write(path, content).expect("the file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).expect("its mode");
    let file = std::fs::File::open(path).expect("the file");
    // A file system without extended attributes has none to lose.
    let _ = rustix::fs::fsetxattr(&file, "user.chaos-test", b"kept", rustix::fs::XattrFlags::empty());
    file.set_modified(UNIX_EPOCH + Duration::new(1_580_608_922, 123_456_789)).expect("its time");
}

/// All that belongs to a file and that must come back: content, inode, owner, mode, time of writing, attributes.
pub(crate) fn everything(path: &Path) -> String {
    let Ok(meta) = path.metadata() else { return "gone".into() };
    let content: String = Sha256::digest(std::fs::read(path).expect("its content")).iter().map(|b| format!("{b:02x}")).collect();
    let file = std::fs::File::open(path).expect("the file");
    let mut value = [0; 64];
    let length = rustix::fs::fgetxattr(&file, "user.chaos-test", &mut value[..]).unwrap_or(0);
    format!(
        "{content} inode {} {}:{} {:o} {}.{:09} {}",
        meta.ino(),
        meta.uid(),
        meta.gid(),
        meta.mode(),
        meta.mtime(),
        meta.mtime_nsec(),
        String::from_utf8_lossy(&value[..length])
    )
}

/// The same, and every name below a folder: nothing may be left there.
pub(crate) fn everything_below(folder: &Path, path: &Path) -> String {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").map(|e| e.expect("an entry").path()) {
            names.push(entry.display().to_string());
            if entry.is_dir() {
                folders.push(entry);
            }
        }
    }
    names.sort();
    format!("{} | {}", everything(path), names.join(" "))
}
