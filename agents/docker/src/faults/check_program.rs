//! Which program a health check starts.

/// What a shell does by itself, without a program.
const BUILT_IN: &[&str] = &[
    "test", "[", "[[", ":", ".", "true", "false", "echo", "printf", "exit", "cd", "eval", "exec", "source", "read", "kill", "type",
    "command", "if", "for", "while", "until", "case", "set", "trap", "wait", "export", "{", "(", "!",
];

/// What each of a shell's words may consist of, lest it means something to the shell.
const PLAIN: &str = "_-./+@%";

/// The program that decides about a health check, as it is written there: a path, or a name to be looked for.
///
/// # Errors
/// Why there is none that could be taken away without taking more than the check.
pub(super) fn program_of(check: &[String]) -> Result<String, String> {
    let words: Vec<&str> = check.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["NONE", ..] => Err("it has no health check".into()),
        ["CMD-SHELL", text] => first_word(text),
        ["CMD", program, ..] if is_shell(program) => match words.as_slice() {
            ["CMD", _, "-c", text] => first_word(text),
            ["CMD", _, script] => first_word(script),
            _ => Err(format!("its health check is `{}`, of which it cannot be told what it starts", words[1..].join(" "))),
        },
        ["CMD", program, ..] => Ok((*program).to_owned()),
        _ => Err(format!("its health check is of a form that chaos does not know: {}", words.join(" "))),
    }
}

pub(super) fn is_shell(program: &str) -> bool {
    matches!(program.rsplit('/').next(), Some("sh" | "bash" | "ash" | "dash" | "zsh" | "busybox"))
}

fn first_word(text: &str) -> Result<String, String> {
    let word = text.split_whitespace().next().unwrap_or_default();
    if BUILT_IN.contains(&word) {
        return Err(format!("its health check `{text}` begins with `{word}`, which the shell does by itself"));
    }
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || PLAIN.contains(c));
    if is_plain && !is_shell(word) {
        return Ok(word.to_owned());
    }
    Err(format!("its health check is `{text}`, of which it cannot be told what it starts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(check: &[&str]) -> Result<String, String> {
        program_of(&check.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_program_of_a_check_is_its_first_word_or_there_is_none() {
        assert_eq!(program(&["CMD-SHELL", "curl -f http://localhost:8080/health || exit 1"]).as_deref(), Ok("curl"));
        assert_eq!(program(&["CMD", "/app", "health"]).as_deref(), Ok("/app"));
        assert_eq!(program(&["CMD", "sh", "-c", "pg_isready -U postgres"]).as_deref(), Ok("pg_isready"));
        assert_eq!(program(&["CMD", "/bin/sh", "/healthcheck.sh"]).as_deref(), Ok("/healthcheck.sh"));
        for refused in [
            &[][..],
            &["NONE"],
            &["CMD-SHELL", "test -e /ready"],
            &["CMD-SHELL", "[ -e /ready ]"],
            &["CMD-SHELL", "$CHECK"],
            &["CMD-SHELL", "A=1 curl x"],
            &["CMD-SHELL", "sh /check"],
            &["CMD-SHELL", ""],
            &["CMD", "sh", "-e", "-c", "curl"],
        ] {
            assert!(program(refused).is_err(), "{refused:?}");
        }
    }
}
