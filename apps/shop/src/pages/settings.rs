//! The page on which those who manage a shop change it: what it is called, how its mail is sent, how its
//! storefront looks.

use std::collections::BTreeMap;

use axum::{
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Multipart, Request},
    http::{HeaderValue, StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::Value;
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    policy::Permissions,
    routing::{ClientAddress, CurrentUser, Form, Problem, Query, Result},
    scoped::{
        cache::TenantCache,
        files::Files,
        mail::MailSettings,
        settings::{Fields, Settings, Shown, TenantSettings},
    },
};
use uuid::Uuid;

use super::{
    form_errors, html, html_under,
    products::broken,
    shop_view,
    storefront::{self, Asked, storefront},
    viewer,
};
use crate::{
    access::{ChangeShop, Page, in_person},
    api::{
        settings::record,
        shop::{self, ChangedProfile, ChangedShop},
        theme,
    },
    models::{front::Front, profile::Profile, theme::Theme},
    themes::{self, Drawn, Worn},
    views::{FieldErrors, Preview, SettingsPage},
};

/// Whoever may change the shop, and what they are shown.
pub(crate) struct Manager {
    current: CurrentUser,
    permissions: Permissions,
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    settings: TenantSettings,
    address: ClientAddress,
}

impl<S: Send + Sync> FromRequestParts<S> for Manager {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Page(can) = Page::<ChangeShop>::from_request_parts(parts, state).await?;
        let rest = async {
            let Ok(address) = ClientAddress::from_request_parts(parts, state).await;
            let tenancy = Tenancy::from_request_parts(parts, state).await?;
            let tenant = <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
            Ok(Self {
                current: CurrentUser::from_request_parts(parts, state).await?,
                address,
                settings: tenancy.settings(&tenant),
                permissions: can.permissions,
                db: can.db,
                tenancy,
                tenant,
            })
        };
        rest.await
            .map_err(|problem: Problem| problem.into_response())
    }
}

/// Which form was sent, and what is wrong with it, if anything is.
struct Refused {
    form: &'static str,
    said: BTreeMap<&'static str, String>,
    errors: FieldErrors,
}

#[derive(Default, Deserialize)]
pub(crate) struct Saved {
    saved: Option<String>,
}

pub(crate) async fn show(manager: Manager, Query(query): Query<Saved>) -> Result<Response> {
    let mut page = manager.page(None).await?;
    page.saved = query.saved.is_some();
    html(StatusCode::OK, &page)
}

#[derive(Deserialize)]
pub(crate) struct SubmittedProfile {
    name: String,
    #[serde(default)]
    tagline: String,
    currency: String,
}

pub(crate) async fn set_profile(
    mut manager: Manager,
    Form(submitted): Form<SubmittedProfile>,
) -> Result<Response> {
    let said = BTreeMap::from([
        ("name", submitted.name.clone()),
        ("tagline", submitted.tagline.clone()),
        ("currency", submitted.currency.clone()),
    ]);
    let changed = ChangedShop {
        name: Some(submitted.name),
        profile: ChangedProfile {
            tagline: Some(Some(submitted.tagline)),
            currency: Some(submitted.currency.trim().to_uppercase()),
        },
    };
    let done = manager.change(changed).await;
    manager.answer("profile", said, done).await
}

#[derive(Deserialize)]
pub(crate) struct SubmittedFront {
    #[serde(default)]
    announcement: String,
    /// A box that is not ticked is not sent.
    show_prices: Option<String>,
}

