//! `chaos proxy` with the API of Toxiproxy: public client libraries of three languages drive it unchanged, and nobody else gets in.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chaos_testbed::not_covered;
use rustix::process::{Pid, Signal, kill_process};

/// How long anything of ours may take. Installing a library takes what the network takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// `chaos proxy`, ended with the test.
struct Service {
    child: Child,
    said: PathBuf,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start(words: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let said = folder.path().join("said");
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
        command.arg("proxy").args(words).env("NO_COLOR", "1").env_remove("CHAOS_API_TOKEN").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&said).expect("a file")).spawn().expect("it starts");
        Self { child, said, _folder: folder }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// What follows these words, once it has said them.
    fn says(&mut self, words: &str) -> String {
        let since = Instant::now();
        loop {
            let said = self.said();
            if let Some(line) = said.lines().find_map(|line| line.split_once(words)) {
                return line.1.to_owned();
            }
            let ended = self.child.try_wait().expect("it can be asked");
            assert!(ended.is_none() && since.elapsed() < PATIENCE, "never said `{words}`: {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The API's address.
    fn api(&mut self) -> SocketAddr {
        self.says("API of Toxiproxy at http://").parse().expect("an address")
    }

    /// Its exit code, once it is asked to end.
    fn end(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        self.wait()
    }

    fn wait(&mut self) -> Option<i32> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return status.code();
            }
            assert!(since.elapsed() < PATIENCE, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An upstream that answers every byte with itself.
fn echo() -> SocketAddr {
    static ECHO: OnceLock<SocketAddr> = OnceLock::new();
    *ECHO.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let (mut from, mut to) = (client.try_clone().expect("a clone"), client);
                    let _ = std::io::copy(&mut from, &mut to);
                });
            }
        });
        address
    })
}

/// Nobody is told of an API that is not there.
#[test]
fn a_port_of_the_administrator_is_refused_with_its_own_hint() {
    let nobody = Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "true"]).output().is_ok_and(|o| o.status.success());
    let words = ["proxy", "--listen", "127.0.0.1:81", "--upstream", "127.0.0.1:3"];
    let floor = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if !nobody || floor.trim() != "1024" {
        not_covered("the hint for ports below 1024", "needs root, setpriv, and a host that keeps those ports");
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups"]).arg(env!("CARGO_BIN_EXE_chaos")).args(words).env_remove("CHAOS_API_TOKEN");
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("said");
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said).expect("a file")).spawn().expect("it starts");
    let mut service = Service { child, said, _folder: folder };
    assert_eq!(service.wait(), Some(2), "{}", service.said());
    assert!(service.said().contains("CAP_NET_BIND_SERVICE") && !service.said().contains("api-token"), "{}", service.said());
}

/// Where what the clients need is put: outside of the workspace's own dependencies.
fn clients() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("toxiproxy-clients");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/toxiproxy")
}

/// Gets a library; says so where it cannot be had. What was got once is used again.
fn got(test: &str, mark: &Path, command: &mut Command) -> bool {
    if mark.exists() {
        return true;
    }
    let done = command.stdin(Stdio::null()).output();
    match done {
        Ok(done) if done.status.success() => true,
        Ok(done) => {
            not_covered(test, &format!("the client library cannot be had: {}", String::from_utf8_lossy(&done.stderr).trim()));
            false
        }
        Err(error) => {
            not_covered(test, &format!("{} cannot be run: {error}", command.get_program().display()));
            false
        }
    }
}

/// Runs a client against a service of its own, and wants both to be well.
fn drives(command: &mut Command, words: &[&str]) {
    let mut service = Service::start(&["--api", "127.0.0.1:0"]);
    let api = service.api();
    let words =
        words.iter().map(|w| w.replace("API", &api.to_string()).replace("HOST", "127.0.0.1").replace("PORT", &api.port().to_string()));
    let done = command.args(words).arg(echo().to_string()).stdin(Stdio::null()).output().expect("it runs");
    let told = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && told.contains(": well"), "{told}\nthe service: {}", service.said());
    assert_eq!(service.end(), Some(0));
}

#[test]
fn the_client_of_python_works_unchanged() {
    let library = clients().join("python");
    let mut install = Command::new("python3");
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&library)
        .arg("toxiproxy-python==0.1.1");
    if got("the Python client of Toxiproxy", &library.join("toxiproxy"), &mut install) {
        drives(Command::new("python3").arg(scripts().join("client.py")).env("PYTHONPATH", &library), &["HOST", "PORT"]);
    }
}

#[test]
fn the_client_of_node_works_unchanged() {
    let library = clients().join("node");
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-fund", "--no-audit", "--prefix"]).arg(&library).arg("toxiproxy-node-client@4.1.0");
    if got("the Node client of Toxiproxy", &library.join("node_modules/toxiproxy-node-client"), &mut install) {
        drives(Command::new("node").arg(scripts().join("client.cjs")).env("NODE_PATH", library.join("node_modules")), &["http://API"]);
    }
}

