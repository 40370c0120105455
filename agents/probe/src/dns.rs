//! `dns`: one question to one name server, as a resolver asks it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chaos_core::fault::SpecError;
use chaos_core::literal::Address;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::value::{FieldType, FieldValue};
use chaos_protocol::dns::{Message, Name, RecordType, framed, rcode_name, unframe};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use crate::reason;
use crate::resolve::Endpoint;

/// Where a host says which name servers it asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Longer answers come over TCP: nobody said that more than 512 bytes fit (RFC 1035, 2.3.4).
const DATAGRAM_MAX: usize = 4096;

/// The `dns` probe.
pub struct Dns;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsSpec {
    /// The name, whole: no search list is tried. With `type: PTR`, an address may stand here.
    pub name: String,
    /// Which records: `A` (default), `AAAA`, `CNAME`, `MX`, `NS`, `PTR`, `SOA`, `SRV`, `TXT`.
    #[serde(rename = "type", default = "address_records")]
    pub record_type: String,
    /// The name server. Default: the first in `/etc/resolv.conf`, port 53.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Address>,
}

fn address_records() -> String {
    RecordType::A.to_string()
}

impl DnsSpec {
    fn record_type(&self) -> Result<RecordType, SpecError> {
        let known = || RecordType::NAMED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        self.record_type.parse().map_err(|()| {
            SpecError::new("type", format!("`{}` is no type of record", self.record_type)).hint(format!("one of {}", known()))
        })
    }

    fn asked_name(&self, record_type: RecordType) -> Result<Name, SpecError> {
        let text = match self.name.parse::<IpAddr>() {
            Ok(ip) if record_type == RecordType::PTR => reverse_name(ip),
            Ok(_) => return Err(SpecError::new("name", "an address has no addresses").hint("`type: PTR` asks for its name")),
            Err(_) => self.name.clone(),
        };
        text.parse().map_err(|_| {
            SpecError::new("name", format!("`{text}` is no name")).hint("labels of 1 to 63 characters with dots between, 253 in all")
        })
    }
}

/// The name under which the name of an address is kept (RFC 1035 3.5, RFC 3596 2.5).
fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits = format!("{:032x}", u128::from(v6));
            digits.chars().rev().flat_map(|c| [c, '.']).chain("ip6.arpa".chars()).collect()
        }
    }
}

impl Probe for Dns {
    type Spec = DnsSpec;
    type Client = DnsClient;
    const KIND: &'static str = "dns";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "asks a name server",
            about: "Sends one query, over UDP from a fresh port each time, and waits for its answer; a truncated one is asked for again \
                    over TCP. Nothing is cached, and nothing sent twice: where a datagram is lost, the sample is bad after its timeout, \
                    although a resolver would have tried again some seconds later. An answer that says no (`NXDOMAIN`, `SERVFAIL`) is an \
                    answer: `good` tells what it should say.",
            example: "probe: dns\nwith: {name: store.internal, server: 127.0.0.53:53}\ngood: rcode == \"NOERROR\" && size(addresses) > 0\n",
            fields: &[
                ProbeField {
                    name: "addresses",
                    is: FieldType::List,
                    about: "The answers of the type that was asked for, as texts: addresses, or names and numbers as zone files write them.",
                },
                ProbeField { name: "rcode", is: FieldType::Text, about: "`NOERROR`, `NXDOMAIN`, `SERVFAIL` …" },
                ProbeField {
                    name: "ttl",
                    is: FieldType::Duration,
                    about: "For how long the answer may be kept: the shortest of its records. Missing where it has none.",
                },
            ],
            good: None,
            of: &[],
        }
    }

    fn check(&self, spec: &DnsSpec) -> Vec<SpecError> {
        match spec.record_type() {
            Ok(record_type) => spec.asked_name(record_type).err().into_iter().collect(),
            Err(e) => vec![e],
        }
    }

    async fn open(&self, spec: DnsSpec, _: &Asking) -> Result<DnsClient, ProbeError> {
        let refused = |e: SpecError| ProbeError { message: format!("{}: {}", e.path, e.message), hint: e.hint };
        let record_type = spec.record_type().map_err(refused)?;
        let name = spec.asked_name(record_type).map_err(refused)?;
        let server = match &spec.server {
            Some(address) => Endpoint::new(address.host(), address.port()),
            None => own_server()?,
        };
        Ok(DnsClient { name, record_type, server })
    }

    async fn ask(client: &DnsClient) -> Result<Answer, NoAnswer> {
        client.ask().await.map_err(NoAnswer)
    }
}

