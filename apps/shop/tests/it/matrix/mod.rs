//! Every route of the shop, tried by one tenant on another.
//!
//! The table below has each route once; a test fails when one is missing, so a new route cannot
//! come without being tried. A request that must not reach another tenant is also made by the
//! tenant it belongs to, and must succeed there.

mod bodies;
mod entry;
mod table;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenantry::routing::{Kind, RouteInfo};

use self::{
    bodies::{domain, import, invitation, key, product, user},
    entry::{
        Entry, Of,
        Who::{Anyone, Operator, SignedIn},
    },
    table::{EXCEPTIONS, MATRIX},
};

use crate::support::{
    A_SECOND, Answer, Client, PASSWORD, Pass, Payload, Person, Place, Server, Shop, link_in_mail,
    mail_with, png, publish, shared, text, unique, until,
};

/// What the owner is signed in with, for those who are refused before anybody looks at it.
fn pass_of(shop: &Shop) -> Pass {
    Pass {
        token: shop.owner.token.clone(),
        session: "none".into(),
    }
}

/// An operator of the deployment, signed in.
async fn operator(server: &std::sync::Arc<Server>) -> Client {
    let email = format!("{}@operators.example.com", unique("kim"));
    let create = [
        "console",
        "user",
        "create",
        &email,
        "--name",
        "Kim",
        "--role",
        "support",
        "--password-stdin",
    ];
    server.place().run_with_input(&create, PASSWORD).ok();
    let login = json!({ "email": email, "password": PASSWORD });
    let answer = server.central().post("/api/operators/login", login).await;
    server
        .central()
        .bearer(&text(&answer.is(200).json()["token"]))
}

/// Whether the central host and a tenant's have a route of that path.
fn is_on_both(entry: &Entry) -> bool {
    matches!(entry.path, "/" | "/dev/mail" | "/dev/mail/{id}")
}

#[test]
fn every_route_is_tried() {
    let routes = shop::routes();
    let name = |route: &RouteInfo| (route.method.clone(), route.path.clone(), route.kind);
    let listed: BTreeSet<_> = routes.list().iter().map(name).collect();
    assert_eq!(listed.len(), routes.list().len(), "a route is listed twice");

    let tried = MATRIX.iter().map(Entry::name);
    let excepted = EXCEPTIONS.iter().map(|(method, path, reason)| {
        assert!(!reason.is_empty());
        (*method, *path, Kind::Unresolved)
    });
    let mut known = BTreeSet::new();
    for (method, path, kind) in tried.chain(excepted) {
        let name = (method.to_owned(), path.to_owned(), kind);
        assert!(known.insert(name), "{method} {path} is here twice");
    }
    let untried: Vec<_> = listed.difference(&known).collect();
    assert!(untried.is_empty(), "not tried across tenants: {untried:#?}");
    let gone: Vec<_> = known.difference(&listed).collect();
    assert!(gone.is_empty(), "there are no such routes: {gone:#?}");
}

/// Two shops with the same e-mail addresses, and nothing else the same.
struct Neighbours {
    /// Whose things must not be reached.
    ours: Shop,
    /// Who tries.
    theirs: Shop,
    /// Words that only our things have.
    marks: Vec<String>,
}

/// A product or user of ours, and what it says.
struct Object {
    id: String,
    mark: String,
}

impl Neighbours {
    async fn new(server: &std::sync::Arc<Server>) -> Self {
        let ours = Shop::open_as(server, &unique("ours"), "the password of ours").await;
        let theirs = Shop::open_as(server, &unique("theirs"), "another for theirs").await;
        for shop in [&ours, &theirs] {
            let word = unique("zebra");
            let dressed = json!({ "name": word, "profile": { "tagline": word } });
            shop.as_owner().patch("/api/shop", dressed).await.is(200);
            shop.stock(&word, &word, "12.34").await;
            let new = user(shop, &word);
            let owner = shop.as_owner();
            owner.send("POST", "/api/users", new).await.is(201);
            let theme = bodies::theme(shop, &word, "");
            owner.send("PUT", "/api/theme", theme).await.is(200);
            let logo = owner.raw("PUT", "/api/theme/logo", "image/png", png(3, 2));
            logo.await.is(200);
        }
        let shop = ours.visitor().get("/api/shop").await.is(200).json();
        let name = shop["name"].as_str().unwrap().to_owned();
        let marks = vec![
            name,
            ours.id.clone(),
            ours.owner.id.clone(),
            ours.code.clone(),
        ];
        Self {
            ours,
            theirs,
            marks,
        }
    }

