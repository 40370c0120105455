//! A leaf, and what is left of one, as a person removes it.

use std::path::Path;

use super::{Leaf, is_device_of};
use crate::cgroup::quoted;
use crate::faults::in_namespace;
use crate::net::hook::{self, Hook};
use crate::net::netlink::Socket;
use crate::net::{link, root};

impl Leaf {
    /// The same as shell commands for a person.
    pub(crate) fn explain(&self) -> Vec<String> {
        let mut commands = Vec::new();
        for branch in &self.branches {
            for place in &branch.places {
                commands.push(filter_by_hand(&place.interface, place.hook, &branch.device));
            }
        }
        commands.extend(self.branches.iter().map(|branch| format!("ip link del {}", branch.device)));
        commands.iter().map(|command| in_namespace(&self.namespace, command)).collect()
    }
}

/// A shell's command that removes the filters that lead to a device.
fn filter_by_hand(interface: &str, hook: Hook, device: &str) -> String {
    let hook = hook.name();
    let preferences = format!(r#"awk "/^filter/{{p=\$5}} /device {device}\)/{{print p}}""#);
    let listed = format!(r#"tc filter show dev "$1" {hook} | {preferences}"#);
    let each = format!(r#"while read p; do tc filter del dev "$1" {hook} pref $p; done"#);
    format!("sh -c '{listed} | {each}' sh {}", quoted(Path::new(interface)))
}

/// Something of ours, found without an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    /// Whose.
    pub(crate) tag: String,
    /// What a person calls it.
    pub(crate) what: String,
    /// How a person removes it, as a shell command.
    pub(crate) remove: String,
}

/// Every filter, then every device, then all hooks of ours in the namespace of the socket. What cannot be looked at holds none that we know of.
pub(crate) fn strays(socket: &mut Socket) -> Vec<Stray> {
    let links = link::all(socket).unwrap_or_default();
    let (mut found, mut hooks) = (Vec::new(), Vec::new());
    for link in &links {
        for (hook, filter) in hook::all(socket, link.index).unwrap_or_default() {
            let Some(label) = filter.label else { continue };
            let hook = hook.name();
            if label.is_mark() {
                hooks.push(Stray { tag: label.tag, what: format!("the hooks of {}", link.name), remove: root::by_hand(&link.name) });
            } else {
                let remove = format!("tc filter del dev {} {hook} pref {}", quoted(Path::new(&link.name)), filter.preference);
                found.push(Stray { tag: label.tag, what: format!("the filter at the {hook} of {}", link.name), remove });
            }
        }
    }
    // On each of the two there is a mark.
    hooks.dedup();
    let devices =
        links.iter().filter_map(|l| l.alias.as_ref().filter(|tag| tag.starts_with("chaos-") && is_device_of(l, tag)).map(|tag| (l, tag)));
    found.extend(devices.map(|(link, tag)| Stray {
        tag: tag.clone(),
        what: format!("the device {}", link.name),
        remove: format!("ip link del {}", link.name),
    }));
    found.extend(hooks);
    found
}
