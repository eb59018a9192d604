//! The texts that people are mailed. A shop may have its own in the place of each: what goes in is the
//! same.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};
use tenantry::scoped::settings::{FieldErrors, Settings};
use tenantry_templates::{Own, Source, Texts};

/// What goes into each text.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Words<'a> {
    /// The shop's name.
    pub(crate) shop: &'a str,
    /// Where to go, with a link that is good once; empty in a notice.
    pub(crate) url: &'a str,
    /// What the reader is called; empty where that is not known.
    pub(crate) name: &'a str,
    /// What happened, in a notice.
    pub(crate) what: &'a str,
}

const SAMPLE: Words<'static> = Words {
    shop: "Acme",
    url: "https://acme.example.com/invitation?link=tnl_x",
    name: "Ann",
    what: "Your password was changed.",
};

const SOURCES: [(&str, Source); 5] = [
    (
        "welcome",
        Source {
            subject: "Welcome to {{ shop }}",
            text: include_str!("../templates/mail/welcome.txt"),
            html: Some(include_str!("../templates/mail/welcome.html")),
        },
    ),
    (
        "invitation",
        Source {
            subject: "Join {{ shop }}",
            text: include_str!("../templates/mail/invitation.txt"),
            html: Some(include_str!("../templates/mail/invitation.html")),
        },
    ),
    (
        "reset",
        Source {
            subject: "A new password for {{ shop }}",
            text: include_str!("../templates/mail/reset.txt"),
            html: Some(include_str!("../templates/mail/reset.html")),
        },
    ),
    (
        "verification",
        Source {
            subject: "Your e-mail address at {{ shop }}",
            text: include_str!("../templates/mail/verification.txt"),
            html: Some(include_str!("../templates/mail/verification.html")),
        },
    ),
    (
        "notice",
        Source {
            subject: "Your account at {{ shop }}",
            text: include_str!("../templates/mail/notice.txt"),
            html: Some(include_str!("../templates/mail/notice.html")),
        },
    ),
];

pub(crate) static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    SOURCES
        .into_iter()
        .fold(Texts::new(), |texts, (name, source)| {
            let added = texts.with(name, source, &SAMPLE);
            added.expect("the shop's own texts go with the sample, as a test has it")
        })
});

/// A shop's own texts, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct OwnTexts {
    pub(crate) texts: BTreeMap<String, Own>,
}

impl Settings for OwnTexts {
    const NAME: &'static str = "mail-texts";

    fn validate(&self) -> Result<(), FieldErrors> {
        TEXTS.check(&self.texts).map_err(|wrong| {
            let named = |(part, why)| (format!("texts.{part}"), vec![why]);
            wrong.into_iter().map(named).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_go_with_what_they_are_given() {
        assert_eq!(TEXTS.names().count(), SOURCES.len());
        for (name, _) in SOURCES {
            let said = TEXTS.render(name, &BTreeMap::new(), &SAMPLE).unwrap();
            assert!(said.subject.contains("Acme"), "{said:?}");
            let html = said.html.unwrap();
            let has_link = |text: &str| text.contains("link=tnl_x");
            let expected = name != "notice";
            assert_eq!(
                (has_link(&said.text), has_link(&html)),
                (expected, expected),
                "{name}"
            );
        }
    }
}
