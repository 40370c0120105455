//! Names and types, when the file is read: both sides of a comparison are of one kind, and every name is a field.

use super::ExpressionError;
use super::parse::{FUNCTIONS, METHODS};
use super::tree::{Function, Kind, Node, Operator};
use super::value::Unit;
use crate::value::FieldType;

/// What a part of an expression is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Null,
    Of(FieldType),
}

const ANY: Type = Type::Of(FieldType::Any);
const BOOL: Type = Type::Of(FieldType::Bool);
const NUMBER: Type = Type::Of(FieldType::Number);
const TEXT: Type = Type::Of(FieldType::Text);

impl Type {
    const fn describe(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Of(field) => field.describe(),
        }
    }

    fn may_be(self, other: Self) -> bool {
        self == other || self == ANY || other == ANY
    }

    const fn is_quantity(self) -> bool {
        use FieldType::{Any, Duration, Number, Percent, Size};
        matches!(self, Self::Of(Any | Number | Duration | Size | Percent))
    }
}

type Checked = Result<Type, ExpressionError>;

/// Makes every name a field or a variable, checks that the parts fit, and lists the fields read. Without `fields` any name is a field.
pub(super) fn check(text: &str, root: &mut Node, fields: Option<&[(&str, FieldType)]>) -> Result<Vec<String>, ExpressionError> {
    let mut checker = Checker { text, fields, variables: Vec::new(), references: Vec::new() };
    let found = checker.visit(root)?;
    if !found.may_be(BOOL) {
        let message = format!("an expression answers with true or false, this is {}", found.describe());
        return Err(ExpressionError::new(root.span(), message, Some("compare it: `… == 200`, `… > 0`".to_owned())));
    }
    Ok(checker.references)
}

struct Checker<'a> {
    text: &'a str,
    fields: Option<&'a [(&'a str, FieldType)]>,
    variables: Vec<String>,
    references: Vec<String>,
}