    async fn object(&self, we: &Client, person: &Person, of: Of, word: &str) -> Object {
        let (path, new) = match of {
            Of::Nothing => {
                return Object {
                    id: String::new(),
                    mark: self.ours.id.clone(),
                };
            }
            Of::Product | Of::Pictured | Of::PictureLink => {
                ("/api/products", product(&self.ours, word))
            }
            Of::Import => ("/api/products/import", import(&self.ours, word, "")),
            Of::User => ("/api/users", user(&self.ours, word)),
            Of::Key => ("/api/keys", key(&self.ours, word)),
            Of::Claim | Of::Domain => ("/api/domains", domain(word)),
            Of::Invitation | Of::InvitationLink | Of::Mail => {
                ("/api/invitations", invitation(word))
            }
            _ => return self.credential(we, of, &person.email).await,
        };
        let status = if of == Of::Import { 202 } else { 201 };
        let made = we.send("POST", path, new).await.is(status).json();
        if of == Of::Import {
            let path = format!("/api/jobs/{}", text(&made["id"]));
            until(A_SECOND * 20, "it is done", || async {
                we.get(&path).await.is(200).text().contains(word)
            })
            .await;
        }
        if matches!(of, Of::Pictured | Of::PictureLink) {
            let path = format!("{path}/{}/picture", text(&made["id"]));
            we.raw("PUT", &path, "image/png", png(3, 2)).await.is(200);
        }
        if matches!(of, Of::Claim | Of::Domain) {
            publish(&made);
        }
        if of == Of::Domain {
            let path = format!("{path}/{}/verify", text(&made["host"]));
            we.send("POST", &path, Payload::Nothing).await.is(200);
        }
        let id = match of {
            Of::Claim | Of::Domain => text(&made["host"]),
            Of::InvitationLink => link_in_mail(&self.ours, &format!("{word}@example.com")).await,
            Of::Mail => mail_with(&self.ours, &format!("{word}@example.com")).await,
            Of::PictureLink => {
                let path = format!("{path}/{}/picture/link", text(&made["id"]));
                let link = we.send("POST", &path, Payload::Nothing).await.is(201);
                let url = text(&link.json()["url"]);
                url.split_once("/files/").unwrap().1.to_owned()
            }
            _ => text(&made["id"]),
        };
        Object {
            id,
            mark: word.into(),
        }
    }

    /// What we could be signed in with, or be mailed.
    async fn credential(&self, we: &Client, of: Of, email: &str) -> Object {
        let ours = &self.ours;
        let login = || json!({ "email": email, "password": PASSWORD });
        let latest = async |list: &str| {
            let list = we.get(list).await.is(200).json();
            text(&list["items"][0]["id"])
        };
        let id = match of {
            Of::Token => latest("/api/auth/tokens").await,
            Of::Session => latest("/api/auth/sessions").await,
            Of::Refresh => {
                let pair = ours.visitor().post("/api/auth/jwt", login()).await.is(200);
                text(&pair.json()["refresh"])
            }
            Of::PasswordLink => {
                let asked = json!({ "email": email });
                let answer = ours
                    .visitor()
                    .post("/api/auth/password/forgot", asked)
                    .await;
                answer.is(202);
                link_in_mail(ours, email).await
            }
            Of::EmailLink => {
                let asked = we
                    .send("POST", "/api/auth/email/verify", Payload::Nothing)
                    .await;
                asked.is(202);
                link_in_mail(ours, email).await
            }
            Of::StandInLink => {
                let wanted = json!({ "tenant": ours.code, "email": email, "reason": "to try" });
                let link = operator(ours.server()).await;
                let link = link
                    .post("/api/operators/impersonations", wanted)
                    .await
                    .is(201);
                let url = text(&link.json()["url"]);
                url.split_once("?link=").unwrap().1.to_owned()
            }
            other => panic!("{other:?} is no credential"),
        };
        Object {
            mark: id.clone(),
            id,
        }
    }

