//! The kernel's own words about a network (rtnetlink), so that nothing is lost in how a tool shows it.
//!
//! Written apart from the codec under test, on purpose: a twin must not share its mistakes.

use std::collections::BTreeMap;
use std::io;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, sendto, socket};

// linux/netlink.h, linux/rtnetlink.h
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;
const RTM_GETQDISC: u16 = 38;
const RTM_GETTCLASS: u16 = 42;
const RTM_GETTFILTER: u16 = 46;
const IFLA_IFNAME: u16 = 3;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
/// What goes on changing: `TCA_STATS`, `TCA_XSTATS`, `TCA_STATS2`.
const COUNTERS: &[u16] = &[3, 4, 7];
/// `IFLA_STATS`, `IFLA_STATS64`, `IFLA_AF_SPEC` (with counters in it), and how often the carrier has come and gone.
const COUNTERS_OF_LINKS: &[u16] = &[7, 23, 26, 35, 47, 48];
/// `RTA_CACHEINFO`: when and how often a route was used.
const COUNTERS_OF_ROUTES: &[u16] = &[12];
const TCA_DUMP_INVISIBLE: u16 = 10;
/// How often a `u32` filter was met.
const TCA_U32_PCNT: u16 = 9;
/// The hooks of `clsact` (linux/pkt_sched.h): `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and the same for egress.
const HOOKS: [u32; 2] = [0xFFFF_FFF2, 0xFFFF_FFF3];

/// `struct nlmsghdr`, and what follows it: `ifinfomsg`, `ifaddrmsg`, `rtmsg`, `fib_rule_hdr`, `tcmsg`, `nfgenmsg`.
const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ROUTE: usize = 12;
const RULE: usize = 12;
const TC: usize = 20;
const NETFILTER: usize = 4;

/// linux/netfilter/nfnetlink.h, nf_tables.h: the tables of every family.
const NETLINK_NETFILTER: u32 = 12;
const NFT_GETTABLE: u16 = 10 << 8 | 1;

/// One message: its type and what follows the header.
struct Message {
    kind: u16,
    body: Vec<u8>,
}

/// Everything of this thread's namespace, by what it is.
pub(crate) fn network() -> io::Result<BTreeMap<String, String>> {
    let mut parts = traffic_control()?;
    for (what, kind, header, changing) in [
        ("links", RTM_GETLINK, LINK, COUNTERS_OF_LINKS),
        ("addresses", RTM_GETADDR, ADDRESS, &[]),
        ("routes", RTM_GETROUTE, ROUTE, COUNTERS_OF_ROUTES),
        ("rules", RTM_GETRULE, RULE, &[]),
    ] {
        let answers = ask(None, kind, &vec![0; header], &[])?;
        parts.insert(what.into(), lines(&answers, header, changing));
    }
    Ok(parts)
}

/// Is there any table of netfilter's in this thread's namespace?
pub(crate) fn has_tables() -> io::Result<bool> {
    let netfilter = rustix::net::Protocol::from_raw(NETLINK_NETFILTER.try_into().expect("not zero"));
    Ok(!ask(Some(netfilter), NFT_GETTABLE, &[0; NETFILTER], &[])?.is_empty())
}

