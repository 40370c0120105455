//! Which request does what.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::collection::{ApiError, Collection};
use super::form::{ProxyInput, ToxicInput, ToxicUpdate};

/// The version of the API that is spoken, and by whom.
const VERSION: &str = concat!("2.12.0+chaos-", env!("CARGO_PKG_VERSION"));

/// An answer of the API.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn json(status: u16, value: &impl Serialize) -> Self {
        Self { status, kind: "application/json", body: serde_json::to_vec(value).unwrap_or_default() }
    }

    fn empty() -> Self {
        Self { status: 204, kind: "", body: Vec::new() }
    }

    /// Errors end with a line end, and call themselves text: so does Toxiproxy.
    pub(super) fn error(error: &ApiError) -> Self {
        let mut body = serde_json::to_vec(error).unwrap_or_default();
        body.push(b'\n');
        Self { status: error.status, kind: "text/plain; charset=utf-8", body }
    }

    pub(super) fn text(status: u16, text: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: format!("{text}\n").into_bytes() }
    }
}

/// Does what a request asks for. `path` has no percent signs in it any more.
pub(super) fn answer(collection: &mut Collection, method: &str, path: &[&str], body: &[u8]) -> Answer {
    route(collection, method, path, body).unwrap_or_else(|error| Answer::error(&error))
}

fn route(all: &mut Collection, method: &str, path: &[&str], body: &[u8]) -> Result<Answer, ApiError> {
    Ok(match (method, path) {
        ("GET", ["version"]) => {
            Answer { status: 200, kind: "application/json;charset=utf-8", body: format!("{{\"version\": \"{VERSION}\"}}\n").into_bytes() }
        }
        ("POST", ["reset"]) => all.reset().map(|()| Answer::empty())?,
        ("POST", ["populate"]) => populate(all, body),
        ("GET", ["proxies"]) => Answer::json(200, &all.all()),
        ("POST", ["proxies"]) => Answer::json(201, &all.create(read::<ProxyInput>(body)?)?),
        ("GET", ["proxies", proxy]) => Answer::json(200, &all.show(proxy)?),
        ("POST" | "PATCH", ["proxies", proxy]) => {
            all.show(proxy)?;
            Answer::json(200, &all.update(proxy, &read(body)?)?)
        }
        ("DELETE", ["proxies", proxy]) => all.delete(proxy).map(|()| Answer::empty())?,
        ("GET", ["proxies", proxy, "toxics"]) => Answer::json(200, &all.toxics(proxy)?),
        ("POST", ["proxies", proxy, "toxics"]) => {
            all.show(proxy)?;
            Answer::json(200, &all.add_toxic(proxy, read::<ToxicInput>(body)?)?)
        }
        ("GET", ["proxies", proxy, "toxics", toxic]) => Answer::json(200, &all.toxic(proxy, toxic)?),
        ("POST" | "PATCH", ["proxies", proxy, "toxics", toxic]) => {
            all.toxic(proxy, toxic)?;
            Answer::json(200, &all.update_toxic(proxy, toxic, &read::<ToxicUpdate>(body)?)?)
        }
        ("DELETE", ["proxies", proxy, "toxics", toxic]) => all.delete_toxic(proxy, toxic).map(|()| Answer::empty())?,
        (_, ["version" | "reset" | "populate" | "proxies"] | ["proxies", _] | ["proxies", _, "toxics"] | ["proxies", _, "toxics", _]) => {
            Answer { status: 405, kind: "", body: Vec::new() }
        }
        _ => Answer::text(404, "404 page not found"),
    })
}

/// What was done is told also where not all could be.
fn populate(all: &mut Collection, body: &[u8]) -> Answer {
    let inputs = match read::<Vec<ProxyInput>>(body) {
        Ok(inputs) => inputs,
        Err(error) => return Answer::json(error.status, &json!({"error": error.message, "status": error.status, "proxies": null})),
    };
    match all.populate(inputs) {
        (done, None) => Answer::json(201, &json!({"proxies": done})),
        (done, Some(error)) => Answer::json(error.status, &json!({"error": error.message, "status": error.status, "proxies": done})),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(ApiError::bad_body)
}