/// The name server that this host asks first.
fn own_server() -> Result<Endpoint, ProbeError> {
    let failed = |message: String| ProbeError { message, hint: Some("name one: `server: 127.0.0.53:53`".into()) };
    let text = std::fs::read_to_string(RESOLV_CONF).map_err(|e| failed(format!("read {RESOLV_CONF}: {e}")))?;
    let server = text.lines().find_map(|l| l.strip_prefix("nameserver")?.split_whitespace().next());
    server.map(|host| Endpoint::new(host, 53)).ok_or_else(|| failed(format!("{RESOLV_CONF} names no server")))
}

/// A `dns` question that is ready to be asked.
pub struct DnsClient {
    name: Name,
    record_type: RecordType,
    server: Endpoint,
}

impl DnsClient {
    async fn ask(&self) -> Result<Answer, String> {
        let query = Message::query(rand::random(), self.name.clone(), self.record_type);
        let bytes = query.write().map_err(|e| e.to_string())?;
        let server = *self.server.addresses().await?.first().ok_or("the name server's name has no address")?;
        let answer = over_udp(server, &query, &bytes).await?;
        if answer.flags.is_truncated() {
            return Ok(self.told(&self.over_tcp(&query, &bytes).await?));
        }
        Ok(self.told(&answer))
    }

    async fn over_tcp(&self, query: &Message, bytes: &[u8]) -> Result<Message, String> {
        let failed = |e: std::io::Error| format!("over TCP: {}", reason::of_io(&e));
        let mut stream = self.server.connect().await.map_err(|e| format!("over TCP: {e}"))?;
        stream.write_all(&framed(bytes)).await.map_err(failed)?;
        let mut came = Vec::new();
        while unframe(&came).is_none() {
            if stream.read_buf(&mut came).await.map_err(failed)? == 0 {
                return Err("over TCP: connection closed before the answer was complete".into());
            }
        }
        let answer = unframe(&came).map_or(&[][..], |(message, _)| message);
        let answer = Message::parse(answer).map_err(|e| e.to_string())?;
        if answer.answers_to(query) { Ok(answer) } else { Err("over TCP: an answer to another question".into()) }
    }

    fn told(&self, answer: &Message) -> Answer {
        let wanted = answer.answers.iter().filter(|r| r.data.record_type() == self.record_type);
        let addresses = wanted.map(|r| r.data.to_string().into()).collect();
        let told = Answer::new()
            .with("addresses", FieldValue::Any(serde_json::Value::Array(addresses)))
            .with("rcode", FieldValue::Text(rcode_name(answer.flags.rcode()).into_owned()));
        match answer.answers.iter().map(|r| r.ttl).min() {
            Some(seconds) => told.with("ttl", FieldValue::Duration(Duration::from_secs(seconds.into()))),
            None => told,
        }
    }
}

/// Passes over what answers another question: a datagram may be late, or forged.
async fn over_udp(server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Message, String> {
    let failed = |e: std::io::Error| reason::of_io(&e);
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    socket.send(bytes).await.map_err(failed)?;
    let mut came = [0; DATAGRAM_MAX];
    loop {
        let length = socket.recv(&mut came).await.map_err(failed)?;
        match Message::parse(&came[..length]) {
            Ok(answer) if answer.answers_to(query) => return Ok(answer),
            // An answer that cannot be read is one only if it is ours.
            Err(e) if came[..length.min(2)] == bytes[..2] => return Err(e.to_string()),
            _ => {}
        }
    }
}
