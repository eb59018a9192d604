//! How a shop's storefront looks, where it is not as the application has it.

use std::{fmt, str::FromStr};

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use tenantry::{
    db::{DbError, FromRow, TenantDb},
    scoped::settings::{FieldErrors, Settings},
};
use tenantry_templates::check_style;
use uuid::Uuid;

use crate::themes::PAGES;

/// What a shop says of it. All of it is optional, and each by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Theme {
    /// Of links and buttons.
    pub(crate) accent: Option<Colour>,
    /// Of the page.
    pub(crate) ground: Option<Colour>,
    /// Of what is written on it.
    pub(crate) ink: Option<Colour>,
    /// The version of its logo, where it has one.
    pub(crate) logo: Option<Uuid>,
    /// A style sheet besides the application's.
    pub(crate) style: Option<String>,
    /// A template of what is around every page.
    pub(crate) layout: Option<String>,
    /// Of the list of products.
    pub(crate) front: Option<String>,
    /// Of one product.
    pub(crate) product: Option<String>,
}

impl Theme {
    /// The templates that it has.
    pub(crate) fn templates(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("layout", &self.layout),
            ("front", &self.front),
            ("product", &self.product),
        ];
        all.into_iter()
            .filter_map(|(name, source)| Some((name, source.as_deref()?)))
    }

    /// Its colours as a style sheet: nothing but their numbers is the shop's.
    pub(crate) fn colours(&self) -> String {
        let mut css = String::new();
        if let Some(accent) = self.accent {
            let on_accent = if accent.is_light() { "#111" } else { "#fff" };
            css.push_str(&format!(
                "--accent: {accent}; --accent-deep: color-mix(in oklab, {accent} 82%, var(--ink)); \
                 --on-accent: {on_accent}; "
            ));
        }
        if let (Some(ground), Some(ink)) = (self.ground, self.ink) {
            let mixed = |name: &str, share: u8| {
                format!("--{name}: color-mix(in oklab, {ink} {share}%, {ground}); ")
            };
            css.push_str(&format!(
                "--ground: {ground}; --surface: {ground}; --ink: {ink}; "
            ));
            for (name, share) in [
                ("wash", 7),
                ("wash-deep", 18),
                ("line", 15),
                ("edge", 50),
                ("muted", 72),
            ] {
                css.push_str(&mixed(name, share));
            }
            let scheme = if ground.is_light() { "light" } else { "dark" };
            css.push_str(&format!("color-scheme: {scheme}; "));
        }
        match css.is_empty() {
            true => css,
            false => format!(":root, [class*=\"hue-\"] {{ {}}}\n", css),
        }
    }
}

impl Settings for Theme {
    const NAME: &'static str = "theme";

    fn validate(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::new();
        let mut wrong = |field: &str, why: String| {
            errors.entry(field.into()).or_default().push(why);
        };
        if let Err(all) = PAGES.compile(self.templates()) {
            for (name, why) in all {
                wrong(&name, why);
            }
        }
        if let Some(Err(why)) = self.style.as_deref().map(check_style) {
            wrong("style", why);
        }
        match (self.ground, self.ink) {
            (Some(ground), Some(ink)) if ground.contrast(ink) < READABLE => wrong(
                "ink",
                format!(
                    "cannot be read on that ground: their contrast is {:.1} and must be {READABLE} or more",
                    ground.contrast(ink)
                ),
            ),
            (Some(_), None) => wrong("ink", "must be said where the ground is".into()),
            (None, Some(_)) => wrong("ground", "must be said where the ink is".into()),
            _ => {}
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors),
        }
    }
}

/// What text must have on its ground ([WCAG 2.2](https://www.w3.org/TR/WCAG22/#contrast-minimum)).
const READABLE: f64 = 4.5;

/// A colour by its red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Colour([u8; 3]);

impl Colour {
    /// How bright it seems, from 0 to 1.
    fn luminance(self) -> f64 {
        let linear = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            match part <= 0.040_45 {
                true => part / 12.92,
                false => ((part + 0.055) / 1.055).powf(2.4),
            }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    /// From 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance() + 0.05, other.luminance() + 0.05);
        one.max(other) / one.min(other)
    }

    /// Whether dark text is read on it more easily than light text.
    fn is_light(self) -> bool {
        self.contrast(Self([0x11; 3])) > self.contrast(Self([0xff; 3]))
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl FromStr for Colour {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be a colour, like #a33 or #aa3333";
        let digits = text.trim().strip_prefix('#').ok_or(WRONG)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        let digits = match digits.len() {
            3 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
            6 => digits.to_owned(),
            _ => return Err(WRONG),
        };
        let part = |at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| WRONG);
        Ok(Self([part(0)?, part(2)?, part(4)?]))
    }
}

impl TryFrom<String> for Colour {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> Self {
        colour.to_string()
    }
}

/// That a theme that was fine when it was said could not be used on some page.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct Fault {
    /// Which of the templates.
    pub(crate) part: String,
    /// Why.
    pub(crate) error: String,
    /// When that was told last.
    pub(crate) told_at: DateTime<Utc>,
}

impl Fault {
    /// That of a version of the theme. What was wrong with another is over.
    pub(crate) async fn read(db: &TenantDb, version: &str) -> Result<Option<Self>, DbError> {
        db.query("SELECT part, error, told_at FROM theme_faults WHERE version = $1")
            .bind(version)
            .optional()
            .await
    }

    pub(crate) async fn record(
        db: &TenantDb,
        version: &str,
        part: &str,
        error: &str,
    ) -> Result<(), DbError> {
        db.query(
            "INSERT INTO theme_faults (id, version, part, error, told_at) VALUES (1, $1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, part = excluded.part,
                error = excluded.error, told_at = excluded.told_at",
        )
        .bind(version)
        .bind(part)
        .bind(error)
        .bind(Utc::now().trunc_subsecs(6))
        .execute()
        .await?;
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.told_at.format("%Y-%m-%d %H:%M UTC");
        write!(
            f,
            "the shop's own {} could not be used on {at}, and the standard page was shown: {}",
            self.part, self.error
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_numbers_and_nothing_else() {
        let parsed = |text: &str| text.parse::<Colour>().map(|colour| colour.to_string());
        assert_eq!(parsed("#A3c"), Ok("#aa33cc".into()));
        assert_eq!(parsed(" #001122 "), Ok("#001122".into()));
        for bad in [
            "",
            "#",
            "red",
            "#12",
            "#1234",
            "#12345",
            "#1234567",
            "#ggg",
            "#+12",
            "#é1",
            "#aé",
            "#fff;}",
            "#fff}a{b:url(//x)",
            "rgb(1,2,3)",
            "var(--x)",
            "#-1-1-1",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_can_be_read_on_its_ground() {
        let with = |ground: &str, ink: &str| Theme {
            ground: ground.parse().ok(),
            ink: ink.parse().ok(),
            ..Theme::default()
        };
        assert!(with("#fff", "#222").validate().is_ok());
        assert!(with("", "").validate().is_ok());
        for (ground, ink, field) in [
            ("#fff", "#ccc", "ink"),
            ("#222", "#333", "ink"),
            ("#fff", "", "ink"),
            ("", "#222", "ground"),
        ] {
            let refused = with(ground, ink).validate().unwrap_err();
            assert!(refused.contains_key(field), "{ground} {ink}: {refused:?}");
        }
        let css = with("#fff", "#222").colours();
        assert!(
            css.contains("--ground: #ffffff;") && css.contains("color-scheme: light"),
            "{css}"
        );
        assert_eq!(check_style(&css), Ok(()));
        assert_eq!(Theme::default().colours(), "");
    }
}
