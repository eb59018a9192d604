//! HTML that a tenant's template made: taken apart, and put together again of what is listed.
//!
//! Browsers read anything as HTML, and what one takes for text another takes for a script. So this reads
//! little: elements that are closed in their order, attributes in quotes. No listed element is read by
//! other rules than the rest, as scripts, styles, text areas and drawings are; so what a browser sees is
//! what was seen here. All else is refused, and what is said is where.

/// Elements that hold others or text.
const HOLDERS: &[&str] = &[
    "a",
    "abbr",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "blockquote",
    "caption",
    "cite",
    "code",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hgroup",
    "i",
    "ins",
    "kbd",
    "li",
    "mark",
    "menu",
    "nav",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "time",
    "tr",
    "u",
    "ul",
    "var",
];

/// Elements that hold nothing, and are not closed.
const VOID: &[&str] = &["br", "hr", "img", "wbr"];

/// What any of them may have, besides `aria-…` and `data-…`.
const ATTRIBUTES: &[&str] = &["class", "dir", "hidden", "id", "lang", "role", "title"];

/// What some may have.
const MORE: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("details", &["open"]),
    ("img", &["alt", "height", "loading", "src", "width"]),
    ("ol", &["start"]),
    ("td", &["colspan", "rowspan"]),
    ("th", &["colspan", "rowspan", "scope"]),
    ("time", &["datetime"]),
];

/// Where links may lead: places on the same host, and others that are no programs.
const PLACES: &[&str] = &["/", "#", "?", "https://", "http://", "mailto:", "tel:"];

/// How deep elements may be in one another.
const DEEPEST: usize = 64;

/// Stands in the marks of what is put in later, which must be between elements.
pub(crate) const SLOT: char = '\u{e1f3}';

/// The same HTML in one spelling, or what is wrong with it and in which line.
pub(crate) fn clean(html: &str) -> Result<String, String> {
    let mut reader = Reader {
        rest: html,
        out: String::with_capacity(html.len()),
        open: Vec::new(),
    };
    let read = reader.read();
    read.map_err(|why| {
        let line = html[..html.len() - reader.rest.len()].matches('\n').count() + 1;
        format!("line {line}: {why}")
    })?;
    Ok(reader.out)
}

struct Reader<'h> {
    /// From where nothing has been read yet; where what is wrong begins, when something is.
    rest: &'h str,
    out: String,
    open: Vec<&'static str>,
}

impl<'h> Reader<'h> {
    fn read(&mut self) -> Result<(), String> {
        while let Some(at) = self.rest.find('<') {
            self.text(at)?;
            if let Some(inner) = self.rest.strip_prefix("<!--") {
                let (_, after) = inner.split_once("-->").ok_or("a comment does not end")?;
                self.rest = after;
            } else if let Some(inner) = self.rest.strip_prefix("</") {
                self.close(inner)?;
            } else {
                self.element(&self.rest[1..])?;
            }
        }
        self.text(self.rest.len())?;
        match self.open.last() {
            None => Ok(()),
            Some(name) => Err(format!("<{name}> is not closed")),
        }
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let (text, rest) = self.rest.split_at(length);
        no_control(text)?;
        self.out.push_str(text);
        self.rest = rest;
        Ok(())
    }

    fn close(&mut self, inner: &'h str) -> Result<(), String> {
        let (name, after) = word(inner);
        let name = name.to_ascii_lowercase();
        let after = after.trim_start().strip_prefix('>');
        let after = after.ok_or_else(|| format!("</{name}> does not end with >"))?;
        match self.open.pop() {
            Some(open) if open == name => {}
            Some(open) => return Err(format!("</{name}> stands where </{open}> must")),
            None => return Err(format!("</{name}> closes nothing")),
        }
        self.out.push_str(&format!("</{name}>"));
        self.rest = after;
        Ok(())
    }

