//! What the language model knows: one text, by heart.
//!
//! Asked to go on from a prompt, it finds the longest end of the prompt in the text and goes on from
//! there, or from the beginning where it finds none. So an answer that was cut can be resumed by asking
//! again with what came so far, and the two halves are exactly the whole: a resumed prompt ends in the
//! text at least as far as the first one did.

/// A token is a word with what stands before it.
const TEXT: &str = "\
The sea is never the same twice, and yet everybody who lives beside it will tell you that nothing there \
has ever changed. It comes up the harbour wall in the morning, looks at the boats, counts them, and goes \
away again until evening. Old people say that it keeps a list. Children throw stones to find out whether \
it minds, and it sends every single one back, though it takes its time. In winter a storm once carried off \
the lamp at the end of the pier; for three nights ships found their way by asking one another, and on the \
fourth somebody rowed out with a lantern and sat there, reading aloud, until a new lamp was brought. \
Nobody had told him to. Systems hold together like that more often than plans admit: a part fails, \
another one notices, and those who only wanted to get home never learn how close it was.";

/// The tokens that follow a prompt, to the end of the text.
pub(super) fn continuation(prompt: &str) -> impl Iterator<Item = &'static str> {
    let known: Vec<&'static str> = TEXT.split(' ').collect();
    let said: Vec<&str> = prompt.split_whitespace().collect();
    let longest = said.len().min(known.len());
    let start = (1..=longest).rev().find_map(|length| {
        let end = &said[said.len() - length..];
        known.windows(length).position(|words| words == end).map(|at| at + length)
    });
    known.into_iter().skip(start.unwrap_or(0))
}

/// How many tokens a prompt has.
pub(super) fn tokens(prompt: &str) -> usize {
    prompt.split_whitespace().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(prompt: &str) -> Vec<&'static str> {
        continuation(prompt).collect()
    }

    #[test]
    fn it_goes_on_from_where_the_prompt_ends() {
        assert_eq!(answer("The sea is")[..2], ["never", "the"]);
        assert_eq!(answer("Once more: Old people say that it")[..2], ["keeps", "a"]);
        assert_eq!(answer("Tell me a story")[..3], ["The", "sea", "is"]);
        assert_eq!(answer("")[0], "The");
        assert!(answer(TEXT).is_empty());
    }

    #[test]
    fn an_answer_resumed_at_any_place_is_the_same_answer() {
        for prompt in ["", "The sea is", "Tell me about it", "and", "the", "Nobody had told"] {
            let whole = answer(prompt);
            for cut in 0..=whole.len() {
                let resumed = answer(&format!("{prompt} {}", whole[..cut].join(" ")));
                assert_eq!(resumed, whole[cut..], "`{prompt}` cut after {cut}");
            }
        }
    }
}