/// Of every interface: qdiscs, classes, and filters on every qdisc, class and hook.
fn traffic_control() -> io::Result<BTreeMap<String, String>> {
    let mut parts = BTreeMap::new();
    let qdiscs = ask(None, RTM_GETQDISC, &tc(0, 0), &attribute(TCA_DUMP_INVISIBLE, &[]))?;
    for link in ask(None, RTM_GETLINK, &[0; LINK], &[])? {
        let index = word(&link.body, 4);
        let name = attributes(&link.body[LINK..]).find(|(kind, _)| *kind == IFLA_IFNAME);
        let name = name.map_or(String::new(), |(_, n)| String::from_utf8_lossy(n).trim_end_matches('\0').to_owned());
        let own: Vec<&Message> = qdiscs.iter().filter(|q| word(&q.body, 4) == index).collect();
        let mut classes = ask(None, RTM_GETTCLASS, &tc(index, 0), &[])?;
        // `cake` shows each flow that it has seen as a class: that is traffic, and nobody made it.
        classes.retain(|class| !attributes(&class.body[TC..]).any(|(kind, name)| kind == TCA_KIND && name.starts_with(b"cake")));
        let handles = own.iter().copied().chain(&classes).map(|m| word(&m.body, 8)).filter(|handle| *handle != 0);
        let mut parents: Vec<u32> = handles.chain(HOOKS).collect();
        parents.sort_unstable();
        parents.dedup();
        parts.insert(format!("{name}: qdiscs"), lines(own, TC, COUNTERS));
        parts.insert(format!("{name}: classes"), lines(&classes, TC, COUNTERS));
        for parent in parents {
            let filters = ask(None, RTM_GETTFILTER, &tc(index, parent), &[])?;
            if !filters.is_empty() {
                parts.insert(format!("{name}: filters of {parent:08x}"), lines(&filters, TC, COUNTERS));
            }
        }
    }
    Ok(parts)
}

/// A `struct tcmsg`: family, padding, interface, handle, parent, info.
fn tc(index: u32, parent: u32) -> [u8; TC] {
    let mut message = [0; TC];
    message[4..8].copy_from_slice(&index.to_ne_bytes());
    message[12..16].copy_from_slice(&parent.to_ne_bytes());
    message
}

fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).expect("a small attribute");
    [&length.to_ne_bytes(), &kind.to_ne_bytes(), content].concat()
}

/// A dump. An interface that is gone, or one without classes, has none.
fn ask(protocol: Option<rustix::net::Protocol>, kind: u16, body: &[u8], attributes: &[u8]) -> io::Result<Vec<Message>> {
    // The default protocol is NETLINK_ROUTE.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, protocol)?;
    let length = u32::try_from(HEADER + body.len() + attributes.len()).expect("a small message");
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message.extend(attributes);
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answers = Vec::new();
    loop {
        let mut bytes = vec![0; 1 << 18];
        let (_, got) = recv(&socket, bytes.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = &bytes[..got];
        while rest.len() >= HEADER {
            let length = (word(rest, 0) as usize).clamp(HEADER, rest.len());
            let (message, after) = rest.split_at(length);
            match half(message, 4) {
                NLMSG_DONE | NLMSG_ERROR => return Ok(answers),
                kind => answers.push(Message { kind, body: message[HEADER..].to_vec() }),
            }
            rest = &after[(length.next_multiple_of(4) - length).min(after.len())..];
        }
    }
}

/// A message a line: type, header and attributes, without what traffic changes.
fn lines<'a>(messages: impl IntoIterator<Item = &'a Message>, header: usize, changing: &[u16]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut lines = String::new();
    for message in messages {
        let (header, rest) = message.body.split_at(header.min(message.body.len()));
        let kind = attributes(rest).find(|(kind, _)| *kind == TCA_KIND).map_or(&[][..], |(_, name)| name);
        lines += &format!("{} {}", message.kind, hex(header));
        for (attribute, content) in attributes(rest).filter(|(kind, _)| !changing.contains(kind)) {
            if attribute == TCA_OPTIONS && kind == b"u32\0" {
                let options = attributes(content).filter(|(kind, _)| *kind != TCA_U32_PCNT);
                lines += &options.map(|(kind, content)| format!(" u32.{kind}={}", hex(content))).collect::<String>();
            } else {
                lines += &format!(" {attribute}={}", hex(content));
            }
        }
        lines.push('\n');
    }
    lines
}

/// The attributes that follow one another in these bytes.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(rest.get(..4)?, 0));
        let content = rest.get(4..length)?;
        // The two high bits say how it is coded, not what it is.
        let kind = half(rest, 2) & 0x3FFF;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_ne_bytes)
}
