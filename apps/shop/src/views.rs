//! The pages of the shop, each a template in `templates/` and the data that fills it.
//!
//! Everything shown is text that the templates escape; nothing here is trusted as markup. The
//! handlers make these values and render them with [`askama::Template::render`].

use std::collections::BTreeMap;

use askama::Template;

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
}

impl ShopView {
    /// Which of the colour schemes is this shop's, always the same for the same name.
    fn hue(&self) -> u32 {
        pick(&self.name, HUES)
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

    /// Which pattern its tile has, always the same for the same code.
    fn pattern(&self) -> u32 {
        pick(&self.code, PATTERNS)
    }
}

/// A shop's front page, with its products: `GET /`.
#[derive(Debug, Template)]
#[template(path = "storefront.html")]
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
    /// Whether the viewer may change the products.
    fn can_edit(&self) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.can_edit)
    }
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
