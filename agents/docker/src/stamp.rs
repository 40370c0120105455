//! The second net of faults on containers (RULES 13): the undo, stored in the engine beside the effect.
//!
//! Labels cannot be added to a container that exists. So each injection makes an empty volume that bears them: it outlives the container,
//! us, and a restart of the engine. It is made before the effect and removed after it; `chaos sweep` finds those that are left.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{Volume, VolumeCreateRequest};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};
use chaos_core::event::HostId;
use chaos_core::fault::{FaultError, InjectionId};
use serde::Serialize;
use serde_json::Value;

use crate::engine::{Engine, EngineError, QUESTION};
use crate::guard::TAG;
use crate::world::DockerView;

/// The run that it belongs to.
const RUN: &str = "chaos.run";
/// The kind of fault.
const KIND: &str = "chaos.kind";
/// The undo as JSON.
const UNDO: &str = "chaos.undo";
/// The host that the run belongs to, as JSON.
const HOST: &str = "chaos.host";

/// The faults that leave one. What claims to be of another was put there by somebody else (RULES 35).
const STAMPED: [&str; 5] = ["container.disconnect", "container.health", "container.kill", "container.pause", "container.stop"];

/// How long making or removing one may take.
const REQUEST: Duration = Duration::from_secs(15);

/// Puts the undo beside the effect, before it. Once more is as good as once.
///
/// # Errors
/// If the engine refuses, does not answer, or has a volume of that name which is not ours.
pub(crate) async fn put(engine: &Engine, id: &InjectionId, kind: &str, undo: &impl Serialize) -> Result<(), FaultError> {
    let tag = id.tag();
    let written = |what: serde_json::Result<String>| what.map_err(|e| FaultError::new(format!("write the undo of {kind}: {e}")));
    let labels = HashMap::from([
        (TAG.to_owned(), tag.clone()),
        (RUN.to_owned(), id.run.clone()),
        (KIND.to_owned(), kind.to_owned()),
        (UNDO.to_owned(), written(serde_json::to_string(undo))?),
        (HOST.to_owned(), written(serde_json::to_string(&HostId::here()))?),
    ]);
    let request = VolumeCreateRequest { name: Some(tag.clone()), labels: Some(labels), ..VolumeCreateRequest::default() };
    let made = engine.call(&format!("make volume {tag}, which bears the undo"), REQUEST, engine.api().create_volume(request)).await?;
    if made.labels.get(TAG) == Some(&tag) {
        return Ok(());
    }
    Err(FaultError::new(format!("the engine at {} has a volume {tag} that chaos did not make", engine.endpoint()))
        .hint(format!("`docker volume inspect {tag}` shows whose it is")))
}