    fn element(&mut self, inner: &'h str) -> Result<(), String> {
        let (said, mut after) = word(inner);
        if said.is_empty() {
            return Err("a < that begins nothing is written &lt;".into());
        }
        let said = said.to_ascii_lowercase();
        let find = |list: &[&'static str]| list.iter().copied().find(|name| *name == said);
        let (name, holds) = match (find(HOLDERS), find(VOID)) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => return Err(format!("may not have <{said}>")),
        };
        self.out.push('<');
        self.out.push_str(name);
        loop {
            let trimmed = after.trim_start();
            let is_apart = trimmed.len() < after.len();
            after = trimmed;
            if let Some(end) = after.strip_prefix('>') {
                self.rest = end;
                break;
            }
            if let Some(end) = after.strip_prefix("/>")
                && !holds
            {
                self.rest = end;
                break;
            }
            if !is_apart {
                return Err(format!("<{name}> cannot be read"));
            }
            after = self.attribute(name, after)?;
        }
        self.out.push('>');
        if holds {
            self.open.push(name);
        }
        match self.open.len() > DEEPEST {
            true => Err(format!("may not be more than {DEEPEST} elements deep")),
            false => Ok(()),
        }
    }

    fn attribute(&mut self, element: &str, from: &'h str) -> Result<&'h str, String> {
        let (said, after) = word(from);
        let said = said.to_ascii_lowercase();
        let more = MORE.iter().find(|(name, _)| *name == element);
        let is_listed = ATTRIBUTES.contains(&said.as_str())
            || more.is_some_and(|(_, more)| more.contains(&said.as_str()))
            || said
                .strip_prefix("aria-")
                .is_some_and(|rest| !rest.is_empty())
            || said
                .strip_prefix("data-")
                .is_some_and(|rest| !rest.is_empty());
        if said.is_empty() {
            return Err(format!("<{element}> cannot be read"));
        }
        if !is_listed {
            return Err(format!("<{element}> may not have {said}"));
        }
        self.out.push(' ');
        self.out.push_str(&said);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            return Ok(after);
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            return Err(format!("{said} of <{element}> must be in quotes"));
        };
        let ended = value[1..].split_once(quote);
        let (value, after) = ended.ok_or_else(|| format!("{said} of <{element}> does not end"))?;
        no_control(value)?;
        if value.contains(SLOT) {
            return Err(format!("{said} of <{element}> cannot have that in it"));
        }
        let value = match said.as_str() {
            "href" | "src" => escaped(&place(&said, value)?),
            _ => value.replace('"', "&quot;"),
        };
        self.out.push_str(&format!("=\"{value}\""));
        Ok(after)
    }
}

fn no_control(text: &str) -> Result<(), String> {
    let is_bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    match text.contains(is_bad) {
        true => Err("may not have control characters".into()),
        false => Ok(()),
    }
}

/// A name at the beginning, and what follows.
fn word(from: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()))
}

/// Where a link leads, or where a picture is: pictures are of this host alone.
fn place(attribute: &str, value: &str) -> Result<String, String> {
    let place = decoded(value);
    let place = place.trim();
    let lower = place.to_ascii_lowercase();
    let is_fine = match attribute {
        "src" => lower.starts_with('/') && !lower.starts_with("//") && !lower.starts_with("/\\"),
        _ => place.is_empty() || PLACES.iter().any(|one| lower.starts_with(one)),
    };
    match (is_fine, attribute) {
        (true, _) => Ok(place.into()),
        (false, "src") => Err("src must begin with / and be of the same host".into()),
        (false, _) => Err(format!("href must begin with one of {}", PLACES.join(" "))),
    }
}

