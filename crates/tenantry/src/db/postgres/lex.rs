//! A statement's words, read as PostgreSQL's own scanner (`scan.l`) reads them.
//!
//! The gate in [`vet`](super::vet) must see what the server will see. A tokenizer that ends one
//! string or comment elsewhere than the server does hides from the gate whatever follows, so this
//! knows nothing but where things end, and refuses forms of text that nobody needs.

use crate::db::DbError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'s> {
    /// A key word or a name, as it is written, and whether it is in double quotes.
    Word(&'s str, bool),
    /// A text in single quotes, as it is written between them.
    Text(&'s str),
    /// `$1`
    Parameter,
    /// Any other character: operators come in pieces, numbers digit by digit.
    Symbol(char),
}

impl Token<'_> {
    /// Whether it is this key word, or this name.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text, _) if text.eq_ignore_ascii_case(word))
    }
}

/// The tokens of `sql`, and after which byte each ends.
pub(super) fn tokens(sql: &str) -> Result<Vec<(Token<'_>, usize)>, DbError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let (token, length) = if first.is_ascii_whitespace() || first == '\x0b' {
            (None, 1)
        } else if rest.starts_with("--") {
            (None, rest.find(['\n', '\r']).unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (None, comment(rest)?)
        } else if starts_word(first) {
            word(rest)?
        } else {
            match first {
                '\'' => text(rest, false)?,
                '"' => {
                    let length = quoted(rest, '"')?;
                    (Some(Token::Word(&rest[1..length - 1], true)), length)
                }
                '$' => dollar(rest)?,
                other => (Some(Token::Symbol(other)), other.len_utf8()),
            }
        };
        at += length;
        // a text goes on in the next line as its first piece began, with escapes or without
        if let (Some(Token::Text(_)), Some((Token::Text(_), _))) = (token, found.last()) {
            return Err(refused("a text in several pieces"));
        }
        found.extend(token.map(|token| (token, at)));
    }
    Ok(found)
}

type One<'s> = (Option<Token<'s>>, usize);

fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn word(rest: &str) -> Result<One<'_>, DbError> {
    let length = rest
        .find(|c: char| !(starts_word(c) || c.is_ascii_digit() || c == '$'))
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(length);
    let prefixes = |words: &[&str]| words.iter().any(|prefix| word.eq_ignore_ascii_case(prefix));
    if after.starts_with('\'') && prefixes(&["e"]) {
        let (token, more) = text(after, true)?;
        return Ok((token, length + more));
    }
    let odd = after.starts_with('\'') && prefixes(&["b", "n"]);
    // U&"…" may spell any name in disguise
    if odd || (prefixes(&["u"]) && (after.starts_with("&'") || after.starts_with("&\""))) {
        return Err(refused("texts in a form other than '…'"));
    }
    Ok((Some(Token::Word(word, false)), length))
}

fn text(rest: &str, escapes: bool) -> Result<One<'_>, DbError> {
    let mut skip = false;
    let length = if escapes {
        let mut end = None;
        let mut characters = rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = characters.next() {
            match c {
                _ if skip => skip = false,
                '\\' => skip = true,
                '\'' if characters.next_if(|(_, next)| *next == '\'').is_none() => {
                    end = Some(at + 1);
                    break;
                }
                _ => {}
            }
        }
        end.ok_or_else(unended)?
    } else {
        quoted(rest, '\'')?
    };
    Ok((Some(Token::Text(&rest[1..length - 1])), length))
}

/// How long what begins with a quote is, in which a doubled quote stands for one.
fn quoted(rest: &str, quote: char) -> Result<usize, DbError> {
    let mut from = 1;
    loop {
        let end = from + rest[from..].find(quote).ok_or_else(unended)? + 1;
        if !rest[end..].starts_with(quote) {
            return Ok(end);
        }
        from = end + 1;
    }
}

fn dollar(rest: &str) -> Result<One<'_>, DbError> {
    let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
    let next = rest[1 + digits..].chars().next();
    // what touches the number is read differently by different versions
    if digits == 0 || next.is_some_and(|c| starts_word(c) || c == '$') {
        return Err(refused("texts in a form other than '…'"));
    }
    Ok((Some(Token::Parameter), 1 + digits))
}

/// How long a comment is, with those in it.
fn comment(rest: &str) -> Result<usize, DbError> {
    let mut depth = 0_u32;
    let mut at = 0;
    loop {
        let found = rest[at..].find(['/', '*']).ok_or_else(unended)?;
        at += found;
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

fn refused(what: &str) -> DbError {
    DbError::Denied(what.into())
}

fn unended() -> DbError {
    DbError::Statement("a text, a name or a comment does not end".into())
}

#[cfg(test)]
mod tests {
    use super::{
        Token::{self, Parameter, Symbol, Text, Word},
        tokens,
    };
    use crate::db::DbError;

    fn read(sql: &str) -> Vec<Token<'_>> {
        tokens(sql)
            .expect(sql)
            .into_iter()
            .map(|(token, _)| token)
            .collect()
    }

    #[test]
    fn texts_names_and_comments_end_where_postgresql_ends_them() {
        let a = Word("a", false);
        for (sql, expected) in [
            ("'it''s' a", vec![Text("it''s"), a]),
            (r"'\' a", vec![Text("\\"), a]),
            (r"E'\'' a", vec![Text(r"\'"), a]),
            (r"e'\\' a", vec![Text(r"\\"), a]),
            (r"xe'\' a", vec![Word("xe", false), Text("\\"), a]),
            ("\"b\"\"c\" a", vec![Word("b\"\"c", true), a]),
            ("/* /* */ ' */ a", vec![a]),
            ("/***/ a -- '\na", vec![a, a]),
            ("-- '\ra", vec![a]),
            ("#-- '\na", vec![Symbol('#'), a]),
            ("@/* ' */a", vec![Symbol('@'), a]),
            ("a\x0c(\x0b)", vec![a, Symbol('('), Symbol(')')]),
            (
                "$1, b$2$",
                vec![Parameter, Symbol(','), Word("b$2$", false)],
            ),
            ("1e'\\''", vec![Symbol('1'), Text("\\'")]),
        ] {
            assert_eq!(read(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for sql in [
            "$1a",
            "$1$",
            "$$a$$",
            "$a$ ' $a$",
            "$😀$ ' $😀$",
            "U&\"a\"",
            "u&'a'",
            "N'a'",
            "b'1'",
            "E''\n'\\'' a'",
            "E'a'\r'b'",
            "E'a' -- c\n -- d\n 'b'",
            "'a'\n'b'",
            "x'1'\n'2'",
        ] {
            assert!(matches!(tokens(sql), Err(DbError::Denied(_))), "{sql}");
        }
        for sql in ["'a", "\"a", "/* /* */", r"E'\'", "'a''"] {
            assert!(matches!(tokens(sql), Err(DbError::Statement(_))), "{sql}");
        }
        assert_eq!(
            tokens("ä 'ö'").unwrap(),
            [(Word("ä", false), 2), (Text("ö"), 7)]
        );
    }
}
