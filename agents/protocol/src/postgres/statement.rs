//! Of what kind a statement is: its first word, or what a `WITH` leads to.

/// The kinds that have a name of their own; every other statement is `other`.
pub const STATEMENT_KINDS: &[&str] = &[
    "alter",
    "analyze",
    "begin",
    "call",
    "close",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "delete",
    "discard",
    "do",
    "drop",
    "execute",
    "explain",
    "fetch",
    "insert",
    "listen",
    "lock",
    "merge",
    "notify",
    "prepare",
    "refresh",
    "reindex",
    "release",
    "reset",
    "rollback",
    "savepoint",
    "select",
    "set",
    "show",
    "table",
    "truncate",
    "update",
    "vacuum",
    "values",
];

/// The kinds of all statements in a query, in order: `["begin", "insert"]`. Comments, texts and what stands in brackets are
/// passed over; `with a as (select 1) delete from t` is `delete`; `start transaction` is `begin`, `end` is `commit`, `abort`
/// is `rollback`.
#[must_use]
pub fn statements(sql: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let (mut depth, mut kind, mut with) = (0_u32, None, false);
    for token in Tokens(sql.as_bytes()) {
        match token {
            Token::Open => depth = depth.saturating_add(1),
            Token::Close => depth = depth.saturating_sub(1),
            Token::End => {
                found.extend(kind.take().or(with.then_some("other")));
                (with, depth) = (false, 0);
            }
            Token::Word(word) if kind.is_none() => kind = next_kind(word, depth, &mut with),
            Token::Word(_) => {}
        }
    }
    found.extend(kind.or(with.then_some("other")));
    found
}

/// What this word makes of a statement whose kind is not known yet.
fn next_kind(word: &[u8], depth: u32, with: &mut bool) -> Option<&'static str> {
    if word.eq_ignore_ascii_case(b"with") && !*with {
        *with = true;
        return None;
    }
    let named = STATEMENT_KINDS.iter().find(|k| word.eq_ignore_ascii_case(k.as_bytes())).copied();
    if *with {
        // Names of queries and their bodies stand between; the verb stands outside of brackets.
        let verb = matches!(named, Some("select" | "insert" | "update" | "delete" | "merge" | "values" | "table"));
        return named.filter(|_| depth == 0 && verb);
    }
    Some(match word.to_ascii_lowercase().as_slice() {
        b"start" => "begin",
        b"end" => "commit",
        b"abort" => "rollback",
        _ => named.unwrap_or("other"),
    })
}

enum Token<'a> {
    Word(&'a [u8]),
    Open,
    Close,
    End,
}

/// Words and brackets outside of comments and texts.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let (&first, after) = self.0.split_first()?;
            let token = match first {
                b'(' => Token::Open,
                b')' => Token::Close,
                b';' => Token::End,
                b'-' if after.starts_with(b"-") => {
                    self.skip(|rest| rest.iter().position(|b| *b == b'\n'), 0);
                    continue;
                }
                b'/' if after.starts_with(b"*") => {
                    self.0 = after_comment(&after[1..]);
                    continue;
                }
                b'\'' | b'"' => {
                    self.0 = after;
                    self.skip(|rest| rest.iter().position(|b| *b == first), 1);
                    continue;
                }
                b'$' if dollar_tag(self.0).is_some() => {
                    let tag = dollar_tag(self.0).unwrap_or_default();
                    self.0 = &self.0[tag.len()..];
                    self.skip(|rest| rest.windows(tag.len()).position(|w| w == tag), tag.len());
                    continue;
                }
                b if is_word(b) => {
                    let end = self.0.iter().position(|b| !is_word(*b) && *b != b'$').unwrap_or(self.0.len());
                    return Some(self.word(end));
                }
                _ => {
                    self.0 = after;
                    continue;
                }
            };
            self.0 = after;
            return Some(token);
        }
    }
}

impl<'a> Tokens<'a> {
    /// The word of so many bytes; before a text (`E'it\'s'`) only that.
    fn word(&mut self, end: usize) -> Token<'a> {
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        if word.eq_ignore_ascii_case(b"e") && rest.first() == Some(&b'\'') {
            self.0 = after_escaped_text(&rest[1..]);
        }
        Token::Word(word)
    }

    /// Goes on `and` bytes after what is found, or to the end.
    fn skip(&mut self, find: impl Fn(&[u8]) -> Option<usize>, and: usize) {
        let to = find(self.0).map_or(self.0.len(), |at| at + and);
        self.0 = self.0.get(to..).unwrap_or_default();
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// `$$` or `$tag$`.
fn dollar_tag(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().skip(1).position(|b| !is_word(*b))? + 1;
    (rest.get(end) == Some(&b'$') && !rest.get(1).is_some_and(u8::is_ascii_digit)).then(|| &rest[..=end])
}

/// Comments of this kind stand in one another.
fn after_comment(mut rest: &[u8]) -> &[u8] {
    let mut depth = 1;
    while depth > 0 {
        match rest {
            [] => break,
            [b'*', b'/', after @ ..] => {
                depth -= 1;
                rest = after;
            }
            [b'/', b'*', after @ ..] => {
                depth += 1;
                rest = after;
            }
            [_, after @ ..] => rest = after,
        }
    }
    rest
}

/// A text in which a backslash takes the next byte along.
fn after_escaped_text(mut rest: &[u8]) -> &[u8] {
    loop {
        match rest {
            [] => return rest,
            [b'\'', after @ ..] => return after,
            [b'\\', _, after @ ..] | [_, after @ ..] => rest = after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_the_verb() {
        for (sql, kinds) in [
            ("SELECT 1", &["select"][..]),
            ("  -- insert\n/* a /* b */ c */ (select 1)", &["select"]),
            ("begin; insert into t values ('a;b', E'it\\'s; x', $$;$$, $x$;$x$, \"a;b\"); COMMIT;", &["begin", "insert", "commit"]),
            ("with a as (select 1), b as (insert into x values (1) returning *) update t set a = 1", &["update"]),
            ("with recursive n(v) as (values (1)) select * from n", &["select"]),
            ("START TRANSACTION", &["begin"]),
            ("end", &["commit"]),
            ("grant all on t to me", &["other"]),
            ("update t set a = $1 where b = $2", &["update"]),
            ("with x", &["other"]),
            (" ; ;", &[]),
            ("select 'never closed; insert", &["select"]),
            ("", &[]),
        ] {
            assert_eq!(statements(sql), kinds, "{sql}");
        }
    }
}
