//! Pieces of pages that tenants may write themselves.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
};

use minijinja::value::{Serde, Value, merge_maps};
use serde::Serialize;

use crate::{
    markup::{self, SLOT},
    sandbox::{self, Compiled, Form},
};

/// What may be written, besides what it is given: the slots into which the application puts HTML of its
/// own (a form, say, which a tenant's template cannot have). A slot is a variable of that name, and
/// stands between elements, once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Piece {
    /// The slots that must be there: without them the page is none.
    pub needs: &'static [&'static str],
    /// The slots that may be there.
    pub takes: &'static [&'static str],
}

/// The pieces that an application lets its tenants write, by name.
///
/// What comes of a tenant's template is HTML of the elements and attributes that are listed: there are no
/// scripts, styles, forms, frames or pictures from elsewhere among them. What else it is, is an error, as
/// it is when too much comes of it or something is missing; the application shows its own then.
///
/// ```
/// use std::collections::BTreeMap;
/// use tenantry_templates::{Pages, Piece};
/// # #[derive(serde::Serialize)] struct Front { shop: &'static str }
///
/// let sample = Front { shop: "Acme" };
/// let layout = Piece { needs: &["content"], ..Piece::default() };
/// let pages = Pages::new().with("layout", layout, &sample);
///
/// let own = BTreeMap::from([("layout", "<h1>{{ shop }}</h1>{{ content }}")]);
/// let own = pages.compile(own).expect("it does with the sample");
/// let html = own.render("layout", &sample, &[("content", "<form>…</form>")]);
/// assert_eq!(html, Some(Ok("<h1>Acme</h1><form>…</form>".to_owned())));
///
/// let bad = BTreeMap::from([("layout", "{{ content }}\n<script>…</script>")]);
/// let wrong = pages.compile(bad).unwrap_err();
/// assert_eq!(wrong["layout"], "line 2: may not have <script>");
/// ```
#[derive(Default)]
pub struct Pages(BTreeMap<&'static str, (Piece, Vec<Value>)>);

/// What a tenant has written, read and tried.
pub struct OwnPages(BTreeMap<&'static str, (Piece, Compiled)>);

impl Pages {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece, with a sample of what it will be given. One that is there already gets a further
    /// sample: what a tenant writes is tried with each.
    #[must_use]
    pub fn with(mut self, name: &'static str, piece: Piece, sample: &impl Serialize) -> Self {
        let sample = Value::from(Serde(sample));
        let (kept, samples) = self.0.entry(name).or_default();
        *kept = piece;
        samples.push(sample);
        self
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Reads what a tenant has written, by the names of the pieces, and tries it with the samples.
    ///
    /// # Errors
    /// All that is wrong, by name.
    pub fn compile<'n, 's>(
        &self,
        own: impl IntoIterator<Item = (&'n str, &'s str)>,
    ) -> Result<OwnPages, BTreeMap<String, String>> {
        let (mut pages, mut wrong) = (BTreeMap::new(), BTreeMap::new());
        for (name, source) in own {
            let Some((&name, (piece, samples))) = self.0.get_key_value(name) else {
                let names: Vec<_> = self.names().collect();
                wrong.insert(
                    name.to_owned(),
                    format!("must be one of {}", names.join(", ")),
                );
                continue;
            };
            let tried = sandbox::compile(source, Form::Html, true).and_then(|compiled| {
                let tried = samples
                    .iter()
                    .try_for_each(|sample| piece.try_with(&compiled, sample));
                tried.map(|()| compiled)
            });
            match tried {
                Ok(compiled) => drop(pages.insert(name, (*piece, compiled))),
                Err(why) => drop(wrong.insert(name.to_owned(), why)),
            }
        }
        match wrong.is_empty() {
            true => Ok(OwnPages(pages)),
            false => Err(wrong),
        }
    }
}

impl OwnPages {
    /// Whether the tenant has written that one.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Renders what the tenant has written, with the application's HTML in the slots: none where it has
    /// written nothing of that name.
    ///
    /// # Errors
    /// Why it cannot be rendered, or what it may not be.
    pub fn render(
        &self,
        name: &str,
        with: &impl Serialize,
        slots: &[(&str, &str)],
    ) -> Option<Result<String, String>> {
        let (piece, compiled) = self.0.get(name)?;
        let with = Value::from(Serde(with));
        Some(piece.render(compiled, &with, slots))
    }
}

impl Piece {
    fn slots(&self) -> impl Iterator<Item = &'static str> {
        self.needs.iter().chain(self.takes).copied()
    }

    /// Every slot that it needs must come out at its place.
    fn try_with(&self, compiled: &Compiled, sample: &Value) -> Result<(), String> {
        let filled: Vec<_> = self.slots().map(|name| (name, "<hr>")).collect();
        self.render(compiled, sample, &filled).map(drop)
    }

    fn render(
        &self,
        compiled: &Compiled,
        with: &Value,
        slots: &[(&str, &str)],
    ) -> Result<String, String> {
        // what others have put into a page cannot know it
        let secret = RandomState::new().build_hasher().finish();
        let mark = |at: usize| format!("{SLOT}{secret}.{at}{SLOT}");
        let html_of = |name: &str| {
            let found = slots.iter().find(|(slot, _)| *slot == name);
            found.map_or("", |(_, html)| *html)
        };
        let marks: BTreeMap<&str, String> = self
            .slots()
            .enumerate()
            .map(|(at, name)| match html_of(name) {
                // so that a template can ask whether there is something
                "" => (name, String::new()),
                _ => (name, mark(at)),
            })
            .collect();
        let with = merge_maps([Value::from(Serde(&marks)), with.clone()]);
        let mut html = markup::clean(&compiled.render(&with)?)?;
        for (at, name) in self.slots().enumerate() {
            let mark = mark(at);
            let is_there = html.contains(&mark);
            if self.needs.contains(&name) && !is_there && !html_of(name).is_empty() {
                return Err(format!("must have {{{{ {name} }}}} between its elements"));
            }
            if is_there {
                // once, so that not much is made out of little
                html = html.replacen(&mark, html_of(name), 1).replace(&mark, "");
            }
        }
        Ok(html)
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl std::fmt::Debug for OwnPages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use super::*;

    const LAYOUT: Piece = Piece {
        needs: &["content"],
        takes: &["search"],
    };

    fn full() -> Value {
        json!({ "shop": "Acme", "url": "/products/1", "products": [{ "name": "Spade" }] })
    }

    fn pages() -> Pages {
        let bare = json!({ "shop": "Acme", "url": "/", "products": [] });
        Pages::new()
            .with("layout", LAYOUT, &full())
            .with("layout", LAYOUT, &bare)
            .with("front", Piece::default(), &full())
    }

    fn refused(name: &str, source: &str) -> String {
        let compiled = pages().compile([(name, source)]);
        let wrong = compiled.map(|_| ()).expect_err(source);
        wrong[name].clone()
    }

    #[test]
    fn slots_are_put_in_once_and_between_elements() {
        let own = pages().compile([(
            "layout",
            "<p>{{ shop }}</p>{{ content }}{{ content }}{{ search }}",
        )]);
        let own = own.unwrap();
        let slots = [("content", "<form>1</form>"), ("search", "<b>2</b>")];
        let with = json!({ "shop": "<Acme> {{ search }}", "url": "/", "products": [] });
        let html = own.render("layout", &with, &slots).unwrap().unwrap();
        assert_eq!(
            html,
            "<p>&lt;Acme&gt; {{ search }}</p><form>1</form><b>2</b>"
        );
        assert!(own.render("front", &with, &slots).is_none());
        assert!(!own.has("front") && own.has("layout"));
        // what is not given is not there
        let html = own.render("layout", &with, &[]).unwrap().unwrap();
        assert_eq!(html, "<p>&lt;Acme&gt; {{ search }}</p>");

        assert!(refused("layout", "<p>{{ shop }}</p>").contains("{{ content }}"));
        assert!(refused("layout", "<p title=\"{{ content }}\"></p>").contains("title"));
        assert!(refused("layout", "{% if products %}{{ content }}{% endif %}").contains("content"));
        assert!(refused("layout", "{{ content }}{{ products[0].name }}").contains("line 1"));
        assert!(refused("none", "x").contains("front, layout"));
    }

    #[test]
    fn what_is_given_cannot_become_markup() {
        let source = "<p>{{ shop }}</p><a href=\"{{ url }}\" title='{{ shop }}'>x</a>";
        let own = pages().compile([("front", source)]).unwrap();
        for evil in [
            "<script>1</script>",
            "' onclick='1",
            "\" onclick=\"1",
            "--><b>",
        ] {
            let with = json!({ "shop": evil, "url": "/", "products": [] });
            let html = own.render("front", &with, &[]).unwrap().unwrap();
            assert_eq!(html.matches('<').count(), 4, "{html}");
            assert!(
                !html.contains("onclick=") || html.contains("&#x27;") || html.contains("&quot;")
            );
        }
        // a link to a program is no link: it falls back
        let with = json!({ "shop": "x", "url": "javascript:alert(1)", "products": [] });
        assert!(own.render("front", &with, &[]).unwrap().is_err());
        assert!(refused("front", "<a href={{ url }}>x</a>").contains("quotes"));
        assert!(refused("front", "<{{ shop }}>").contains("may not have <acme>"));
        assert!(refused("front", "<p {{ shop }}='x'></p>").contains("may not have acme"));
    }

    /// However little is written, little time and room is taken.
    #[test]
    fn what_would_not_end_or_fills_the_memory_is_refused() {
        let loops = |depth: usize| {
            let list = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]";
            let open = format!("{{% for x in {list} %}}").repeat(depth);
            format!("{open}x{}", "{% endfor %}".repeat(depth))
        };
        let started = Instant::now();
        for bad in [
            loops(8),
            "{{ 'x' * 1000000000 }}".into(),
            "{{ range(1000000000) }}".into(),
            "{% for x in range(1000000000) %}x{% endfor %}".into(),
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
            "{% include 'front' %}".into(),
            "{% include '/etc/passwd' %}".into(),
            "{% include '../../../etc/passwd' %}".into(),
            "{% extends 'layout' %}".into(),
            "{% import 'x' as x %}".into(),
            "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}".into(),
            "{{ shop.upper() }}".into(),
            "{{ env('PATH') }}".into(),
            "{{ environ.PATH }}".into(),
            "{{ self }}".into(),
            "{{ shop.__class__ }}".into(),
            "{{ lipsum() }}".into(),
            "{{ shop|safe }}".into(),
            "{{ products|map(attribute='name') }}".into(),
            "{{ products|tojson }}".into(),
            "{{ tenant }}".into(),
        ] {
            refused("front", &bad);
        }
        // much text within the steps that it may take
        let long = format!(
            "{{% for x in [{0}] %}}{{% for y in [{0}] %}}{1}{{% endfor %}}{{% endfor %}}",
            ["1"; 60].join(","),
            "x".repeat(1000)
        );
        assert!(refused("front", &long).contains("too long"));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_goes_with_the_samples_and_not_with_the_day_is_an_error_then() {
        let own = pages()
            .compile([("front", "{{ products[0].name }}")])
            .unwrap();
        let none = json!({ "shop": "x", "url": "/", "products": [] });
        let failed = own.render("front", &none, &[]).unwrap();
        assert!(failed.is_err_and(|why| why.contains("line 1")));
    }
}
