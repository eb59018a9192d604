//! Two shops to look at.

use chrono::Utc;
use rust_decimal::Decimal;
use tenantry::{
    Tenancy,
    db::TenantDb,
    lifecycle::{NewTenant, SeedError},
    routing::Site,
    users::{NewUser, Users},
};
use uuid::Uuid;

use crate::{
    access::{OWNER, STAFF},
    models::profile::{Profile, ProfileChange},
};

const PASSWORD: &str = "correct horse battery";

struct Shop {
    code: &'static str,
    name: &'static str,
    tagline: &'static str,
    currency: &'static str,
    products: [(&'static str, i64); 20],
}

/// Fills an empty place.
pub(crate) async fn fill(tenancy: &Tenancy, site: &Site) -> Result<String, SeedError> {
    if !tenancy.tenants().await?.is_empty() {
        return Err(
            "the demo shops are for an empty place, and there are shops here already".into(),
        );
    }
    let mut said = String::new();
    for shop in [ACME, GLOBEX] {
        let (code, name) = (shop.code.parse()?, shop.name);
        let in_seed = tenancy.clone();
        let (tenant, ()) = tenancy
            .create_with(NewTenant::new(code, name), move |db| async move {
                stock(&in_seed, db, shop).await
            })
            .await?;
        said.push_str(&format!("{name}: {}\n", site.tenant_url(&tenant)));
    }
    said.push_str(&format!(
        "sign in to either as owner@example.com or staff@example.com, password: {PASSWORD}"
    ));
    Ok(said)
}

async fn stock(tenancy: &Tenancy, mut db: TenantDb, shop: Shop) -> Result<(), SeedError> {
    let mut owner: Option<Uuid> = None;
    for (name, role) in [("Olive", OWNER), ("Stan", STAFF)] {
        let new = NewUser {
            email: format!("{role}@example.com"),
            password: PASSWORD.into(),
            first_name: name.into(),
            last_name: String::new(),
            role: role.into(),
        };
        let user = Users::on(&mut db).create(tenancy.passwords(), new).await?;
        owner.get_or_insert(user.id);
    }
    let profile = ProfileChange {
        tagline: Some(Some(shop.tagline.into())),
        currency: Some(shop.currency.into()),
    };
    Profile::change(&db, profile).await?;
    for (number, (name, cents)) in (1..).zip(shop.products) {
        db.query(
            "INSERT INTO products (id, name, code, price, added_by, added_on)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(Uuid::now_v7())
        .bind(name)
        .bind(format!("{}-{number:02}", shop.code.to_uppercase()))
        .bind(Decimal::new(cents, 2))
        .bind(owner)
        .bind(Utc::now())
        .execute()
        .await?;
    }
    Ok(())
}

const ACME: Shop = Shop {
    code: "acme",
    name: "Acme Tools",
    tagline: "Everything for the workshop",
    currency: "EUR",
    products: [
        ("Adjustable spanner", 1890),
        ("Bench vice", 7450),
        ("Block plane", 4290),
        ("Chisel set, four pieces", 3900),
        ("Claw hammer", 2150),
        ("Combination square", 1680),
        ("Coping saw", 1240),
        ("Cordless drill", 11900),
        ("Dovetail saw", 3650),
        ("File set, six pieces", 2480),
        ("Hand brace", 3120),
        ("Marking gauge", 1790),
        ("Nail punch", 590),
        ("Pliers", 1350),
        ("Rubber mallet", 1120),
        ("Screwdriver set", 2690),
        ("Spirit level, 60 cm", 1990),
        ("Spokeshave", 3380),
        ("Tape measure, 5 m", 890),
        ("Whetstone", 2790),
    ],
};

const GLOBEX: Shop = Shop {
    code: "globex",
    name: "Globex Garden",
    tagline: "For things that grow",
    currency: "USD",
    products: [
        ("Beetroot seeds", 249),
        ("Bulb planter", 1299),
        ("Coconut coir, 10 l", 849),
        ("Compost bin", 5990),
        ("Garden fork", 3450),
        ("Garden twine", 499),
        ("Hand trowel", 1190),
        ("Hose, 20 m", 2890),
        ("Kneeling mat", 1090),
        ("Leaf rake", 2290),
        ("Pea netting", 690),
        ("Plant labels, 50", 399),
        ("Potting bench", 8900),
        ("Propagator", 2750),
        ("Pruning shears", 1950),
        ("Rain gauge", 799),
        ("Spade", 3690),
        ("Terracotta pot, 20 cm", 590),
        ("Watering can, 9 l", 2190),
        ("Wheelbarrow", 7990),
    ],
};
