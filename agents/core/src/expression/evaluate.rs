//! The answer for one sample. Bounded in steps; what cannot be answered is a reason, never a failure.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use super::STEPS;
use super::reason::{self, show};
use super::tree::{Function, Kind, Node, Operator};
use super::value::{Computed, Fields, Unit};

/// Why a part of an expression has no value.
pub(super) enum Unanswered {
    /// Something that was asked for is not there.
    Missing(String),
    /// Something is there and cannot be used so.
    Unfit(String),
}

impl Unanswered {
    fn into_reason(self) -> String {
        match self {
            Self::Missing(reason) | Self::Unfit(reason) => reason,
        }
    }
}

type Answer<'a> = Result<Computed<'a>, Unanswered>;

pub(super) fn is_good(text: &str, root: &Node, fields: &dyn Fields) -> Result<(), String> {
    let mut evaluator = Evaluator { fields, variables: Vec::new(), steps: 0 };
    match evaluator.boolean(root) {
        Ok(true) => Ok(()),
        Ok(false) => Err(reason::why_false(text, root, fields)),
        Err(unanswered) => Err(unanswered.into_reason()),
    }
}

pub(super) struct Evaluator<'a> {
    pub(super) fields: &'a dyn Fields,
    pub(super) variables: Vec<Computed<'a>>,
    pub(super) steps: usize,
}

impl<'a> Evaluator<'a> {
    fn step(&mut self) -> Result<(), Unanswered> {
        self.steps += 1;
        if self.steps > STEPS {
            return Err(Unanswered::Unfit(format!("the expression takes more than {STEPS} steps on this sample")));
        }
        Ok(())
    }

    pub(super) fn value<'n: 'a>(&mut self, node: &'n Node) -> Answer<'a> {
        self.step()?;
        match &node.kind {
            Kind::Null => Ok(Computed::Null),
            Kind::Bool(value) => Ok(Computed::Bool(*value)),
            Kind::Quantity(unit, amount) => Ok(Computed::Quantity(*unit, *amount)),
            Kind::Text(text) => Ok(Computed::Text(Cow::Borrowed(text))),
            Kind::List(items) => items.iter().map(|item| self.value(item)).collect::<Result<_, _>>().map(Computed::List),
            Kind::Name(name) | Kind::Field(name) => match self.fields.field(name) {
                Some(value) => Ok(value.into()),
                None => Err(Unanswered::Missing(format!("no field {name}"))),
            },
            Kind::Variable(at) => match self.variables.get(*at) {
                Some(value) => Ok(value.clone()),
                None => Err(Unanswered::Missing("no such variable".to_owned())),
            },
            Kind::Select(object, name) => {
                let object = self.value(object)?;
                member(&object, name).ok_or_else(|| Unanswered::Missing(format!("no field {name}")))
            }
            Kind::Index(object, index) => self.index(object, index),
            Kind::Negate(inner) => {
                let (unit, amount) = self.quantity(inner)?;
                Ok(Computed::Quantity(unit, -amount))
            }
            Kind::Binary(operator @ (Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide), left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                calculate(*operator, left, right)
            }
            Kind::Choose(condition, then, otherwise) => {
                if self.boolean(condition)? {
                    self.value(then)
                } else {
                    self.value(otherwise)
                }
            }
            Kind::Call(function, arguments) => self.call(*function, arguments),
            Kind::Not(_) | Kind::Binary(..) | Kind::Has(_) | Kind::Matches(..) | Kind::Each { .. } => {
                self.boolean(node).map(Computed::Bool)
            }
        }
    }

    pub(super) fn boolean<'n: 'a>(&mut self, node: &'n Node) -> Result<bool, Unanswered> {
        self.step()?;
        match &node.kind {
            Kind::Not(inner) => Ok(!self.boolean(inner)?),
            Kind::Binary(Operator::And, left, right) => Ok(self.boolean(left)? && self.boolean(right)?),
            Kind::Binary(Operator::Or, left, right) => Ok(self.boolean(left)? || self.boolean(right)?),
            Kind::Binary(operator, left, right) if operator.is_comparison() => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.compare(*operator, &left, &right)
            }
            Kind::Has(path) => match self.value(path) {
                Ok(_) => Ok(true),
                Err(Unanswered::Missing(_)) => Ok(false),
                Err(unfit) => Err(unfit),
            },
            Kind::Matches(text, regex) => Ok(regex.is_match(&self.text(text)?)),
            Kind::Each { list, body, all, .. } => self.each(list, body, *all),
            _ => match self.value(node)? {
                Computed::Bool(value) => Ok(value),
                other => Err(unfit(&other, "true or false")),
            },
        }
    }

