//! The pages of the shop, each a template in `templates/` and the data that fills it.
//!
//! Everything shown is text that the templates escape; nothing here is trusted as markup. The
//! handlers make these values and render them with [`askama::Template::render`].

use std::collections::BTreeMap;

use askama::Template;

use crate::themes::{Common, Dressed, FrontData, Parts, ProductData, ProductPageData, ShopData};

/// How many colour schemes the stylesheet has for shops (`.hue-0` and on).
const HUES: u32 = 6;

/// How many patterns the stylesheet has for the tiles of products (`.pattern-0` and on).
const PATTERNS: u32 = 4;

/// What was wrong with a submitted form: messages by the name of the field they are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldErrors(BTreeMap<String, Vec<String>>);

impl FieldErrors {
    /// The messages about `field`, none if it was fine.
    pub(crate) fn for_field(&self, field: &str) -> &[String] {
        self.0.get(field).map_or(&[], Vec::as_slice)
    }

    /// The messages about anything but `fields`, so that a form can show those it has no input for.
    pub(crate) fn outside(&self, fields: &[&str]) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(field, _)| !fields.contains(&field.as_str()))
            .flat_map(|(_, messages)| messages)
            .map(String::as_str)
            .collect()
    }

    /// Whether nothing was wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }
}

impl From<BTreeMap<String, Vec<String>>> for FieldErrors {
    fn from(errors: BTreeMap<String, Vec<String>>) -> Self {
        Self(errors)
    }
}

/// The form that opens a shop, as last submitted. The password is never shown again.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShopForm {
    /// The shop's name.
    pub(crate) name: String,
    /// The shop's code, the first label of its address.
    pub(crate) code: String,
    /// The first name of its first user.
    pub(crate) first_name: String,
    /// The email of its first user.
    pub(crate) email: String,
    /// What was wrong with them.
    pub(crate) errors: FieldErrors,
}

/// The central site's landing page, where shops are opened: `GET /`.
#[derive(Debug, Template)]
#[template(path = "landing.html")]
pub(crate) struct Landing {
    /// The form, empty at first.
    pub(crate) form: ShopForm,
    /// What follows the code in a shop's address, such as `.localhost:8000`.
    pub(crate) suffix: String,
}

/// What the central site shows when a shop has been opened.
#[derive(Debug, Template)]
#[template(path = "created.html")]
pub(crate) struct Created {
    /// The shop's name.
    pub(crate) name: String,
    /// The address of its storefront, without a slash at the end.
    pub(crate) url: String,
    /// The email that its first user signs in with.
    pub(crate) email: String,
}

/// A shop, as its visitors see it.
#[derive(Debug, Clone)]
pub(crate) struct ShopView {
    /// Its name.
    pub(crate) name: String,
    /// A line below the name.
    pub(crate) tagline: Option<String>,
    /// The currency of its prices, such as `EUR`.
    pub(crate) currency: String,
    /// What of its theme the page has.
    pub(crate) look: Look,
}

/// What a page has of a shop's theme besides what is written in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// The version of its colours, if it has some.
    pub(crate) colours: Option<String>,
    /// The version of its style sheet, if it has one.
    pub(crate) style: Option<String>,
    /// The version of its logo, if it has one.
    pub(crate) logo: Option<String>,
    /// The theme's colours and style, where it is not saved yet.
    pub(crate) preview: Option<Preview>,
}

/// A style that stands in the page.
#[derive(Debug, Clone)]
pub(crate) struct Preview {
    /// What the page's policy knows it by.
    pub(crate) nonce: String,
    /// What it says, in which no element ends.
    pub(crate) css: String,
    /// What was typed, to be saved or changed further.
    pub(crate) fields: BTreeMap<&'static str, String>,
}

impl ShopView {
    /// Which of the colour schemes is this shop's, always the same for the same name.
    fn hue(&self) -> u32 {
        pick(&self.name, HUES)
    }

    /// What every template of a theme is given.
    fn common(&self, announcement: Option<&str>, signed_in: bool) -> Common {
        let logo = self.look.logo.as_ref();
        Common {
            shop: ShopData {
                name: self.name.clone(),
                tagline: self.tagline.clone().unwrap_or_default(),
                currency: self.currency.clone(),
                url: "/",
            },
            logo: logo
                .map(|version| format!("/theme/logo?v={version}"))
                .unwrap_or_default(),
            announcement: announcement.unwrap_or_default().to_owned(),
            signed_in,
        }
    }
}

/// Who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    /// Their name.
    pub(crate) name: String,
    /// Their role in this shop.
    pub(crate) role: String,
    /// Whether they may add, change and delete products.
    pub(crate) can_edit: bool,
    /// Whether they may change the shop itself.
    pub(crate) can_manage: bool,
    /// The operator who stands in for them, if one does.
    pub(crate) operator: Option<String>,
}

/// A product in the list of a storefront.
#[derive(Debug, Clone)]
pub(crate) struct ProductView {
    /// Its id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its code.
    pub(crate) code: String,
    /// Its price, without the currency.
    pub(crate) price: Option<String>,
    /// Who added it.
    pub(crate) added_by: Option<String>,
    /// On what day it was added.
    pub(crate) added_on: String,
    /// The version of its picture, if it has one.
    pub(crate) picture: Option<String>,
}