pub(crate) async fn set_front(
    mut manager: Manager,
    Form(submitted): Form<SubmittedFront>,
) -> Result<Response> {
    let mut patch = Fields::new();
    patch.insert("announcement".into(), text(&submitted.announcement));
    patch.insert("show_prices".into(), submitted.show_prices.is_some().into());
    let said = BTreeMap::from([
        ("announcement", submitted.announcement),
        ("show_prices", submitted.show_prices.unwrap_or_default()),
    ]);
    let done = manager.patch(Front::NAME, patch).await;
    manager.answer("storefront", said, done).await
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(crate) struct SubmittedMail {
    from_name: String,
    from_address: String,
    reply_to: String,
    smtp_url: String,
    forget_server: Option<String>,
}

pub(crate) async fn set_mail(
    mut manager: Manager,
    Form(submitted): Form<SubmittedMail>,
) -> Result<Response> {
    let mut patch = Fields::new();
    patch.insert("from_name".into(), text(&submitted.from_name));
    patch.insert("from_address".into(), text(&submitted.from_address));
    patch.insert("reply_to".into(), text(&submitted.reply_to));
    // what is kept is not shown, so that leaving it empty leaves it
    if submitted.forget_server.is_some() {
        patch.insert("smtp_url".into(), Value::Null);
    } else if !submitted.smtp_url.trim().is_empty() {
        patch.insert("smtp_url".into(), text(&submitted.smtp_url));
    }
    let said = BTreeMap::from([
        ("from_name", submitted.from_name),
        ("from_address", submitted.from_address),
        ("reply_to", submitted.reply_to),
    ]);
    let done = manager.patch(MailSettings::NAME, patch).await;
    manager.answer("mail", said, done).await
}

type SubmittedTheme = BTreeMap<String, String>;

/// The theme's fields as they were sent, with the ends of lines that they are kept with.
fn theme_of(submitted: &SubmittedTheme) -> (BTreeMap<&'static str, String>, Fields) {
    let said: BTreeMap<_, _> = theme::FIELDS
        .into_iter()
        .map(|field| {
            let said = submitted.get(field).map_or("", String::as_str);
            (field, said.replace("\r\n", "\n"))
        })
        .collect();
    let patch = said
        .iter()
        .map(|(field, said)| ((*field).to_owned(), text(said)));
    let patch = patch.collect();
    (said, patch)
}

pub(crate) async fn set_theme(
    mut manager: Manager,
    files: Files,
    Form(submitted): Form<SubmittedTheme>,
) -> Result<Response> {
    let (said, patch) = theme_of(&submitted);
    let done = async {
        in_person(&manager.current)?;
        theme::patch(&manager.settings, &files, patch).await?;
        manager.record(Theme::NAME).await
    };
    let done = done.await;
    manager.answer("theme", said, done).await
}

/// Shows the front page in a theme that is not saved, to whoever is about to.
pub(crate) async fn preview(
    manager: Manager,
    cache: TenantCache,
    Form(submitted): Form<SubmittedTheme>,
) -> Result<Response> {
    let (said, mut fields) = theme_of(&submitted);
    fields.retain(|_, value| !value.is_null());
    let kept = manager.settings.get::<Theme>().await.unwrap_or_default();
    let drawn = async {
        let mut theme: Theme = serde_json::from_value(Value::Object(fields.clone()))
            .map_err(|_| wrong_colours(&fields))?;
        theme.logo = kept.logo;
        let worn = Worn::preview(theme)?;
        let front = manager.settings.get::<Front>().await?;
        let seen = storefront::Seen {
            tenant: &manager.tenant,
            db: &manager.db,
            current: Some(&manager.current),
            permissions: &manager.permissions,
            cache: &cache,
        };
        let mut page = storefront(seen, front, Asked::default()).await?;
        let nonce = Uuid::new_v4().simple().to_string();
        let style = worn.theme().style.clone().unwrap_or_default();
        let css = format!("{}{style}", worn.theme().colours());
        page.shop.look.preview = Some(Preview {
            nonce: nonce.clone(),
            css,
            fields: said.clone(),
        });
        let policy = format!(
            "default-src 'none'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        let policy = HeaderValue::try_from(policy).map_err(|error| Problem::internal(&error))?;
        match worn.draw(&mut page)? {
            Drawn::Framed(framed) => html_under(StatusCode::OK, &*framed, policy),
            Drawn::Plain => html_under(StatusCode::OK, &page, policy),
            Drawn::Failed { part, error } => Err(Problem::invalid_field(part, error)),
        }
    };
    match drawn.await {
        Ok(page) => Ok(page),
        Err(problem) => manager.answer("theme", said, Err(problem)).await,
    }
}

/// Goes on with what was looked at.
pub(crate) async fn edit_theme(
    manager: Manager,
    Form(submitted): Form<SubmittedTheme>,
) -> Result<Response> {
    let (said, _) = theme_of(&submitted);
    let sent = Refused {
        form: "theme",
        said,
        errors: FieldErrors::default(),
    };
    html(StatusCode::OK, &manager.page(Some(sent)).await?)
}

fn wrong_colours(fields: &Fields) -> Problem {
    let wrong = ["accent", "ground", "ink"].into_iter().filter_map(|field| {
        let parsed =
            serde_json::from_value::<crate::models::theme::Colour>(fields.get(field)?.clone());
        Some((field.to_owned(), vec![parsed.err()?.to_string()]))
    });
    Problem::invalid(wrong.collect())
}

pub(crate) async fn remove_theme(mut manager: Manager, files: Files) -> Result<Response> {
    in_person(&manager.current)?;
    theme::reset(&manager.settings, &files).await?;
    manager.record(Theme::NAME).await?;
    Ok(saved("theme"))
}

pub(crate) async fn set_logo(
    mut manager: Manager,
    files: Files,
    mut request: Request,
) -> Result<Response> {
    // what is too large is answered as that
    DefaultBodyLimit::disable().apply(&mut request);
    let done = async {
        in_person(&manager.current)?;
        let sent = Multipart::from_request(request, &()).await;
        let mut sent = sent.map_err(|error| broken(&error))?;
        while let Some(field) = sent.next_field().await.map_err(|error| broken(&error))? {
            if field.name() == Some("picture") && field.file_name().is_some_and(|it| !it.is_empty())
            {
                theme::set_logo(&manager.settings, files, field).await?;
                return manager.record("theme: logo").await;
            }
        }
        Err(Problem::invalid_field("picture", "choose a file first"))
    };
    let done = done.await.map_err(|problem| match problem.slug() {
        "payload-too-large" => Problem::invalid_field("picture", "has more than 2 MiB"),
        _ => problem,
    });
    manager.answer("logo", BTreeMap::new(), done).await
}

pub(crate) async fn remove_logo(mut manager: Manager, files: Files) -> Result<Response> {
    in_person(&manager.current)?;
    theme::exchange_logo(&manager.settings, &files, None).await?;
    manager.record("theme: logo").await?;
    Ok(saved("logo"))
}

fn saved(form: &str) -> Response {
    Redirect::to(&format!("/settings?saved={form}#{form}")).into_response()
}

/// What is left empty is as by default.
fn text(said: &str) -> Value {
    match said.trim() {
        "" => Value::Null,
        _ => said.into(),
    }
}

impl Manager {
    /// Who stands in for somebody changes none of it, as over the API.
    async fn patch(&mut self, group: &str, patch: Fields) -> Result<()> {
        in_person(&self.current)?;
        let fields: Vec<&str> = patch.keys().map(String::as_str).collect();
        let what = format!("{group}: {}", fields.join(", "));
        self.settings.patch(group, patch).await?;
        self.record(&what).await
    }

    async fn record(&mut self, what: &str) -> Result<()> {
        record(&mut self.db, &self.current, self.address, what).await
    }

    async fn change(&mut self, changed: ChangedShop) -> Result<()> {
        let db = self.db.clone();
        let (current, tenancy, tenant) = (&self.current, &self.tenancy, &self.tenant);
        let changed = shop::change(current, tenancy, tenant, db, self.address, changed);
        changed.await.map(drop)
    }

    /// On to the page after a success; back to it with what was sent, and what is wrong with it.
    async fn answer(
        &self,
        form: &'static str,
        said: BTreeMap<&'static str, String>,
        done: Result<()>,
    ) -> Result<Response> {
        let problem = match done {
            Ok(()) => return Ok(saved(form)),
            Err(problem) => problem,
        };
        let Some(errors) = form_errors(&problem, "") else {
            return Err(problem);
        };
        let refused = Refused { form, said, errors };
        html(problem.status(), &self.page(Some(refused)).await?)
    }

    async fn page(&self, refused: Option<Refused>) -> Result<SettingsPage> {
        let profile = Profile::read(&self.db).await?;
        let groups = self.settings.shown().await?;
        let mut notes: Vec<String> = groups.iter().filter_map(|one| one.error.clone()).collect();
        let fault = themes::fault(&self.settings, &self.db).await?;
        notes.extend(fault.map(|fault| format!("Your theme: {fault}")));
        let domains = self.tenancy.domains(&self.tenant).list().await?;
        let mut fields = BTreeMap::from([
            ("name", self.tenant.name().to_owned()),
            ("tagline", profile.tagline.unwrap_or_default()),
            ("currency", profile.currency),
        ]);
        for group in &groups {
            fields.extend(kept(group));
        }
        let (form, errors) = match refused {
            Some(refused) => {
                // a box that is not ticked is not said
                if refused.form == "storefront" {
                    fields.remove("show_prices");
                }
                fields.extend(refused.said);
                (refused.form, refused.errors)
            }
            None => ("", FieldErrors::default()),
        };
        let has = |field: &str| fields.get(field).is_some_and(|said| !said.is_empty());
        Ok(SettingsPage {
            shop: shop_view(&self.tenant, &self.db).await?,
            viewer: viewer(&self.current, &self.permissions),
            saved: false,
            notes,
            has_server: has("smtp_url"),
            logo: Some(fields.get("logo").cloned().unwrap_or_default())
                .filter(|logo| !logo.is_empty()),
            shows_prices: has("show_prices"),
            domains: domains
                .into_iter()
                .map(|domain| domain.host.to_string())
                .collect(),
            fields,
            form,
            errors,
        })
    }
}

/// What the forms have of a group, as text; of a secret, that there is one.
fn kept(group: &Shown) -> impl Iterator<Item = (&'static str, String)> {
    const FIELDS: [&str; 14] = [
        "announcement",
        "show_prices",
        "from_name",
        "from_address",
        "reply_to",
        "smtp_url",
        "logo",
        "accent",
        "ground",
        "ink",
        "style",
        "layout",
        "front",
        "product",
    ];
    let said = |field: &'static str| {
        let text = match group.fields.get(field)? {
            Value::Null | Value::Bool(false) => return None,
            Value::String(text) => text.clone(),
            _ => "yes".to_owned(),
        };
        Some((field, text))
    };
    FIELDS
        .into_iter()
        .filter_map(said)
        .collect::<Vec<_>>()
        .into_iter()
}