#[test]
fn the_client_of_rust_works_unchanged() {
    let built = clients().join("rust");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(scripts().join("rust/Cargo.toml")).arg("--target-dir").arg(&built);
    // Cargo itself knows what was built already.
    if got("the Rust client of Toxiproxy", Path::new(""), &mut build) {
        drives(&mut Command::new(built.join("debug/toxiproxy-client-test")), &["API"]);
    }
}

/// What the API answers: status and body.
fn ask(api: SocketAddr, method: &str, path: &str, fields: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(api).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim().to_owned())
}

#[test]
fn errors_are_those_of_toxiproxy_to_the_letter() {
    let mut service = Service::start(&["--api", "127.0.0.1:0"]);
    let api = service.api();
    let host = format!("Host: {api}\r\n");
    let upstream = echo();
    let proxy = format!(r#"{{"name":"a/b","listen":"127.0.0.1:0","upstream":"{upstream}"}}"#);
    assert_eq!(ask(api, "POST", "/proxies", &host, &proxy).0, 201);
    for (method, path, body, status, says) in [
        ("POST", "/proxies", proxy.as_str(), 409, r#"{"error":"proxy already exists","status":409}"#),
        ("POST", "/proxies", r#"{"name":"x"}"#, 400, r#"{"error":"missing required field: upstream","status":400}"#),
        ("POST", "/proxies", r#"{"upstream":"x:1"}"#, 400, r#"{"error":"missing required field: name","status":400}"#),
        ("POST", "/proxies", "{", 400, r#"{"error":"bad request body: "#),
        ("GET", "/proxies/x", "", 404, r#"{"error":"proxy not found","status":404}"#),
        ("POST", "/proxies/x/toxics", "", 404, r#"{"error":"proxy not found","status":404}"#),
        ("GET", "/proxies/a%2Fb/toxics/x", "", 404, r#"{"error":"toxic not found","status":404}"#),
        ("POST", "/proxies/a%2Fb/toxics", r#"{"type":"x"}"#, 400, r#"{"error":"invalid toxic type","status":400}"#),
        (
            "POST",
            "/proxies/a%2Fb/toxics",
            r#"{"type":"latency","stream":"x"}"#,
            400,
            r#"{"error":"stream was invalid, can be either upstream or downstream","status":400}"#,
        ),
        (
            "POST",
            "/proxies/a%2Fb/toxics",
            r#"{"type":"latency","toxicity":0.3}"#,
            200,
            r#"{"attributes":{"latency":0,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":0.3}"#,
        ),
        ("POST", "/proxies/a%2Fb/toxics", r#"{"type":"latency"}"#, 409, r#"{"error":"toxic already exists","status":409}"#),
        ("DELETE", "/proxies/a%2Fb/toxics/latency_downstream", "", 204, ""),
        (
            "POST",
            "/populate",
            r#"[{"name":"y"}]"#,
            400,
            r#"{"error":"missing required field: upstream at proxy 1","status":400,"proxies":"#,
        ),
        ("GET", "/nowhere", "", 404, "404 page not found"),
        ("PUT", "/proxies", "", 405, ""),
        ("DELETE", "/proxies/a%2Fb", "", 204, ""),
        ("GET", "/proxies", "", 200, "{}"),
    ] {
        let (got, text) = ask(api, method, path, &host, body);
        assert!(got == status && text.starts_with(says), "{method} {path} {body}: {got} {text}");
    }
    assert_eq!(service.end(), Some(0));
}

/// Whatever cannot be leaves what is: the proxy, where it stands, what it stands before, and its open connections.
#[test]
fn bad_input_changes_nothing() {
    let mut service = Service::start(&["--api", "127.0.0.1:0"]);
    let api = service.api();
    let host = format!("Host: {api}\r\n");
    let upstream = echo();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address");
    let made = ask(api, "POST", "/proxies", &host, &format!(r#"{{"name":"a","listen":"127.0.0.1:0","upstream":"{upstream}"}}"#));
    assert_eq!(made.0, 201, "{}", made.1);
    let was = ask(api, "GET", "/proxies/a", &host, "").1;
    let at: SocketAddr =
        was.split(r#""listen":""#).nth(1).and_then(|t| t.split('"').next()).expect("it is told").parse().expect("an address");
    let mut client = TcpStream::connect(at).expect("it accepts");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let in_use = format!(r#"{{"listen":"{taken}"}}"#);
    let of_populate = format!(r#"[{{"name":"a","listen":"{taken}","upstream":"{upstream}"}}]"#);
    for (path, body) in [
        ("/proxies/a", r#"{"upstream":"garbage"}"#),
        ("/proxies/a", r#"{"listen":"127.0.0.1:99999"}"#),
        ("/proxies/a", in_use.as_str()),
        ("/populate", of_populate.as_str()),
        ("/populate", r#"[{"name":"a","listen":"127.0.0.1:0","upstream":"garbage"}]"#),
    ] {
        let (status, text) = ask(api, "POST", path, &host, body);
        assert!(status >= 400, "{path} {body}: {text}");
        assert_eq!(ask(api, "GET", "/proxies/a", &host, "").1, was, "{path} {body}");
        client.write_all(b"hello").expect("it is sent");
        let mut back = [0; 5];
        client.read_exact(&mut back).unwrap_or_else(|e| panic!("{path} {body}: {e}"));
    }
    assert_eq!(ask(api, "POST", "/proxies/a", &host, r#"{"enabled":false}"#).0, 200);
    let (_, off) = ask(api, "POST", "/proxies/a", &host, r#"{"upstream":"127.0.0.1:1"}"#);
    assert!(off.contains(r#""enabled":false"#) && off.contains("127.0.0.1:1\""), "who is off stays off: {off}");
}

#[test]
fn rule_36_browsers_and_strangers_do_not_get_in() {
    let mut service = Service::start(&["--api", "127.0.0.1:0"]);
    let api = service.api();
    for fields in
        ["Host: evil.example\r\n", "Host: localhost\r\nOrigin: http://localhost\r\n", "Host: localhost\r\nUser-Agent: Mozilla/5.0\r\n"]
    {
        assert_eq!(ask(api, "POST", "/reset", fields, "").0, 403, "{fields}");
    }
    assert_eq!(ask(api, "POST", "/reset", "Host: localhost\r\n", "").0, 204);

    let mut open = Service::start(&["--api", "0.0.0.0:0"]);
    assert_eq!(open.wait(), Some(2));
    assert!(open.said().contains("--api-token"), "{}", open.said());

    let mut guarded = Service::start(&["--api", "0.0.0.0:0", "--api-token", "secret"]);
    let api = SocketAddr::from(([127, 0, 0, 1], guarded.api().port()));
    assert_eq!(ask(api, "GET", "/version", "Host: any.example\r\n", "").0, 403);
    assert_eq!(ask(api, "GET", "/version", "Host: any.example\r\nAuthorization: Bearer secret\r\n", "").0, 200);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "kept\n").expect("it is written");
    let mut guarded = Service::start(&["--api", "0.0.0.0:0", "--api-token-file", file.to_str().expect("text")]);
    let api = SocketAddr::from(([127, 0, 0, 1], guarded.api().port()));
    assert_eq!(ask(api, "GET", "/version", "Host: any.example\r\nAuthorization: Bearer kept\r\n", "").0, 200);
}

#[test]
fn proxies_come_from_words_and_files_and_unix_sockets_serve_the_api() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, socket) = (folder.path().join("proxies.json"), folder.path().join("api.sock"));
    let upstream = echo().to_string();
    let text = format!(r#"[{{"name":"file","listen":"127.0.0.1:0","upstream":"{upstream}","speaks":"http"}}]"#);
    std::fs::write(&file, text).expect("it is written");
    let unix = format!("unix:{}", socket.display());
    let words = ["--listen", "127.0.0.1:0", "--upstream", &upstream, "--config", file.to_str().expect("text"), "--api", &unix];
    let mut service = Service::start(&words);
    assert_eq!(service.says("API of Toxiproxy at unix:"), socket.display().to_string());
    let before = format!(" before {upstream}, speaks http");
    let said = service.said();
    let at: SocketAddr = said.lines().find_map(|l| l.strip_suffix(&before)).expect("it is said").parse().expect("an address");
    let mut client = TcpStream::connect(at).expect("it accepts");
    client.write_all(b"hello").expect("it is sent");
    let mut back = [0; 5];
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.read_exact(&mut back).expect("it comes back");
    let mut api = std::os::unix::net::UnixStream::connect(&socket).expect("it accepts");
    api.write_all(b"GET /proxies/file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    api.read_to_string(&mut answer).expect("it is answered");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""name":"file""#), "{answer}");
    assert_eq!(service.end(), Some(0));
    assert!(!socket.exists(), "its socket goes with it");
}

#[test]
fn what_cannot_be_is_said() {
    for (words, says) in [
        (vec![], "nothing says where the proxy stands"),
        (vec!["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:2", "--upstream", "127.0.0.1:3"], "2 × --listen, but 1 × --upstream"),
        (vec!["--listen", "127.0.0.1:0"], "--upstream"),
        (vec!["--config", "/nowhere.json"], "/nowhere.json"),
        (vec!["--api", "somewhere"], "an address with a port"),
        (vec!["--listen", "foo", "--upstream", "127.0.0.1:3"], "an address needs its port"),
        (vec!["--listen", "127.0.0.1:99999", "--upstream", "127.0.0.1:3"], "there is no port 99999"),
        (
            vec!["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1", "--upstream", "127.0.0.1:3", "--upstream", "127.0.0.1:4"],
            "two proxies would listen at 127.0.0.1:1",
        ),
    ] {
        let mut service = Service::start(&words);
        assert_eq!(service.wait(), Some(2), "{words:?}");
        assert!(service.said().contains(says), "{words:?}: {}", service.said());
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
    let holder = TcpListener::bind(taken.expect("an address")).expect("the port");
    let listen = holder.local_addr().expect("its address").to_string();
    let mut service = Service::start(&["--listen", &listen, "--upstream", "127.0.0.1:1"]);
    assert_eq!(service.wait(), Some(2));
    assert!(
        service.said().contains(&format!("port {} is held by", holder.local_addr().expect("its address").port())),
        "{}",
        service.said()
    );
}
