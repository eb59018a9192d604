//! Texts that an application writes to people, as templates that its tenants may override.
//!
//! What a tenant writes is looked at before it is ever run ([`check`](Texts::check)): it may put in what
//! it is given, choose and repeat, and nothing that reads files, includes, calls, or makes much out of
//! little. It is rendered with a limit of steps and of length, HTML is escaped, and what is not there is
//! an error. When a tenant's own cannot be rendered, the application's is, and that is told.
//!
//! For mail there are [`Texts`]. For pages there are [`Pages`], whose HTML is taken apart besides and put
//! together again of what is listed, and [`check_style`] for style sheets.
//!
//! It knows nothing of tenants, mail or HTTP.
//!
//! ```
//! use std::collections::BTreeMap;
//! use tenantry_templates::{Own, Source, Texts};
//! # #[derive(serde::Serialize)] struct Welcome { shop: &'static str, name: &'static str }
//!
//! let sample = Welcome { shop: "Acme", name: "Ann" };
//! let texts = Texts::new().with(
//!     "welcome",
//!     Source { subject: "Welcome to {{ shop }}", text: "Hello {{ name }},\n…", html: None },
//!     &sample,
//! )?;
//!
//! let own = BTreeMap::from([("welcome".to_owned(), Own {
//!     subject: Some("Hi {{ name }}".into()),
//!     ..Own::default()
//! })]);
//! texts.check(&own).expect("it does with the sample");
//! let rendered = texts.render("welcome", &own, &sample)?;
//! assert_eq!(rendered.subject, "Hi Ann");
//! assert_eq!(rendered.text, "Hello Ann,\n…");
//! # Ok::<_, tenantry_templates::TextError>(())
//! ```

mod markup;
mod pages;
mod sandbox;
mod style;

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value};
use serde::{Deserialize, Serialize};

pub use pages::{OwnPages, Pages, Piece};
pub use style::check_style;

use sandbox::Form;

/// What an application writes.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The subject, on one line.
    pub subject: &'static str,
    /// The text.
    pub text: &'static str,
    /// The same as HTML, if there is that.
    pub html: Option<&'static str>,
}

/// What a tenant writes instead; what is left out is the application's. Where the text is the tenant's
/// and the HTML is not, there is no HTML: the two would not say the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Own {
    /// The subject, on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The same as HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendered {
    /// The subject, on one line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML, if there is that.
    pub html: Option<String>,
    /// Why it is the application's, where the tenant's own could not be rendered.
    pub broken: Option<String>,
}

/// Why a text cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// There is none of that name.
    #[error("there is no text called {0}")]
    Unknown(String),
    /// It is not one, or does not go with what it is given.
    #[error("{what}: {why}")]
    Wrong {
        /// Which part: `welcome.subject`.
        what: String,
        /// What is wrong.
        why: String,
    },
}

struct Text {
    source: Source,
    /// What it is tried with.
    sample: Value,
}