impl Checker<'_> {
    fn visit(&mut self, node: &mut Node) -> Checked {
        let span = node.span();
        match &mut node.kind {
            Kind::Null => Ok(Type::Null),
            Kind::Bool(_) => Ok(BOOL),
            Kind::Quantity(unit, _) => Ok(Type::Of(match unit {
                Unit::Number => FieldType::Number,
                Unit::Duration => FieldType::Duration,
                Unit::Size => FieldType::Size,
                Unit::Percent => FieldType::Percent,
            })),
            Kind::Text(_) => Ok(TEXT),
            Kind::List(items) => {
                for item in items {
                    self.visit(item)?;
                }
                Ok(Type::Of(FieldType::List))
            }
            Kind::Name(name) => {
                let name = std::mem::take(name);
                let (kind, found) = self.resolve(name, span)?;
                node.kind = kind;
                Ok(found)
            }
            Kind::Field(_) | Kind::Variable(_) => Ok(ANY),
            Kind::Select(object, name) => {
                let found = self.visit(object)?;
                let hint = format!("only maps and JSON have fields; `{name}` of what?");
                expect(found, &[FieldType::Map], object, "has no fields", &hint)?;
                Ok(if found == Type::Of(FieldType::Map) { TEXT } else { ANY })
            }
            Kind::Index(object, index) => self.index(object, index),
            Kind::Not(inner) => {
                self.boolean(inner)?;
                Ok(BOOL)
            }
            Kind::Negate(inner) => self.quantity(inner),
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right, span),
            Kind::Choose(condition, then, otherwise) => {
                self.boolean(condition)?;
                let (first, second) = (self.visit(then)?, self.visit(otherwise)?);
                self.same(first, second, span, "the two sides of `? :`")?;
                Ok(if first == ANY { second } else { first })
            }
            Kind::Call(function, arguments) => self.call(*function, arguments),
            Kind::Has(path) => {
                if !matches!(path.kind, Kind::Select(..) | Kind::Index(..) | Kind::Name(_)) {
                    let hint = Some("for example `has(body.outputs)`".to_owned());
                    return Err(ExpressionError::new(path.span(), "`has` asks for a field", hint));
                }
                self.visit(path)?;
                Ok(BOOL)
            }
            Kind::Matches(text, _) => {
                let found = self.visit(text)?;
                expect(found, &[FieldType::Text], text, "is not a text", "only texts match a pattern")?;
                Ok(BOOL)
            }
            Kind::Each { list, variable, body, .. } => {
                let found = self.visit(list)?;
                expect(found, &[FieldType::List], list, "is not a list", "`all` and `exists` go through lists")?;
                self.variables.push(variable.clone());
                let checked = self.boolean(body);
                self.variables.pop();
                checked?;
                Ok(BOOL)
            }
        }
    }

    fn resolve(&mut self, name: String, span: (usize, usize)) -> Result<(Kind, Type), ExpressionError> {
        if let Some(at) = self.variables.iter().rposition(|variable| *variable == name) {
            return Ok((Kind::Variable(at), ANY));
        }
        let found = match self.fields {
            None => FieldType::Any,
            Some(fields) => match fields.iter().find(|(field, _)| *field == name) {
                Some((_, found)) => *found,
                None => return Err(unknown_name(name, fields, span)),
            },
        };
        if !self.references.contains(&name) {
            self.references.push(name.clone());
        }
        Ok((Kind::Field(name), Type::Of(found)))
    }

    fn index(&mut self, object: &mut Node, index: &mut Node) -> Checked {
        let (found, by) = (self.visit(object)?, self.visit(index)?);
        expect(found, &[FieldType::List, FieldType::Map], object, "has no elements", "only lists, maps and JSON do")?;
        let (wanted, result) = match found {
            Type::Of(FieldType::List) => (NUMBER, ANY),
            Type::Of(FieldType::Map) => (TEXT, TEXT),
            _ => (ANY, ANY),
        };
        if !by.may_be(wanted) || !(by.may_be(NUMBER) || by.may_be(TEXT)) {
            let message = format!("an element is not found by {}", by.describe());
            let hint = Some("lists count from 0 (`[0]`), maps take a text (`[\"name\"]`)".to_owned());
            return Err(ExpressionError::new(index.span(), message, hint));
        }
        Ok(result)
    }

    fn boolean(&mut self, node: &mut Node) -> Result<(), ExpressionError> {
        let found = self.visit(node)?;
        expect(found, &[FieldType::Bool], node, "is not true or false", "compare it: `… == 200`, `… > 0`")
    }

    fn quantity(&mut self, node: &mut Node) -> Checked {
        let found = self.visit(node)?;
        if found.is_quantity() {
            return Ok(found);
        }
        Err(ExpressionError::new(node.span(), format!("this is {}, not a number", found.describe()), None))
    }

    fn binary(&mut self, operator: Operator, left: &mut Node, right: &mut Node, span: (usize, usize)) -> Checked {
        use Operator::{Add, And, Divide, Equal, In, Multiply, NotEqual, Or, Subtract};
        match operator {
            Or | And => {
                self.boolean(left)?;
                self.boolean(right)?;
                Ok(BOOL)
            }
            In => {
                self.visit(left)?;
                let found = self.visit(right)?;
                let hint = if found == TEXT { "write `text.contains(part)`" } else { "for example `finish in [\"stop\", \"length\"]`" };
                expect(found, &[FieldType::List, FieldType::Map], right, "holds nothing to look in", hint)?;
                Ok(BOOL)
            }
            Add | Subtract | Multiply | Divide => self.arithmetic(operator, left, right, span),
            Equal | NotEqual => {
                let (first, second) = (self.visit(left)?, self.visit(right)?);
                self.comparable(first, second, left, right)?;
                Ok(BOOL)
            }
            _ => {
                let (first, second) = (self.visit(left)?, self.visit(right)?);
                for (found, node) in [(first, &*left), (second, &*right)] {
                    if !found.is_quantity() && found != TEXT {
                        let message = format!("{} has no order", found.describe());
                        return Err(ExpressionError::new(node.span(), message, Some("compare with == or !=".to_owned())));
                    }
                }
                self.comparable(first, second, left, right)?;
                Ok(BOOL)
            }
        }
    }

    fn comparable(&self, first: Type, second: Type, left: &Node, right: &Node) -> Result<(), ExpressionError> {
        if first.may_be(second) {
            return Ok(());
        }
        let (written, of) = (&self.text[right.start..right.end], &self.text[left.start..left.end]);
        let message = format!("`{of}` is {}, and `{written}` is {}", first.describe(), second.describe());
        let hint = unit_hint(first, second, right, written);
        Err(ExpressionError::new(right.span(), message, hint.or_else(|| Some("compare what is of one kind".to_owned()))))
    }

    fn same(&self, first: Type, second: Type, span: (usize, usize), what: &str) -> Result<(), ExpressionError> {
        if first.may_be(second) {
            return Ok(());
        }
        let message = format!("{what} are {} and {}", first.describe(), second.describe());
        Err(ExpressionError::new(span, message, None))
    }

    fn arithmetic(&mut self, operator: Operator, left: &mut Node, right: &mut Node, span: (usize, usize)) -> Checked {
        let (first, second) = (self.visit(left)?, self.visit(right)?);
        if operator == Operator::Add && first.may_be(TEXT) && second.may_be(TEXT) {
            return Ok(if first == ANY { second } else { first });
        }
        for (found, node) in [(first, &*left), (second, &*right)] {
            if !found.is_quantity() {
                let message = format!("`{}` does not calculate with {}", operator.as_str(), found.describe());
                return Err(ExpressionError::new(node.span(), message, None));
            }
        }
        let known = |found: Type, other: Type| if found == ANY { other } else { found };
        match operator {
            Operator::Multiply if first.may_be(NUMBER) => Ok(if first == ANY { ANY } else { second }),
            Operator::Multiply if second.may_be(NUMBER) => Ok(first),
            Operator::Divide if second == NUMBER => Ok(first),
            Operator::Divide if first.may_be(second) => Ok(if second == ANY || first == ANY { ANY } else { NUMBER }),
            Operator::Add | Operator::Subtract if first.may_be(second) => Ok(known(first, second)),
            _ => {
                let message = format!("`{}` between {} and {}", operator.as_str(), first.describe(), second.describe());
                Err(ExpressionError::new(span, message, Some("both of one kind, or one a number".to_owned())))
            }
        }
    }

    fn call(&mut self, function: Function, arguments: &mut [Node]) -> Checked {
        match function {
            Function::Size => {
                let argument = &mut arguments[0];
                let found = self.visit(argument)?;
                let wanted = [FieldType::Text, FieldType::List, FieldType::Map];
                expect(found, &wanted, argument, "has no size", "`size` counts lists, maps and the characters of a text")?;
                Ok(NUMBER)
            }
            Function::Near | Function::Min | Function::Max | Function::Abs => {
                let mut of = ANY;
                for argument in arguments {
                    let found = self.quantity(argument)?;
                    self.same(of, found, argument.span(), "these")?;
                    of = if of == ANY { found } else { of };
                }
                Ok(if function == Function::Near { BOOL } else { of })
            }
            Function::Number => {
                let found = self.visit(&mut arguments[0])?;
                expect(found, &[FieldType::Text, FieldType::Number], &arguments[0], "is not a text", "`number` reads a text")?;
                Ok(NUMBER)
            }
            Function::Text => {
                self.visit(&mut arguments[0])?;
                Ok(TEXT)
            }
            Function::Contains | Function::StartsWith | Function::EndsWith => {
                let found = self.visit(&mut arguments[0])?;
                let hint = if found == Type::Of(FieldType::List) { "write `value in list`" } else { "only texts have parts" };
                expect(found, &[FieldType::Text], &arguments[0], "is not a text", hint)?;
                let found = self.visit(&mut arguments[1])?;
                expect(found, &[FieldType::Text], &arguments[1], "is not a text", "put it in quotes")?;
                Ok(BOOL)
            }
        }
    }
}