/// Is it there?
///
/// # Errors
/// If the engine cannot say.
pub(crate) async fn stands(engine: &Engine, tag: &str) -> Result<bool, EngineError> {
    match engine.call(&format!("inspect volume {tag}"), QUESTION, engine.api().inspect_volume(tag)).await {
        Ok(volume) => Ok(volume.labels.get(TAG).is_some_and(|label| label == tag)),
        Err(e) if e.is_missing() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes it, if it is there and ours.
///
/// # Errors
/// If the engine refuses or does not answer.
pub(crate) async fn clear(engine: &Engine, tag: &str) -> Result<(), EngineError> {
    if !stands(engine, tag).await? {
        return Ok(());
    }
    let removing = engine.api().remove_volume(tag, None::<RemoveVolumeOptions>);
    match engine.call(&format!("remove volume {tag}"), REQUEST, removing).await {
        Err(e) if !e.is_missing() => Err(e),
        _ => Ok(()),
    }
}

/// An undo found in an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamp {
    /// The run that put it there.
    pub run: String,
    /// What it is: `the undo of container.pause on container ranker-1, in volume chaos-…`.
    pub what: String,
    /// The kind of fault.
    pub kind: String,
    /// How it is taken back.
    pub undo: Value,
    /// Is it of a run on this host? One of another host may live there, and is not ours to take back.
    pub is_own: bool,
}

/// Every undo that stands in the engine that is meant where nobody names one.
///
/// # Errors
/// If there is no engine, or it does not answer.
pub async fn sweep(view: &DockerView) -> Result<Vec<Stamp>, EngineError> {
    let engine = view.discovered().await?;
    let ours = ListVolumesOptionsBuilder::new().filters(&HashMap::from([("label", vec![UNDO])])).build();
    let answer = engine.call("list volumes", QUESTION, engine.api().list_volumes(Some(ours))).await?;
    let mut found: Vec<Stamp> =
        answer.volumes.unwrap_or_default().into_iter().filter_map(|volume| read(engine.endpoint(), &volume, &HostId::here())).collect();
    found.sort_by(|a, b| a.what.cmp(&b.what));
    Ok(found)
}

/// What a volume says. Whoever may make volumes may write into its labels what they like: so it is an undo of one of our own faults, on
/// the very engine that it stands in, and of a run of this host, or it is only shown (RULES 35).
fn read(endpoint: &str, volume: &Volume, here: &HostId) -> Option<Stamp> {
    let label = |name: &str| volume.labels.get(name);
    let (tag, run, kind) = (label(TAG)?, label(RUN)?, label(KIND)?);
    if *tag != volume.name || !STAMPED.contains(&kind.as_str()) {
        return None;
    }
    let mut undo: Value = serde_json::from_str(label(UNDO)?).ok()?;
    let at: &mut serde_json::Map<String, Value> = undo.get_mut("at")?.as_object_mut()?;
    at.insert("engine".into(), endpoint.into());
    at.insert("tag".into(), tag.as_str().into());
    let name = at.get("name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
    let host: Option<HostId> = label(HOST).and_then(|host| serde_json::from_str(host).ok());
    let is_own = host.as_ref().is_some_and(|host| host.is_host_of(here));
    let whose = match host {
        _ if is_own => String::new(),
        Some(host) => format!(" of a run on host {}, which may live there", host.name),
        None => " of a run on an unknown host".into(),
    };
    Some(Stamp {
        run: run.clone(),
        what: format!("the undo of {kind} on container {name}{whose}, in volume {tag} of the engine at {endpoint}"),
        kind: kind.clone(),
        undo,
        is_own,
    })
}

/// One word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(machine: &str) -> HostId {
        HostId { machine: machine.into(), boot: machine.into(), ..HostId::here() }
    }

    fn volume(labels: &[(&str, String)]) -> Volume {
        let labels: HashMap<String, String> = labels.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        Volume { name: "chaos-r-1.0.0".into(), labels, ..Volume::default() }
    }

    fn stamp(kind: &str, undo: &Value, machine: &str) -> Volume {
        let host = serde_json::to_string(&host(machine)).expect("JSON");
        volume(&[(TAG, "chaos-r-1.0.0".into()), (RUN, "r".into()), (KIND, kind.into()), (UNDO, undo.to_string()), (HOST, host)])
    }

    #[test]
    fn rule_35_a_stamp_acts_on_the_engine_that_bears_it_and_is_a_containers() {
        let undo = json!({"version": "1", "at": {"engine": "tcp://10.0.0.9:2375", "tag": "other", "name": "db", "id": "a"}});
        let read = |volume: &Volume| read("unix:///run/docker.sock", volume, &host("here"));
        let followed = read(&stamp("container.pause", &undo, "here")).expect("ours");
        assert_eq!((followed.kind.as_str(), followed.is_own), ("container.pause", true));
        assert_eq!(followed.undo["at"], json!({"engine": "unix:///run/docker.sock", "tag": "chaos-r-1.0.0", "name": "db", "id": "a"}));
        let strange = read(&stamp("container.pause", &undo, "elsewhere")).expect("shown");
        assert!(!strange.is_own && strange.what.contains("of a run on host"), "{strange:?}");
        // The last leaves none; what it writes to is said in its undo alone.
        for strange in ["file.corrupt", "container.limit"] {
            assert_eq!(read(&stamp(strange, &undo, "here")), None);
        }
        assert_eq!(read(&stamp("container.pause", &json!({"version": "1"}), "here")), None);
        assert_eq!(read(&volume(&[(UNDO, undo.to_string())])), None);
    }

    #[test]
    fn rule_13_what_leaves_a_stamp_is_looked_for() {
        let table = crate::faults(&std::sync::Arc::new(crate::Docker::new()));
        for fault in table.iter() {
            let leaves = fault.profile().second_net == chaos_core::fault::SecondNet::Stamp;
            assert_eq!(STAMPED.contains(&fault.kind()), leaves, "{}", fault.kind());
        }
    }

    #[test]
    fn words_for_a_shell_stay_one_word() {
        assert_eq!(quoted("unix:///run/docker.sock"), "unix:///run/docker.sock");
        assert_eq!(quoted("a b'c"), r"'a b'\''c'");
    }
}
