//! Which containers a selector means, and what is nearest where it means none.

use chaos_core::target::ResolveError;

use super::{ComposeSelector, Selector};
use crate::guard::{self, Own};
use crate::listed::Listed;

/// How many of what is near are named.
const NAMED: usize = 3;

/// One thing that a selector asks for: in words, and whether a container has it.
struct Asked<'a> {
    /// `label app=rankr`.
    what: String,
    has: Look<'a, bool>,
    /// What a container has in its place: `app=ranker`.
    instead: Look<'a, Vec<String>>,
}

/// A look at one container.
type Look<'a, T> = Box<dyn Fn(&Listed) -> T + 'a>;

/// A container that matches and is never a target, with the reason.
pub(super) type Never<'a> = (&'a Listed, String);

/// The labels that every container meant bears, so that its engine need not list the others.
pub(super) fn labels(selector: &Selector) -> Vec<String> {
    let compose = selector.compose.iter().flat_map(|c| [("project", &c.project), ("service", &c.service)]);
    let compose = compose.filter_map(|(key, value)| Some(format!("com.docker.compose.{key}={}", value.as_ref()?)));
    compose.chain(selector.labels.iter().map(|(key, value)| format!("{key}={value}"))).collect()
}

/// Everything that matches: what may be harmed, and what never is.
pub(super) fn select<'a>(selector: &Selector, everything: &'a [Listed], own: &Own) -> (Vec<&'a Listed>, Vec<Never<'a>>) {
    let asked = asked(selector);
    let mut found = Vec::new();
    let mut never = Vec::new();
    for container in everything.iter().filter(|container| asked.iter().all(|a| (a.has)(container))) {
        match guard::never(own, &container.id, &container.labels) {
            Some(why) => never.push((container, why)),
            None => found.push(container),
        }
    }
    (found, never)
}

/// Why nothing was found, with what is nearest.
pub(super) fn nothing(selector: &Selector, everything: &[Listed], never: &[Never<'_>], endpoint: &str) -> ResolveError {
    if let [(container, why), ..] = never {
        let others = if never.len() > 1 { format!(", nor are {} others", never.len() - 1) } else { String::new() };
        return ResolveError::nothing(format!("container {} is never a target: {why}{others}; nothing else matches", container.name))
            .hint("select others");
    }
    if everything.is_empty() {
        return ResolveError::nothing(format!("the engine at {endpoint} has no containers")).hint("is the system up? is it that engine?");
    }
    let asked = asked(selector);
    let unmet: Vec<&Asked<'_>> = asked.iter().filter(|a| !everything.iter().any(|c| (a.has)(c))).collect();
    let message = match unmet.as_slice() {
        // Each is met by some, but by no one together.
        [] => {
            let counted = |a: &Asked<'_>| format!("{} ({} have it)", a.what, everything.iter().filter(|c| (a.has)(c)).count());
            format!("no container has all of {}", asked.iter().map(counted).collect::<Vec<_>>().join(", "))
        }
        unmet => format!("no container has {}", unmet.iter().map(|a| a.what.as_str()).collect::<Vec<_>>().join(", nor ")),
    };
    let nearest = unmet.first().map(|a| nearest(a, everything)).filter(|near| !near.is_empty());
    match nearest {
        Some(near) => ResolveError::nothing(format!("{message}; nearest: {}", near.join(", "))).hint(format!("the engine is {endpoint}")),
        None => {
            ResolveError::nothing(message).hint(format!("is the system up? the engine is {endpoint}; `docker ps -a` shows what it has"))
        }
    }
}

/// What containers have in its place, most alike first.
fn nearest(asked: &Asked<'_>, everything: &[Listed]) -> Vec<String> {
    let mut seen: Vec<String> = everything.iter().flat_map(|c| (asked.instead)(c)).collect();
    seen.sort();
    seen.dedup();
    let word = asked.what.rsplit(' ').next().unwrap_or_default();
    seen.sort_by(|a, b| strsim::jaro_winkler(b, word).total_cmp(&strsim::jaro_winkler(a, word)));
    seen.truncate(NAMED);
    seen
}

fn asked(selector: &Selector) -> Vec<Asked<'_>> {
    let mut asked = Vec::new();
    if let Some(compose) = &selector.compose {
        asked.push(of_compose(compose));
    }
    if !selector.names.is_empty() {
        let names = selector.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        asked.push(Asked {
            what: format!("the name {names}"),
            has: Box::new(|c| selector.names.iter().any(|name| name.matches(&c.name))),
            instead: Box::new(|c| vec![c.name.clone()]),
        });
    }
    asked.extend(selector.labels.iter().map(|(key, value)| Asked {
        what: format!("label {key}={value}"),
        has: Box::new(move |c| c.labels.get(key) == Some(value)),
        // The same label with another value says more than another label.
        instead: Box::new(move |c| match c.labels.get(key) {
            Some(other) => vec![format!("{key}={other}")],
            None => c.labels.iter().filter(|(k, _)| !k.contains('.')).map(|(k, v)| format!("{k}={v}")).collect(),
        }),
    }));
    if let Some(image) = &selector.image {
        asked.push(Asked {
            what: format!("image {image}"),
            has: Box::new(|c| image.matches(&c.image) || image.matches(without_tag(&c.image))),
            instead: Box::new(|c| vec![c.image.clone()]),
        });
    }
    if let Some(network) = &selector.network {
        asked.push(Asked {
            what: format!("network {network}"),
            has: Box::new(move |c| c.networks.iter().any(|(name, id)| name == network || id == network)),
            instead: Box::new(|c| c.networks.iter().map(|(name, _)| name.clone()).collect()),
        });
    }
    asked
}

fn of_compose(selector: &ComposeSelector) -> Asked<'_> {
    let words = |project: Option<&str>, service: Option<&str>| [project, service].into_iter().flatten().collect::<Vec<_>>().join("/");
    Asked {
        what: match (&selector.project, &selector.service) {
            (Some(_), None) => format!("Compose project {}", words(selector.project.as_deref(), None)),
            (None, _) => format!("Compose service {}", words(None, selector.service.as_deref())),
            (Some(_), Some(_)) => format!("Compose service {}", words(selector.project.as_deref(), selector.service.as_deref())),
        },
        has: Box::new(|c| {
            let meant = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
            !c.is_one_off()
                && c.compose.as_ref().is_some_and(|is| meant(&selector.project, &is.project) && meant(&selector.service, &is.service))
        }),
        instead: Box::new(move |c| {
            let is = c.compose.as_ref().filter(|_| !c.is_one_off());
            is.map(|is| {
                words(selector.project.as_ref().map(|_| is.project.as_str()), selector.service.as_ref().map(|_| is.service.as_str()))
            })
            .into_iter()
            .collect()
        }),
    }
}

/// `registry:5000/shop/ranker:2` → `registry:5000/shop/ranker`.
fn without_tag(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}