    /// All that we have.
    async fn our_things(we: &Client) -> Vec<Value> {
        let mut things = Vec::new();
        for path in [
            "/api/shop",
            "/api/products?limit=200",
            "/api/users?limit=200",
            "/api/domains",
            "/api/theme",
        ] {
            things.push(we.get(path).await.is(200).json());
        }
        things
    }

    /// Fails if an answer that they got speaks of anything of ours.
    #[track_caller]
    fn nothing_of_ours_in(&self, answer: &Answer, object: &Object) {
        let told = format!("{:?} {}", answer.headers, answer.text());
        for mark in self.marks.iter().chain([&object.mark, &object.id]) {
            let known = mark.is_empty() || !told.contains(mark.as_str());
            assert!(known, "{} tells them {mark}: {told}", answer.asked);
        }
    }
}

#[tokio::test]
async fn nothing_of_a_tenant_is_reached_from_another() {
    let server = shared();
    let world = Neighbours::new(&server).await;
    for entry in MATRIX.iter().filter(|entry| entry.kind == Kind::Tenant) {
        try_across(&world, entry).await;
    }
}

async fn try_across(world: &Neighbours, entry: &Entry) {
    let Neighbours { ours, theirs, .. } = world;
    // somebody new each time: some routes end what one is signed in with
    let us = ours.hire("admin").await;
    let our_pass = ours.pass(&us).await;
    let we = ours.visitor().bearer(&our_pass.token);
    let object = world.object(&we, &us, entry.of, &unique("quagga")).await;
    let before = Neighbours::our_things(&we).await;
    let own_id = match entry.of {
        Of::Nothing => us.email.as_str(),
        _ => object.id.as_str(),
    };
    let missing = entry.of.missing();
    let word = unique("attempt");
    let theirs_by = [theirs.visitor(), theirs.by_host()];

    for tenant in &theirs_by {
        // nobody
        let nobody = entry
            .by(tenant, own_id, entry.body(ours, &word, own_id))
            .await;
        world.nothing_of_ours_in(&nobody, &object);
        // we, as far as our token tells
        let known_to_us = entry.signed_in(tenant, &our_pass);
        let stranger = entry
            .by(&known_to_us, own_id, entry.body(ours, &word, own_id))
            .await;
        world.nothing_of_ours_in(&stranger, &object);
        if entry.who == SignedIn {
            entry.not_let_in(&nobody, "authentication-required");
            entry.not_let_in(&stranger, "invalid-token");
            // a session that is none here is nobody
            let with_cookie = tenant.cookie(&our_pass.session);
            let stranger = entry
                .by(&with_cookie, own_id, entry.body(ours, &word, own_id))
                .await;
            entry.not_let_in(&stranger, "authentication-required");
        }
        // they, with an id of ours
        let them = theirs.hire("admin").await;
        let they = entry.signed_in(tenant, &theirs.pass(&them).await);
        if entry.of != Of::Nothing {
            let foreign = entry
                .by(&they, own_id, entry.body(theirs, &word, own_id))
                .await;
            world.nothing_of_ours_in(&foreign, &object);
            let (status, slug) = entry.of.refusal();
            entry.refused(&foreign, status, slug);
            let none = entry
                .by(&they, &missing, entry.body(theirs, &word, &missing))
                .await;
            foreign.same_as(&none);
        }
        // and as they should
        if entry.of == Of::Nothing {
            let their_own = entry.body(theirs, &unique("their-own"), &them.email);
            let right = entry.by(&they, "", their_own).await.is(entry.success);
            world.nothing_of_ours_in(&right, &object);
        }
    }
    assert_eq!(
        before,
        Neighbours::our_things(&we).await,
        "{} {} changed us",
        entry.method,
        entry.path
    );

    // the control: all of it is possible for us
    let we = match entry.who {
        Anyone => ours.visitor(),
        SignedIn | Operator => entry.signed_in(&ours.visitor(), &our_pass),
    };
    let control = entry
        .by(&we, own_id, entry.body(ours, &unique("control"), own_id))
        .await;
    control.is(entry.success);
}

