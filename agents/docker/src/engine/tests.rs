//! Which engine is meant, and engines that do not answer as they should: a server of a few lines stands in for them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Answers the requests for a path with what is given for it, one after the other and the last for ever; else with 404. Ends with the
/// test's process.
fn serve(socket: &Path, answers: &'static [(&'static str, &'static str)]) {
    let listener = UnixListener::bind(socket).expect("a socket");
    let asked = Arc::new(Mutex::new(HashMap::new()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || answer(&stream, answers, &asked));
        }
    });
}

fn answer(
    mut stream: &std::os::unix::net::UnixStream,
    answers: &[(&str, &'static str)],
    asked: &Mutex<HashMap<String, usize>>,
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let path = request.split(' ').nth(1)?.split('?').next()?;
    // With or without the version before it.
    let given: Vec<&str> = answers.iter().filter(|(end, _)| path.ends_with(end)).map(|(_, body)| *body).collect();
    let before = *asked.lock().ok()?.entry(path.to_owned()).and_modify(|n| *n += 1).or_default();
    let (status, body) = match given.get(before).or(given.last()) {
        None => ("404 Not Found", r#"{"message":"page not found"}"#),
        Some(body) if body.contains(r#""response":500"#) => ("500 Internal Server Error", *body),
        Some(body) => ("200 OK", *body),
    };
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).ok()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn surroundings(variables: &[(&str, &str)], sockets: &[PathBuf]) -> Surroundings {
    Surroundings {
        variables: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
        system_sockets: sockets.to_vec(),
    }
}

fn endpoints(variables: &[(&str, &str)], sockets: &[PathBuf]) -> Vec<String> {
    surroundings(variables, sockets).candidates().expect("candidates").endpoints.iter().map(ToString::to_string).collect()
}

fn refused(surroundings: &Surroundings) -> EngineError {
    runtime().block_on(Engine::discover(surroundings)).expect_err("no engine")
}

const MODERN: &[(&str, &str)] = &[("/version", r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#)];

/// A folder of settings with one context, as the `docker` command line writes it.
fn context(name: &str, host: &str, certificates: bool) -> tempfile::TempDir {
    let folder = folder();
    let hash = "c0ffee";
    let meta = folder.path().join("contexts/meta").join(hash);
    std::fs::create_dir_all(&meta).expect("a folder");
    let text = format!(r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#);
    std::fs::write(meta.join("meta.json"), text).expect("a context");
    if certificates {
        std::fs::create_dir_all(folder.path().join("contexts/tls").join(hash).join("docker")).expect("a folder");
    }
    folder
}

fn config(folder: &Path, text: &str) {
    std::fs::write(folder.join("config.json"), text).expect("settings");
}

#[test]
fn the_order_is_that_of_the_docker_command_line() {
    let settings = context("lab", "tcp://10.0.0.5:2376", false);
    config(settings.path(), r#"{"auths":{},"currentContext":"lab"}"#);
    let config_at = settings.path().to_str().expect("text");
    let sockets = [PathBuf::from("/var/run/docker.sock"), PathBuf::from("/run/podman/podman.sock")];

    let said = [("DOCKER_HOST", "unix:///a.sock"), ("DOCKER_CONTEXT", "lab"), ("DOCKER_CONFIG", config_at)];
    assert_eq!(endpoints(&said, &sockets), ["unix:///a.sock"]);
    assert_eq!(endpoints(&[("DOCKER_CONTEXT", "lab"), ("DOCKER_CONFIG", config_at)], &sockets), ["tcp://10.0.0.5:2376"]);
    assert_eq!(endpoints(&[("DOCKER_CONFIG", config_at)], &sockets), ["tcp://10.0.0.5:2376"], "the current context");
    assert_eq!(endpoints(&[("DOCKER_HOST", ""), ("DOCKER_CONFIG", config_at)], &sockets), ["tcp://10.0.0.5:2376"], "empty says nothing");
    assert_eq!(
        endpoints(&[("DOCKER_CONTEXT", "default"), ("DOCKER_CONFIG", config_at), ("XDG_RUNTIME_DIR", "/run/user/7")], &sockets),
        [
            "unix:///var/run/docker.sock",
            "unix:///run/user/7/docker.sock",
            "unix:///run/podman/podman.sock",
            "unix:///run/user/7/podman/podman.sock"
        ]
    );
    assert_eq!(endpoints(&[], &sockets), ["unix:///var/run/docker.sock", "unix:///run/podman/podman.sock"]);
}

#[test]
fn what_an_endpoint_says_is_enough_to_reach_it_again() {
    let settings = context("lab", "tcp://10.0.0.5:2376", true);
    let config_at = settings.path().to_str().expect("text");
    let of_context = endpoints(&[("DOCKER_CONTEXT", "lab"), ("DOCKER_CONFIG", config_at)], &[]).remove(0);
    assert_eq!(of_context, format!("tcp://10.0.0.5:2376?certificates={config_at}/contexts/tls/c0ffee/docker"));
    let said = [("DOCKER_HOST", "tcp://10.0.0.5"), ("DOCKER_TLS_VERIFY", "1"), ("HOME", "/home/me")];
    assert_eq!(endpoints(&said, &[]), ["tcp://10.0.0.5:2375?certificates=/home/me/.docker"]);
    for text in [of_context.as_str(), "unix:///var/run/docker.sock", "tcp://[::1]:2375", "tcp://store:2375"] {
        assert_eq!(Endpoint::read(text, "an undo").expect("an endpoint").to_string(), text);
    }
}

#[test]
fn only_what_is_here_may_have_processes_here() {
    let local = |text: &str| Endpoint::read(text, "a test").expect("an endpoint").is_local();
    assert!(local("unix:///var/run/docker.sock") && local("tcp://127.0.0.1:2375") && local("tcp://[::1]:2375") && local("tcp://localhost"));
    assert!(!local("tcp://10.0.0.5:2375") && !local("tcp://store:2376"));
}

#[test]
fn what_is_said_and_cannot_be_followed_is_refused_with_what_would_do() {
    let hint = |host: &str| {
        let error = surroundings(&[("DOCKER_HOST", host)], &[]).candidates().expect_err(host);
        assert!(error.message.contains(host) && error.message.contains("DOCKER_HOST"), "{error}");
        error.hint.expect("a hint")
    };
    assert!(hint("ssh://me@lab").contains("ssh -NL"));
    assert!(hint("unix://var/run/docker.sock").contains("unix:///"));
    assert!(hint("/var/run/docker.sock").contains("unix:///"));
    assert!(hint("npipe:////./pipe/docker_engine").contains("run chaos where"));
    assert!(hint("tcp://").contains("tcp://10.0.0.5:2376"));
    assert!(hint("gopher://lab").contains("unix://"));
}

#[test]
fn a_context_that_is_not_there_is_told_with_those_that_are() {
    let settings = context("lab", "ssh://me@lab", false);
    let at = settings.path().to_str().expect("text");
    let error = surroundings(&[("DOCKER_CONTEXT", "lap"), ("DOCKER_CONFIG", at)], &[]).candidates().expect_err("no such context");
    assert!(error.message.contains("`lap`") && error.hint.expect("a hint").contains("there are: lab"));
    let error = surroundings(&[("DOCKER_CONTEXT", "lab"), ("DOCKER_CONFIG", at)], &[]).candidates().expect_err("ssh");
    assert!(error.message.contains("the context `lab` of DOCKER_CONTEXT says `ssh://me@lab`"), "{error}");
    config(settings.path(), "{");
    let error = surroundings(&[("DOCKER_CONFIG", at)], &[]).candidates().expect_err("broken settings");
    assert!(error.message.contains("config.json") && error.hint.is_some(), "{error}");
}

#[test]
fn the_first_that_answers_is_taken_where_nobody_says() {
    let folder = folder();
    let (stale, gone, good) = (folder.path().join("stale"), folder.path().join("gone"), folder.path().join("good"));
    drop(UnixListener::bind(&stale).expect("a socket"));
    serve(&good, MODERN);
    let engine = runtime().block_on(Engine::discover(&surroundings(&[], &[stale, gone, good.clone()]))).expect("an engine");
    assert_eq!(engine.endpoint(), format!("unix://{}", good.display()));
    assert!(engine.is_local());
}

#[test]
fn without_an_engine_everything_that_was_tried_is_told() {
    let folder = folder();
    let (stale, gone) = (folder.path().join("stale"), folder.path().join("gone"));
    drop(UnixListener::bind(&stale).expect("a socket"));
    let error = refused(&surroundings(&[], std::slice::from_ref(&gone)));
    assert!(error.message.contains(&format!("unix://{}: there is no such socket", gone.display())), "{error}");
    assert!(error.hint.expect("a hint").contains("systemctl start docker"));
    let both = refused(&surroundings(&[], &[gone, stale.clone()]));
    assert!(both.message.contains("no such socket; ") && both.message.contains("nobody listens there"), "{both}");
    let said = refused(&Surroundings::with_host(&format!("unix://{}", stale.display())));
    assert!(said.message.ends_with("nobody listens there (as DOCKER_HOST says)"), "{said}");
}

#[test]
fn a_socket_that_we_may_not_use_is_told_with_its_group() {
    if rustix::process::geteuid().is_root() {
        // Root may use every socket. What is told of whose it is does not hang on that.
        let (whose, hint) = connect::owner(Path::new("/proc/self"));
        assert!(whose.contains("group `root`") && hint == "run as root", "{whose} {hint}");
        return;
    }
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    serve(&socket, MODERN);
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).expect("no permission");
    let error = refused(&surroundings(&[], &[socket]));
    assert!(error.message.contains("not permitted: it belongs to user") && error.hint.is_some(), "{error}");
}

#[test]
fn an_engine_that_is_too_old_or_none_at_all_is_refused() {
    let with = |answers| {
        let folder = folder();
        let socket = folder.path().join("docker.sock");
        serve(&socket, answers);
        refused(&surroundings(&[], &[socket]))
    };
    let old = with(&[("/version", r#"{"Version":"19.03.15","ApiVersion":"1.40","MinAPIVersion":"1.12"}"#)]);
    assert_eq!(old.kind, Failing::Version);
    assert!(old.message.contains("(19.03.15) speaks API 1.40, and chaos needs 1.41 or later"), "{old}");
    let new = with(&[("/version", r#"{"Version":"99.0.0","ApiVersion":"2.7","MinAPIVersion":"2.0"}"#)]);
    assert!(new.message.contains("speaks API 2.0 and later") && new.hint.as_deref() == Some("upgrade chaos"), "{new}");
    let other = with(&[("/version", r#"{"app":"a web server"}"#)]);
    assert!(other.hint.as_deref().is_some_and(|h| h.contains("is it a Docker engine")), "{other}");
    let html = with(&[("/version", "<html>")]);
    assert_eq!(html.kind, Failing::Unreadable, "{html}");
}

#[test]
fn a_call_that_gets_no_answer_says_that_it_may_still_happen() {
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    serve(&socket, MODERN);
    let error = runtime().block_on(async {
        let engine = Engine::connect(&format!("unix://{}", socket.display())).await.expect("an engine");
        let never = std::future::pending::<Result<(), bollard::errors::Error>>();
        engine.call("pause container ranker-1", Duration::from_millis(1), never).await.expect_err("no answer")
    });
    assert_eq!(error.kind, Failing::Unanswered);
    assert!(error.message.ends_with("pause container ranker-1: no answer in time; it may still happen"), "{error}");
}

#[test]
fn a_container_that_is_gone_is_looked_for_by_its_name() {
    const INSPECT: &str = r#"{"Id":"bbbbbbbbbbbbbbbb","Name":"/ranker","State":{"Status":"running","Pid":7},"Config":{},"HostConfig":{}}"#;
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    serve(
        &socket,
        &[
            ("/version", r#"{"ApiVersion":"1.41"}"#),
            ("/v1.41/containers/ranker/json", INSPECT),
            ("/v1.41/containers/bbbb/json", INSPECT),
            ("/v1.41/containers/cccc/json", "{}"),
        ],
    );
    runtime().block_on(async {
        let engine = Engine::connect(&format!("unix://{}", socket.display())).await.expect("an engine");
        assert_eq!(engine.speaks(), ClientVersion { major_version: 1, minor_version: 41 });
        let finding = async |id: &str, name: &str| engine.fate(id, name).await.expect("a fate").finding(name);
        assert_eq!(finding("aaaa", "ranker").await.as_deref(), Some("container ranker was recreated as bbbbbbbbbbbb"));
        assert_eq!(finding("bbbb", "ranker").await, None);
        assert_eq!(finding("bbbb", "ranger").await.as_deref(), Some("container ranger was renamed to ranker"));
        assert_eq!(finding("aaaa", "store").await.as_deref(), Some("container store was removed"));
        let pid = engine.container("bbbb").await.expect("an answer").expect("a container").pid;
        assert_eq!(pid, Some(7));
        // An answer that says nothing does not say that it was removed.
        assert_eq!(engine.fate("cccc", "ranker").await.expect_err("no answer").kind, Failing::Unreadable);
    });
}

#[test]
fn podmans_word_for_what_is_not_cleared_up_yet_passes() {
    const ENDED: &str =
        r#"{"Id":"bbbb","Name":"/ranker","State":{"Status":"stopped","Pid":0,"Health":{"Status":"","FailingStreak":0,"Log":null}}}"#;
    const CLEARED_UP: &str = r#"{"Id":"bbbb","Name":"/ranker","State":{"Status":"exited","Pid":0,"ExitCode":137}}"#;
    let folder = folder();
    let socket = folder.path().join("podman.sock");
    serve(
        &socket,
        &[
            ("/version", r#"{"Version":"4.3.1","ApiVersion":"1.41","MinAPIVersion":"1.24"}"#),
            ("/containers/json", r#"[{"Id":"aaaa","State":"running"},{"Id":"bbbb","State":"stopped"}]"#),
            ("/containers/json", r#"[{"Id":"aaaa","State":"running"},{"Id":"bbbb","State":"exited"}]"#),
            ("/containers/bbbb/json", ENDED),
            ("/containers/bbbb/json", ENDED),
            ("/containers/bbbb/json", CLEARED_UP),
            ("/containers/cccc/json", r#"{"Id":"cccc","Name":"/store","State":{"Status":"thawing"}}"#),
        ],
    );
    runtime().block_on(async {
        let engine = Engine::connect(&format!("unix://{}", socket.display())).await.expect("an engine");
        assert_eq!(engine.list().await.expect("a list").len(), 2);
        let ended = engine.container("bbbb").await.expect("an answer").expect("a container");
        assert_eq!((ended.state, ended.exit_code), (crate::container::State::Exited, 137));
        // A word that nobody knows does not pass.
        assert_eq!(engine.container("cccc").await.expect_err("no answer").kind, Failing::Unreadable);
    });
}

#[test]
fn a_container_that_podman_is_just_removing_is_none() {
    let folder = folder();
    let socket = folder.path().join("podman.sock");
    serve(
        &socket,
        &[
            ("/version", r#"{"Version":"4.3.1","ApiVersion":"1.41","MinAPIVersion":"1.24"}"#),
            (
                "/containers/bbbb/json",
                r#"{"cause":"no such container","message":"container bbbb does not exist in database: no such container","response":500}"#,
            ),
            ("/containers/cccc/json", r#"{"cause":"disk","message":"the database is broken","response":500}"#),
        ],
    );
    runtime().block_on(async {
        let engine = Engine::connect(&format!("unix://{}", socket.display())).await.expect("an engine");
        assert_eq!(engine.container("bbbb").await.expect("an answer"), None);
        assert_eq!(engine.container("cccc").await.expect_err("no answer").kind, Failing::Refused(500));
    });
}
