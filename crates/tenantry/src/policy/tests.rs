use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{Attribute, Node, Object, Permissions, Policies, PolicyError, Principal, Refused};
use crate::{
    db::Value,
    tenant::{Isolation, Placement, Record, Tenant, TenantId, TenantStatus},
};

const SCHEMA: &str = "
entity Invoice in [Tenant] = { state: String, made_by?: User, total: decimal, open: Bool };
entity Line in [Invoice, Tenant] = { invoice: Invoice, count: Long };
action readInvoice, updateInvoice, sendInvoice appliesTo {
    principal: [User, ApiKey, Anonymous], resource: Invoice, context: Request };
action readLine appliesTo {
    principal: [User, ApiKey, Anonymous], resource: Line, context: Request };
action createInvoice appliesTo { principal: [User], resource: Tenant, context: Request };
";

#[derive(Debug, Clone)]
struct Invoice {
    id: Uuid,
    state: String,
    made_by: Option<Uuid>,
    total: Decimal,
    open: bool,
}

impl Object for Invoice {
    type Parent = ();
    const TYPE: &'static str = "Invoice";
    const READ: &'static str = "readInvoice";
    const ACTIONS: &'static [&'static str] = &["updateInvoice", "sendInvoice"];
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::text("state", |one| Value::from(&one.state)),
        Attribute::entity("made_by", "User", |one: &Self| one.made_by.into()).column("author"),
        Attribute::decimal("total", |one| one.total.into()),
        Attribute::boolean("open", |one| one.open.into()),
    ];

    fn id(&self) -> Uuid {
        self.id
    }
}

#[derive(Debug, Clone)]
struct Line {
    id: Uuid,
    count: i64,
}

impl Object for Line {
    type Parent = Invoice;
    const TYPE: &'static str = "Line";
    const PARENT: &'static str = "invoice";
    const READ: &'static str = "readLine";
    const ACTIONS: &'static [&'static str] = &[];
    const ATTRIBUTES: &'static [Attribute<Self>] =
        &[Attribute::long("count", |one| one.count.into())];

    fn id(&self) -> Uuid {
        self.id
    }
}

fn policies(text: &str) -> Policies {
    try_policies(text).unwrap_or_else(|error| panic!("{error}"))
}

fn try_policies(text: &str) -> Result<Policies, PolicyError> {
    Policies::new(SCHEMA, text)?
        .object::<Invoice>()?
        .object::<Line>()
}

fn tenant(code: &str) -> Tenant {
    Tenant::new(Record {
        id: TenantId::generate(),
        code: code.parse().unwrap(),
        name: code.into(),
        status: TenantStatus::Active,
        placement: Placement {
            isolation: Isolation::File,
            server: "local".into(),
        },
        schema_version: String::new(),
        created_at: DateTime::UNIX_EPOCH,
        plan: "pro".into(),
        primary_domain: None,
    })
}

fn user(role: &str) -> Principal {
    Principal::User {
        id: Uuid::from_u128(7),
        email: "ann@example.com".into(),
        roles: vec![role.into()],
    }
}

fn asked(policies: &Policies, principal: Principal) -> Permissions {
    Permissions::new(policies, None, &tenant("acme"), principal, false).unwrap()
}

fn invoice(state: &str) -> Node<Invoice> {
    Node {
        object: Invoice {
            id: Uuid::now_v7(),
            state: state.into(),
            made_by: Some(Uuid::from_u128(7)),
            total: Decimal::new(1050, 2),
            open: true,
        },
        parent: (),
    }
}

fn allows(text: &str, principal: Principal, state: &str) -> bool {
    asked(&policies(text), principal).allows("updateInvoice", &invoice(state))
}

#[test]
fn what_nothing_permits_is_refused_and_what_is_forbidden_stays_so() {
    assert!(!allows("", user("owner"), "draft"));
    let all = "permit (principal, action, resource);";
    assert!(allows(all, user("owner"), "draft"));
    let but = format!(
        "{all} forbid (principal, action, resource is Invoice) when {{ resource.state == \"sent\" }};"
    );
    assert!(allows(&but, user("owner"), "draft"));
    assert!(!allows(&but, user("owner"), "sent"));
    let role = "permit (principal in Role::\"owner\", action, resource);";
    assert!(allows(role, user("owner"), "draft"));
    assert!(!allows(role, user("viewer"), "draft"));
    assert!(!allows(role, Principal::Anonymous, "draft"));
    let scope = "permit (principal in Scope::\"w\", action, resource);";
    let key = |scope: &str| Principal::ApiKey {
        id: Uuid::nil(),
        scopes: vec![scope.into()],
    };
    assert!(allows(scope, key("w"), "draft"));
    assert!(!allows(scope, key("r"), "draft"));
}

