//! Shops' own themes: a storefront in a shop's colours, with its logo, its style sheet and its templates.
//!
//! A theme is for what customers see. Where somebody signs in or works, and while an operator stands in
//! for somebody, pages are the application's: a theme must not ask for a password, nor hide who is there.
//! What its templates make is HTML without scripts and forms (`tenantry_templates::Pages`); what needs a
//! form is put into slots. One that cannot be used is not: its page is the application's, its owner is told.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use askama::Template;
use axum::{http::StatusCode, response::Response};
use moka::sync::Cache;
use serde::Serialize;
use tenantry::{
    Tenant,
    db::TenantDb,
    routing::{Problem, Result},
    scoped::settings::{Settings, SettingsError, TenantSettings, Version},
    tenant::TenantId,
};
use tenantry_templates::{OwnPages, Pages, Piece};

use crate::{
    models::theme::{Fault, Theme},
    pages::live_html,
    views::{Framed, Look, ShopView},
};

/// What every template is given.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Common {
    /// The shop.
    pub(crate) shop: ShopData,
    /// Where its logo is; empty where it has none.
    pub(crate) logo: String,
    /// What it announces; empty for nothing.
    pub(crate) announcement: String,
    /// Whether somebody who works here looks at it.
    pub(crate) signed_in: bool,
}

/// A shop, for templates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ShopData {
    pub(crate) name: String,
    pub(crate) tagline: String,
    pub(crate) currency: String,
    pub(crate) url: &'static str,
}

/// The list of products, for templates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FrontData {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) products: Vec<ProductData>,
    /// What was searched for.
    pub(crate) query: String,
    /// Where there are more; empty on the last page.
    pub(crate) next: String,
}

/// One product, for templates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProductPageData {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) product: ProductData,
}

/// A product, for templates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProductData {
    pub(crate) name: String,
    pub(crate) code: String,
    /// Without the currency; empty where visitors are not to see it.
    pub(crate) price: String,
    pub(crate) url: String,
    /// Where its picture is, small; empty where it has none.
    pub(crate) thumbnail: String,
    /// And as large as it was uploaded.
    pub(crate) picture: String,
    pub(crate) added_on: String,
}

const LAYOUT: &str = "layout";

/// What a shop may write, each tried with much and with little.
pub(crate) static PAGES: LazyLock<Pages> = LazyLock::new(|| {
    let layout = Piece {
        needs: &["content"],
        takes: &["account", "search"],
    };
    let front = Piece {
        needs: &[],
        takes: &["search"],
    };
    let samples = [sample("x"), sample("")];
    samples
        .into_iter()
        .fold(Pages::new(), |pages, (front_data, product)| {
            pages
                .with(LAYOUT, layout, &front_data.common)
                .with("front", front, &front_data)
                .with("product", Piece::default(), &product)
        })
});

/// A page's data, with something in every field, or with as little as there can be.
fn sample(some: &str) -> (FrontData, ProductPageData) {
    let is_full = !some.is_empty();
    let text = |full: &str| {
        if is_full {
            full.to_owned()
        } else {
            String::new()
        }
    };
    let common = Common {
        shop: ShopData {
            name: "Acme".into(),
            tagline: text("Everything for the garden"),
            currency: "EUR".into(),
            url: "/",
        },
        logo: text("/theme/logo?v=1"),
        announcement: text("Closed on Monday"),
        signed_in: is_full,
    };
    let product = ProductData {
        name: "Spade".into(),
        code: "SPADE-1".into(),
        price: text("12.50"),
        url: "/products/1".into(),
        thumbnail: text("/api/products/1/thumbnail?v=1"),
        picture: text("/api/products/1/picture?v=1"),
        added_on: "1 May 2026".into(),
    };
    let front = FrontData {
        common: common.clone(),
        products: if is_full {
            vec![product.clone()]
        } else {
            Vec::new()
        },
        query: text("spade"),
        next: text("/?cursor=x"),
    };
    (front, ProductPageData { common, product })
}

/// A theme that was read, and its templates compiled.
#[derive(Debug)]
pub(crate) struct Worn {
    version: String,
    theme: Theme,
    own: Option<OwnPages>,
    /// Whether it was told, by this process, that it could not be used.
    told: AtomicBool,
}

