//! What requests carry.

use serde_json::json;

use crate::support::{PASSWORD, Payload, Shop, form_with_picture, png};

pub(super) fn announcement(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({ "announcement": word }))
}

pub(super) fn nothing(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Nothing
}

pub(super) fn empty_form(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Form(Vec::new())
}

pub(super) fn shop(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({
        "code": word,
        "name": word,
        "owner": { "email": "owner@example.com", "password": "long enough", "first_name": "O" },
    }))
}

pub(super) fn shop_form(_: &Shop, word: &str, _: &str) -> Payload {
    let word = word.to_owned();
    Payload::Form(vec![
        ("name", word.clone()),
        ("code", word.clone()),
        ("first_name", word),
        ("email", "owner@example.com".into()),
        ("password", "long enough".into()),
    ])
}

pub(super) fn login(_: &Shop, _: &str, email: &str) -> Payload {
    Payload::Json(json!({ "email": email, "password": PASSWORD }))
}

pub(super) fn login_form(_: &Shop, _: &str, email: &str) -> Payload {
    Payload::Form(vec![("email", email.into()), ("password", PASSWORD.into())])
}

pub(super) fn tagline(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({ "profile": { "tagline": word } }))
}

pub(super) fn new_user(shop: &Shop, word: &str, _: &str) -> Payload {
    user(shop, word)
}

pub(super) fn user(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({
        "email": format!("{word}@example.com"), "password": "long enough", "first_name": word,
    }))
}

pub(super) fn first_name(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({ "first_name": word }))
}

pub(super) fn new_product(shop: &Shop, word: &str, _: &str) -> Payload {
    product(shop, word)
}

pub(super) fn product(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({ "name": word, "code": word, "price": "3.00" }))
}

pub(super) fn product_form(_: &Shop, word: &str, _: &str) -> Payload {
    let word = word.to_owned();
    Payload::Form(vec![
        ("name", word.clone()),
        ("code", word),
        ("price", "3.00".into()),
    ])
}

pub(super) fn profile_form(_: &Shop, word: &str, _: &str) -> Payload {
    let currency = ("currency", "EUR".to_owned());
    Payload::Form(vec![
        ("name", word.to_owned()),
        ("tagline", word.to_owned()),
        currency,
    ])
}

pub(super) fn front_form(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Form(vec![
        ("announcement", word.to_owned()),
        ("show_prices", "yes".to_owned()),
    ])
}

pub(super) fn mail_form(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Form(vec![("from_name", word.to_owned())])
}

pub(super) fn theme_form(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Form(vec![
        ("accent", "#a33".to_owned()),
        ("style", format!(".{word} {{ color: red }}")),
        ("layout", format!("<p>{word}</p>{{{{ content }}}}")),
    ])
}

pub(super) fn theme(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({
        "accent": "#a33",
        "style": format!(".{word} {{ color: red }}"),
        "layout": format!("<p class=\"{word}\">{{{{ account }}}}</p>{{{{ content }}}}"),
        "front": format!("<p>{word}</p>{{{{ search }}}}{{% for product in products %}}\
            <a href=\"{{{{ product.url }}}}\">{{{{ product.name }}}}</a>{{% endfor %}}"),
    }))
}

pub(super) fn picture(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Bytes("image/png", png(3, 2))
}

pub(super) fn picture_form(_: &Shop, _: &str, _: &str) -> Payload {
    form_with_picture(&png(3, 2))
}

pub(super) fn new_key(shop: &Shop, word: &str, _: &str) -> Payload {
    key(shop, word)
}

pub(super) fn key(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({ "name": word, "scopes": ["products:write"] }))
}

pub(super) fn new_domain(_: &Shop, word: &str, _: &str) -> Payload {
    domain(word)
}

pub(super) fn domain(word: &str) -> Payload {
    Payload::Json(json!({ "host": format!("{word}.example") }))
}

pub(super) fn invited(_: &Shop, word: &str, _: &str) -> Payload {
    invitation(word)
}

pub(super) fn invitation(word: &str) -> Payload {
    Payload::Json(json!({ "email": format!("{word}@example.com"), "role": "staff" }))
}

pub(super) fn address(_: &Shop, _: &str, email: &str) -> Payload {
    Payload::Json(json!({ "email": email }))
}

pub(super) fn address_form(_: &Shop, _: &str, email: &str) -> Payload {
    let email = if email.is_empty() {
        "owner@example.com"
    } else {
        email
    };
    Payload::Form(vec![("email", email.into())])
}

/// Nothing comes of it: the price is none, and it is told by the product's code.
pub(super) fn import(_: &Shop, word: &str, _: &str) -> Payload {
    let csv = format!("name,code,price\n{word},{word},-1\n");
    Payload::Bytes("text/csv", csv.into_bytes())
}

pub(super) fn link(_: &Shop, _: &str, secret: &str) -> Payload {
    Payload::Json(json!({ "link": secret }))
}

pub(super) fn link_form(_: &Shop, _: &str, secret: &str) -> Payload {
    Payload::Form(vec![("link", secret.into())])
}

pub(super) fn refresh(_: &Shop, _: &str, secret: &str) -> Payload {
    Payload::Json(json!({ "refresh": secret }))
}

pub(super) fn password(_: &Shop, _: &str, secret: &str) -> Payload {
    Payload::Json(json!({ "link": secret, "password": "quite another one" }))
}

pub(super) fn password_form(_: &Shop, _: &str, secret: &str) -> Payload {
    let password = "quite another one".to_owned();
    Payload::Form(vec![("link", secret.into()), ("password", password)])
}

pub(super) fn join(_: &Shop, word: &str, secret: &str) -> Payload {
    Payload::Json(json!({
        "link": secret, "password": "quite another one", "first_name": word,
    }))
}

pub(super) fn join_form(_: &Shop, word: &str, secret: &str) -> Payload {
    Payload::Form(vec![
        ("link", secret.into()),
        ("password", "quite another one".into()),
        ("first_name", word.into()),
    ])
}

pub(super) fn new_password(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Json(json!({ "current": PASSWORD, "new": "quite another one" }))
}

pub(super) fn new_address(_: &Shop, word: &str, _: &str) -> Payload {
    let email = format!("{word}@new.example.com");
    Payload::Json(json!({ "email": email, "password": PASSWORD }))
}

pub(super) fn wrong_code(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Json(json!({ "code": "000000" }))
}

/// The second factor is taken away where there is none, too.
pub(super) fn proof(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Json(json!({ "password": PASSWORD, "code": "000000" }))
}

pub(super) fn wrong_login(_: &Shop, _: &str, email: &str) -> Payload {
    Payload::Json(json!({ "email": email, "password": "no operator has this" }))
}

pub(super) fn stand_in(shop: &Shop, _: &str, _: &str) -> Payload {
    Payload::Json(json!({
        "tenant": shop.code, "email": shop.owner.email, "reason": "to try it",
    }))
}
