//! One scene for each way in which a fault is taken back.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chaos_core::experiment::SystemProcess;
use chaos_core::plan::PlannedInjection;
use chaos_core::target::{Facets, ProcessId, ProxyFacet, Target};
use chaos_proxy::toxic::Speaks;
use chaos_proxy::{Engine, ProxyConfig, Upstream};
use chaos_testbed::{Namespace, Pair, Twin, is_guest};
use serde_json::{Value, json};

use crate::harness::crash::{Act, Scene};
use crate::harness::{eventually, injection, target};
use crate::scaffold::not_covered;

/// How an effect is taken back, and a fault that is.
#[derive(Clone, Copy)]
pub(crate) struct Mechanism {
    pub(crate) name: &'static str,
    pub(crate) scene: fn(&Path, &str) -> Scene,
    /// Does it depend on what the kernel has? Then it is tried on another one, too.
    pub(crate) other_kernel: bool,
}

/// Those that this host can do; what it cannot is said.
pub(crate) fn mechanisms() -> Vec<Mechanism> {
    let mut all = vec![
        Mechanism { name: "signal", scene: signal, other_kernel: false },
        Mechanism { name: "helper", scene: helper, other_kernel: false },
        Mechanism { name: "file", scene: file, other_kernel: false },
        Mechanism { name: "system process", scene: system_process, other_kernel: false },
        Mechanism { name: "toxic", scene: toxic, other_kernel: false },
    ];
    match Namespace::new() {
        Ok(_) => {
            all.push(Mechanism { name: "owner table", scene: owner_table, other_kernel: true });
            all.push(Mechanism { name: "qdisc scaffold", scene: qdisc_scaffold, other_kernel: true });
            all.push(Mechanism { name: "redirect", scene: redirect, other_kernel: true });
        }
        Err(absent) => not_covered("crash matrix, owner table, qdisc scaffold, redirect", &absent.0),
    }
    match Disk::mount() {
        Some(_) => all.push(Mechanism { name: "held file", scene: held_file, other_kernel: false }),
        None => not_covered("crash matrix, held file", "no file system can be mounted"),
    }
    for (name, scene, controller) in [("control group", control_group as fn(&Path, &str) -> Scene, "cpu"), ("freezer", freezer, "freezer")]
    {
        match Group::new(controller) {
            Some(_) => all.push(Mechanism { name, scene, other_kernel: true }),
            None => not_covered(&format!("crash matrix, {name}"), &format!("no {controller} control group can be made")),
        }
    }
    all
}

/// SIGSTOP, taken back by SIGCONT.
fn signal(_: &Path, run: &str) -> Scene {
    let family = Family::start();
    let pids = family.pids();
    scene(run, "process.pause", json!({}), family.target(), family, move || {
        let stopped = pids.iter().find(|pid| matches!(state(**pid), Some('T' | 't')));
        stopped.map_or(Ok(()), |pid| Err(format!("process {pid} is still stopped")))
    })
}

/// A helper that dies with its executor.
fn helper(_: &Path, run: &str) -> Scene {
    let family = Family::start();
    let scene = scene(run, "cpu.burn", json!({"cores": 1, "load": "10%"}), family.target(), family, || Ok(()));
    Scene { bound: true, ..scene }
}

/// A toxic that lives as long as its executor's connection to the proxy, which goes on.
fn toxic(_: &Path, run: &str) -> Scene {
    let engine = Engine::start().expect("a data plane");
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    let before = Upstream::Fixed(upstream.local_addr().expect("its address").to_string().parse().expect("an address"));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxy = engine.open(ProxyConfig { listen, upstream: before, speaks: Speaks::Tcp }).expect("it opens");
    let listen = proxy.listen();
    let facet =
        ProxyFacet { listen: listen.to_string(), upstream: None, speaks: "tcp".into(), control: chaos_proxy::control::place(listen) };
    let target = Target { facets: Facets { proxy: Some(facet), ..Facets::default() }, ..target(&format!("proxy:{listen}")) };
    let scene = scene(run, "tcp.refuse", json!({}), target, (engine, upstream), move || {
        if !proxy.toxics().is_empty() {
            return Err("a toxic is in force".into());
        }
        TcpStream::connect(listen).map(drop).map_err(|e| format!("connect to {listen}: {e}"))
    });
    Scene { bound: true, ..scene }
}

/// A table of nftables that the kernel removes with its executor.
fn owner_table(_: &Path, run: &str) -> Scene {
    let network = Arc::new(Namespace::new().expect("as before"));
    let look = no_tables_in(&network);
    let scene = scene(run, "net.partition", json!({"hosts": ["127.0.0.1"]}), network_target(&network), network, look);
    Scene { bound: true, ..scene }
}

