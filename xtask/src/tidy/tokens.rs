//! Tokens in a row, groups opened: what rules search when a macro may hide what they look for.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// As it is written; a group gives an opening and a closing token.
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
}

/// All tokens of a stream, in order.
pub(crate) fn flatten(stream: &TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten_into(stream.clone(), &mut tokens);
    tokens
}

fn flatten_into(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token {
                    text: open.to_owned(),
                    line,
                });
                flatten_into(group.stream(), tokens);
                let end = group.span_close().start().line;
                tokens.push(Token {
                    text: close.to_owned(),
                    line: end,
                });
            }
            other => tokens.push(Token {
                text: other.to_string(),
                line,
            }),
        }
    }
}

/// The places where these tokens stand in a row: index of the first, and its line.
pub(crate) fn find<'a>(
    tokens: &'a [Token],
    pattern: &'a [&'a str],
) -> impl Iterator<Item = (usize, usize)> + 'a {
    tokens
        .windows(pattern.len())
        .enumerate()
        .filter_map(move |(at, window)| {
            let equal = window
                .iter()
                .zip(pattern)
                .all(|(token, text)| token.text == *text);
            equal.then(|| (at, window[0].line))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, what stands inside a macro call is not checked.
    #[test]
    fn groups_are_opened() {
        let stream: TokenStream = "assert!(\n x.unwrap() )".parse().expect("tokens");
        let tokens = flatten(&stream);
        assert_eq!(
            find(&tokens, &[".", "unwrap", "(", ")"]).collect::<Vec<_>>(),
            [(4, 2)]
        );
        assert_eq!(find(&tokens, &["unwrap", "!"]).count(), 0);
    }
}