/// An application's texts, by name.
#[derive(Default)]
pub struct Texts(BTreeMap<&'static str, Text>);

impl Texts {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text, with a sample of what it will be given, which it is tried with here; a tenant's own
    /// will be, too.
    ///
    /// # Errors
    /// When it does not go with the sample.
    pub fn with(
        mut self,
        name: &'static str,
        source: Source,
        sample: &impl Serialize,
    ) -> Result<Self, TextError> {
        let sample = Value::from(Serde(sample));
        applications(name, &source, &sample)?;
        self.0.insert(name, Text { source, sample });
        Ok(self)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Looks at what a tenant has written, and tries it with the samples.
    ///
    /// # Errors
    /// All that is wrong, by part (`welcome.subject`).
    pub fn check(&self, own: &BTreeMap<String, Own>) -> Result<(), BTreeMap<String, String>> {
        let mut wrong = BTreeMap::new();
        for (name, own) in own {
            let Some(text) = self.0.get(name.as_str()) else {
                let names: Vec<_> = self.names().collect();
                wrong.insert(name.clone(), format!("must be one of {}", names.join(", ")));
                continue;
            };
            for (part, source, form) in own.parts() {
                if let Err(why) = sandbox::render(source, form, &text.sample, true) {
                    wrong.insert(format!("{name}.{part}"), why);
                }
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong),
        }
    }

    /// Renders a text: the tenant's own where there is one, or else the application's.
    ///
    /// # Errors
    /// When there is none of that name, or the application's does not go with what it is given.
    pub fn render(
        &self,
        name: &str,
        own: &BTreeMap<String, Own>,
        with: &impl Serialize,
    ) -> Result<Rendered, TextError> {
        let unknown = || TextError::Unknown(name.to_owned());
        let source = &self.0.get(name).ok_or_else(unknown)?.source;
        let with = Value::from(Serde(with));
        let mut rendered = applications(name, source, &with)?;
        let Some(own) = own.get(name) else {
            return Ok(rendered);
        };
        match own.over(rendered.clone(), &with) {
            Ok(own) => Ok(own),
            Err(error) => {
                rendered.broken = Some(format!("{name}.{error}"));
                Ok(rendered)
            }
        }
    }
}

impl Own {
    fn parts(&self) -> impl Iterator<Item = (&'static str, &str, Form)> {
        let parts = [
            ("subject", &self.subject, Form::Text),
            ("text", &self.text, Form::Text),
            ("html", &self.html, Form::Html),
        ];
        parts
            .into_iter()
            .filter_map(|(part, source, form)| Some((part, source.as_deref()?, form)))
    }

    fn over(&self, mut rendered: Rendered, with: &Value) -> Result<Rendered, String> {
        if self.text.is_some() {
            rendered.html = None;
        }
        for (part, source, form) in self.parts() {
            let said = sandbox::render(source, form, with, true);
            let said = said.map_err(|why| format!("{part}: {why}"))?;
            match part {
                "subject" => rendered.subject = on_one_line(&said),
                "text" => rendered.text = said,
                _ => rendered.html = Some(said),
            }
        }
        Ok(rendered)
    }
}

fn applications(name: &str, source: &Source, with: &Value) -> Result<Rendered, TextError> {
    let render = |part: &str, source: &str, form| {
        sandbox::render(source, form, with, false).map_err(|why| TextError::Wrong {
            what: format!("{name}.{part}"),
            why,
        })
    };
    Ok(Rendered {
        subject: on_one_line(&render("subject", source.subject, Form::Text)?),
        text: render("text", source.text, Form::Text)?,
        html: source
            .html
            .map(|html| render("html", html, Form::Html))
            .transpose()?,
        broken: None,
    })
}

fn on_one_line(text: &str) -> String {
    text.trim().replace(char::is_control, " ")
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts() -> Texts {
        let source = Source {
            subject: "Welcome to {{ shop }}",
            text: "Hello {{ name }}: {{ url }}\n",
            html: Some("<p>Hello {{ name }}</p>"),
        };
        let sample = json!({ "shop": "Acme", "name": "Ann", "url": "http://x/?link=y" });
        Texts::new().with("welcome", source, &sample).unwrap()
    }

    fn own(subject: Option<&str>, text: Option<&str>, html: Option<&str>) -> BTreeMap<String, Own> {
        let own = Own {
            subject: subject.map(Into::into),
            text: text.map(Into::into),
            html: html.map(Into::into),
        };
        BTreeMap::from([("welcome".to_owned(), own)])
    }

    fn eve() -> serde_json::Value {
        json!({ "shop": "S\r\nBcc: x", "name": "<b>Eve</b>", "url": "http://x/?a=1&link=y" })
    }

    #[test]
    fn html_is_escaped_text_is_not_and_a_subject_is_one_line() {
        let said = texts().render("welcome", &BTreeMap::new(), &eve()).unwrap();
        assert_eq!(said.subject, "Welcome to S  Bcc: x");
        assert_eq!(said.text, "Hello <b>Eve</b>: http://x/?a=1&link=y\n");
        assert_eq!(
            said.html.unwrap(),
            "<p>Hello &lt;b&gt;Eve&lt;&#x2f;b&gt;</p>"
        );
        assert_eq!(said.broken, None);
        let none = texts().render("none", &BTreeMap::new(), &eve());
        assert!(matches!(none, Err(TextError::Unknown(_))), "{none:?}");
    }

    #[test]
    fn a_tenants_own_is_over_the_applications() {
        let said = texts().render("welcome", &own(Some("Hi"), None, None), &eve());
        let said = said.unwrap();
        assert_eq!(said.subject, "Hi");
        assert!(said.text.starts_with("Hello") && said.html.is_some());
        let said = texts().render("welcome", &own(None, Some("Yo {{ name }}"), None), &eve());
        let said = said.unwrap();
        assert_eq!((said.text.as_str(), said.html), ("Yo <b>Eve</b>", None));
        let html = own(None, Some("Yo"), Some("<i>{{ name|upper }}</i>"));
        let said = texts().render("welcome", &html, &eve()).unwrap();
        assert_eq!(said.html.unwrap(), "<i>&lt;B&gt;EVE&lt;&#x2f;B&gt;</i>");
    }

    #[test]
    fn what_does_not_do_is_refused_and_falls_back() {
        for bad in [
            "{{ nobody }}",
            "{{ name.first }}",
            "{{ name",
            "{% if name %}",
            "{% include 'welcome' %}",
            "{% extends 'x' %}",
            "{% import 'x' as x %}",
            "{% set a = name %}{{ a }}",
            "{% macro m() %}{% endmacro %}",
            "{% filter upper %}x{% endfilter %}",
            "{% autoescape false %}{{ name }}{% endautoescape %}",
            "{% do range(3) %}",
            "{{ name|safe }}",
            "{{ name|replace('a', name) }}",
            "{{ name ~ name }}",
            "{{ name * 1000000 }}",
            "{{ name + name }}",
            "{{ range(9) }}",
            "{{ name.upper() }}",
            "{{ debug() }}",
            "{% for a in [1,2,3,4,5,6,7,8,9] %}{% for b in [1,2,3,4,5,6,7,8,9] %}\
             {% for c in [1,2,3,4,5,6,7,8,9] %}{% for d in [1,2,3,4,5,6,7,8,9] %}\
             {% for e in [1,2,3,4,5,6,7,8,9] %}{% for f in [1,2,3,4,5,6,7,8,9] %}x\
             {% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
        ] {
            let own = own(None, Some(bad), None);
            let refused = texts().check(&own).expect_err(bad);
            assert!(refused.contains_key("welcome.text"), "{bad}: {refused:?}");
            let said = texts().render("welcome", &own, &eve()).expect(bad);
            assert!(said.text.starts_with("Hello"), "{bad}: {said:?}");
            assert!(said.broken.is_some_and(|why| why.contains("welcome.text")));
        }
        let deep = [
            format!("{{{{ name{} }}}}", ".a".repeat(30_000)),
            format!("{{{{ name{} }}}}", "|trim".repeat(10_000)),
            format!("{{{{ {}name }}}}", "not ".repeat(15_000)),
            format!("{{{{ {}name }}}}", "(".repeat(60_000)),
            format!("{{{{ {}name }}}}", "[".repeat(60_000)),
            format!("{{{{ name{} }}}}", "==name".repeat(10_000)),
            format!("{{{{ '}}}}'{} }}}}", ".a".repeat(30_000)),
            "{% if name %}".repeat(5_000),
            "{% for x in [1] %}".repeat(3_000),
            format!(
                "{{% if name %}}{}{{% endif %}}",
                "{% elif name %}".repeat(4_000)
            ),
        ];
        for bad in deep {
            let own = own(None, Some(&bad), None);
            assert!(texts().check(&own).is_err(), "{}", &bad[..40]);
        }
        let long = own(None, Some(&"x".repeat(70_000)), None);
        assert!(texts().check(&long).is_err());
        let unknown = BTreeMap::from([("none".to_owned(), Own::default())]);
        assert!(texts().check(&unknown).unwrap_err().contains_key("none"));
    }

    #[test]
    fn what_texts_need_is_there() {
        for good in [
            "plain",
            "{{ name }} {{ name|upper|lower|trim|title|capitalize }} {{ name|length }}",
            "{% if name == 'Ann' and not shop %}a{% elif name in ['x'] %}b{% else %}c{% endif %}",
            "{% for letter in ['a', 'b'] %}{{ loop.index }}{{ letter }}{% endfor %}",
            "{{ missing|default('nobody') }} {% if missing is defined %}x{% endif %}",
            "{{ 'yes' if name else 'no' }} {# not said #}",
        ] {
            let checked = texts().check(&own(None, Some(good), None));
            assert!(checked.is_ok(), "{good}: {checked:?}");
        }
    }

    #[test]
    fn the_applications_are_tried_when_they_are_added() {
        let source = Source {
            subject: "{{ nobody }}",
            text: "",
            html: None,
        };
        assert!(Texts::new().with("bad", source, &json!({})).is_err());
    }
}
