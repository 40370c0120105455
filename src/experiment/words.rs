//! A command, split into words by quotes; no shell looks at it.

/// Splits `sh -c 'echo "a b"'` into its words. Quotes group, a backslash outside single quotes takes the next character as it is.
///
/// # Errors
/// When a quote is not closed or nothing is there.
pub(super) fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(chars.next().ok_or("ends with a backslash")?),
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("has a quote that is never closed");
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) {
        return Err("is empty");
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn quotes_group_and_nothing_expands() {
        assert_eq!(
            split(r#"sh -c 'echo "$HOME" | wc' "a b"c \ d '' x"#).unwrap(),
            ["sh", "-c", "echo \"$HOME\" | wc", "a bc", " d", "", "x"]
        );
        for bad in ["", "  ", "'", "a \"b", "a\\", "'' x"] {
            split(bad).expect_err(bad);
        }
    }
}