fn expect(found: Type, wanted: &[FieldType], node: &Node, problem: &str, hint: &str) -> Result<(), ExpressionError> {
    if found == ANY || wanted.iter().any(|wanted| found == Type::Of(*wanted)) {
        return Ok(());
    }
    let message = format!("{} {problem}", found.describe());
    Err(ExpressionError::new(node.span(), message, Some(hint.to_owned())))
}

fn unit_hint(first: Type, second: Type, right: &Node, written: &str) -> Option<String> {
    if second != NUMBER || !matches!(right.kind, Kind::Quantity(..)) {
        return None;
    }
    match first {
        Type::Of(FieldType::Duration) => Some(format!("`{written}ms` or `{written}s`")),
        Type::Of(FieldType::Size) => Some(format!("`{written}B` or `{written}MB`")),
        Type::Of(FieldType::Percent) => Some(format!("`{written}%`")),
        _ => None,
    }
}

fn unknown_name(name: String, fields: &[(&str, FieldType)], span: (usize, usize)) -> ExpressionError {
    let known: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
    let is_function = FUNCTIONS.split(", ").chain(METHODS.split(", ")).any(|function| function == name);
    let hint = if is_function { format!("`{name}` is a function: `{name}(…)`") } else { format!("samples have {}", known.join(", ")) };
    let mut error = ExpressionError::new(span, format!("unknown name `{name}` in an expression"), Some(hint));
    error.unknown_name = (!is_function).then_some(name);
    error
}