#[test]
fn conditions_are_joined_and_turned_round() {
    let when = |condition: &str| {
        format!("permit (principal is User, action, resource is Invoice) when {{ {condition} }};")
    };
    for (condition, expected) in [
        ("resource.state == \"draft\" && resource.open", true),
        ("resource.state == \"sent\" || resource.open", true),
        ("!(resource.state == \"draft\")", false),
        (
            "resource has made_by && resource.made_by == principal",
            true,
        ),
        ("resource.total.lessThan(decimal(\"10.50\"))", false),
        ("resource.total.lessThanOrEqual(decimal(\"10.5\"))", true),
        (
            "context.tenant.plan == \"pro\" && context.tenant.code == \"acme\"",
            true,
        ),
        ("context.now > datetime(\"2020-01-01\")", true),
        ("context.impersonated", false),
        ("principal.email like \"*@example.com\"", true),
        ("if resource.open then false else true", false),
    ] {
        let found = allows(&when(condition), user("any"), "draft");
        assert_eq!(found, expected, "{condition}");
    }
}

#[test]
fn another_tenants_object_is_refused_whatever_permits() {
    let policies = policies("permit (principal, action, resource);");
    let asked = asked(&policies, user("owner"));
    let node = invoice("draft");
    assert!(asked.allows("updateInvoice", &node));
    let why = asked.explain("updateInvoice", &node);
    assert_eq!(why.decided_by, ["policy 1"]);
    // an object is described as its own tenant's; what could say otherwise is this alone
    let builtin = policies.text("tenantry.other-tenant").unwrap();
    assert!(builtin.contains("forbid"), "{builtin}");
    let twice = Policies::new(
        SCHEMA,
        "@id(\"tenantry.other-tenant\") permit (principal, action, resource);",
    );
    assert!(matches!(twice, Err(PolicyError::Duplicate(_))), "{twice:?}");
}

