//! The values that the command line takes: ports and durations, written as in experiments.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

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
    fn durations_need_a_unit_and_a_sensible_length() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "5", "s", "-1s", "0s", "2h", "1.2.3s", "99999m", "1 s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