    fn each<'n: 'a>(&mut self, list: &'n Node, body: &'n Node, all: bool) -> Result<bool, Unanswered> {
        let items = match self.value(list)? {
            Computed::List(items) => items,
            Computed::Json(Json::Array(items)) => {
                // Every element costs a step at least, so that no longer list is worth taking apart.
                items.iter().take(STEPS + 1).map(Computed::from).collect()
            }
            other => return Err(unfit(&other, "a list")),
        };
        for item in items {
            self.variables.push(item);
            let answer = self.boolean(body);
            self.variables.pop();
            if answer? != all {
                return Ok(!all);
            }
        }
        Ok(all)
    }

    fn index<'n: 'a>(&mut self, object: &'n Node, index: &'n Node) -> Answer<'a> {
        let object = self.value(object)?;
        match self.value(index)? {
            Computed::Text(name) => member(&object, &name).ok_or_else(|| Unanswered::Missing(format!("no field {name}"))),
            Computed::Quantity(Unit::Number, at) => element(&object, at).ok_or_else(|| Unanswered::Missing(format!("no element {at}"))),
            other => Err(unfit(&other, "a number or a text")),
        }
    }

    fn text<'n: 'a>(&mut self, node: &'n Node) -> Result<Cow<'a, str>, Unanswered> {
        match self.value(node)? {
            Computed::Text(text) => Ok(text),
            other => Err(unfit(&other, "a text")),
        }
    }

    fn quantity<'n: 'a>(&mut self, node: &'n Node) -> Result<(Unit, f64), Unanswered> {
        match self.value(node)? {
            Computed::Quantity(unit, amount) => Ok((unit, amount)),
            other => Err(unfit(&other, "a number")),
        }
    }

    fn call<'n: 'a>(&mut self, function: Function, arguments: &'n [Node]) -> Answer<'a> {
        let number = |amount: f64| Ok(Computed::Quantity(Unit::Number, amount));
        match (function, arguments) {
            (Function::Size, [of]) => match self.value(of)? {
                Computed::Text(text) => number(count(text.chars().count())),
                Computed::List(items) => number(count(items.len())),
                Computed::Json(Json::Array(items)) => number(count(items.len())),
                Computed::Json(Json::Object(map)) => number(count(map.len())),
                other => Err(unfit(&other, "something with a size")),
            },
            (Function::Near, [value, expected, tolerance]) => {
                let (unit, value) = self.quantity(value)?;
                let (expected, tolerance) = (self.in_unit(unit, expected)?, self.in_unit(unit, tolerance)?);
                Ok(Computed::Bool((value - expected).abs() <= tolerance))
            }
            (Function::Abs, [of]) => {
                let (unit, amount) = self.quantity(of)?;
                Ok(Computed::Quantity(unit, amount.abs()))
            }
            (Function::Min | Function::Max, [first, rest @ ..]) => {
                let (unit, mut amount) = self.quantity(first)?;
                for other in rest {
                    let other = self.in_unit(unit, other)?;
                    amount = if function == Function::Min { amount.min(other) } else { amount.max(other) };
                }
                Ok(Computed::Quantity(unit, amount))
            }
            (Function::Number, [of]) => match self.value(of)? {
                Computed::Text(text) => match text.trim().parse::<f64>() {
                    Ok(amount) if amount.is_finite() => number(amount),
                    _ => Err(Unanswered::Unfit(format!("{} is not a number", show(&Computed::Text(text))))),
                },
                already @ Computed::Quantity(Unit::Number, _) => Ok(already),
                other => Err(unfit(&other, "a text")),
            },
            (Function::Text, [of]) => Ok(Computed::Text(Cow::Owned(match self.value(of)? {
                Computed::Text(text) => return Ok(Computed::Text(text)),
                Computed::Json(json) => json.to_string(),
                other => show(&other),
            }))),
            (_, [whole, part]) => {
                let (whole, part) = (self.text(whole)?, self.text(part)?);
                Ok(Computed::Bool(match function {
                    Function::StartsWith => whole.starts_with(&*part),
                    Function::EndsWith => whole.ends_with(&*part),
                    _ => whole.contains(&*part),
                }))
            }
            _ => Err(Unanswered::Unfit("a function with other arguments than it takes".to_owned())),
        }
    }

    fn in_unit<'n: 'a>(&mut self, unit: Unit, node: &'n Node) -> Result<f64, Unanswered> {
        match self.quantity(node)? {
            (found, amount) if found == unit => Ok(amount),
            (found, amount) => Err(unfit(&Computed::Quantity(found, amount), Computed::Quantity(unit, 0.0).describe())),
        }
    }

    fn compare(&mut self, operator: Operator, left: &Computed<'_>, right: &Computed<'_>) -> Result<bool, Unanswered> {
        if operator == Operator::In {
            return self.is_in(left, right);
        }
        let with_null = matches!(left, Computed::Null) || matches!(right, Computed::Null);
        match operator {
            Operator::Equal => self.equal(left, right),
            // What is of another kind compares with nothing, except that it is not null.
            Operator::NotEqual if with_null || of_one_kind(left, right) => Ok(!self.equal(left, right)?),
            _ => Ok(match (order(left, right), operator) {
                (Some(order), Operator::Below) => order == Ordering::Less,
                (Some(order), Operator::AtMost) => order != Ordering::Greater,
                (Some(order), Operator::Above) => order == Ordering::Greater,
                (Some(order), Operator::AtLeast) => order != Ordering::Less,
                _ => false,
            }),
        }
    }

    fn is_in(&mut self, left: &Computed<'_>, right: &Computed<'_>) -> Result<bool, Unanswered> {
        match (right, left) {
            (Computed::List(items), _) => {
                for item in items {
                    if self.equal(left, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (Computed::Json(Json::Array(items)), _) => {
                for item in items {
                    if self.equal(left, &item.into())? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (Computed::Json(Json::Object(map)), Computed::Text(name)) => Ok(map.contains_key(&**name)),
            _ => Err(unfit(right, "a list")),
        }
    }

    fn equal(&mut self, left: &Computed<'_>, right: &Computed<'_>) -> Result<bool, Unanswered> {
        self.step()?;
        Ok(match (left, right) {
            (Computed::Null, Computed::Null) => true,
            (Computed::Bool(left), Computed::Bool(right)) => left == right,
            (Computed::Quantity(..), Computed::Quantity(..)) => order(left, right) == Some(Ordering::Equal),
            (Computed::Text(left), Computed::Text(right)) => left == right,
            (Computed::Json(Json::Object(left)), Computed::Json(Json::Object(right))) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (name, value) in left {
                    let Some(other) = right.get(name) else {
                        return Ok(false);
                    };
                    if !self.equal(&value.into(), &other.into())? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => {
                let (Some(left), Some(right)) = (items(left), items(right)) else {
                    return Ok(false);
                };
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(&right) {
                    if !self.equal(left, right)? {
                        return Ok(false);
                    }
                }
                true
            }
        })
    }
}

fn items<'v>(value: &'v Computed<'v>) -> Option<Vec<Computed<'v>>> {
    match value {
        Computed::List(items) => Some(items.clone()),
        Computed::Json(Json::Array(items)) => Some(items.iter().map(Computed::from).collect()),
        _ => None,
    }
}

fn of_one_kind(left: &Computed<'_>, right: &Computed<'_>) -> bool {
    left.describe() == right.describe()
}

fn order(left: &Computed<'_>, right: &Computed<'_>) -> Option<Ordering> {
    match (left, right) {
        (Computed::Quantity(of, left), Computed::Quantity(unit, right)) if of == unit => left.partial_cmp(right),
        (Computed::Text(left), Computed::Text(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn calculate<'a>(operator: Operator, left: Computed<'a>, right: Computed<'a>) -> Answer<'a> {
    let (unit, left, other, right) = match (left, right) {
        (Computed::Quantity(unit, left), Computed::Quantity(other, right)) => (unit, left, other, right),
        (Computed::Text(left), Computed::Text(right)) if operator == Operator::Add => {
            return Ok(Computed::Text(Cow::Owned(format!("{left}{right}"))));
        }
        (Computed::Quantity(..), other) | (other, _) => return Err(unfit(&other, "a number")),
    };
    let result = match operator {
        Operator::Add if unit == other => (unit, left + right),
        Operator::Subtract if unit == other => (unit, left - right),
        Operator::Multiply if unit == Unit::Number => (other, left * right),
        Operator::Multiply if other == Unit::Number => (unit, left * right),
        Operator::Divide if right == 0.0 => {
            return Err(Unanswered::Unfit("division by zero".to_owned()));
        }
        Operator::Divide if other == Unit::Number => (unit, left / right),
        Operator::Divide if unit == other => (Unit::Number, left / right),
        _ => {
            let wanted = Computed::Quantity(unit, left).describe();
            return Err(unfit(&Computed::Quantity(other, right), wanted));
        }
    };
    Ok(Computed::Quantity(result.0, result.1))
}

fn member<'a>(object: &Computed<'a>, name: &str) -> Option<Computed<'a>> {
    match object {
        Computed::Json(json) => json.get(name).map(Computed::from),
        _ => None,
    }
}

fn element<'a>(object: &Computed<'a>, at: f64) -> Option<Computed<'a>> {
    if at < 0.0 || at.fract() != 0.0 || at > 9e15 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = at as usize;
    match object {
        Computed::List(items) => items.get(at).cloned(),
        Computed::Json(Json::Array(items)) => items.get(at).map(Computed::from),
        _ => None,
    }
}

fn unfit(found: &Computed<'_>, wanted: &str) -> Unanswered {
    Unanswered::Unfit(format!("{} is {}, not {wanted}", show(found), found.describe()))
}

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}
