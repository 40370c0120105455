//! Every toxic there is. The one line that a new toxic costs is here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chaos_core::SpecError;
use chaos_core::literal::Percent;
use serde_json::Value;

use crate::toxic::{Act, Speaks, Toxic};
use crate::{http, postgres, redis, s3, stream, tcp};

/// Whoever wants every toxic with its type: the fault table, and the data plane.
pub(crate) trait Visitor {
    /// Called for each.
    fn toxic<T: Toxic>(&mut self);
}

/// Shows every toxic to a visitor.
pub(crate) fn visit(to: &mut impl Visitor) {
    to.toxic::<tcp::latency::Latency>();
    to.toxic::<tcp::rate::Rate>();
    to.toxic::<tcp::blackhole::Blackhole>();
    to.toxic::<tcp::half_open::HalfOpen>();
    to.toxic::<tcp::reset::Reset>();
    to.toxic::<tcp::slow_close::SlowClose>();
    to.toxic::<tcp::limit::Limit>();
    to.toxic::<tcp::slice::Slice>();
    to.toxic::<tcp::refuse::Refuse>();
    to.toxic::<tcp::down::Down>();
    to.toxic::<http::status::Status>();
    to.toxic::<http::delay::Delay>();
    to.toxic::<http::abort::Abort>();
    to.toxic::<http::truncate::Truncate>();
    to.toxic::<http::replace::Replace>();
    to.toxic::<stream::first_token::FirstToken>();
    to.toxic::<stream::gap::Gap>();
    to.toxic::<stream::stall::Stall>();
    to.toxic::<stream::cut::Cut>();
    to.toxic::<stream::error::Error>();
    to.toxic::<stream::malformed::Malformed>();
    to.toxic::<s3::slow_first_byte::SlowFirstByte>();
    to.toxic::<s3::stall::Stall>();
    to.toxic::<s3::truncate::Truncate>();
    to.toxic::<s3::slow_down::SlowDown>();
    to.toxic::<redis::delay::Delay>();
    to.toxic::<redis::error::Error>();
    to.toxic::<redis::throttle::Throttle>();
    to.toxic::<redis::null::Null>();
    to.toxic::<redis::stale::Stale>();
    to.toxic::<postgres::delay::Delay>();
    to.toxic::<postgres::error::Error>();
}

/// A toxic made from its fields.
pub(crate) struct Made {
    pub(crate) kind: &'static str,
    pub(crate) connections: Percent,
    pub(crate) act: Act,
}

type Make = fn(&Value, Speaks) -> Result<Made, SpecError>;

/// Makes a toxic of this kind, for a proxy that speaks this.
pub(crate) fn make(kind: &str, with: &Value, speaks: Speaks) -> Result<Made, SpecError> {
    static BY_KIND: LazyLock<BTreeMap<&'static str, Make>> = LazyLock::new(|| {
        let mut makers = Makers(BTreeMap::new());
        visit(&mut makers);
        makers.0
    });
    let make =
        BY_KIND.get(kind).ok_or_else(|| SpecError::new("", format!("this proxy knows no toxic `{kind}`")).hint("see `chaos faults`"))?;
    make(with, speaks)
}

struct Makers(BTreeMap<&'static str, Make>);

impl Visitor for Makers {
    fn toxic<T: Toxic>(&mut self) {
        self.0.insert(T::KIND, made::<T>);
    }
}

fn made<T: Toxic>(with: &Value, speaks: Speaks) -> Result<Made, SpecError> {
    known::<T>(with)?;
    let toxic: T = serde_path_to_error::deserialize(with).map_err(|e| SpecError::new(e.path().to_string(), e.into_inner().to_string()))?;
    if let Some(error) = toxic.check().into_iter().next() {
        return Err(error);
    }
    understood::<T>(speaks)?;
    Ok(Made { kind: T::KIND, connections: toxic.connections(), act: toxic.act() })
}

/// Has it no other fields than a toxic of this kind? One that is dropped could be a selector, and everything would be meant.
fn known<T: Toxic>(with: &Value) -> Result<(), SpecError> {
    // serde cannot say it: `deny_unknown_fields` and `flatten` exclude each other.
    let schema = schemars::schema_for!(T);
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    match with.as_object().and_then(|with| with.keys().find(|name| !fields.contains_key(*name))) {
        None => Ok(()),
        Some(name) => {
            let all: Vec<&str> = fields.keys().map(String::as_str).collect();
            Err(SpecError::new(name.clone(), format!("{} has no field `{name}`", T::KIND))
                .hint(format!("its fields are {}", all.join(", "))))
        }
    }
}

/// Can this toxic act on a proxy that speaks this?
pub(crate) fn understood<T: Toxic>(speaks: Speaks) -> Result<(), SpecError> {
    let needs = T::text().speaks;
    if needs.is_empty() || needs.contains(&speaks) {
        return Ok(());
    }
    let words: Vec<String> = needs.iter().map(|s| format!("`speaks: {}`", s.word())).collect();
    Err(SpecError::new("", format!("{} needs a proxy that understands its protocol; this one speaks {}", T::KIND, speaks.word()))
        .hint(format!("give the proxy {}", words.join(" or "))))
}
