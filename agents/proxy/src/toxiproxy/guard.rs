//! Who may speak to the API (RULES 36). It starts and ends proxies without asking for a name, so a page in a browser, which can send
//! requests to this machine as well as any program, must not get through.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN, USER_AGENT};

/// Why a request is not listened to.
pub(super) fn refused(headers: &HeaderMap, token: Option<&str>) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if headers.contains_key(ORIGIN) {
        return Some("Requests from web pages are not allowed");
    }
    if text(USER_AGENT).is_some_and(|agent| agent.starts_with("Mozilla/")) {
        return Some("User agent not allowed");
    }
    match token {
        Some(token) => {
            let given = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
            (!given.is_some_and(|given| same(given.as_bytes(), token.as_bytes()))).then_some("A token is needed: Authorization: Bearer …")
        }
        // A name that somebody made point here is not ours (DNS rebinding).
        None => text(HOST).is_some_and(|host| !is_here(host)).then_some("This host is not served here"),
    }
}

/// Does it take the same time wherever they differ?
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

/// `localhost`, or a loopback address; a port may follow.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(&'static str, &'static str)], token: Option<&str>) -> bool {
        let headers = fields.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect();
        refused(&headers, token).is_none()
    }

    #[test]
    fn rule_36_browsers_and_strangers_are_refused() {
        for host in ["localhost:8474", "127.0.0.1:8474", "127.9.9.9", "[::1]:8474", "LOCALHOST"] {
            assert!(asked(&[("host", host)], None), "{host}");
        }
        for host in ["evil.example:8474", "127.0.0.1.evil.example", "192.168.0.1:8474", "", "[fe80::1]:1"] {
            assert!(!asked(&[("host", host)], None), "{host}");
        }
        assert!(!asked(&[("host", "localhost"), ("origin", "http://localhost")], None));
        assert!(!asked(&[("host", "localhost"), ("user-agent", "Mozilla/5.0 (X11)")], None));
        assert!(asked(&[("host", "localhost"), ("user-agent", "python-requests/2")], None));
    }

    #[test]
    fn rule_36_with_a_token_only_the_token_counts() {
        assert!(asked(&[("host", "chaos.example"), ("authorization", "Bearer secret")], Some("secret")));
        for given in [&[("authorization", "Bearer secre")][..], &[("authorization", "Basic secret")], &[("host", "localhost")]] {
            assert!(!asked(given, Some("secret")), "{given:?}");
        }
        assert!(!asked(&[("authorization", "Bearer secret"), ("origin", "null")], Some("secret")));
    }
}