/// How many bytes of themes are kept compiled, about.
const MOST_KEPT: u64 = 64 << 20;

/// By what they are made of, so that none outlives a change in any process.
static KEPT: LazyLock<Cache<(TenantId, Version), Arc<Worn>>> = LazyLock::new(|| {
    Cache::builder()
        .weigher(|_, worn: &Arc<Worn>| worn.weight())
        .max_capacity(MOST_KEPT)
        .time_to_idle(Duration::from_secs(3600))
        .build()
});

/// The shop's theme, if it has one. One that is no longer valid is as none, but for being told.
pub(crate) async fn worn(tenant: &Tenant, settings: &TenantSettings) -> Result<Option<Arc<Worn>>> {
    let Some(version) = settings.version::<Theme>().await? else {
        return Ok(None);
    };
    if let Some(worn) = KEPT.get(&(tenant.id(), version)) {
        return Ok(Some(worn));
    }
    let (version, theme) = match settings.get_versioned::<Theme>().await {
        Ok((theme, version)) => (version, Some(theme)),
        Err(error @ SettingsError::Broken { .. }) => {
            tracing::warn!(tenant = %tenant.code(), %error, "the shop's theme cannot be used");
            (version, None)
        }
        Err(error) => return Err(error.into()),
    };
    let worn = Arc::new(Worn::new(version.to_string(), theme.unwrap_or_default()));
    KEPT.insert((tenant.id(), version), worn.clone());
    Ok(Some(worn))
}

/// What a page consists of, and what its templates are given.
pub(crate) trait Dressed: Template {
    /// What it gives.
    type Data: Serialize;
    /// Which template may be in its place.
    const PIECE: &'static str;

    fn shop(&mut self) -> &mut ShopView;
    fn common(&self) -> Common;
    fn data(&self) -> Self::Data;
    /// Whether an operator looks at it in the place of somebody.
    fn is_stood_in(&self) -> bool;
    fn parts(&self) -> askama::Result<Parts>;
}

/// The application's own parts of a page, as HTML.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) title: String,
    pub(crate) account: String,
    pub(crate) search: String,
    pub(crate) main: String,
}

/// Shows a page as the shop would have it.
pub(crate) async fn show<P: Dressed>(
    mut page: P,
    tenant: &Tenant,
    settings: &TenantSettings,
    db: &TenantDb,
) -> Result<Response> {
    let Some(worn) = worn(tenant, settings).await? else {
        return live_html(StatusCode::OK, &page);
    };
    match worn.draw(&mut page)? {
        Drawn::Framed(framed) => live_html(StatusCode::OK, &*framed),
        Drawn::Plain => live_html(StatusCode::OK, &page),
        Drawn::Failed { part, error } => {
            worn.tell(tenant, db, part, &error).await;
            live_html(StatusCode::OK, &page)
        }
    }
}

/// What became of a page.
pub(crate) enum Drawn {
    /// The shop's.
    Framed(Box<Framed>),
    /// The application's: the theme has no template for it.
    Plain,
    /// The application's: the theme's cannot be used.
    Failed { part: &'static str, error: String },
}

impl Worn {
    fn new(version: String, theme: Theme) -> Self {
        Self {
            version,
            own: PAGES.compile(theme.templates()).ok(),
            theme,
            told: AtomicBool::new(false),
        }
    }

    /// One that nobody has yet.
    pub(crate) fn preview(theme: Theme) -> Result<Self> {
        theme.validate().map_err(Problem::invalid)?;
        Ok(Self::new(String::new(), theme))
    }

    pub(crate) fn theme(&self) -> &Theme {
        &self.theme
    }

    fn weight(&self) -> u32 {
        let sources = self.theme.templates().map(|(_, source)| source.len());
        let style = self.theme.style.as_ref().map_or(0, String::len);
        // instructions take more room than what they are made of, and an engine some by itself
        u32::try_from(sources.map(|length| length * 8 + 16_384).sum::<usize>() + style + 1024)
            .unwrap_or(u32::MAX)
    }

    fn look(&self) -> Look {
        let version = Some(self.version.clone());
        let is_coloured = !self.theme.colours().is_empty();
        Look {
            colours: version.clone().filter(|_| is_coloured),
            style: version.filter(|_| self.theme.style.is_some()),
            logo: self.theme.logo.map(|logo| logo.to_string()),
            preview: None,
        }
    }

