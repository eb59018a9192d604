//! A list shows just what a look at each object would: of random objects, by random policies.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{
    super::{Place, list},
    model::{Paper, Section, policies},
};
use crate::{
    db::TenantDb,
    policy::{Node, Permissions, Principal},
    resources::{Wanted, page},
    tenant::Tenant,
};

list! { "resources": a_list_shows_what_a_look_would }

/// Numbers that look random, the same each time: [SplitMix64](https://prng.di.unimi.it/splitmix64.c).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        let number = self.below(of.len() as u64);
        of[usize::try_from(number).unwrap()]
    }
}

const ABOUT_PAPERS: &[&str] = &[
    "resource.state == \"draft\"",
    "resource.state != \"sent\"",
    "resource.state like \"*t\"",
    "resource.state like \"100%*\"",
    "[\"draft\", \"void\"].contains(resource.state)",
    "resource has author",
    "(resource has author && resource.author == principal)",
    "(resource has author && resource.author != principal)",
    "resource.price.lessThan(decimal(\"10.5\"))",
    "resource.price.greaterThanOrEqual(decimal(\"10.50\"))",
    "resource.price == decimal(\"10.5\")",
    "resource.words > 3",
    "5 >= resource.words",
    "resource.words == 4",
    "resource.open",
    "resource.open == false",
    "(resource has due && resource.due < context.now)",
    "(resource has due && resource.due >= datetime(\"2026-01-01\"))",
    "resource.open == context.impersonated",
    "resource in context.tenant",
    "resource is Paper",
    "(if resource.open then resource.words < 4 else resource.state == \"sent\")",
];

const ABOUT_SECTIONS: &[&str] = &[
    "resource.kind == \"a\"",
    "resource.kind like \"b*\"",
    "resource.paper.state == \"draft\"",
    "resource.paper.price.lessThan(decimal(\"10.5\"))",
    "(resource.paper has author && resource.paper.author == principal)",
    "resource in resource.paper",
];

const ABOUT_OTHERS: &[&str] = &[
    "context.impersonated",
    "context.tenant.plan == \"\"",
    "principal in Role::\"b\"",
    "principal is User",
    "(principal is User && principal.email like \"ann*\")",
    "context.now > datetime(\"2020-01-01\")",
    "context.fields.contains(\"title\")",
    "true",
    "false",
];

fn condition(dice: &mut Dice, atoms: &[&str], depth: u32) -> String {
    match dice.below(if depth == 0 { 3 } else { 8 }) {
        0 => dice.one(ABOUT_OTHERS).to_owned(),
        1 | 2 => dice.one(atoms).to_owned(),
        3 | 4 => format!(
            "({} && {})",
            condition(dice, atoms, depth - 1),
            condition(dice, atoms, depth - 1)
        ),
        5 | 6 => format!(
            "({} || {})",
            condition(dice, atoms, depth - 1),
            condition(dice, atoms, depth - 1)
        ),
        _ => format!("!({})", condition(dice, atoms, depth - 1)),
    }
}

fn random_policies(dice: &mut Dice) -> String {
    let mut text = String::new();
    for (kind, action, atoms) in [
        ("Paper", "readPaper", ABOUT_PAPERS),
        ("Section", "readSection", ABOUT_SECTIONS),
    ] {
        let permits = 1 + dice.below(3);
        let forbids = dice.below(3);
        for number in 0..permits + forbids {
            let effect = if number < permits { "permit" } else { "forbid" };
            let principal =
                dice.one(&["principal", "principal in Role::\"a\"", "principal is User"]);
            let clause = dice.one(&["when", "unless"]);
            let condition = condition(dice, atoms, 2);
            text.push_str(&format!(
                "{effect} ({principal}, action == Action::\"{action}\", resource is {kind})
                 {clause} {{ {condition} }};\n"
            ));
        }
    }
    text
}