impl ProductView {
    /// The letter on its tile.
    fn initial(&self) -> String {
        let first = self.name.chars().find(|c| c.is_alphanumeric());
        first.into_iter().flat_map(char::to_uppercase).collect()
    }

    /// Where its picture is, where it has one.
    fn picture_url(&self, which: &str) -> String {
        let version = self.picture.as_ref();
        version
            .map(|version| format!("/api/products/{}/{which}?v={version}", self.id))
            .unwrap_or_default()
    }

    /// What templates are given of it.
    fn data(&self) -> ProductData {
        ProductData {
            name: self.name.clone(),
            code: self.code.clone(),
            price: self.price.clone().unwrap_or_default(),
            url: format!("/products/{}", self.id),
            thumbnail: self.picture_url("thumbnail"),
            picture: self.picture_url("picture"),
            added_on: self.added_on.clone(),
        }
    }

    /// Which pattern its tile has, always the same for the same code.
    fn pattern(&self) -> u32 {
        pick(&self.code, PATTERNS)
    }
}

/// A shop's front page, with its products: `GET /`.
#[derive(Debug, Template)]
#[template(path = "storefront.html", blocks = ["title", "account", "search", "main"])]
pub(crate) struct Storefront {
    /// The shop.
    pub(crate) shop: ShopView,
    /// Who is signed in, if anyone is.
    pub(crate) viewer: Option<Viewer>,
    /// A line above the products.
    pub(crate) announcement: Option<String>,
    /// This page of its products.
    pub(crate) products: Vec<ProductView>,
    /// What was searched for, empty if nothing was.
    pub(crate) query: String,
    /// The cursor of the next page, if there is one.
    pub(crate) next: Option<String>,
}

impl Storefront {
    /// Where there are more products.
    fn next_page(&self) -> Option<String> {
        let cursor = self.next.as_ref()?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.query.is_empty() {
            query.append_pair("q", &self.query);
        }
        query.append_pair("cursor", cursor);
        Some(format!("/?{}", query.finish()))
    }

    /// Whether the viewer may change the products.
    fn can_edit(&self) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.can_edit)
    }
}

impl Dressed for Storefront {
    type Data = FrontData;
    const PIECE: &'static str = "front";

    fn shop(&mut self) -> &mut ShopView {
        &mut self.shop
    }

    fn common(&self) -> Common {
        self.shop
            .common(self.announcement.as_deref(), self.viewer.is_some())
    }

    fn data(&self) -> FrontData {
        FrontData {
            common: self.common(),
            products: self.products.iter().map(ProductView::data).collect(),
            query: self.query.clone(),
            next: self.next_page().unwrap_or_default(),
        }
    }

    fn is_stood_in(&self) -> bool {
        self.viewer
            .as_ref()
            .is_some_and(|viewer| viewer.operator.is_some())
    }

    fn parts(&self) -> askama::Result<Parts> {
        Ok(Parts {
            title: self.as_title().render()?,
            account: self.as_account().render()?,
            search: self.as_search().render()?,
            main: self.as_main().render()?,
        })
    }
}

/// One product, as customers see it: `GET /products/{id}`.
#[derive(Debug, Template)]
#[template(path = "product.html", blocks = ["title", "account", "main"])]
pub(crate) struct ProductPage {
    /// The shop.
    pub(crate) shop: ShopView,
    /// Who is signed in, if anyone is.
    pub(crate) viewer: Option<Viewer>,
    /// A line above the product.
    pub(crate) announcement: Option<String>,
    /// The product.
    pub(crate) product: ProductView,
}

impl ProductPage {
    fn can_edit(&self) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.can_edit)
    }
}

impl Dressed for ProductPage {
    type Data = ProductPageData;
    const PIECE: &'static str = "product";

    fn shop(&mut self) -> &mut ShopView {
        &mut self.shop
    }

    fn common(&self) -> Common {
        self.shop
            .common(self.announcement.as_deref(), self.viewer.is_some())
    }

    fn data(&self) -> ProductPageData {
        ProductPageData {
            common: self.common(),
            product: self.product.data(),
        }
    }

    fn is_stood_in(&self) -> bool {
        self.viewer
            .as_ref()
            .is_some_and(|viewer| viewer.operator.is_some())
    }

    fn parts(&self) -> askama::Result<Parts> {
        Ok(Parts {
            title: self.as_title().render()?,
            account: self.as_account().render()?,
            search: String::new(),
            main: self.as_main().render()?,
        })
    }
}

/// A page in a shop's own theme. What is in it is HTML that was made before.
#[derive(Debug, Template)]
#[template(path = "framed.html")]
pub(crate) struct Framed {
    /// The shop.
    pub(crate) shop: ShopView,
    /// What the page is called.
    pub(crate) title: String,
    /// Who is signed in, and how to.
    pub(crate) account: String,
    /// Whether what is around the page is the theme's, too.
    pub(crate) has_layout: bool,
    /// The page.
    pub(crate) main: String,
}

