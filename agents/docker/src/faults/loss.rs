//! What a container loses when its life ends, in sentences for the plan (RULES 15).

use super::subject::Subject;
use crate::container::{Container, RestartPolicy};

/// How its life ends, as its restart policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// By itself: a signal that did not come through the engine.
    ByItself,
    /// Asked for through the engine, which takes that as "stopped by hand".
    ByHand,
}

/// What does not come back when it is started again.
pub(super) fn losses(container: &Container) -> Vec<String> {
    let mut lost = vec!["what its processes hold in memory is lost".to_owned()];
    let tmpfs: Vec<&str> = container.mounts.iter().filter(|m| m.kind == "tmpfs").map(|m| m.destination.as_str()).collect();
    if !tmpfs.is_empty() {
        lost.push(format!("what lies on tmpfs is lost: {}", tmpfs.join(", ")));
    }
    let dynamic = container.networks.iter().filter(|n| n.fixed_ip4.is_none() && n.fixed_ip6.is_none());
    let addresses: Vec<String> = dynamic.filter_map(|n| Some(format!("{} on {}", n.ip4.as_ref().or(n.ip6.as_ref())?, n.network))).collect();
    if !addresses.is_empty() {
        lost.push(format!("addresses that nobody asked for may be others afterwards: {}", addresses.join(", ")));
    }
    let chosen: Vec<String> =
        container.published.iter().filter(|p| p.chosen).map(|p| format!("{} for {}", p.host_port, p.inside)).collect();
    if !chosen.is_empty() {
        lost.push(format!("ports that the engine chose on the host will be others afterwards: {}", chosen.join(", ")));
    }
    if container.restart_count > 0 {
        lost.push(format!("the engine's count of restarts, now {}, begins anew", container.restart_count));
    }
    lost
}

/// What became of one whose end removes it.
pub(super) fn removed_itself(at: &Subject) -> String {
    format!("container {} has removed itself as it ended (--rm): it is lost for ever", at.name)
}

/// What is lost where its end removes it.
pub(super) fn losses_of_removal(container: &Container) -> Vec<String> {
    let mut lost =
        vec![format!("container {} removes itself as it ends (--rm), with all it wrote: nothing can be taken back", container.name)];
    lost.extend(anonymous_volumes(container).map(|volumes| format!("its volumes without a name go with it: {volumes}")));
    lost
}

/// Where its volumes without a name are mounted.
pub(super) fn anonymous_volumes(container: &Container) -> Option<String> {
    let is_anonymous = |name: &String| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let anonymous = container.mounts.iter().filter(|m| m.kind == "volume" && m.volume.as_ref().is_some_and(is_anonymous));
    let places: Vec<&str> = anonymous.map(|m| m.destination.as_str()).collect();
    (!places.is_empty()).then(|| places.join(", "))
}

/// What its restart policy will do.
pub(super) fn policy(container: &Container, ending: Ending) -> String {
    let policy = container.restart_policy;
    match (policy, ending) {
        (RestartPolicy::No, _) => "no restart policy: it stays down until this is taken back, which starts it".into(),
        (_, Ending::ByItself) => {
            let when = if matches!(policy, RestartPolicy::OnFailure(_)) { " unless it ends with exit code 0" } else { "" };
            format!(
                "restart policy {policy}: the engine starts it again by itself{when}; should it not have done so by the end, this is taken back by starting it"
            )
        }
        (_, Ending::ByHand) => {
            // An engine that comes up looks at the policy alone; only `unless-stopped` remembers who ended it.
            let unless = match policy {
                RestartPolicy::Always => ", unless that is restarted meanwhile",
                RestartPolicy::OnFailure(_) => ", unless that is restarted meanwhile and it ended with another exit code than 0",
                _ => "",
            };
            format!(
                "restart policy {policy} does not apply to what is stopped through the engine{unless}: it stays down until this is taken back, which starts it"
            )
        }
    }
}
