//! `file`: is it there, how old, how large, what is in it.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use chaos_core::fault::SpecError;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::value::{FieldType, FieldValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Threads that may wait for a slow file system at once.
const WAITING_MAX: usize = 4;

/// The `file` probe.
pub struct File;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// The file. A relative path starts at the experiment's folder. Links are followed.
    pub path: PathBuf,
}

impl Probe for File {
    type Spec = FileSpec;
    type Client = FileClient;
    const KIND: &'static str = "file";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "looks at a file",
            about: "Reads what the file system says of one file: a checkpoint that must be young, a model that must be there. It is \
                    read, and its hash made, only where `sha256` is spoken of.",
            example: "probe: file\nwith: {path: /srv/checkpoints/latest}\ngood: exists && age < 10m && size > 1MB\n",
            fields: &[
                ProbeField { name: "exists", is: FieldType::Bool, about: "Is it there? The other fields are missing where it is not." },
                ProbeField { name: "age", is: FieldType::Duration, about: "Since it was last written to." },
                ProbeField { name: "size", is: FieldType::Size, about: "Its length." },
                ProbeField { name: "sha256", is: FieldType::Text, about: "SHA-256 of its content, in small hexadecimal digits." },
            ],
            good: None,
            of: &[],
        }
    }

    fn check(&self, spec: &FileSpec) -> Vec<SpecError> {
        if spec.path.as_os_str().is_empty() {
            return vec![SpecError::new("path", "a file probe needs a path")];
        }
        Vec::new()
    }

    async fn open(&self, spec: FileSpec, asking: &Asking) -> Result<FileClient, ProbeError> {
        Ok(FileClient {
            path: asking.folder.join(spec.path).into(),
            hash: asking.wanted.contains("sha256"),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        })
    }

    /// Off the prober's thread, because a file system may stall for as long as it likes. The permit goes with the
    /// thread, so that at most [`WAITING_MAX`] of them are ever stuck.
    async fn ask(client: &FileClient) -> Result<Answer, NoAnswer> {
        let failed = |e: &dyn std::fmt::Display| NoAnswer(e.to_string());
        let permit = Arc::clone(&client.waiting).acquire_owned().await.map_err(|e| failed(&e))?;
        let given_up = GivenUp::default();
        let (path, hash, stop) = (Arc::clone(&client.path), client.hash, given_up.0.clone());
        tokio::task::spawn_blocking(move || {
            let answer = look(&path, hash, &stop);
            drop(permit);
            answer
        })
        .await
        .map_err(|e| failed(&e))?
        .map_err(NoAnswer)
    }
}

/// A `file` question that is ready to be asked.
pub struct FileClient {
    path: Arc<Path>,
    hash: bool,
    waiting: Arc<Semaphore>,
}

/// Tells the thread, when the question is dropped, that nobody waits for it.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn look(path: &Path, hash: bool, given_up: &AtomicBool) -> Result<Answer, String> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Answer::new().with("exists", FieldValue::Bool(false)));
        }
        Err(e) => return Err(e.to_string()),
    };
    let written = meta.modified().map_err(|e| e.to_string())?;
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    let answer = Answer::new()
        .with("exists", FieldValue::Bool(true))
        .with("age", FieldValue::Duration(age))
        .with("size", FieldValue::Size(meta.len()));
    if !hash || !meta.is_file() {
        return Ok(answer);
    }
    Ok(answer.with("sha256", FieldValue::Text(sha256(path, given_up)?)))
}

fn sha256(path: &Path, given_up: &AtomicBool) -> Result<String, String> {
    let mut file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    while !given_up.load(Ordering::Relaxed) {
        match file.read(&mut chunk).map_err(|e| e.to_string())? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&chunk[..n]),
        }
    }
    Err("given up".into())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