#[tokio::test]
async fn a_login_of_one_tenant_is_none_in_another() {
    let server = shared();
    let Neighbours { ours, theirs, .. } = Neighbours::new(&server).await;
    let (right, wrong) = (&ours.owner.password, &theirs.owner.password);
    let login = |password: &str| json!({ "email": ours.owner.email, "password": password });
    ours.visitor()
        .post("/api/auth/login", login(right))
        .await
        .is(200);
    let answer = ours.visitor().post("/api/auth/login", login(wrong)).await;
    answer.problem(401, "invalid-credentials");
    let fields = [("email", ours.owner.email.as_str()), ("password", wrong)];
    let page = ours.by_host().browser().form("/sign-in", &fields).await;
    assert!(page.header("set-cookie").is_none());
    page.page(401);
}

#[tokio::test]
async fn a_cursor_of_one_tenant_is_garbage_to_another() {
    let server = shared();
    let Neighbours { ours, theirs, .. } = Neighbours::new(&server).await;
    for shop in [&ours, &theirs] {
        for _ in 0..2 {
            shop.stock("Spade", &unique("spade"), "1").await;
        }
    }
    for list in ["/api/products", "/api/users"] {
        let page = ours
            .as_owner()
            .get(&format!("{list}?limit=1"))
            .await
            .is(200)
            .json();
        let cursor = page["next"].as_str().expect("another page");
        let path = format!("{list}?limit=1&cursor={cursor}");
        let foreign = theirs.as_owner().get(&path).await;
        foreign.invalid(&["cursor"]);
        let garbage = theirs
            .as_owner()
            .get(&format!("{list}?limit=1&cursor=Z2FyYmFnZQ"))
            .await;
        foreign.same_as(&garbage);
        ours.as_owner().get(&path).await.is(200);
    }
    let page = theirs.by_host().browser().get("/?cursor=Z2FyYmFnZQ").await;
    page.page(422);
}

#[tokio::test]
async fn a_tenants_routes_are_nowhere_without_it() {
    let server = shared();
    let deleted = Shop::open(&server).await;
    deleted.visitor().get("/").await.is(200); // so that it is known and open when it goes
    server
        .place()
        .run(&["tenant", "delete", &deleted.code, "--yes"])
        .ok();
    let unknown = unique("unknown");
    until(A_SECOND, "the tenant is gone", || async {
        deleted.visitor().get("/api/shop").await.status == 404
    })
    .await;

    let nobody = [
        server.tenant(&unknown),
        server.host(&unknown),
        server.tenant(&deleted.code),
        server.host(&deleted.code),
        server.tenant("x'; DROP"),
        server.tenant(""),
        server.host("a.b"),
        server.central().with("host", "example.com"),
    ];
    let id = uuid::Uuid::now_v7().to_string();
    for entry in MATRIX {
        for client in &nobody {
            let client = entry.signed_in(client, &pass_of(&deleted));
            let answer = entry
                .by(&client, &id, entry.body(&deleted, &unique("nobody"), &id))
                .await;
            entry.refused(&answer, 404, "tenant-not-found");
        }
    }
    for entry in MATRIX
        .iter()
        .filter(|entry| entry.kind == Kind::Tenant && !is_on_both(entry))
    {
        let body = entry.body(&deleted, &unique("nobody"), &id);
        let answer = entry.by(&server.central(), &id, body).await;
        entry.refused(&answer, 404, "tenant-required");
    }
}

