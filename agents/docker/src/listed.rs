//! A container as the list of its engine has it: all that a selector asks of it, in one call for all of them.

use std::collections::BTreeMap;

use bollard::models::{ContainerSummary, ContainerSummaryHealthStatusEnum, ContainerSummaryStateEnum};

use crate::container::{Compose, Health, State};

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    /// Without the leading slash.
    pub(crate) name: String,
    /// As it was named when the container was made.
    pub(crate) image: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: State,
    pub(crate) health: Health,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// Names and ids of its networks.
    pub(crate) networks: Vec<(String, String)>,
    pub(crate) compose: Option<Compose>,
}

impl Listed {
    /// `None` for a line without id, which no engine gives.
    pub(crate) fn of(line: ContainerSummary) -> Option<Self> {
        let labels: BTreeMap<String, String> = line.labels.unwrap_or_default().into_iter().collect();
        let health = line.health.and_then(|h| h.status).map_or_else(|| health_in(line.status.as_deref().unwrap_or_default()), health_of);
        let networks = line.network_settings.and_then(|n| n.networks).unwrap_or_default();
        let id = line.id?;
        Some(Self {
            name: own_name(line.names.unwrap_or_default()).unwrap_or_else(|| id.clone()),
            image: line.image.unwrap_or_default(),
            state: line.state.map_or(State::Exited, state_of),
            health,
            created: line.created.and_then(|seconds| seconds.try_into().ok()).unwrap_or_default(),
            networks: networks.into_iter().map(|(name, at)| (name, at.network_id.unwrap_or_default())).collect(),
            compose: Compose::of(&labels),
            labels,
            id,
        })
    }

    /// Was it made by `docker compose run`? Such a one is none of its service's replicas.
    pub(crate) fn is_one_off(&self) -> bool {
        self.labels.get("com.docker.compose.oneoff").is_some_and(|is| is.eq_ignore_ascii_case("true"))
    }
}

/// Old links give it names of the form `/other/alias` besides.
fn own_name(names: Vec<String>) -> Option<String> {
    names.into_iter().map(|name| name.trim_start_matches('/').to_owned()).find(|name| !name.contains('/'))
}

fn state_of(state: ContainerSummaryStateEnum) -> State {
    match state {
        ContainerSummaryStateEnum::CREATED => State::Created,
        ContainerSummaryStateEnum::RUNNING => State::Running,
        ContainerSummaryStateEnum::PAUSED => State::Paused,
        ContainerSummaryStateEnum::RESTARTING => State::Restarting,
        ContainerSummaryStateEnum::REMOVING => State::Removing,
        ContainerSummaryStateEnum::DEAD => State::Dead,
        // What is being stopped is as good as ended.
        ContainerSummaryStateEnum::STOPPING | ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::EMPTY => State::Exited,
    }
}

fn health_of(status: ContainerSummaryHealthStatusEnum) -> Health {
    match status {
        ContainerSummaryHealthStatusEnum::STARTING => Health::Starting,
        ContainerSummaryHealthStatusEnum::HEALTHY => Health::Healthy,
        ContainerSummaryHealthStatusEnum::UNHEALTHY => Health::Unhealthy,
        ContainerSummaryHealthStatusEnum::NONE | ContainerSummaryHealthStatusEnum::EMPTY => Health::None,
    }
}

/// Before API 1.52 the list says it in the words for people only: `Up 2 hours (healthy)`.
fn health_in(status: &str) -> Health {
    match status.rsplit_once('(').map(|(_, last)| last) {
        Some("healthy)") => Health::Healthy,
        Some("unhealthy)") => Health::Unhealthy,
        Some("health: starting)") => Health::Starting,
        _ => Health::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(line: serde_json::Value) -> Listed {
        Listed::of(serde_json::from_value(line).expect("a line of a list")).expect("a container")
    }

    #[test]
    fn a_list_of_an_old_engine_says_how_well_it_is_in_words() {
        let health = |status: &str| listed(serde_json::json!({"Id": "a", "Status": status})).health;
        assert_eq!(health("Up 2 hours (healthy)"), Health::Healthy);
        assert_eq!(health("Up 2 hours (unhealthy)"), Health::Unhealthy);
        assert_eq!(health("Up 1 second (health: starting)"), Health::Starting);
        assert_eq!(health("Up 2 hours (Paused)"), Health::None);
        assert_eq!(health("Exited (137) 3 seconds ago"), Health::None);
    }

    #[test]
    fn a_list_of_a_new_engine_says_it_in_a_field() {
        let line = serde_json::json!({"Id": "a", "Status": "Up 2 hours", "State": "running", "Health": {"Status": "unhealthy"}});
        assert_eq!(listed(line).health, Health::Unhealthy);
    }

    #[test]
    fn names_that_links_give_are_not_its_own() {
        assert_eq!(listed(serde_json::json!({"Id": "a", "Names": ["/web/store", "/store"]})).name, "store");
    }
}