/// What was mailed, in development: `GET /dev/mail`.
#[derive(Debug, Template)]
#[template(path = "dev_mails.html")]
pub(crate) struct DevMails {
    /// Whose it is, if it is a shop's.
    pub(crate) of: Option<String>,
    /// The latest first.
    pub(crate) mails: Vec<DevMail>,
}

/// One of them: `GET /dev/mail/{id}`.
#[derive(Debug, Template)]
#[template(path = "dev_mail.html")]
pub(crate) struct DevMail {
    /// Which it is.
    pub(crate) id: String,
    /// When it was written.
    pub(crate) at: String,
    /// Whom it comes from.
    pub(crate) from: String,
    /// Whom it is for.
    pub(crate) to: String,
    /// What it is about.
    pub(crate) subject: String,
    /// What it says.
    pub(crate) text: String,
    /// The same as HTML, if there is that.
    pub(crate) html: Option<String>,
}

/// A shop's sign-in page: `GET /sign-in`, and `POST` when refused.
#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignIn {
    /// The shop.
    pub(crate) shop: ShopView,
    /// The email as last submitted.
    pub(crate) email: String,
    /// Why the sign-in was refused.
    pub(crate) error: Option<String>,
    /// Whether a code of the second factor is asked for.
    pub(crate) wants_code: bool,
}

/// A page with a form of few fields, such as what a mailed link opens.
#[derive(Debug, Template)]
#[template(path = "step.html")]
pub(crate) struct Step {
    /// The shop.
    pub(crate) shop: ShopView,
    /// What it is about.
    pub(crate) title: String,
    /// What to do, or what was done.
    pub(crate) lede: String,
    /// The form; none where nothing is left to do.
    pub(crate) form: Option<StepForm>,
}

/// The form of a [`Step`].
#[derive(Debug, Default)]
pub(crate) struct StepForm {
    /// Where it goes.
    pub(crate) action: &'static str,
    /// What the link carries, if it came by one.
    pub(crate) link: Option<String>,
    /// What the button says.
    pub(crate) button: &'static str,
    /// Whether it asks for an address.
    pub(crate) email: bool,
    /// Whether it asks for a new password.
    pub(crate) password: bool,
    /// Whether it asks for a name, and the name as last submitted.
    pub(crate) first_name: Option<String>,
    /// What was wrong.
    pub(crate) errors: FieldErrors,
}

/// The form that adds or edits a product.
#[derive(Debug, Template)]
#[template(path = "product_form.html")]
pub(crate) struct ProductForm {
    /// The shop.
    pub(crate) shop: ShopView,
    /// Who is signed in.
    pub(crate) viewer: Viewer,
    /// The product to edit, or none to add one.
    pub(crate) id: Option<String>,
    /// Its name, as last submitted.
    pub(crate) name: String,
    /// Its code, as last submitted.
    pub(crate) code: String,
    /// Its price without the currency, as last submitted.
    pub(crate) price: String,
    /// The version of its picture, if it has one.
    pub(crate) picture: Option<String>,
    /// What was wrong with them.
    pub(crate) errors: FieldErrors,
}

/// Where those who manage a shop change it: `GET /settings`, and what its forms answer when refused.
#[derive(Debug, Template)]
#[template(path = "settings.html")]
pub(crate) struct SettingsPage {
    /// The shop.
    pub(crate) shop: ShopView,
    /// Who is signed in.
    pub(crate) viewer: Viewer,
    /// Whether something was just saved.
    pub(crate) saved: bool,
    /// What there is to say of settings that cannot be used.
    pub(crate) notes: Vec<String>,
    /// What is in the fields: what holds, or what was submitted.
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// Whether the shop has a mail server of its own.
    pub(crate) has_server: bool,
    /// Whether visitors see prices.
    pub(crate) shows_prices: bool,
    /// The version of its logo, if it has one.
    pub(crate) logo: Option<String>,
    /// The hosts that it has of its own.
    pub(crate) domains: Vec<String>,
    /// Which form was refused.
    pub(crate) form: &'static str,
    /// What was wrong with it.
    pub(crate) errors: FieldErrors,
}

impl SettingsPage {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// What was wrong with a form.
    fn errors_of(&self, form: &str) -> FieldErrors {
        match self.form == form {
            true => self.errors.clone(),
            false => FieldErrors::default(),
        }
    }
}

/// The page for anything that went wrong, on the central site and in shops alike.
#[derive(Debug, Template)]
#[template(path = "problem.html")]
pub(crate) struct Problem {
    /// What went wrong, in a few words.
    pub(crate) title: String,
    /// What went wrong, and what to do about it.
    pub(crate) detail: String,
    /// The status code of the response.
    pub(crate) status: u16,
    /// Whether `/` on this host is a page worth a link.
    pub(crate) home: bool,
}

/// A number below `choices` that depends on `text` alone (FNV-1a).
fn pick(text: &str, choices: u32) -> u32 {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ (hash >> 16)) % choices
}
