//! The first file system of a machine: busybox, a few of this machine's own programs, modules, and the script that serves the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Absent;
use crate::archive::Archive;
use crate::kernel::{Kernel, said};
use crate::payload::add_program;

/// This machine's own programs: those that tests look at the network with, and those that start others, because busybox's start
/// its own `ip` and `tc` whatever stands in the search path.
const PROGRAMS: &[&str] = &["dash", "ip", "tc", "nft", "env", "flock", "nsenter", "setpriv", "setsid", "timeout", "unshare"];

pub(crate) fn image(kernel: &Kernel) -> Result<Vec<u8>, Absent> {
    let mut archive = Archive::default();
    for folder in ["/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/mnt", "/var/lib", "/var/tmp"] {
        archive.folder(folder);
    }
    busybox(&mut archive, &[PROGRAMS, &["sh"]].concat())?;
    for name in PROGRAMS {
        let path = found(name)?;
        add_program(&mut archive, &path, &Path::new("/usr/bin").join(name))?;
    }
    archive.link("/bin/sh", "/usr/bin/dash");
    let distributions = std::fs::read_dir("/usr/lib/tc").into_iter().flatten().flatten().map(|e| e.path());
    for path in distributions.filter(|p| p.extension().is_some_and(|e| e == "dist")) {
        archive.copy(&path, &path.to_string_lossy()).map_err(|e| Absent(format!("{}: {e}", path.display())))?;
    }
    modules(&mut archive, kernel).map_err(|e| Absent(format!("the kernel's modules: {e}")))?;
    archive.file("/etc/inittab", 0o644, b"::sysinit:/etc/set-up\n::once:/etc/serve\n");
    archive.file("/etc/set-up", 0o755, include_bytes!("guest/set-up.sh"));
    archive.file("/etc/serve", 0o755, include_bytes!("guest/serve.sh"));
    archive.file("/etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
    archive.file("/etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
    archive.file("/etc/hosts", 0o644, b"127.0.0.1 localhost\n::1 localhost\n");
    archive.link("/init", "/bin/busybox");
    Ok(archive.end())
}

/// With its applets as links beside it, but for those.
pub(crate) fn busybox(archive: &mut Archive, but: &[&str]) -> Result<(), Absent> {
    let path = found("busybox")?;
    let applets = said(Command::new(&path).arg("--list")).map_err(Absent)?;
    add_program(archive, &path, Path::new("/bin/busybox"))?;
    for applet in applets.lines().filter(|a| *a != "busybox" && !but.contains(a)) {
        archive.link(&format!("/bin/{applet}"), "/bin/busybox");
    }
    Ok(())
}

fn modules(archive: &mut Archive, kernel: &Kernel) -> std::io::Result<()> {
    let (from, to) = (kernel.modules(), format!("/lib/modules/{}", kernel.release));
    for module in kernel.wanted()? {
        archive.copy(&from.join(&module), &format!("{to}/{module}"))?;
    }
    for list in ["modules.dep", "modules.alias", "modules.builtin"] {
        archive.copy(&from.join(list), &format!("{to}/{list}"))?;
    }
    Ok(())
}

/// A program in the search path; also where only root looks.
pub(crate) fn found(name: &str) -> Result<PathBuf, Absent> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(name)).find(|p| p.is_file());
    found.ok_or_else(|| Absent(format!("{name} is missing; hint: tests/needs names its package")))
}
