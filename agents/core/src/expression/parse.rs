//! Words to tree: operator precedence by binding power, bounded in length and depth.

use regex_lite::RegexBuilder;

use super::token::{self, Placed, Token};
use super::tree::{Function, Kind, Node, Operator};
use super::{DEEPEST, ExpressionError, LONGEST};

/// How high a tree may grow by chains (`a && b && …`), which nest without brackets.
const HIGHEST: usize = 128;
/// The largest compiled pattern of `matches`, in bytes: it bounds what one match costs.
const PATTERN_SIZE: usize = 64 * 1024;

pub(super) const FUNCTIONS: &str = "size, has, near, abs, min, max, number, text";
pub(super) const METHODS: &str = "contains, startsWith, endsWith, matches, all, exists";

type Parsed = Result<Node, ExpressionError>;

/// Takes an expression apart.
pub(super) fn parse(text: &str) -> Parsed {
    if text.len() > LONGEST {
        return Err(ExpressionError::new((LONGEST, text.len()), format!("an expression has at most {LONGEST} bytes"), None));
    }
    let mut parser = Parser { tokens: token::tokens(text)?, next: 0, depth: 0 };
    let node = parser.expression()?;
    let left = parser.peek();
    if left.token == Token::End {
        return Ok(node);
    }
    let hint = match &left.token {
        Token::Name(word) if word == "and" => Some("write `&&`".to_owned()),
        Token::Name(word) if word == "or" => Some("write `||`".to_owned()),
        _ => Some("put `&&`, `||` or a comparison between".to_owned()),
    };
    Err(ExpressionError::new(parser.span(), format!("{} does not belong here", left.token.describe()), hint))
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Placed {
        // The last token is `End` and is never taken.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn span(&self) -> (usize, usize) {
        (self.peek().start, self.peek().end)
    }

    fn take(&mut self) -> Placed {
        let placed = self.peek().clone();
        if placed.token != Token::End {
            self.next += 1;
        }
        placed
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        let found = self.peek().token == Token::Sign(sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<usize, ExpressionError> {
        let placed = self.peek().clone();
        if self.takes(sign) {
            return Ok(placed.end);
        }
        let message = format!("`{sign}` is missing before {}", placed.token.describe());
        Err(ExpressionError::new((placed.start, placed.end), message, None))
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, ExpressionError>) -> Result<T, ExpressionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ExpressionError::new(self.span(), format!("an expression is at most {DEEPEST} deep"), None));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Parsed {
        self.deeper(Self::choice)
    }

    fn choice(&mut self) -> Parsed {
        let condition = self.binary(1)?;
        if !self.takes("?") {
            return Ok(condition);
        }
        let then = self.expression()?;
        self.expect(":")?;
        let otherwise = self.expression()?;
        let (span, below) = ((condition.start, otherwise.end), [&condition, &then, &otherwise]);
        let height = highest(&below);
        node(Kind::Choose(condition.into(), then.into(), otherwise.into()), span, height)
    }

    fn binary(&mut self, least: u8) -> Parsed {
        let mut left = self.unary()?;
        while let Some(operator) = self.operator().filter(|operator| operator.power() >= least) {
            let chained = matches!(&left.kind, Kind::Binary(inner, ..) if inner.is_comparison()) && !self.follows_bracket();
            if operator.is_comparison() && chained {
                return Err(ExpressionError::new(self.span(), "comparisons do not chain", Some("write `1 < x && x < 2`".to_owned())));
            }
            self.take();
            let right = self.binary(operator.power() + 1)?;
            let (span, height) = ((left.start, right.end), highest(&[&left, &right]));
            left = node(Kind::Binary(operator, left.into(), right.into()), span, height)?;
        }
        Ok(left)
    }

    /// Was the part just read put in brackets?
    fn follows_bracket(&self) -> bool {
        self.next > 0 && self.tokens[self.next - 1].token == Token::Sign(")")
    }

    fn operator(&self) -> Option<Operator> {
        match &self.peek().token {
            Token::Sign(sign) => Some(match *sign {
                "||" => Operator::Or,
                "&&" => Operator::And,
                "==" => Operator::Equal,
                "!=" => Operator::NotEqual,
                "<" => Operator::Below,
                "<=" => Operator::AtMost,
                ">" => Operator::Above,
                ">=" => Operator::AtLeast,
                "+" => Operator::Add,
                "-" => Operator::Subtract,
                "*" => Operator::Multiply,
                "/" => Operator::Divide,
                _ => return None,
            }),
            Token::Name(name) if name == "in" => Some(Operator::In),
            _ => None,
        }
    }

    fn unary(&mut self) -> Parsed {
        let start = self.peek().start;
        if self.takes("!") {
            let inner = self.deeper(Self::unary)?;
            let (span, height) = ((start, inner.end), highest(&[&inner]));
            return node(Kind::Not(inner.into()), span, height);
        }
        if self.takes("-") {
            let inner = self.deeper(Self::unary)?;
            let (span, height) = ((start, inner.end), highest(&[&inner]));
            return node(Kind::Negate(inner.into()), span, height);
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Parsed {
        let mut object = self.primary()?;
        loop {
            if self.takes(".") {
                object = self.member(object)?;
            } else if self.takes("[") {
                let index = self.expression()?;
                let end = self.expect("]")?;
                let (span, height) = ((object.start, end), highest(&[&object, &index]));
                object = node(Kind::Index(object.into(), index.into()), span, height)?;
            } else {
                return Ok(object);
            }
        }
    }

    fn member(&mut self, object: Node) -> Parsed {
        let placed = self.take();
        let Token::Name(name) = placed.token else {
            let message = format!("a field's name is missing before {}", placed.token.describe());
            return Err(ExpressionError::new((placed.start, placed.end), message, None));
        };
        if self.takes("(") {
            return self.method(object, &name, (placed.start, placed.end));
        }
        let (span, height) = ((object.start, placed.end), highest(&[&object]));
        node(Kind::Select(object.into(), name), span, height)
    }

    fn method(&mut self, object: Node, name: &str, span: (usize, usize)) -> Parsed {
        let function = match name {
            "contains" => Function::Contains,
            "startsWith" => Function::StartsWith,
            "endsWith" => Function::EndsWith,
            "matches" => return self.matches(object),
            "all" | "exists" => return self.each(object, name == "all"),
            _ => return Err(unknown_function(name, span)),
        };
        let start = object.start;
        let (mut arguments, end) = self.arguments()?;
        arguments.insert(0, object);
        count(name, &arguments, 2..=2, (span.0, end))?;
        call(function, arguments, (start, end))
    }

    fn matches(&mut self, object: Node) -> Parsed {
        let placed = self.take();
        let span = (placed.start, placed.end);
        let Token::Text(pattern) = placed.token else {
            let hint = Some("for example `text.matches(\"^ok\")`".to_owned());
            return Err(ExpressionError::new(span, "the pattern of `matches` is a text written here", hint));
        };
        let regex = RegexBuilder::new(&pattern).size_limit(PATTERN_SIZE).build();
        let regex = regex.map_err(|error| ExpressionError::new(span, format!("not a regular expression: {error}"), None))?;
        let end = self.expect(")")?;
        let (span, height) = ((object.start, end), highest(&[&object]));
        node(Kind::Matches(object.into(), regex), span, height)
    }

    fn each(&mut self, list: Node, all: bool) -> Parsed {
        let placed = self.take();
        let Token::Name(variable) = placed.token else {
            let hint = Some("for example `body.items.all(item, item.ok)`".to_owned());
            return Err(ExpressionError::new((placed.start, placed.end), "a name for each element is missing", hint));
        };
        self.expect(",")?;
        let body = self.expression()?;
        let end = self.expect(")")?;
        let (span, height) = ((list.start, end), highest(&[&list, &body]));
        node(Kind::Each { list: list.into(), variable, body: body.into(), all }, span, height)
    }

    fn arguments(&mut self) -> Result<(Vec<Node>, usize), ExpressionError> {
        let mut arguments = Vec::new();
        let end = self.peek().end;
        if self.takes(")") {
            return Ok((arguments, end));
        }
        loop {
            arguments.push(self.expression()?);
            if !self.takes(",") {
                return Ok((arguments, self.expect(")")?));
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let placed = self.take();
        let span = (placed.start, placed.end);
        match placed.token {
            Token::Quantity(unit, amount) => node(Kind::Quantity(unit, amount), span, 0),
            Token::Text(text) => node(Kind::Text(text), span, 0),
            Token::Sign("(") => {
                let mut inner = self.expression()?;
                inner.end = self.expect(")")?;
                inner.start = placed.start;
                Ok(inner)
            }
            Token::Sign("[") => self.list(placed.start),
            Token::Name(name) => self.named(name, span),
            Token::End => Err(ExpressionError::new(span, "the expression ends too early", None)),
            Token::Sign(sign) => Err(ExpressionError::new(span, format!("a value is missing before `{sign}`"), None)),
        }
    }

    fn list(&mut self, start: usize) -> Parsed {
        let mut items = Vec::new();
        let mut end = self.peek().end;
        if !self.takes("]") {
            loop {
                items.push(self.expression()?);
                if !self.takes(",") {
                    end = self.expect("]")?;
                    break;
                }
            }
        }
        let height = items.iter().map(|item| item.height).max().unwrap_or(0);
        node(Kind::List(items), (start, end), height)
    }

    fn named(&mut self, name: String, span: (usize, usize)) -> Parsed {
        match name.as_str() {
            "true" => return node(Kind::Bool(true), span, 0),
            "false" => return node(Kind::Bool(false), span, 0),
            "null" => return node(Kind::Null, span, 0),
            "in" => {
                return Err(ExpressionError::new(span, "a value is missing before `in`", None));
            }
            "not" => {
                return Err(ExpressionError::new(span, "`not` is not an operator", Some("write `!`".to_owned())));
            }
            _ => {}
        }
        if !self.takes("(") {
            return node(Kind::Name(name), span, 0);
        }
        let (arguments, end) = self.arguments()?;
        let whole = (span.0, end);
        let function = match name.as_str() {
            "has" => {
                count(&name, &arguments, 1..=1, whole)?;
                return arguments
                    .into_iter()
                    .map(|path| (path.height, Kind::Has(path.into())))
                    .map(|(height, kind)| node(kind, whole, height))
                    .next()
                    .unwrap_or_else(|| Err(ExpressionError::new(whole, "`has` asks for a field", None)));
            }
            "size" => Function::Size,
            "near" => Function::Near,
            "abs" => Function::Abs,
            "min" => Function::Min,
            "max" => Function::Max,
            "number" => Function::Number,
            "text" => Function::Text,
            _ => return Err(unknown_function(&name, span)),
        };
        let wanted = match function {
            Function::Near => 3..=3,
            Function::Min | Function::Max => 1..=usize::MAX,
            _ => 1..=1,
        };
        count(&name, &arguments, wanted, whole)?;
        call(function, arguments, whole)
    }
}

fn count(name: &str, arguments: &[Node], wanted: std::ops::RangeInclusive<usize>, span: (usize, usize)) -> Result<(), ExpressionError> {
    if wanted.contains(&arguments.len()) {
        return Ok(());
    }
    let example = match name {
        "near" => "`near(x, 0.731, 0.001)`: value, expected, tolerance",
        "has" => "`has(body.outputs)`",
        "min" | "max" => "`min(a, b)`",
        "contains" | "startsWith" | "endsWith" => "`text.contains(\"ok\")`",
        _ => "one value: `size(body.outputs)`",
    };
    Err(ExpressionError::new(span, format!("`{name}` is not asked like this"), Some(example.to_owned())))
}

fn call(function: Function, arguments: Vec<Node>, span: (usize, usize)) -> Parsed {
    let height = arguments.iter().map(|argument| argument.height).max().unwrap_or(0);
    node(Kind::Call(function, arguments), span, height)
}

fn unknown_function(name: &str, span: (usize, usize)) -> ExpressionError {
    let hint = format!("functions are {FUNCTIONS}; of a text or list: {METHODS}");
    ExpressionError::new(span, format!("unknown function `{name}` in an expression"), Some(hint))
}

fn highest(below: &[&Node]) -> usize {
    below.iter().map(|node| node.height).max().unwrap_or(0)
}

fn node(kind: Kind, (start, end): (usize, usize), below: usize) -> Parsed {
    if below >= HIGHEST {
        return Err(ExpressionError::new((start, end), format!("an expression joins at most {HIGHEST} parts"), None));
    }
    Ok(Node { kind, start, end, height: below + 1 })
}
