//! Objects as an API serves them, and who may what with them.

mod agree;
mod model;
mod reads;
mod writes;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::{Case, Place, list, users::add_user};
use crate::{
    policy::OwnPolicies,
    routing::{Action, Can, Resolvers, Routes, resource},
    users::{Tokens, UserChange, Users},
};
use model::{Paper, Remark, Section, policies};

pub(super) const CASES: [&[Case]; 3] = [agree::CASES, reads::CASES, writes::CASES];

const POLICIES: &str = r#"
@id("editors do everything")
permit (principal in Role::"editor", action, resource);
@id("readers read what is sent")
permit (principal in Role::"reader", action == Action::"readPaper", resource)
when { resource.state == "sent" };
@id("and what is in it")
permit (principal in Role::"reader", action in [Action::"readSection", Action::"readRemark"], resource);
@id("authors keep their own")
permit (principal is User, action in [Action::"readPaper", Action::"updatePaper"], resource)
when { resource has author && resource.author == principal };
@id("nobody changes what is sent")
forbid (principal, action in [Action::"updatePaper", Action::"createSection"], resource is Paper)
when { resource.state == "sent" };
"#;

struct Publish;

impl Action for Publish {
    type On = ();
    const NAME: &'static str = "publish";
}

fn nested<W: crate::resources::Writable>(routes: Routes, path: &str) -> Routes {
    let one = format!("{path}/{{id{}}}", path.len());
    routes
        .tenant(Method::GET, path, resource::list::<W>)
        .tenant(Method::POST, path, resource::create::<W>)
        .tenant(Method::GET, &one, resource::show::<W>)
        .tenant(Method::PUT, &one, resource::replace::<W>)
        .tenant(Method::PATCH, &one, resource::update::<W>)
        .tenant(Method::DELETE, &one, resource::delete::<W>)
}

struct App {
    place: Place,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn items(&self, field: &str) -> Vec<Json> {
        let items = self.json()["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| item[field].clone()).collect()
    }
}

impl App {
    async fn new(mut place: Place) -> Self {
        let policies = policies(POLICIES).unwrap().with_own();
        place.reopen_as(place.config().policies(policies)).await;
        let routes = nested::<Paper>(Routes::new(), "/papers");
        let routes = nested::<Section>(routes, "/papers/{id7}/sections");
        let routes = nested::<Remark>(routes, "/papers/{id7}/sections/{id22}/remarks");
        let router = routes
            .tenant(Method::POST, "/publish", async |_: Can<Publish>| {
                StatusCode::OK
            })
            .into_router(
                place.tenancy().clone(),
                Resolvers::new().subdomain("localhost"),
                (),
            );
        Self { place, router }
    }

    /// Somebody in that role, and their token.
    async fn user(&self, tenant: &str, name: &str, role: &str) -> String {
        let mut db = self.place.db(tenant).await;
        let user = add_user(&self.place, &db, &format!("{name}@example.com")).await;
        let change = UserChange {
            role: Some(role.into()),
            ..UserChange::default()
        };
        Users::on(&mut db)
            .change_hashed(user.id, change, None)
            .await
            .unwrap();
        Tokens::on(&db).issue(user.id).await.unwrap().secret
    }

    async fn ask(
        &self,
        tenant: &str,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", format!("{tenant}.localhost"));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let answer = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask("acme", token, Method::GET, path, &[], None).await
    }

    async fn post(&self, token: &str, path: &str, body: &Json) -> Answer {
        self.ask("acme", token, Method::POST, path, &[], Some(body))
            .await
    }

    async fn patch(&self, token: &str, path: &str, body: &Json) -> Answer {
        self.ask("acme", token, Method::PATCH, path, &[], Some(body))
            .await
    }

    async fn made(&self, token: &str, path: &str, body: &Json) -> String {
        let made = self.post(token, path, body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        format!("{path}/{}", made.id())
    }
}
