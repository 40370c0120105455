//! Reaching an engine, and agreeing with it on a version.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::error::{EngineError, Failing};

/// How long an engine may take to answer the first question.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// The oldest API that is spoken: that of Docker 20.10.
const OLDEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// The client gives up long after every call of ours has: each has a limit of its own.
const NEVER: u64 = 3_600;

/// A client of the engine there, once it has answered, and the version that is agreed on.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<(Docker, ClientVersion), EngineError> {
    let client = match endpoint {
        Endpoint::Socket(path) => {
            answers(path).await?;
            Docker::connect_with_unix(&path.to_string_lossy(), NEVER, API_DEFAULT_VERSION)
        }
        Endpoint::Network { address, certificates: None } => Docker::connect_with_http(address, NEVER, API_DEFAULT_VERSION),
        Endpoint::Network { address, certificates: Some(folder) } => {
            let file = |name: &str| folder.join(name);
            // The other two are asked for where the engine asks for them.
            if !file("ca.pem").is_file() {
                return Err(EngineError::new(Failing::Unreachable, format!("connect to {endpoint}: there is no ca.pem in that folder"))
                    .hint("DOCKER_CERT_PATH names the folder of ca.pem, cert.pem and key.pem"));
            }
            Docker::connect_with_ssl(address, &file("key.pem"), &file("cert.pem"), &file("ca.pem"), NEVER, API_DEFAULT_VERSION)
        }
    };
    let client = client.map_err(|e| EngineError::of_call(&format!("connect to {endpoint}"), &e))?;
    agree(client, endpoint).await
}

/// Does anybody listen on this socket, and may we ask?
async fn answers(path: &Path) -> Result<(), EngineError> {
    let doing = format!("connect to unix://{}", path.display());
    let failed = |why: String| EngineError::new(Failing::Unreachable, format!("{doing}: {why}"));
    match timeout(FIRST_ANSWER, UnixStream::connect(path)).await {
        Ok(Ok(_)) => Ok(()),
        Err(_) => Err(failed("nobody accepts the connection".into()).hint("is the engine hung?")),
        Ok(Err(e)) => Err(match e.kind() {
            std::io::ErrorKind::NotFound => failed("there is no such socket".into()),
            std::io::ErrorKind::ConnectionRefused => failed("nobody listens there".into()).hint("start the engine"),
            std::io::ErrorKind::PermissionDenied => {
                let (whose, hint) = owner(path);
                failed(format!("not permitted{whose}")).hint(hint)
            }
            _ => failed(e.to_string()),
        }),
    }
}

/// Whose socket it is, and what to do to be let in.
pub(super) fn owner(path: &Path) -> (String, String) {
    let Ok(metadata) = std::fs::metadata(path) else {
        return (String::new(), "run as a user who may enter its folder".into());
    };
    let group = group_name(metadata.gid()).unwrap_or_else(|| metadata.gid().to_string());
    let whose = format!(": it belongs to user {} and group `{group}`", metadata.uid());
    let hint = match group.as_str() {
        "root" | "0" => "run as root".to_owned(),
        group => format!("join the group (`sudo usermod -aG {group} $USER`, then log in again), or run as root"),
    };
    (whose, hint)
}

/// The name of a group, where `/etc/group` has it.
fn group_name(gid: u32) -> Option<String> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

/// The newest version that both speak.
async fn agree(client: Docker, endpoint: &Endpoint) -> Result<(Docker, ClientVersion), EngineError> {
    let doing = format!("ask the engine at {endpoint} for its version");
    let answer = timeout(FIRST_ANSWER, client.version()).await.map_err(|_| EngineError::unanswered(&doing))?;
    let version = answer.map_err(|e| match EngineError::of_call(&doing, &e) {
        e if e.kind == Failing::Unreachable => e.hint(doubt(endpoint)),
        e => e,
    })?;
    let called = version.version.as_deref().unwrap_or("of an unknown version");
    let newest = read_version(version.api_version.as_deref());
    let Some((newest, said)) = newest else {
        return Err(EngineError::new(Failing::Unreadable, format!("{doing}: the answer names no version of an API"))
            .hint("is it a Docker engine, or a Podman service, that listens there?"));
    };
    if newest < OLDEST {
        return Err(EngineError::new(
            Failing::Version,
            format!("the engine at {endpoint} ({called}) speaks API {said}, and chaos needs {OLDEST} or later"),
        )
        .hint("Docker 20.10, Podman 3 and all later ones speak it: upgrade the engine"));
    }
    let oldest = read_version(version.min_api_version.as_deref());
    if let Some((_, said)) = oldest.filter(|(oldest, _)| oldest > API_DEFAULT_VERSION) {
        return Err(EngineError::new(
            Failing::Version,
            format!("the engine at {endpoint} ({called}) speaks API {said} and later, and this chaos speaks up to {API_DEFAULT_VERSION}"),
        )
        .hint("upgrade chaos"));
    }
    let agreed = if newest < *API_DEFAULT_VERSION { newest } else { *API_DEFAULT_VERSION };
    // The library leaves the version out of its addresses, and an engine then takes its own newest.
    let client = client.with_request_modifier(move |mut request| {
        let uri = request.uri();
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let rest = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let versioned = format!("{}://{host}/v{agreed}{rest}", uri.scheme_str().unwrap_or("http")).parse();
        if let Ok(versioned) = versioned {
            *request.uri_mut() = versioned;
        }
        request
    });
    Ok((client, agreed))
}

/// What may be wrong where nobody answers.
fn doubt(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Socket(_) => "is it an engine that listens there?",
        Endpoint::Network { certificates: None, .. } => "does it run, and listen there? does it want TLS (DOCKER_TLS_VERIFY=1)?",
        Endpoint::Network { certificates: Some(_), .. } => {
            "does it run, and listen there? are ca.pem, cert.pem and key.pem of its authority?"
        }
    }
}

/// `1.41` as version and as said.
fn read_version(said: Option<&str>) -> Option<(ClientVersion, String)> {
    let said = said?;
    let (major, minor) = said.split_once('.')?;
    Some((ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? }, said.to_owned()))
}
