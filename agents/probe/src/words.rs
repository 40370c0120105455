//! A command line in words, without a shell: spaces part, quotes hold together, a backslash takes the next character as it is.

/// Splits a command line. Inside `'…'` nothing is special; inside `"…"` only the backslash before `"` and `\`.
pub(crate) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => quoted(c, &mut chars, word.get_or_insert_default())?,
            '\\' => {
                let next = chars.next().ok_or("a command cannot end with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match chars.next() {
            None => return Err(format!("a {quote} is never closed")),
            Some(c) if c == quote => return Ok(()),
            Some('\\') if quote == '"' => match chars.next() {
                Some(c @ ('"' | '\\')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err(format!("a {quote} is never closed")),
            },
            Some(c) => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn quotes_hold_together_and_nothing_else_is_special() {
        let words = |line| split(line).unwrap();
        assert_eq!(words("redis-cli  -p 6379 ping"), ["redis-cli", "-p", "6379", "ping"]);
        assert_eq!(words(r#"sh -c 'echo "$HOME" \n; exit 1'"#), ["sh", "-c", r#"echo "$HOME" \n; exit 1"#]);
        assert_eq!(words(r#"a"b c"'d' "" \' "\"\x""#), ["ab cd", "", "'", r#""\x"#]);
        assert!(words("  ").is_empty());
        assert_eq!(split("sh -c 'x").unwrap_err(), "a ' is never closed");
        assert!(split("x \\").is_err());
    }
}
