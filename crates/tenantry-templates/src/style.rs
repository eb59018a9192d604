//! Style sheets of tenants.

/// How long one may be, in bytes.
const LONGEST: usize = 32 * 1024;

/// Rules that begin with `@` and fetch nothing.
const RULES: &[&str] = &[
    "-webkit-keyframes",
    "container",
    "keyframes",
    "layer",
    "media",
    "starting-style",
    "supports",
];

/// What fetches something, or once did.
const FETCHING: &[&str] = &[
    "-moz-element",
    "-webkit-cross-fade",
    "-webkit-image-set",
    "cross-fade",
    "element",
    "expression",
    "image",
    "image-set",
    "src",
    "url",
    "url-prefix",
];

/// Whether a style sheet fetches nothing from anywhere, and is whole: its brackets and quotes are
/// closed. What its properties mean is not asked: browsers leave out what they do not know.
///
/// It is not what keeps a page from fetching something, which its `Content-Security-Policy` does; it says
/// so to whoever writes it.
///
/// ```
/// use tenantry_templates::check_style;
///
/// assert_eq!(check_style("h1 { color: #a33 }"), Ok(()));
/// let refused = check_style("h1 {\n  background: url(//elsewhere.example/x)\n}");
/// assert_eq!(refused.unwrap_err(), "line 2: may not have url()");
/// ```
///
/// # Errors
/// What is wrong, and in which line.
pub fn check_style(css: &str) -> Result<(), String> {
    if css.len() > LONGEST {
        return Err(format!("must have at most {LONGEST} bytes"));
    }
    let mut rest = css;
    look_at(&mut rest).map_err(|why| {
        let line = css[..css.len() - rest.len()].matches('\n').count() + 1;
        format!("line {line}: {why}")
    })
}

fn look_at(rest: &mut &str) -> Result<(), String> {
    let mut open = Vec::new();
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("</") || rest.starts_with("<!") {
            return Err("may not have HTML in it".into());
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            let (said, after) = comment.split_once("*/").ok_or("a comment does not end")?;
            no_end(said)?;
            *rest = after;
            continue;
        }
        let after = &rest[first.len_utf8()..];
        match first {
            '"' | '\'' => {
                *rest = quoted(after, first)?;
                continue;
            }
            '\\' => return Err("may have a backslash within quotes alone".into()),
            '{' => open.push('}'),
            '(' => open.push(')'),
            '[' => open.push(']'),
            '}' | ')' | ']' if open.pop() != Some(first) => {
                return Err(format!("{first} closes nothing"));
            }
            '@' => {
                let name = &after[..end_of_word(after)];
                if !RULES.contains(&name.to_ascii_lowercase().as_str()) {
                    return Err(format!("may not have @{name}"));
                }
            }
            c if c.is_control() && !matches!(c, '\n' | '\r' | '\t') => {
                return Err("may not have control characters".into());
            }
            c if is_of_word(c) => {
                let (word, after) = rest.split_at(end_of_word(rest));
                let word = word.to_ascii_lowercase();
                if after.starts_with('(') && FETCHING.contains(&word.as_str()) {
                    return Err(format!("may not have {word}()"));
                }
                *rest = after;
                continue;
            }
            _ => {}
        }
        *rest = after;
    }
    match open.last() {
        None => Ok(()),
        Some(bracket) => Err(format!("a {bracket} is missing")),
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii()
}

fn end_of_word(text: &str) -> usize {
    text.find(|c| !is_of_word(c)).unwrap_or(text.len())
}

/// What follows the closing quote.
fn quoted(from: &str, quote: char) -> Result<&str, String> {
    let mut signs = from.char_indices();
    while let Some((at, c)) = signs.next() {
        match c {
            '\\' => drop(signs.next()),
            '\n' | '\r' | '\u{c}' => break,
            c if c == quote => {
                no_end(&from[..at])?;
                return Ok(&from[at + 1..]);
            }
            _ => {}
        }
    }
    Err(format!("a {quote} is missing"))
}

/// It may come to stand within a page.
fn no_end(text: &str) -> Result<(), String> {
    match text.contains("</") || text.contains("<!") {
        true => Err("may not have HTML in it".into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check_style;

    #[test]
    fn what_fetches_or_is_not_whole_is_refused() {
        for good in [
            "",
            ":root { --a: #fff; color: var(--a) } a > b[href^=\"/x\"]::after { content: \"\\201C)\" }",
            "@media (width < 40rem) { .a { inset: 0 } } /* } */",
            "@KEYFRAMES x { from { opacity: 0 } to { opacity: 1 } }",
            ".image { mask: linear-gradient(#000 0 0) } .url, src { color: red }",
        ] {
            assert_eq!(check_style(good), Ok(()), "{good}");
        }
        for bad in [
            "@import 'x.css';",
            "@IMPORT url(x)",
            "@\\69mport 'x'",
            "@font-face { src: url(/x) }",
            "@charset 'x';",
            "@namespace x 'y';",
            "@",
            "a { background: url(/x) }",
            "a { background: URL('/x') }",
            "a { background: u\\72l(/x) }",
            "a { background: image-set('/x' 1x) }",
            "a { background: -webkit-image-set('/x' 1x) }",
            "a { background: src('/x') }",
            "a { width: expression(alert(1)) }",
            "a { color: red",
            "a { color: red }}",
            "a { color: (red] }",
            "a { content: 'x }",
            "a { content: 'x\n' }",
            "/* x",
            "</style><script>1</script>",
            "a { content: '</style>' }",
            "/* </style> */",
            "a { content: \"<!--\" }",
            "a { color: r\0ed }",
        ] {
            assert!(check_style(bad).is_err(), "{bad}");
        }
        assert!(check_style(&"a".repeat(40_000)).is_err());
    }
}
