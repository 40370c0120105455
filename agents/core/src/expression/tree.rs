//! An expression, taken apart.

use regex_lite::Regex;

use super::value::Unit;

/// A part of an expression and where it stands in the text (bytes).
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// How many levels hang below and including this one.
    pub(super) height: usize,
}

impl Node {
    pub(super) const fn span(&self) -> (usize, usize) {
        (self.start, self.end)
    }

    pub(super) const fn is_literal(&self) -> bool {
        matches!(self.kind, Kind::Null | Kind::Bool(_) | Kind::Quantity(..) | Kind::Text(_) | Kind::List(_))
    }
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Quantity(Unit, f64),
    Text(String),
    List(Vec<Node>),
    /// A name as parsed; checking makes it a field or a variable.
    Name(String),
    Field(String),
    /// The variable of the `all` or `exists` so many levels out from the outermost.
    Variable(usize),
    Select(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Choose(Box<Node>, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    Has(Box<Node>),
    Matches(Box<Node>, Regex),
    Each {
        list: Box<Node>,
        variable: String,
        body: Box<Node>,
        all: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Below,
    AtMost,
    Above,
    AtLeast,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operator {
    /// How tightly it binds; larger is tighter.
    pub(super) const fn power(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide => 5,
            _ => 3,
        }
    }

    pub(super) const fn is_comparison(self) -> bool {
        self.power() == 3
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Near,
    Abs,
    Min,
    Max,
    Number,
    Text,
    Contains,
    StartsWith,
    EndsWith,
}
