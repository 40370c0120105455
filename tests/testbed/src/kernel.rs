//! Debian's cloud kernel: fetched by apt, kept by version, and the modules of it that tests need.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Absent;

/// Always the newest of this machine's own release.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Where modules that tests need lie; what they depend on comes along.
const MODULES: &[&str] = &[
    "kernel/net/sched/",
    "kernel/net/netfilter/",
    "kernel/net/ipv4/",
    "kernel/net/ipv6/",
    "kernel/net/bridge/",
    "kernel/net/unix/",
    "kernel/net/netlink/",
    "kernel/net/packet/",
    "kernel/drivers/net/ifb",
    "kernel/drivers/net/dummy",
    "kernel/drivers/net/veth",
    "kernel/drivers/net/tun",
    "kernel/drivers/net/virtio_net",
    "kernel/drivers/char/virtio_console",
    "kernel/drivers/virtio/virtio_pci",
];

/// An unpacked kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    folder: PathBuf,
    /// As `uname -r` says there.
    pub(crate) release: String,
}

impl Kernel {
    /// The kernel from the cache, or fetched into it.
    ///
    /// # Errors
    /// When apt does not give it.
    pub(crate) fn get() -> Result<Self, Absent> {
        let cache = cache()?;
        let _alone = alone(&cache)?;
        let Some((package, file)) = newest().or_else(|| updated().and_then(|()| newest())) else {
            // Without a list of packages, and so without a network: whatever was fetched before.
            let kept = fs::read_dir(&cache).into_iter().flatten().flatten().map(|e| e.path()).filter_map(|p| Self::open(p).ok()).last();
            return kept.ok_or_else(|| Absent(format!("apt knows no package {PACKAGE}; hint: apt-get update, on Debian for amd64")));
        };
        let folder = cache.join(file.trim_end_matches(".deb"));
        if folder.exists() || fetch(&cache, &package, &folder).is_ok() {
            return Self::open(folder);
        }
        // The list may be out of date.
        let (package, file) = updated().and_then(|()| newest()).unwrap_or((package, file));
        let folder = cache.join(file.trim_end_matches(".deb"));
        fetch(&cache, &package, &folder)?;
        Self::open(folder)
    }

    fn open(folder: PathBuf) -> Result<Self, Absent> {
        let modules = fs::read_dir(folder.join("lib/modules")).into_iter().flatten().flatten().next();
        let release = modules.and_then(|e| e.file_name().into_string().ok());
        let release = release.ok_or_else(|| Absent(format!("{} holds no kernel; hint: delete it", folder.display())))?;
        Ok(Self { folder, release })
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// Where `modules.dep` and its like lie.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.release)
    }

    /// The modules that tests need, as paths below [`Kernel::modules`].
    ///
    /// # Errors
    /// When the list of dependencies cannot be read.
    pub(crate) fn wanted(&self) -> std::io::Result<BTreeSet<String>> {
        let list = fs::read_to_string(self.modules().join("modules.dep"))?;
        let needs: HashMap<&str, Vec<&str>> = list
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(module, needs)| (module, needs.split_whitespace().collect()))
            .collect();
        let mut wanted = BTreeSet::new();
        let mut open: Vec<&str> = needs.keys().copied().filter(|m| MODULES.iter().any(|place| m.starts_with(place))).collect();
        while let Some(module) = open.pop() {
            if wanted.insert(module.to_owned()) {
                open.extend(needs.get(module).into_iter().flatten());
            }
        }
        Ok(wanted)
    }
}

/// One at a time fetches: apt has locks, too, and does not wait for them.
fn alone(cache: &Path) -> Result<fs::File, Absent> {
    let path = cache.join("lock");
    let lock = fs::File::create(&path).map_err(|e| Absent(format!("{}: {e}", path.display())))?;
    lock.lock().map_err(|e| Absent(format!("{}: {e}", path.display())))?;
    Ok(lock)
}

/// Lists of packages may be missing on a bare machine, or name a version that is no longer there. Only root may renew them.
fn updated() -> Option<()> {
    let may = rustix::process::geteuid().is_root();
    may.then(|| said(Command::new("apt-get").args(["update", "-qq"]))).and_then(Result::ok).map(|_| ())
}

fn cache() -> Result<PathBuf, Absent> {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    let cache = base.ok_or_else(|| Absent("no HOME to keep a kernel below".into()))?.join("chaos-testbed");
    fs::create_dir_all(&cache).map_err(|e| Absent(format!("{}: {e}", cache.display())))?;
    Ok(cache)
}

/// The package that is the newest kernel, and the name of its file, which has the version in it.
fn newest() -> Option<(String, String)> {
    let depends = said(Command::new("apt-cache").args(["depends", PACKAGE])).ok()?;
    let package = depends.lines().find_map(|l| l.trim().strip_prefix("Depends: ").filter(|p| p.starts_with("linux-image-")))?.to_owned();
    // 'http://…/linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb' linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb 26713492 …
    let places = said(Command::new("apt-get").args(["download", "--print-uris", &package])).ok()?;
    let file = places.lines().find_map(|l| l.split_whitespace().nth(1).filter(|f| f.ends_with(".deb")))?.to_owned();
    Some((package, file))
}

/// Fetched, unpacked and made ready beside its place, then moved there: what is in the cache is whole.
fn fetch(cache: &Path, package: &str, folder: &Path) -> Result<(), Absent> {
    let absent = |e: &dyn std::fmt::Display| Absent(format!("{package} cannot be fetched: {e}"));
    let work = tempfile::Builder::new().prefix(".fetch-").tempdir_in(cache).map_err(|e| absent(&e))?;
    said(Command::new("apt-get").args(["download", "-q", package]).current_dir(work.path())).map_err(|e| absent(&e))?;
    let packed =
        fs::read_dir(work.path()).into_iter().flatten().flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "deb"));
    let packed = packed.ok_or_else(|| absent(&"apt-get download left no file"))?;
    let kernel = work.path().join("kernel");
    said(Command::new("dpkg-deb").arg("--extract").arg(packed).arg(&kernel)).map_err(|e| absent(&e))?;
    let release = fs::read_dir(kernel.join("lib/modules")).into_iter().flatten().flatten().next().map(|e| e.file_name());
    let release = release.ok_or_else(|| absent(&"it holds no modules"))?;
    said(Command::new("busybox").arg("depmod").arg("-b").arg(&kernel).arg(release)).map_err(|e| absent(&e))?;
    fs::rename(&kernel, folder).map_err(|e| absent(&e))
}

/// What a command says; its complaint, when it fails.
pub(crate) fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}
