//! Records: what a name has.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Cursor, DnsError, Name};

/// The type of a record, or of what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// IPv4 address.
    pub const A: Self = Self(1);
    /// Name server of a zone.
    pub const NS: Self = Self(2);
    /// Another name.
    pub const CNAME: Self = Self(5);
    /// Start of a zone.
    pub const SOA: Self = Self(6);
    /// The name of an address.
    pub const PTR: Self = Self(12);
    /// Mail server.
    pub const MX: Self = Self(15);
    /// Text.
    pub const TXT: Self = Self(16);
    /// IPv6 address.
    pub const AAAA: Self = Self(28);
    /// Host and port of a service.
    pub const SRV: Self = Self(33);

    /// The types that have a name here.
    pub const NAMED: &[(&str, Self)] = &[
        ("A", Self::A),
        ("AAAA", Self::AAAA),
        ("CNAME", Self::CNAME),
        ("MX", Self::MX),
        ("NS", Self::NS),
        ("PTR", Self::PTR),
        ("SOA", Self::SOA),
        ("SRV", Self::SRV),
        ("TXT", Self::TXT),
    ];
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(_, t)| t == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl FromStr for RecordType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, t)| *t).ok_or(())
    }
}

/// A record of class `IN`, or another's with its data as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: Name,
    /// Class; 1 is `IN`. Other meanings in `OPT`.
    pub class: u16,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name that this one is another word for.
    Cname(Name),
    /// A name server.
    Ns(Name),
    /// The name of an address.
    Ptr(Name),
    /// A mail server: the lowest preference is asked first.
    Mx {
        /// Preference.
        preference: u16,
        /// Host.
        exchange: Name,
    },
    /// A service.
    Srv {
        /// The lowest is asked first.
        priority: u16,
        /// Share among those of equal priority.
        weight: u16,
        /// Port.
        port: u16,
        /// Host.
        target: Name,
    },
    /// Texts of up to 255 bytes.
    Txt(Vec<Vec<u8>>),
    /// Start of a zone: what says for how long a name may be held not to exist.
    Soa {
        /// Primary name server.
        server: Name,
        /// Mailbox of who is responsible, as a name.
        mailbox: Name,
        /// Serial, refresh, retry, expire, minimum: the last is the time for which *there is no such name* may be kept.
        numbers: [u32; 5],
    },
    /// Another type.
    Other(RecordType, Vec<u8>),
}

impl Data {
    /// Its type.
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::AAAA,
            Self::Cname(_) => RecordType::CNAME,
            Self::Ns(_) => RecordType::NS,
            Self::Ptr(_) => RecordType::PTR,
            Self::Mx { .. } => RecordType::MX,
            Self::Srv { .. } => RecordType::SRV,
            Self::Txt(_) => RecordType::TXT,
            Self::Soa { .. } => RecordType::SOA,
            Self::Other(t, _) => *t,
        }
    }

    pub(super) fn read(cursor: &mut Cursor<'_>, is: RecordType, length: usize) -> Result<Self, DnsError> {
        let end = cursor.at.checked_add(length).filter(|end| *end <= cursor.whole.len()).ok_or(DnsError::Short)?;
        let data = match is {
            RecordType::A => Self::A(octets::<4>(cursor)?.into()),
            RecordType::AAAA => Self::Aaaa(octets::<16>(cursor)?.into()),
            RecordType::CNAME => Self::Cname(Name::read(cursor)?),
            RecordType::NS => Self::Ns(Name::read(cursor)?),
            RecordType::PTR => Self::Ptr(Name::read(cursor)?),
            RecordType::MX => Self::Mx { preference: cursor.u16()?, exchange: Name::read(cursor)? },
            RecordType::SRV => {
                Self::Srv { priority: cursor.u16()?, weight: cursor.u16()?, port: cursor.u16()?, target: Name::read(cursor)? }
            }
            RecordType::TXT => Self::Txt(texts(cursor, end)?),
            RecordType::SOA => Self::Soa {
                server: Name::read(cursor)?,
                mailbox: Name::read(cursor)?,
                numbers: [cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?],
            },
            other => Self::Other(other, cursor.take(length)?.to_vec()),
        };
        if cursor.at == end { Ok(data) } else { Err(DnsError::Record) }
    }

    pub(super) fn write(&self, to: &mut Vec<u8>, written: &mut HashMap<Vec<Vec<u8>>, u16>) {
        match self {
            Self::A(address) => to.extend_from_slice(&address.octets()),
            Self::Aaaa(address) => to.extend_from_slice(&address.octets()),
            Self::Cname(name) | Self::Ns(name) | Self::Ptr(name) => name.write(to, written),
            Self::Mx { preference, exchange } => {
                to.extend_from_slice(&preference.to_be_bytes());
                exchange.write(to, written);
            }
            Self::Srv { priority, weight, port, target } => {
                [priority, weight, port].into_iter().for_each(|n| to.extend_from_slice(&n.to_be_bytes()));
                // RFC 2782: the target is not compressed.
                target.write(to, &mut HashMap::new());
            }
            Self::Txt(texts) => {
                for part in texts.iter().flat_map(|t| if t.is_empty() { vec![&t[..]] } else { t.chunks(255).collect() }) {
                    to.push(u8::try_from(part.len()).unwrap_or(0));
                    to.extend_from_slice(part);
                }
            }
            Self::Soa { server, mailbox, numbers } => {
                server.write(to, written);
                mailbox.write(to, written);
                numbers.iter().for_each(|n| to.extend_from_slice(&n.to_be_bytes()));
            }
            Self::Other(_, bytes) => to.extend_from_slice(bytes),
        }
    }
}

/// As zone files write it, without the type.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Cname(name) | Self::Ns(name) | Self::Ptr(name) => write!(f, "{name}"),
            Self::Mx { preference, exchange } => write!(f, "{preference} {exchange}"),
            Self::Srv { priority, weight, port, target } => write!(f, "{priority} {weight} {port} {target}"),
            Self::Txt(texts) => f.write_str(&String::from_utf8_lossy(&texts.concat())),
            Self::Soa { server, mailbox, numbers } => {
                write!(f, "{server} {mailbox}")?;
                numbers.iter().try_for_each(|n| write!(f, " {n}"))
            }
            Self::Other(_, bytes) => bytes.iter().try_for_each(|b| write!(f, "{b:02x}")),
        }
    }
}

fn octets<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u8; N], DnsError> {
    cursor.take(N)?.try_into().map_err(|_| DnsError::Short)
}

fn texts(cursor: &mut Cursor<'_>, end: usize) -> Result<Vec<Vec<u8>>, DnsError> {
    let mut found = Vec::new();
    while cursor.at < end {
        let length = cursor.u8()?;
        found.push(cursor.take(usize::from(length))?.to_vec());
    }
    Ok(found)
}
