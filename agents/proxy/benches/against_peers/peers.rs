//! Whoever may stand between a client and an upstream, and the upstreams themselves; each a process of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use chaos_proxy::{ProxyConfig, Upstream};

/// Set for the process of ours that is the proxy: where it listens, what it stands before, and what it speaks.
const PROXY: &str = "CHAOS_BENCH_PROXY";

/// Is this process the proxy? Then it has been, until somebody ended it.
pub fn is_proxy() -> bool {
    let Ok(text) = std::env::var(PROXY) else { return false };
    let addresses: Vec<&str> = text.split(' ').collect();
    let config = ProxyConfig {
        listen: addresses[0].parse().expect("an address"),
        upstream: Upstream::Fixed(addresses[1].parse().expect("an address")),
        speaks: if addresses.get(2) == Some(&"http") { Speaks::Http } else { Speaks::Tcp },
    };
    chaos_proxy::serve(vec![config], |_| Ok(())).expect("it serves");
    true
}

/// A port that nobody uses.
pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port")
}

/// Is this program installed?
pub fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let found = path.split(':').any(|folder| Path::new(folder).join(program).exists());
    if !found {
        println!("  {program} is not installed: left out");
    }
    found
}

/// A process, ended with its children, and the folder of its configuration.
pub struct Running {
    child: Child,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The master of nginx and of haproxy ends its workers when it is asked in good order.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let since = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && since.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    /// Starts `command`, given its own folder, and waits until it listens.
    pub fn start(name: &str, at: SocketAddr, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = std::env::temp_dir().join(format!("chaos-bench-{}-{name}-{}", std::process::id(), at.port()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut command = command(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("start {name}: {e}"));
        let since = Instant::now();
        while TcpStream::connect(at).is_err() {
            assert!(since.elapsed() < Duration::from_secs(20), "{name} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, folder }
    }

    fn family(&self) -> Vec<u32> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        std::iter::once(own).chain(children.split_whitespace().filter_map(|p| p.parse().ok())).collect()
    }

    /// Processor time used so far, its children's included. Counted by the kernel in hundredths of a second.
    pub fn processor(&self) -> Duration {
        let ticks = |pid: u32| -> u64 {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let rest = stat.rsplit(") ").next().unwrap_or_default();
            rest.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
        };
        Duration::from_millis(self.family().into_iter().map(ticks).sum::<u64>() * 10)
    }

    /// Memory resident now, in KiB, its children's included.
    pub fn resident(&self) -> u64 {
        let of = |pid: u32| -> u64 {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default().to_owned();
            line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default()
        };
        self.family().into_iter().map(of).sum()
    }
}

/// What stands before an upstream.
pub struct Hop {
    pub name: &'static str,
    pub at: SocketAddr,
    pub running: Option<Running>,
}

/// Nothing, ours, haproxy and nginx stream before one upstream.
pub fn hops(upstream: SocketAddr) -> Vec<Hop> {
    let mut hops = vec![Hop { name: "direct", at: upstream, running: None }, ours(upstream)];
    if has("haproxy") {
        hops.push(haproxy("tcp", upstream));
    }
    if has("nginx") {
        hops.push(nginx_stream(upstream));
    }
    hops
}

/// Nothing, and ours and haproxy where they understand HTTP, before one upstream.
pub fn hops_of_http(upstream: SocketAddr) -> Vec<Hop> {
    let mut hops = vec![Hop { name: "direct", at: upstream, running: None }, speaking("http", upstream)];
    if has("haproxy") {
        hops.push(haproxy("http", upstream));
    }
    hops
}

/// Ours, in a process of its own.
pub fn ours(upstream: SocketAddr) -> Hop {
    speaking("tcp", upstream)
}

fn speaking(speaks: &str, upstream: SocketAddr) -> Hop {
    let at = free();
    let running = Running::start("ours", at, |_| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(PROXY, format!("{at} {upstream} {speaks}"));
        command
    });
    Hop { name: "chaos", at, running: Some(running) }
}

fn haproxy(mode: &str, upstream: SocketAddr) -> Hop {
    let at = free();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let config = format!(
        "global\n  nbthread {cores}\n  maxconn 9000\ndefaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
        listen l\n  bind {at}\n  server s {upstream}\n"
    );
    let running = Running::start("haproxy", at, |folder| {
        let file = folder.join("haproxy.cfg");
        fs::write(&file, config).expect("a file");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-f").arg(file).arg("-db");
        command
    });
    Hop { name: "haproxy", at, running: Some(running) }
}

const MODULES: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

fn nginx_stream(upstream: SocketAddr) -> Hop {
    let at = free();
    let module = if Path::new(MODULES).exists() { format!("load_module {MODULES};\n") } else { String::new() };
    let block = format!("stream {{ server {{ listen {at} backlog=4096; proxy_pass {upstream}; tcp_nodelay on; }} }}\n");
    let running = Running::start("nginx", at, |folder| nginx(folder, &format!("{module}worker_processes auto;\n"), &block));
    Hop { name: "nginx stream", at, running: Some(running) }
}

fn nginx(folder: &Path, head: &str, block: &str) -> Command {
    let file = folder.join("nginx.conf");
    let folder = folder.display();
    let text = format!(
        "{head}daemon off;\nuser root;\nworker_rlimit_nofile 20000;\npid {folder}/pid;\nerror_log {folder}/error crit;\n\
        events {{ worker_connections 9900; }}\n{block}"
    );
    fs::write(&file, text).expect("a file");
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(file).args(["-e", "/dev/null"]);
    command
}

/// A web server that sends 612 bytes: header and body in one segment, or each for itself.
pub fn web(apart: bool) -> (SocketAddr, Running) {
    let at = free();
    let running = Running::start("web", at, |folder| {
        fs::create_dir_all(folder.join("root")).expect("a folder");
        fs::write(folder.join("root/page"), vec![b'x'; 612]).expect("a file");
        let push = if apart { "off" } else { "on" };
        let root = folder.join("root");
        let block = format!(
            "http {{ access_log off; sendfile on; tcp_nopush {push}; keepalive_requests 100000000; \
            server {{ listen {at} backlog=4096; root {}; }} }}\n",
            root.display()
        );
        nginx(folder, "worker_processes 1;\n", &block)
    });
    (at, running)
}

/// A Redis that keeps nothing.
pub fn redis() -> (SocketAddr, Running) {
    let at = free();
    let running = Running::start("redis", at, |folder| {
        let mut command = Command::new("/usr/bin/redis-server");
        command.args(["--port", &at.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--dir", &folder.display().to_string(), "--maxclients", "9000"]);
        command
    });
    (at, running)
}