async fn fill(db: &TenantDb, dice: &mut Dice, people: &[Uuid]) -> Vec<Paper> {
    let mut papers = Vec::new();
    for number in 0..30 {
        let author = people.get(usize::try_from(dice.below(4)).unwrap()).copied();
        let days = i64::try_from(dice.below(800)).unwrap() - 400;
        let due = (dice.below(2) == 0).then(|| {
            let base: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
            base + TimeDelta::days(days)
        });
        let paper = Paper {
            id: Uuid::now_v7(),
            title: format!("paper {number}"),
            state: dice
                .one(&["draft", "sent", "void", "100%t", "1000t"])
                .into(),
            author,
            price: Decimal::new(i64::try_from(1040 + dice.below(20)).unwrap(), 2),
            words: i64::try_from(dice.below(8)).unwrap(),
            is_open: dice.below(2) == 0,
            due,
            notes: String::new(),
        };
        db.query(
            "INSERT INTO papers (id, title, state, author, price, words, is_open, due, notes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '')",
        )
        .bind(paper.id)
        .bind(&paper.title)
        .bind(&paper.state)
        .bind(paper.author)
        .bind(paper.price)
        .bind(paper.words)
        .bind(paper.is_open)
        .bind(paper.due)
        .execute()
        .await
        .unwrap();
        for kind in ["a", "b", "bc"] {
            db.query("INSERT INTO sections (id, paper_id, kind) VALUES ($1, $2, $3)")
                .bind(Uuid::now_v7())
                .bind(paper.id)
                .bind(kind)
                .execute()
                .await
                .unwrap();
        }
        papers.push(paper);
    }
    papers
}

/// Returns how many there were on both sides, so that a test can see that it saw something.
async fn compare(
    db: &TenantDb,
    permissions: &Permissions,
    papers: &[Paper],
    text: &str,
) -> (usize, usize) {
    let wanted = Wanted {
        limit: Some(200),
        ..Wanted::default()
    };
    let listed = match page::<Paper>(db, permissions, &(), &wanted).await {
        Ok(page) => page.items.into_iter().map(|paper| paper.id).collect(),
        Err(crate::resources::ResourceError::Refused(_)) => Vec::new(),
        Err(error) => panic!("{error}: {text}"),
    };
    let (mut shown, mut hidden) = (0, 0);
    for paper in papers {
        let node = Node {
            object: paper.clone(),
            parent: (),
        };
        let may = permissions.require_on("readPaper", &node, &[]).is_ok();
        let who = permissions.principal();
        assert_eq!(
            listed.contains(&paper.id),
            may,
            "{paper:?} by {who:?}:\n{text}"
        );
        if may {
            shown += 1;
        } else {
            hidden += 1;
        }
    }
    for paper in papers.iter().take(3) {
        let paper = Node {
            object: paper.clone(),
            parent: (),
        };
        let listed: Vec<_> = match page::<Section>(db, permissions, &paper, &wanted).await {
            Ok(page) => page.items.into_iter().map(|section| section.id).collect(),
            Err(crate::resources::ResourceError::Refused(_)) => Vec::new(),
            Err(error) => panic!("{error}: {text}"),
        };
        let sections: Vec<(Uuid, Uuid, String)> = db
            .query("SELECT id, paper_id, kind FROM sections WHERE paper_id = $1")
            .bind(paper.object.id)
            .all()
            .await
            .unwrap();
        for (id, paper_id, kind) in sections {
            let node = Node {
                object: Section { id, paper_id, kind },
                parent: paper.clone(),
            };
            let may = permissions.require_on("readSection", &node, &[]).is_ok();
            assert_eq!(listed.contains(&id), may, "{node:?}:\n{text}");
        }
    }
    (shown, hidden)
}

async fn a_list_shows_what_a_look_would(place: Place) {
    let (tenant, db): (Tenant, _) = (place.tenant("acme").await, place.db("acme").await);
    let mut dice = Dice(2026);
    let people = [Uuid::now_v7(), Uuid::now_v7()];
    let papers = fill(&db, &mut dice, &people).await;
    // another tenant's, which no list may show
    fill(&place.db("globex").await, &mut dice, &people).await;
    let user = |id: Uuid, name: &str, roles: &[&str]| Principal::User {
        id,
        email: format!("{name}@example.com"),
        roles: roles.iter().map(ToString::to_string).collect(),
    };
    let principals = [
        Principal::Anonymous,
        user(people[0], "ann", &["a"]),
        user(people[1], "bob", &["b", "a"]),
        Principal::ApiKey {
            id: people[0],
            scopes: Vec::new(),
        },
    ];
    let (mut shown, mut hidden) = (0, 0);
    for round in 0..60 {
        let text = random_policies(&mut dice);
        let policies = policies(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        for principal in &principals {
            let impersonated = round % 2 == 0;
            let permissions =
                Permissions::new(&policies, None, &tenant, principal.clone(), impersonated);
            let found = compare(&db, &permissions.unwrap(), &papers, &text).await;
            shown += found.0;
            hidden += found.1;
        }
    }
    assert!(
        shown > 500 && hidden > 500,
        "{shown} shown, {hidden} hidden"
    );
}