/// A device of ours behind a filter, on hooks that several may share: the network's whole configuration comes back.
fn qdisc_scaffold(_: &Path, run: &str) -> Scene {
    let pair = Pair::new().expect("as before");
    let pid = pair.near.pid();
    pair.near.sh("tc qdisc add dev eth0 root handle 7: tbf rate 900mbit burst 1mb latency 10ms");
    let before = Twin::of(pid);
    let target = network_target(&pair.near);
    let look = move || {
        let differences = before.differences(&Twin::of(pid));
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    };
    // What needs `netem` is tried on the other kernel.
    let (fault, mut with) = if is_guest() { ("net.delay", json!({"delay": "30ms"})) } else { ("net.rate", json!({"rate": "1 MB/s"})) };
    with["hosts"] = json!(Pair::FAR);
    with["direction"] = json!("both");
    scene(run, fault, with, target, pair, look)
}

/// A helper that answers in somebody's stead, and owns the table that leads questions to it.
fn redirect(_: &Path, run: &str) -> Scene {
    let network = Arc::new(Namespace::new().expect("as before"));
    let look = no_tables_in(&network);
    let scene = scene(run, "net.dns", json!({"names": ["store.internal"]}), network_target(&network), network, look);
    Scene { bound: true, ..scene }
}

fn no_tables_in(network: &Arc<Namespace>) -> impl Fn() -> Result<(), String> + Send + 'static {
    let network = Arc::clone(network);
    move || match network.sh("nft list tables").as_str() {
        "" => Ok(()),
        left => Err(format!("left: {left}")),
    }
}

pub(crate) fn network_target(network: &Namespace) -> Target {
    let process = identity(network.pid());
    let facets = Facets { process: Some(process), network_namespace: Some(network.inode()), ..Facets::default() };
    Target { facets, ..target(&format!("process:{process}")) }
}

/// A file system of the test's own: the journal's is never filled.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "chaos-test"]).arg(folder.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(Self { folder })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whatever should still hold a file in it has been found by the look.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// A nameless file that a helper holds open.
fn held_file(_: &Path, run: &str) -> Scene {
    let keep = Disk::mount().expect("as before");
    let disk = keep.folder.path().to_owned();
    let target = path_target(&disk);
    let scene = scene(run, "disk.fill", json!({"size": "8 MiB"}), target, keep, move || {
        let held = held_in(&disk);
        if held.is_empty() { Ok(()) } else { Err(format!("still held: {held:?}")) }
    });
    Scene { bound: true, ..scene }
}

/// A damaged file, whose original waits in a vault.
fn file(folder: &Path, run: &str) -> Scene {
    let path = folder.join("weights.bin");
    fs::write(&path, vec![7; 70_000]).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&path).and_then(|f| f.set_modified(past)).expect("a time");
    let before = facts(&path);
    let target = path_target(&path);
    let folder = folder.to_owned();
    scene(run, "file.corrupt", json!({"flip": "64 B"}), target, (), move || {
        let vault = folder.ancestors().filter_map(|f| fs::read_dir(f).ok()).flatten().filter_map(Result::ok);
        let vault = vault.map(|e| e.path()).find(|p| p.parent() == Some(&folder) && name(p).starts_with(".chaos-"));
        match vault {
            Some(vault) => Err(format!("{} is left", vault.display())),
            None if facts(&path) != before => Err(format!("{} is not what it was", path.display())),
            None => Ok(()),
        }
    })
}

/// A quota of a control group, put back.
fn control_group(_: &Path, run: &str) -> Scene {
    let group = Group::new("cpu").expect("as before");
    let family = Family::start_in(&group);
    let quota = ["cpu.cfs_quota_us", "cpu.max"].map(|f| group.folder.join(f)).into_iter().find(|f| f.exists()).expect("a quota");
    let before = fs::read_to_string(&quota).expect("a value");
    scene(run, "cpu.limit", json!({"cores": 0.5}), family.target(), (family, group), move || {
        let now = fs::read_to_string(&quota).expect("a value");
        if now == before { Ok(()) } else { Err(format!("{} is {now:?} and was {before:?}", quota.display())) }
    })
}

/// The freezer of a control group that holds the target alone.
fn freezer(_: &Path, run: &str) -> Scene {
    let group = Group::new("freezer").expect("as before");
    let family = Family::start_in(&group);
    let frozen = ["freezer.state", "cgroup.freeze"].map(|f| group.folder.join(f)).into_iter().find(|f| f.exists()).expect("a freezer");
    let before = fs::read_to_string(&frozen).expect("a value");
    scene(run, "process.pause", json!({}), family.target(), (family, group), move || {
        let now = fs::read_to_string(&frozen).expect("a value");
        if now == before { Ok(()) } else { Err(format!("{} is {now:?} and was {before:?}", frozen.display())) }
    })
}

/// A process of `system:`, with a child of its own.
fn system_process(folder: &Path, run: &str) -> Scene {
    let process = SystemProcess {
        name: "api".into(),
        run: ["sh", "-c", "sleep 600 & wait"].map(str::to_owned).into(),
        env: BTreeMap::new(),
        folder: folder.to_owned(),
        ready: None,
        log: None,
        restart_after: Some(Duration::from_millis(50).into()),
        stop_grace: Duration::from_millis(500).into(),
    };
    let run = run.to_owned();
    Scene { act: Act::Start(Box::new(process)), look: Box::new(move || nobody_of(&run)), bound: false, keep: Box::new(()) }
}

