//! How many of a set, and which: `1` `50%` `all` `1 per zone` `1 oldest` `50% per node`.

use chaos_core::experiment::{Amount, Group, Order, Pick};
use chaos_core::literal::LiteralError;

/// Reads `amount [oldest|newest|leader] [per zone|place|node|owner]`.
pub(super) fn parse(text: &str) -> Result<Pick, LiteralError> {
    let unclear = || {
        let hint = "for example `1`, `50%`, `all`, `1 oldest` or `1 per zone`";
        LiteralError::new(format!("`{}` says not how many", text.escape_debug()), hint)
    };
    let mut words = text.split_whitespace().peekable();
    let amount = match words.next().ok_or_else(unclear)? {
        "all" => Amount::All,
        share if share.ends_with('%') => Amount::Share(share.parse()?),
        count => Amount::Count(count.parse().map_err(|_| unclear())?),
    };
    if amount == Amount::Count(0) {
        return Err(LiteralError::new("picking 0 harms nothing", "leave the step out, or pick `1`"));
    }
    let order = match words.peek() {
        Some(&"oldest") => Some(Order::Oldest),
        Some(&"newest") => Some(Order::Newest),
        Some(&"leader") => Some(Order::Leader),
        _ => None,
    };
    if order.is_some() {
        words.next();
    }
    let per = match (words.next(), words.next()) {
        (None, None) => None,
        (Some("per"), Some(group)) => Some(match group {
            "zone" => Group::Zone,
            "place" => Group::Place,
            "node" => Group::Node,
            "owner" => Group::Owner,
            _ => return Err(LiteralError::new(format!("there are no groups by `{group}`"), "per zone, place, node or owner")),
        }),
        _ => return Err(unclear()),
    };
    if words.next().is_some() {
        return Err(unclear());
    }
    Ok(Pick { amount, order, per })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_orders_and_groups() {
        let pick = parse("50% oldest per node").unwrap();
        assert_eq!((pick.order, pick.per), (Some(Order::Oldest), Some(Group::Node)));
        assert_eq!(parse("all").unwrap().amount, Amount::All);
        for bad in ["", "0", "some", "1 per", "1 per rack", "1 zone", "1 oldest newest", "101%", "1 per zone now"] {
            parse(bad).expect_err(bad);
        }
    }
}
