//! The values that the command line takes: ports and durations, written as in experiments.

use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr, time::Duration};

use tokio::net::TcpStream;

use crate::failure::Failure;

/// Most replicas that one gateway serves; a demo needs no more, and a slip of the keyboard
/// (`80-8003`) must not start thousands of processes.
const PORTS_MAX: usize = 64;

/// Ports in the order written: `8001-8003`, `8001, 8003`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) Vec<u16>);

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut ports = Vec::new();
        for piece in text.split(',') {
            let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(format!("the range `{}` runs backwards", piece.trim()));
            }
            if ports.len() + usize::from(last - first) >= PORTS_MAX {
                return Err(format!("more than {PORTS_MAX} ports"));
            }
            ports.extend(first..=last);
        }
        if ports.iter().collect::<BTreeSet<_>>().len() < ports.len() {
            return Err("a port is named twice".into());
        }
        Ok(Self(ports))
    }
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(0) | Err(_) => Err(format!("`{}` is not a port; write for example `8001-8003` or `8001,8003`", text.trim())),
        Ok(port) => Ok(port),
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, port) in self.0.iter().enumerate() {
            write!(out, "{}{port}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Where something listens, by name or address: `store:6379`, `127.0.0.1:6379`. A name is looked up for every connection, because
/// what bears it may be started anew elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Place {
    /// A new connection to it.
    pub(crate) async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect((self.host.as_str(), self.port)).await
    }

    /// Everything that bears the name now.
    pub(crate) async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect())
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, number) = text.rsplit_once(':').ok_or_else(|| format!("`{text}` has no port; write for example `store:6379`"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(format!("`{text}` names nobody; write for example `store:6379`"));
        }
        Ok(Self { host, port: port(number)? })
    }
}

/// A detour: what listens on one port is reached through another, where a proxy stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Through {
    part: u16,
    proxy: u16,
}

impl FromStr for Through {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (part, proxy) = text.split_once('=').ok_or_else(|| format!("`{text}` is not a detour; write for example `8002=9002`"))?;
        Ok(Self { part: port(part)?, proxy: port(proxy)? })
    }
}

impl fmt::Display for Through {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={}", self.part, self.proxy)
    }
}

/// The way to each port, detours taken into account. A detour to a port that no part has is refused.
pub(crate) fn reached(through: &[Through], parts: impl Iterator<Item = u16>) -> Result<impl Fn(u16) -> u16, Failure> {
    let parts: BTreeSet<u16> = parts.collect();
    match through.iter().find(|detour| !parts.contains(&detour.part)) {
        Some(detour) => Err(Failure::Detour { port: detour.part, parts: Ports(parts.into_iter().collect()) }),
        None => Ok(|port| through.iter().find(|detour| detour.part == port).map_or(port, |detour| detour.proxy)),
    }
}

/// Reads `250ms`, `1.5s` or `2m`. Zero and more than an hour are refused: each of these durations is
/// a timeout or a pause of the demo.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write for example `500ms` or `1.5s`");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * seconds;
    if !(0.001..=3600.0).contains(&seconds) {
        return Err(format!("`{text}` is not between 1ms and 60m"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_experiments_write_them() {
        let ports = |text: &str| text.parse::<Ports>().map(|ports| ports.0);
        assert_eq!(ports("8001-8003"), Ok(vec![8001, 8002, 8003]));
        assert_eq!(ports("8001, 8005"), Ok(vec![8001, 8005]));
        for wrong in ["", "0", "8003-8001", "80-8003", "8001,8001", "65536", "1-"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn detours_lead_from_parts_that_exist() {
        let through: Vec<Through> = ["8002=9002", "6379 = 6390"].iter().map(|text| text.parse().unwrap()).collect();
        let way = reached(&through, [8001, 8002, 6379].into_iter()).unwrap();
        assert_eq!([8001, 8002, 6379].map(way), [8001, 9002, 6390]);
        assert!(matches!(reached(&through, [8001, 8002].into_iter()), Err(Failure::Detour { port: 6379, .. })));
        for wrong in ["", "8002", "8002=", "0=8001", "8002:9002", "8001-8002=9001"] {
            assert!(wrong.parse::<Through>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_have_a_name_and_a_port() {
        let place = |text: &str| text.parse::<Place>().map(|place| (place.host, place.port));
        assert_eq!(place("store:6379"), Ok(("store".into(), 6379)));
        assert_eq!(place("[::1]:6379"), Ok(("::1".into(), 6379)));
        for wrong in ["", "store", ":6379", "store:0", "store:http"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit_and_a_sensible_length() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "5", "s", "-1s", "0s", "2h", "1.2.3s", "99999m", "1 s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