/// An injection whose look also finds any process of the run.
fn scene(
    run: &str,
    fault: &str,
    with: Value,
    target: Target,
    keep: impl Send + 'static,
    look: impl Fn() -> Result<(), String> + Send + 'static,
) -> Scene {
    let planned: PlannedInjection = injection("1.0.0", fault, with, target);
    let run = run.to_owned();
    let look = move || look().and_then(|()| nobody_of(&run));
    Scene { act: Act::Inject(Box::new(planned)), look: Box::new(look), bound: false, keep: Box::new(keep) }
}

/// No process that bears the mark of this run lives.
fn nobody_of(run: &str) -> Result<(), String> {
    let mark = format!("CHAOS_RUN={run}");
    for pid in pids() {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let marked = environ.split(|b| *b == 0).any(|word| word == mark.as_bytes());
        if marked && state(pid).is_some_and(|s| s != 'Z') {
            return Err(format!("process {pid} of the run lives"));
        }
    }
    Ok(())
}

/// Files in a folder that have no name any more, yet are held open.
fn held_in(folder: &Path) -> Vec<PathBuf> {
    let descriptors = pids().into_iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok()).flatten();
    let links = descriptors.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    links.filter(|link| link.starts_with(folder) && link.to_string_lossy().ends_with(" (deleted)")).collect()
}

fn pids() -> Vec<i32> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn state(pid: i32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

pub(crate) fn identity(pid: i32) -> ProcessId {
    let start_ticks = stat(pid).and_then(|fields| fields.get(19)?.parse().ok()).expect("a start time");
    ProcessId { pid, start_ticks }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Everything about a file that must come back.
fn facts(path: &Path) -> (Vec<u8>, u32, i64, u32) {
    let meta = fs::metadata(path);
    let (mode, mtime, uid) = meta.map_or((0, 0, 0), |m| (m.mode(), m.mtime(), m.uid()));
    (fs::read(path).unwrap_or_default(), mode, mtime, uid)
}

fn path_target(path: &Path) -> Target {
    Target { facets: Facets { path: Some(path.to_owned()), ..Facets::default() }, ..target(&format!("file:{}", path.display())) }
}

/// A shell and its child.
struct Family {
    shell: Child,
    child: i32,
}

impl Family {
    fn start() -> Self {
        Self::started("")
    }

    fn start_in(group: &Group) -> Self {
        Self::started(&format!("echo $$ > '{}/cgroup.procs'; ", group.folder.display()))
    }

    fn started(first: &str) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{first}sleep 600 & wait")).stdin(Stdio::null()).process_group(0);
        let shell = command.spawn().expect("a shell");
        let pid = i32::try_from(shell.id()).expect("a pid");
        let find = || pids().into_iter().find(|p| stat(*p).is_some_and(|s| s.get(1) == Some(&pid.to_string()) && s[0] != "Z"));
        // The shell's fork is not the child yet.
        let sleeps = |p: i32| fs::read_to_string(format!("/proc/{p}/comm")).is_ok_and(|name| name.trim() == "sleep");
        eventually("the shell has a child", || find().is_some_and(sleeps));
        Self { shell, child: find().expect("as before") }
    }

    fn pids(&self) -> Vec<i32> {
        vec![i32::try_from(self.shell.id()).expect("a pid"), self.child]
    }

    fn target(&self) -> Target {
        let tree: Vec<ProcessId> = self.pids().into_iter().map(identity).collect();
        let facets = Facets { process: tree.first().copied(), tree, ..Facets::default() };
        Target { facets, ..target(&format!("process:{}", identity(self.pids()[0]))) }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for pid in self.pids().into_iter().filter_map(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = self.shell.wait();
    }
}

/// A control group of the test's own.
pub(crate) struct Group {
    folder: PathBuf,
}

impl Group {
    /// In it from now on.
    pub(crate) fn take(&self, pid: i32) {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string()).expect("a process of ours");
    }

    pub(crate) fn new(controller: &str) -> Option<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root =
            ["/sys/fs/cgroup", ""].map(|root| Path::new(root).join(controller)).into_iter().find(|p| p.join("cgroup.procs").exists());
        let unified = || Path::new("/sys/fs/cgroup").join("cgroup.controllers").exists().then(|| PathBuf::from("/sys/fs/cgroup"));
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = root.or_else(unified)?.join(format!("chaos-test-{}-{n}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Self { folder };
        let offers = [("cpu", "cpu.cfs_quota_us"), ("cpu", "cpu.max"), ("freezer", "freezer.state"), ("freezer", "cgroup.freeze")];
        offers.iter().any(|(what, file)| *what == controller && group.folder.join(file).exists()).then_some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty a moment after its last process was killed.
        for _ in 0..200 {
            match fs::remove_dir(&self.folder) {
                Err(_) if self.folder.exists() => std::thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
    }
}
