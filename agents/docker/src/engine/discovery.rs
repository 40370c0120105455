//! Which engine is meant, in the order of the `docker` command line.
//!
//! ```text
//! DOCKER_HOST ─▶ DOCKER_CONTEXT ─▶ currentContext of config.json ─▶ the first of these that answers:
//!   (said: only that one)                                            /var/run/docker.sock      Docker
//!                                                                    $XDG_RUNTIME_DIR/docker.sock   Docker, rootless
//!                                                                    /run/podman/podman.sock   Podman
//!                                                                    $XDG_RUNTIME_DIR/podman/podman.sock
//! ```
//! What somebody said is never replaced by something else that happens to answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::endpoint::Endpoint;
use super::error::{EngineError, Failing};

/// What decides which engine is meant. Read once; a test makes its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// The environment, as far as it matters.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where engines of the whole system listen.
    pub(crate) system_sockets: Vec<PathBuf>,
}

/// The environment that is read.
const VARIABLES: [&str; 8] =
    ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "HOME", "XDG_RUNTIME_DIR"];

/// Which engines may be meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// In this order.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Who said so: `DOCKER_HOST`; none: these are the usual places.
    pub(crate) said: Option<String>,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        let variables = VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
        Self { variables, system_sockets: vec!["/var/run/docker.sock".into(), "/run/podman/podman.sock".into()] }
    }

    /// As if `DOCKER_HOST` said this.
    pub(crate) fn with_host(host: &str) -> Self {
        Self { variables: BTreeMap::from([("DOCKER_HOST".to_owned(), host.to_owned())]), system_sockets: Vec::new() }
    }

    /// Which engines may be meant.
    ///
    /// # Errors
    /// If what somebody said cannot be followed.
    pub(crate) fn candidates(&self) -> Result<Candidates, EngineError> {
        if let Some(host) = self.get("DOCKER_HOST") {
            let endpoint = self.encrypted(Endpoint::read(host, "DOCKER_HOST")?);
            return Ok(Candidates { endpoints: vec![endpoint], said: Some("DOCKER_HOST".into()) });
        }
        let context = match self.get("DOCKER_CONTEXT") {
            Some(name) => Some((name.to_owned(), "DOCKER_CONTEXT".to_owned())),
            None => self.current_context()?,
        };
        match context {
            Some((name, said)) if name != "default" => {
                let endpoint = self.context(&name, &said)?;
                Ok(Candidates { endpoints: vec![endpoint], said: Some(format!("the context `{name}` of {said}")) })
            }
            _ => Ok(Candidates { endpoints: self.usual(), said: None }),
        }
    }

    /// A variable that says something.
    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The folder of the `docker` command line's own settings.
    fn settings(&self) -> Option<PathBuf> {
        match self.get("DOCKER_CONFIG") {
            Some(folder) => Some(folder.into()),
            None => Some(Path::new(self.get("HOME")?).join(".docker")),
        }
    }

    /// TLS as `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and `DOCKER_CERT_PATH` ask for it. The certificate is always verified.
    fn encrypted(&self, endpoint: Endpoint) -> Endpoint {
        let asked = self.get("DOCKER_TLS_VERIFY").is_some() || self.get("DOCKER_TLS").is_some();
        let folder = self.get("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| self.settings());
        match folder {
            Some(folder) if asked => endpoint.with_certificates(folder),
            _ => endpoint,
        }
    }

    /// Where engines usually listen on this host.
    fn usual(&self) -> Vec<Endpoint> {
        let mut sockets = self.system_sockets.clone();
        if let Some(runtime) = self.get("XDG_RUNTIME_DIR").map(Path::new) {
            sockets.insert(1.min(sockets.len()), runtime.join("docker.sock"));
            sockets.push(runtime.join("podman/podman.sock"));
        }
        sockets.into_iter().map(Endpoint::Socket).collect()
    }

    /// The name that `docker context use` has written down, and where.
    fn current_context(&self) -> Result<Option<(String, String)>, EngineError> {
        let Some(file) = self.settings().map(|folder| folder.join("config.json")) else { return Ok(None) };
        let config: Option<Config> = read(&file)?;
        let name = config.and_then(|c| c.current_context).filter(|name| !name.is_empty());
        Ok(name.map(|name| (name, file.display().to_string())))
    }

    /// Where the engine of a context is reached.
    fn context(&self, name: &str, said: &str) -> Result<Endpoint, EngineError> {
        let contexts = self.settings().map(|folder| folder.join("contexts")).unwrap_or_default();
        let mut others = Vec::new();
        // The folder's name is a hash of the context's; its description is what counts.
        for entry in std::fs::read_dir(contexts.join("meta")).into_iter().flatten().flatten() {
            let Some(context) = read::<Context>(&entry.path().join("meta.json"))? else { continue };
            if context.name == name {
                return reached(&context, &contexts.join("tls").join(entry.file_name()).join("docker"), said);
            }
            others.push(context.name);
        }
        let known = if others.is_empty() { "there are none".to_owned() } else { format!("there are: {}", others.join(", ")) };
        let message = format!("{said} names the context `{name}`, and {} has no such context", contexts.display());
        Err(EngineError::new(Failing::Unreachable, message).hint(format!("{known}; `docker context ls` shows them")))
    }
}

fn reached(context: &Context, certificates: &Path, said: &str) -> Result<Endpoint, EngineError> {
    let whose = format!("the context `{}` of {said}", context.name);
    let Some(docker) = &context.endpoints.docker else {
        return Err(EngineError::new(Failing::Unreachable, format!("{whose} has no Docker engine")).hint("name another context"));
    };
    let endpoint = Endpoint::read(&docker.host, &whose)?;
    if docker.skip_tls_verify {
        return Err(EngineError::new(Failing::Unreachable, format!("{whose} skips the verification of the engine's certificate"))
            .hint("chaos always verifies: give the context the engine's authority (`docker context update --docker ca=…`)"));
    }
    Ok(if certificates.is_dir() { endpoint.with_certificates(certificates.to_owned()) } else { endpoint })
}

/// A file of JSON; nothing where there is none.
fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Option<T>, EngineError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(EngineError::new(Failing::Unreachable, format!("read {}: {e}", file.display()))),
    };
    serde_json::from_str(&text).map(Some).map_err(|e| {
        EngineError::new(Failing::Unreachable, format!("read {}: {e}", file.display())).hint("set DOCKER_HOST to go past it, or repair it")
    })
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Endpoints", default)]
    endpoints: Endpoints,
}

#[derive(Deserialize, Default)]
struct Endpoints {
    docker: Option<DockerEndpoint>,
}

#[derive(Deserialize)]
struct DockerEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}