    /// Draws a page, or sets it up to be shown as the application has it.
    pub(crate) fn draw<P: Dressed>(&self, page: &mut P) -> Result<Drawn> {
        let preview = page.shop().look.preview.take();
        let look = Look {
            preview,
            ..self.look()
        };
        // its style is of its own pages
        let plain = Look {
            style: None,
            ..look.clone()
        };
        page.shop().look = plain.clone();
        let Some(own) = self.own.as_ref().filter(|_| !page.is_stood_in()) else {
            return Ok(Drawn::Plain);
        };
        page.shop().look = look;
        if !own.has(P::PIECE) && !own.has(LAYOUT) {
            return Ok(Drawn::Plain);
        }
        let parts = page.parts().map_err(|error| Problem::internal(&error))?;
        match self.framed(own, page, parts) {
            Ok(framed) => Ok(Drawn::Framed(Box::new(framed))),
            Err((part, error)) => {
                page.shop().look = plain;
                Ok(Drawn::Failed { part, error })
            }
        }
    }

    fn framed<P: Dressed>(
        &self,
        own: &OwnPages,
        page: &mut P,
        parts: Parts,
    ) -> Result<Framed, (&'static str, String)> {
        let search = ("search", parts.search.as_str());
        let main = match own.render(P::PIECE, &page.data(), &[search]) {
            Some(main) => main.map_err(|error| (P::PIECE, error))?,
            None => parts.main,
        };
        let slots = [
            ("content", main.as_str()),
            ("account", &parts.account),
            search,
        ];
        let whole = own.render(LAYOUT, &page.common(), &slots);
        let whole = whole.transpose().map_err(|error| (LAYOUT, error))?;
        Ok(Framed {
            shop: page.shop().clone(),
            title: parts.title,
            account: parts.account,
            has_layout: whole.is_some(),
            main: whole.unwrap_or(main),
        })
    }

    /// Tells the owner, once for each process: it is the same each time.
    async fn tell(&self, tenant: &Tenant, db: &TenantDb, part: &str, error: &str) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let code = tenant.code();
        tracing::warn!(tenant = %code, part, error, "the shop's theme cannot be used");
        if let Err(failed) = Fault::record(db, &self.version, part, error).await {
            self.told.store(false, Ordering::Relaxed);
            tracing::warn!(tenant = %code, error = %failed, "the owner cannot be told of it");
        }
    }
}

/// What there is to say of the shop's theme, beyond what its settings say.
pub(crate) async fn fault(
    settings: &TenantSettings,
    db: &TenantDb,
) -> Result<Option<Fault>, SettingsError> {
    match settings.version::<Theme>().await? {
        None => Ok(None),
        Some(version) => Ok(Fault::read(db, &version.to_string()).await?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_what_is_promised_to_them() {
        let theme = Theme {
            layout: Some(
                "<header>{% if logo %}<img src=\"{{ logo }}\" alt=\"\">{% endif %}\
                 <a href=\"{{ shop.url }}\">{{ shop.name }}</a> {{ shop.tagline }}{{ account }}</header>\
                 {{ search }}{{ announcement }}{{ content }}{% if signed_in %}x{% endif %}"
                    .into(),
            ),
            front: Some(
                "{{ search }}{{ query }}{% for product in products %}<a href=\"{{ product.url }}\">\
                 {{ product.name }} {{ product.code }} {{ product.price }} {{ shop.currency }}</a>\
                 {% if product.thumbnail %}<img src=\"{{ product.thumbnail }}\" alt=\"\">{% endif %}\
                 {% endfor %}{% if next %}<a href=\"{{ next }}\">more</a>{% endif %}"
                    .into(),
            ),
            product: Some(
                "<h1>{{ product.name }}</h1>{% if product.picture %}\
                 <img src=\"{{ product.picture }}\" alt=\"\">{% endif %}{{ product.added_on }}"
                    .into(),
            ),
            ..Theme::default()
        };
        assert_eq!(theme.validate(), Ok(()));
        // a layout is around every page, and has nothing of one of them
        let theme = Theme {
            layout: Some("{{ content }}{{ products|length }}".into()),
            ..Theme::default()
        };
        assert!(theme.validate().unwrap_err().contains_key("layout"));
    }
}