#[tokio::test]
async fn central_routes_are_not_on_a_tenants_host() {
    let shop = Shop::shared().await;
    for entry in MATRIX.iter().filter(|entry| entry.kind == Kind::Central) {
        let code = unique("central");
        let body = || entry.body(&shop, &code, &shop.owner.email);
        for client in [shop.visitor(), shop.by_host()] {
            if !is_on_both(entry) {
                let answer = entry.by(&client, "", body()).await;
                entry.refused(&answer, 404, "not-found");
            }
        }
        let central = shop.server().central();
        if entry.who == Operator {
            let nobody = entry.by(&central, "", body()).await;
            nobody.problem(401, "authentication-required");
            let owner = entry
                .by(&central.bearer(&shop.owner.token), "", body())
                .await;
            owner.problem(401, "invalid-token");
        }
        let central = match entry.who {
            Operator => operator(shop.server()).await,
            _ => central,
        };
        entry.by(&central, "", body()).await.is(entry.success);
    }
}

#[tokio::test]
async fn two_tenants_in_one_request_are_a_conflict() {
    let server = shared();
    let (one, other) = (Shop::open(&server).await, Shop::open(&server).await);
    let id = uuid::Uuid::now_v7().to_string();
    for entry in MATRIX.iter().filter(|entry| entry.kind == Kind::Tenant) {
        let both = entry.signed_in(&one.by_host(), &pass_of(&one));
        let both = both.with("tenant-code", &other.code);
        let answer = entry
            .by(&both, &id, entry.body(&one, &unique("both"), &id))
            .await;
        entry.refused(&answer, 400, "tenant-conflict");
    }
    let twice = one.by_host().with("tenant-code", &one.code.to_uppercase());
    twice.get("/api/shop").await.is(200);
}

#[tokio::test]
async fn a_suspended_tenant_answers_503_within_a_second_and_only_until_resumed() {
    let server = Place::new().serve();
    let (stopped, other) = (Shop::open(&server).await, Shop::open(&server).await);
    let product = stopped.stock("Spade", "S-1", "1").await;
    let id = product["id"].as_str().unwrap();
    server
        .place()
        .run(&["tenant", "suspend", &stopped.code])
        .ok();
    until(A_SECOND, "the tenant is suspended", || async {
        stopped.visitor().get("/api/shop").await.status == 503
    })
    .await;
    for entry in MATRIX.iter().filter(|entry| entry.kind == Kind::Tenant) {
        for client in [stopped.visitor(), stopped.by_host()] {
            let client = entry.signed_in(&client, &pass_of(&stopped));
            let answer = entry
                .by(&client, id, entry.body(&stopped, &unique("stopped"), id))
                .await;
            entry.refused(&answer, 503, "tenant-suspended");
        }
    }
    other.as_owner().get("/api/auth/me").await.is(200);

    server
        .place()
        .run(&["tenant", "resume", &stopped.code])
        .ok();
    until(A_SECOND, "the tenant is back", || async {
        stopped.visitor().get("/api/shop").await.status == 200
    })
    .await;
    let path = format!("/api/products/{id}");
    assert_eq!(stopped.as_owner().get(&path).await.is(200).json(), product);
}

#[tokio::test]
async fn routes_that_need_no_tenant_are_the_same_for_everybody() {
    let shop = Shop::shared().await;
    let server = shop.server();
    for (method, path, _) in EXCEPTIONS {
        let here = server
            .central()
            .send(method, path, Payload::Nothing)
            .await
            .is(200);
        for client in [
            shop.as_owner(),
            shop.by_host(),
            server.host("no-such"),
            server.tenant("-"),
        ] {
            here.same_as(&client.send(method, path, Payload::Nothing).await);
        }
    }
}

#[tokio::test]
async fn a_users_id_of_one_tenant_is_nobody_in_another_even_to_the_same_address() {
    let server = shared();
    let Neighbours { ours, theirs, .. } = Neighbours::new(&server).await;
    let same: Vec<&Person> = vec![&ours.owner, &theirs.owner];
    assert_eq!(same[0].email, same[1].email);
    assert_ne!(same[0].id, same[1].id);
    let path = format!("/api/users/{}", ours.owner.id);
    theirs.as_owner().get(&path).await.problem(404, "not-found");
    ours.as_owner().get(&path).await.is(200);
}
