//! What is never harmed, not by any setting: pid 1, this tool with its ancestors and executors, the kernel's threads, the container
//! engine, and the place where the journal lies.

use std::path::{Path, PathBuf};

use procfs::process::Process;

use crate::process::Snapshot;

/// Beginnings of the names of programs that hold containers or pods of the host, or their ports.
const ENGINES: [&str; 8] = ["dockerd", "containerd", "kubelet", "crio", "podman", "conmon", "docker-proxy", "rootless"];

/// Why this process is never a target; `None`: it may be one.
pub(crate) fn protected_process(snapshot: &Snapshot, program: &Path, pid: i32) -> Option<String> {
    let me = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    if pid == 1 {
        return Some("pid 1 holds the whole system".into());
    }
    if pid == me {
        return Some("it is chaos itself".into());
    }
    if snapshot.ancestors(me).contains(&pid) {
        return Some("chaos was started from it".into());
    }
    let entry = snapshot.by_pid(pid)?;
    if entry.is_kernel() {
        return Some("it is a thread of the kernel".into());
    }
    if ENGINES.iter().any(|engine| entry.name.starts_with(engine)) {
        return Some(format!("{} holds the containers of this host", entry.name));
    }
    is_executor(program, pid).then(|| "it is an executor of chaos, or a run".into())
}

/// Another `chaos` at work: an executor, an agent, a run, a helper, a proxy. The demo system is the one thing of this program that is there to be harmed.
pub(crate) fn is_executor(program: &Path, pid: i32) -> bool {
    let Ok(process) = Process::new(pid) else {
        return false;
    };
    let same_program = process.exe().is_ok_and(|exe| file_name(&exe) == file_name(program));
    same_program && process.cmdline().is_ok_and(|words| words.get(1).is_none_or(|word| word != "demo"))
}

/// The name of a program, also of one that was replaced since it was started.
fn file_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
}

/// Why this path is never damaged; `None`: it may be. `ours` are the folders of journal and record.
pub(crate) fn protected_path(ours: &[PathBuf], path: &Path) -> Option<String> {
    const SYSTEM: [&str; 4] = ["/proc", "/sys", "/dev", "/run/chaos"];
    if path == Path::new("/") {
        return Some("it is the root of the file system".into());
    }
    if let Some(root) = SYSTEM.iter().find(|root| path.starts_with(root)) {
        return Some(format!("{root} belongs to the system"));
    }
    let near = ours.iter().find(|own| path.starts_with(own) || own.starts_with(path))?;
    Some(format!("the journal of chaos lies in {}", near.display()))
}
