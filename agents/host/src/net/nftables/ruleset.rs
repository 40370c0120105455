//! A table with its chains and rules, and the messages that make it, all in one batch: the whole table is there, or nothing of it.

use crate::net::netlink::{APPEND, CREATE, EXCLUSIVE, Message};

use super::expression::Rule;
use super::{NEW_CHAIN, NEW_RULE, NEW_TABLE, Ownership, message};

const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const TABLE_USERDATA: u16 = 6;
/// `NFT_TABLE_F_OWNER`.
const OWNER: u32 = 0x2;

/// A table of family `inet`: both versions of the internet protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruleset {
    /// The injection's tag: the table's name and its comment, by which we know it for ours.
    pub(crate) tag: String,
    /// Its chains.
    pub(crate) chains: Vec<Chain>,
}

/// A list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its name in the table.
    pub(crate) name: String,
    /// Where packets come from; none: from other chains alone.
    pub(crate) hook: Option<Hook>,
    /// Asked one after the other.
    pub(crate) rules: Vec<Rule>,
}

/// Where in the way of a packet a chain is asked, and what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hook {
    /// The place.
    pub(crate) at: At,
    /// Chains with a smaller number are asked first.
    pub(crate) priority: i32,
    /// What it may do.
    pub(crate) kind: Kind,
}

/// What a chain may do with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Let them pass, or not.
    Filter,
    /// Change them, upon which their way is found anew. Only of packets that this host sends.
    Route,
    /// Change where a connection goes. It is asked of a connection's first packet alone.
    Translate,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Route => "route",
            Self::Translate => "nat",
        }
    }
}

/// A place in the way of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// It has arrived, and nobody has decided where it goes.
    Prerouting,
    /// It is for a process of this namespace.
    Input,
    /// A process of this namespace sent it.
    Output,
}

impl At {
    /// `NF_INET_…`.
    fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Output => 3,
        }
    }
}

impl Ruleset {
    /// How many rules it has.
    pub(crate) fn rules(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }

    /// The messages that make it: the table, its chains, and only then rules, which may lead to any chain.
    pub(super) fn messages(&self, ownership: Ownership) -> Vec<Message> {
        let flags = match ownership {
            Ownership::Owned => OWNER,
            Ownership::Ordinary => 0,
        };
        let table = message(NEW_TABLE, CREATE | EXCLUSIVE)
            .text(TABLE_NAME, &self.tag)
            .be32(TABLE_FLAGS, flags)
            .bytes(TABLE_USERDATA, &comment(&self.tag));
        let chains = self.chains.iter().map(|chain| chain.message(&self.tag));
        let rules = self.chains.iter().flat_map(|chain| chain.rules.iter().map(|rule| chain.rule(&self.tag, rule)));
        std::iter::once(table).chain(chains).chain(rules).collect()
    }
}

impl Chain {
    /// One that packets meet by themselves.
    pub(crate) fn base(name: &str, kind: Kind, at: At, priority: i32, rules: Vec<Rule>) -> Self {
        Self { name: name.to_owned(), hook: Some(Hook { at, priority, kind }), rules }
    }

    /// One that other chains lead to.
    pub(crate) fn plain(name: &str, rules: Vec<Rule>) -> Self {
        Self { name: name.to_owned(), hook: None, rules }
    }

    fn message(&self, table: &str) -> Message {
        const TABLE: u16 = 1;
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const TYPE: u16 = 7;
        let made = message(NEW_CHAIN, CREATE | EXCLUSIVE).text(TABLE, table).text(NAME, &self.name);
        let Some(hook) = self.hook else { return made };
        let placed = made.nested(HOOK, |m| m.be32(1, hook.at.number()).be32(2, hook.priority.cast_unsigned()));
        placed.text(TYPE, hook.kind.name())
    }

    fn rule(&self, table: &str, rule: &Rule) -> Message {
        const TABLE: u16 = 1;
        const CHAIN: u16 = 2;
        const EXPRESSIONS: u16 = 4;
        const USERDATA: u16 = 7;
        let made = message(NEW_RULE, CREATE | APPEND).text(TABLE, table).text(CHAIN, &self.name);
        made.nested(EXPRESSIONS, |list| rule.write(list)).bytes(USERDATA, &comment(table))
    }
}

/// A comment as `nft` writes and shows it: kind 0, its length, the text with its zero.
pub(super) fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let kept = &text.as_bytes()[..text.len().min(usize::from(length) - 1)];
    [&[0, length], kept, &[0]].concat()
}

/// The text of a comment.
pub(super) fn commented(userdata: &[u8]) -> Option<&str> {
    let mut rest = userdata;
    while let [kind, length, more @ ..] = rest {
        let value = more.get(..usize::from(*length))?;
        if *kind == 0 {
            return std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok();
        }
        rest = &more[usize::from(*length)..];
    }
    None
}