/// As a browser reads it, as far as names and numbers of characters with their semicolon go. What is
/// none stays as it is, and is [escaped] again.
fn decoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let known = after.split_once(';');
        match known.and_then(|(name, after)| Some((character(name)?, after))) {
            Some((character, after)) => {
                out.push(character);
                rest = after;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?).filter(|c| !c.is_control())
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_comes_out_in_one_spelling() {
        for (html, expected) in [
            ("plain & <b>bold</b>", "plain & <b>bold</b>"),
            (
                "<P Class='a \"b\"' hidden>x</p >",
                "<p class=\"a &quot;b&quot;\" hidden>x</p>",
            ),
            ("a<!-- <script> -->b<br/><hr>", "ab<br><hr>"),
            (
                "<a href=\"&#x2f;products?a=1&b=2\">x</a>",
                "<a href=\"/products?a=1&amp;b=2\">x</a>",
            ),
            (
                "<a href=' HTTPS://x.example/'>x</a>",
                "<a href=\"HTTPS://x.example/\">x</a>",
            ),
            (
                "<img src=\"/theme/logo\" alt=\"<\" >",
                "<img src=\"/theme/logo\" alt=\"<\">",
            ),
            (
                "<div aria-label=\"x\" data-a=\"b\"></div>",
                "<div aria-label=\"x\" data-a=\"b\"></div>",
            ),
        ] {
            assert_eq!(clean(html).as_deref(), Ok(expected), "{html}");
        }
        // and again, it is what it was
        let once = clean("<a href='/?a=1&copy=2&amp;lt;'>&copy;</a>").unwrap();
        assert_eq!(clean(&once), Ok(once));
    }

    #[test]
    fn all_else_is_refused() {
        for bad in [
            "<script>1</script>",
            "<ScRiPt src=//x>",
            "<style>a{}</style>",
            "<svg><script>1</script></svg>",
            "<math></math>",
            "<iframe src='/'></iframe>",
            "<object></object>",
            "<form action='/sign-in'></form>",
            "<input name='password'>",
            "<button>x</button>",
            "<textarea>",
            "<title>",
            "<template></template>",
            "<noscript></noscript>",
            "<plaintext>",
            "<base href='/'>",
            "<meta http-equiv='refresh' content='0;url=//x'>",
            "<link rel='stylesheet' href='//x'>",
            "<video src='/x'></video>",
            "<main></main>",
            "<p onclick='x'></p>",
            "<p style='color:red'></p>",
            "<img src='/x' onerror='x'>",
            "<img src='/x' srcset='//x 1x'>",
            "<img src='//evil.example/x'>",
            "<img src='/\\evil.example/x'>",
            "<img src='https://evil.example/x'>",
            "<img src='data:image/svg+xml,x'>",
            "<a href='javascript:x'>x</a>",
            "<a href='JAVASCRIPT:x'>x</a>",
            "<a href='java&#115;cript:x'>x</a>",
            "<a href='&#x6A;avascript:x'>x</a>",
            "<a href='java\tscript:x'>x</a>",
            "<a href='\u{1}javascript:x'>x</a>",
            "<a href='&#1;javascript:x'>x</a>",
            "<a href='data:text/html,x'>x</a>",
            "<a href='vbscript:x'>x</a>",
            "<a href='/' target='_blank'>x</a>",
            "<a href='/' ping='//x'>x</a>",
            "<a href=/x>x</a>",
            "<a href='/x>x</a>",
            "<a/href='/'>x</a>",
            "<a href='/'class='x'>x</a>",
            "<p",
            "<p class",
            "<p =''></p>",
            "<",
            "a < b",
            "<!doctype html>",
            "<![CDATA[x]]>",
            "<?php ?>",
            "<!-- x",
            "</p>",
            "<p>",
            "<b><i></b></i>",
            "<p/></p>",
            "<p></p",
            "a\0b",
            "<p title='\u{e1f3}'></p>",
            "<x-y></x-y>",
        ] {
            let refused = clean(bad);
            assert!(refused.is_err(), "{bad}: {refused:?}");
        }
        let deep = "<b>".repeat(65) + &"</b>".repeat(65);
        assert!(clean(&deep).is_err());
        assert_eq!(
            clean("<p>\n\n<form>").unwrap_err(),
            "line 3: may not have <form>"
        );
    }

    #[test]
    fn whatever_it_is_given_it_ends_and_is_the_same_the_second_time() {
        // a generator of one's own: what matters is that signs meet in every order
        let signs = [
            "<", ">", "/", "a", "p", "=", "'", "\"", " ", "!--", "-->", "&", "#x6a;", "href",
            "src", ":", "img", "\n", "java", "script", "é", "\u{e1f3}", "class", "</p>", "<p>",
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut taken = 0;
        for _ in 0..50_000 {
            let mut html = String::new();
            for _ in 0..12 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let one = usize::try_from(state % signs.len() as u64).unwrap();
                html.push_str(signs[one]);
            }
            let Ok(once) = clean(&html) else { continue };
            taken += 1;
            assert_eq!(clean(&once).as_ref(), Ok(&once), "{html}");
            let lower = once.to_lowercase();
            assert!(
                !lower.contains("<script") && !lower.contains("=\"javascript"),
                "{html}"
            );
        }
        assert!(taken > 100, "{taken}");
    }
}