#[test]
fn what_fails_is_refused() {
    let text = "permit (principal, action, resource);
        forbid (principal, action == Action::\"readLine\", resource)
        when { resource.count + 1 > 0 && resource.invoice.state == \"sent\" };";
    // the sum cannot be asked of a database, so it is not taken at all
    let refused = try_policies(text);
    assert!(
        matches!(refused, Err(PolicyError::Untranslatable { .. })),
        "{refused:?}"
    );
    let text = "permit (principal, action, resource);
        @id(\"sum\") forbid (principal, action == Action::\"updateInvoice\", resource)
        when { 9223372036854775807 + context.fields.toString() > 0 };";
    assert!(matches!(
        try_policies(text),
        Err(PolicyError::Parse(_) | PolicyError::Invalid(_))
    ));
    // Cedar skips a policy that overflows; here it is a refusal
    let schema = SCHEMA.replace("open: Bool", "open: Bool, big: Long");
    #[derive(Clone)]
    struct Big(Invoice);
    impl Object for Big {
        type Parent = ();
        const TYPE: &'static str = "Invoice";
        const READ: &'static str = "readInvoice";
        const ACTIONS: &'static [&'static str] = &[];
        const ATTRIBUTES: &'static [Attribute<Self>] = &[
            Attribute::text("state", |one| Value::from(&one.0.state)),
            Attribute::entity("made_by", "User", |one| one.0.made_by.into()),
            Attribute::decimal("total", |one| one.0.total.into()),
            Attribute::boolean("open", |one| one.0.open.into()),
            Attribute::long("big", |_| i64::MAX.into()),
        ];
        fn id(&self) -> Uuid {
            self.0.id
        }
    }
    let policies = Policies::new(
        &schema,
        "permit (principal, action, resource);
         forbid (principal, action == Action::\"updateInvoice\", resource) when { resource.big + 1 < 0 };",
    )
    .unwrap()
    .object::<Big>()
    .unwrap();
    let node = Node {
        object: Big(invoice("draft").object),
        parent: (),
    };
    let asked = asked(&policies, user("owner"));
    assert!(asked.allows("sendInvoice", &node));
    let why = asked.explain("updateInvoice", &node);
    assert!(!why.allowed && !why.errors.is_empty(), "{why:?}");
    assert!(!asked.allows("noSuchAction", &node));
}

#[test]
fn who_may_not_look_is_told_that_there_is_none() {
    let policies = policies(
        "permit (principal in Role::\"viewer\", action == Action::\"readInvoice\", resource);",
    );
    let node = invoice("draft");
    let answer = |role| asked(&policies, user(role)).require_on("updateInvoice", &node, &[]);
    assert_eq!(answer("viewer"), Err(Refused::Forbidden));
    assert_eq!(answer("stranger"), Err(Refused::Hidden));
    let anonymous = asked(&policies, Principal::Anonymous);
    assert_eq!(
        anonymous.require("createInvoice", &[]),
        Err(Refused::Anonymous)
    );
}

#[test]
fn fields_can_be_kept_from_being_written() {
    let policies = policies(
        "permit (principal, action, resource);
         forbid (principal, action == Action::\"updateInvoice\", resource)
         when { context.fields.contains(\"number\") };",
    );
    let asked = asked(&policies, user("owner"));
    let node = invoice("draft");
    assert_eq!(asked.require_on("updateInvoice", &node, &["note"]), Ok(()));
    let number = asked.require_on("updateInvoice", &node, &["note", "number"]);
    assert_eq!(number, Err(Refused::Forbidden));
}

fn filter(text: &str, principal: Principal) -> Result<(String, Vec<Value>), Refused> {
    let filter = asked(&policies(text), principal).filter::<Invoice>(&())?;
    let mut values = Vec::new();
    Ok((filter.write(&mut values), values))
}

#[test]
fn lists_are_filtered_by_what_one_may_look_at() {
    let role = "permit (principal in Role::\"owner\", action, resource);";
    assert_eq!(filter(role, user("owner")).unwrap().0, "1 = 1");
    assert_eq!(filter(role, user("other")), Err(Refused::Forbidden));
    assert_eq!(filter(role, Principal::Anonymous), Err(Refused::Anonymous));
    let own = "permit (principal is User, action == Action::\"readInvoice\", resource)
        when { resource has made_by && resource.made_by == principal };
        forbid (principal, action, resource is Invoice) when { resource.state like \"x_%*\" };
        permit (principal in Role::\"auditor\", action, resource is Invoice)
        unless { [\"draft\", \"void\"].contains(resource.state) };";
    let (sql, values) = filter(own, user("any")).unwrap();
    assert_eq!(
        sql,
        "((author IS NOT NULL) AND (author = $1)) AND (NOT (state LIKE $2 ESCAPE '\\'))"
    );
    assert_eq!(values, [Uuid::from_u128(7).into(), Value::from("x\\_\\%%")]);
    let (sql, _) = filter(own, user("auditor")).unwrap();
    assert!(sql.contains("NOT (state IN ("), "{sql}");
    // a key is no user, whoever's identity it has
    let key = Principal::ApiKey {
        id: Uuid::from_u128(7),
        scopes: Vec::new(),
    };
    assert_eq!(filter(own, key), Err(Refused::Forbidden));
}

#[test]
fn a_list_within_another_object_knows_that_object() {
    let policies = policies(
        "permit (principal, action == Action::\"readLine\", resource)
         when { resource.invoice.state == \"draft\" && resource.count > 3 };",
    );
    let asked = asked(&policies, user("any"));
    let filter = asked.filter::<Line>(&invoice("draft")).unwrap();
    let mut values = Vec::new();
    assert_eq!(filter.write(&mut values), "count > $1");
    assert_eq!(
        asked.filter::<Line>(&invoice("sent")),
        Err(Refused::Forbidden)
    );
    let line = |count| Node {
        object: Line {
            id: Uuid::now_v7(),
            count,
        },
        parent: invoice("draft"),
    };
    assert!(asked.allows("readLine", &line(4)));
    assert!(!asked.allows("readLine", &line(3)));
}

#[test]
fn mistakes_are_found_at_the_start() {
    for (text, what) in [
        (
            "permit (principal, action, resource) when { resource.nothing };",
            "fit",
        ),
        (
            "permit (principal, action == Action::\"nothing\", resource);",
            "fit",
        ),
        ("permit (principal, action, resource", "read"),
        (
            "@id(\"a\") permit (principal, action, resource); @id(\"a\") permit (principal, action, resource);",
            "two policies",
        ),
    ] {
        let error = try_policies(text).unwrap_err().to_string();
        assert!(error.contains(what), "{text}: {error}");
    }
    let schema = SCHEMA.replace("state: String", "state: Long");
    let error = Policies::new(&schema, "").unwrap().object::<Invoice>();
    assert!(matches!(error, Err(PolicyError::Mismatch(_))), "{error:?}");
    let schema = SCHEMA.replace(", sendInvoice", "");
    let error = Policies::new(&schema, "").unwrap().object::<Invoice>();
    assert!(error.unwrap_err().to_string().contains("sendInvoice"));
}

#[test]
fn what_would_become_too_large_is_refused() {
    let forbid = |test: &str| {
        format!(
            "forbid (principal, action == Action::\"readInvoice\", resource) when {{ {test} }};"
        )
    };
    let nested = |depth| {
        (0..depth).fold("resource.open".to_owned(), |test, _| {
            format!("(if {test} then resource.open else resource.state == \"sent\")")
        })
    };
    try_policies(&forbid(&nested(4))).unwrap();
    let refused = try_policies(&forbid(&nested(14)));
    assert!(
        matches!(refused, Err(PolicyError::Untranslatable { .. })),
        "{refused:?}"
    );

    let own = policies("permit (principal, action, resource);").with_own();
    let deep = |depth| format!("{}resource.open{}", "(".repeat(depth), ")".repeat(depth));
    let chain = |long| vec!["resource.open"; long].join(" && ");
    let others = |long| "if resource.open then resource.open else ".repeat(long) + "resource.open";
    let hidden = format!(
        "resource.state == \"\\\"{}\" && {}",
        ")".repeat(50),
        deep(50)
    );
    for good in [deep(8), nested(4), chain(50), others(8)] {
        own.check_own(&forbid(&good)).unwrap();
    }
    own.check_own(&forbid("resource.open // ((((((((((((((((((((((((((\n"))
        .unwrap();
    for bad in [
        deep(10_000),
        nested(40),
        chain(10_000),
        others(10_000),
        hidden,
        format!("\"/*\" == \"\" && {}", deep(50)),
    ] {
        let refused = own.check_own(&forbid(&bad));
        assert!(matches!(refused, Err(PolicyError::Parse(_))), "{refused:?}");
    }
    let long = forbid("resource.open").repeat(2_000);
    assert!(matches!(own.check_own(&long), Err(PolicyError::Parse(_))));
}

#[test]
fn a_tenants_own_policies_only_narrow() {
    let policies = policies("permit (principal, action, resource);").with_own();
    let widen = policies.check_own("permit (principal, action, resource);");
    assert!(matches!(widen, Err(PolicyError::Widens(_))), "{widen:?}");
    assert!(
        policies
            .check_own("forbid (principal, action, resource) when { resource.nothing };")
            .is_err()
    );
    let own = [(
        "no drafts",
        "forbid (principal, action == Action::\"readInvoice\", resource) when { resource.state == \"draft\" };",
    )];
    let overlay = policies.0.overlay_of("digest", &own).unwrap();
    let with = |overlay| {
        Permissions::new(&policies, overlay, &tenant("acme"), user("any"), false).unwrap()
    };
    let (without, with) = (with(None), with(Some(Arc::clone(&overlay))));
    assert!(without.allows("readInvoice", &invoice("draft")));
    assert!(!with.allows("readInvoice", &invoice("draft")));
    assert!(with.allows("readInvoice", &invoice("sent")));
    let why = with.explain("readInvoice", &invoice("draft"));
    assert_eq!(why.decided_by, ["own:no drafts:policy 1"]);
    let mut values = Vec::new();
    let filter = with.filter::<Invoice>(&()).unwrap().write(&mut values);
    assert_eq!(filter, "NOT (state = $1)");
}

#[test]
fn times_are_read_as_cedar_writes_them() {
    for (text, expected) in [
        ("2024-10-15", "2024-10-15T00:00:00Z"),
        ("2024-10-15T11:35:00Z", "2024-10-15T11:35:00Z"),
        ("2024-10-15T11:35:00.000+0100", "2024-10-15T10:35:00Z"),
    ] {
        let time: DateTime<Utc> = expected.parse().unwrap();
        assert_eq!(super::translate::time(text), Some(time), "{text}");
    }
}

#[test]
fn what_is_said_of_a_group_of_actions_holds_for_each() {
    let schema = SCHEMA.replace(
        "action readInvoice, updateInvoice, sendInvoice appliesTo",
        "action change;
         action write in [change];
         action readInvoice appliesTo {
             principal: [User, ApiKey, Anonymous], resource: Invoice, context: Request };
         action updateInvoice, sendInvoice in [write] appliesTo",
    );
    let policies = |text: &str| {
        let policies = Policies::new(&schema, text).unwrap();
        policies.object::<Invoice>().unwrap()
    };
    let node = invoice("draft");
    let closed = policies(
        "permit (principal, action, resource);
         forbid (principal, action in Action::\"change\", resource);",
    );
    let closed = asked(&closed, user("owner"));
    assert!(closed.allows("readInvoice", &node));
    assert!(!closed.allows("updateInvoice", &node));
    let open = policies("permit (principal, action in [Action::\"write\"], resource);");
    let open = asked(&open, user("owner"));
    assert!(open.allows("sendInvoice", &node));
    assert!(!open.allows("readInvoice", &node));
}
