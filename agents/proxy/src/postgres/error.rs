//! `postgres.error`: statements that fail.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, Verdict, all, kinds};
use crate::toxic::{self, Speaks, Text, Toxic};

/// What servers say, by code (Appendix A of PostgreSQL's manual).
const MESSAGES: &[(&str, &str)] = &[
    ("40001", "could not serialize access due to concurrent update"),
    ("40P01", "deadlock detected"),
    ("53100", "could not extend file: No space left on device"),
    ("53200", "out of memory"),
    ("53300", "sorry, too many clients already"),
    ("55P03", "could not obtain lock on row"),
    ("57014", "canceling statement due to statement timeout"),
    ("25006", "cannot execute in a read-only transaction"),
];

/// The fields of `postgres.error`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Error {
    /// The code: `40001` (serialization failure), `40P01` (deadlock), `53100` (disk full), `53300` (too many connections), `57014`
    /// (statement timeout), `25006` (read-only) or any other of five digits and capitals.
    sqlstate: String,
    /// The message. Default: what PostgreSQL says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Which kinds of statement, by their first word: `select`, `insert`, `update`, `delete`, `begin`, `commit`, `copy` … and `other`.
    /// Default: all but those that set a session up (`set`, `show`, `reset` …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    statements: Vec<String>,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Error {
    fn message(&self) -> String {
        let known = MESSAGES.iter().find(|(code, _)| *code == self.sqlstate).map(|(_, message)| *message);
        self.message.clone().unwrap_or_else(|| known.unwrap_or("injected by chaos").to_owned())
    }
}

impl Toxic for Error {
    const KIND: &'static str = "postgres.error";

    fn text() -> Text {
        Text {
            summary: "fails statements of PostgreSQL with an error",
            about: "The statement does not run. The server itself is made to fail in its place, so that its transaction fails too, and in the \
                extended protocol everything up to the next `Sync` is skipped, as after any error; the error bears your code and message. A \
                query of several statements fails whole if one of them is meant. A commit that fails leaves the transaction failed, to be \
                rolled back. In the server's log stands that a statement or portal `chaos_…` does not exist.\n\n\
                Connections that are encrypted pass untouched: connect with `sslmode=disable`.",
            example: "inject: postgres.error\ninto: registry\nwith: {sqlstate: \"40001\", statements: [update]}\nfor: 30s",
            speaks: &[Speaks::Postgres],
            rampable: &[],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = kinds::check(&self.statements);
        let is_code = self.sqlstate.len() == 5 && self.sqlstate.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        if !is_code {
            errors.push(
                SpecError::new("sqlstate", format!("`{}` is no code of an error", self.sqlstate))
                    .hint("five digits and capitals: \"40001\""),
            );
        } else if ["00", "01", "02"].contains(&&self.sqlstate[..2]) {
            errors.push(SpecError::new("sqlstate", format!("{} is no error", self.sqlstate)).hint("for example \"40001\""));
        }
        errors
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn claims(&self) -> Vec<String> {
        kinds::claims(Self::KIND, &self.statements)
    }

    fn meets(&self, other: &Self) -> bool {
        let whole = self.connections == Percent::HUNDRED && other.connections == Percent::HUNDRED;
        whole && kinds::meet(&self.statements, &other.statements)
    }

    fn notes(&self) -> Vec<String> {
        vec![kinds::ENCRYPTED.to_owned()]
    }

    fn act(self) -> toxic::Act {
        toxic::Act::Postgres(Box::new(self))
    }
}

impl super::Act for Error {
    fn statement(&self, asked: &Asked<'_>) -> Verdict {
        if !kinds::selects(&self.statements, asked.kinds) {
            return Verdict::Pass;
        }
        Verdict::Error { sqlstate: self.sqlstate.clone(), message: self.message() }
    }
}
