//! Shops' files in a bucket, by the command line and over HTTP.

use std::{collections::BTreeSet, fs, path::Path};

use tenantry_trial::S3Server;

use crate::support::{PASSWORD, Place, Server, Shop, png, text};

/// The objects in the bucket, by whose they are.
fn owners(bucket: &Path) -> BTreeSet<String> {
    let folder = bucket.join("shops");
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn pictures_are_in_the_bucket_and_go_where_their_shop_goes() {
    let s3 = S3Server::start();
    let (mut environment, url) = (s3.environment(), s3.url("shops"));
    environment.push(("SHOP_FILES_URL", url.clone()));
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let place = Place::new();
    let server = Server::start(&place, &environment);
    let shop = Shop::open_as(&server, "acme", PASSWORD).await;
    let product = shop.stock("Spade", "S-1", "1").await;
    let path = format!("/api/products/{}/picture", text(&product["id"]));
    let picture = png(60, 40);
    let owner = shop.as_owner();
    owner.raw("PUT", &path, "image/png", picture).await.is(200);
    let shown = shop.visitor().get(&path).await.is(200);
    assert_eq!(shown.header("content-type"), Some("image/png"));
    assert_eq!(owners(&s3.bucket()), [shop.id.clone()].into());
    assert!(!place.data().join("files").exists());

    let run = |arguments: &[&str]| place.run_with(arguments, &environment);
    let told = run(&["tenant", "show", "acme", "--json"]).ok().json();
    assert_eq!(told["real"]["files_location"], format!("{url}/{}", shop.id));
    assert!(told["real"]["files"].as_u64().unwrap() >= 2, "{told}");
    let archive = place.path("acme.archive");
    let archive = archive.to_str().unwrap();
    run(&["tenant", "clone", "acme", "twin"]).ok();
    run(&["tenant", "export", "acme", "--out", archive]).ok();
    run(&["tenant", "import", archive, "--code", "copy"]).ok();
    assert_eq!(owners(&s3.bucket()).len(), 3);
    let erased = run(&["tenant", "erase", "acme", "--yes"]).ok().json();
    assert!(erased[0]["removed"]["files"].as_u64().unwrap() >= 2);
    let left = owners(&s3.bucket());
    assert!(left.len() == 2 && !left.contains(&shop.id), "{left:?}");
    run(&["check", "--deep"]).ok();
    // of others' they would be told, and never removed
    fs::create_dir(s3.bucket().join("shops").join(&shop.id)).unwrap();
    fs::write(s3.bucket().join("shops").join(&shop.id).join("a"), "x").unwrap();
    let found = run(&["check", "--deep", "--mend", "--yes"]).exits(4);
    assert!(
        found.stdout.contains(&format!("{url}/{}", shop.id)),
        "{found:?}"
    );
    assert!(owners(&s3.bucket()).contains(&shop.id));
}

#[test]
fn what_is_wrong_with_the_url_is_told_with_a_hint() {
    let place = Place::new();
    let url = "s3://bucket/shops";
    for (url, environment, says) in [
        ("/mnt/files", vec![], "s3://bucket/prefix"),
        ("s3://bucket/../other", vec![], "--files-url"),
        (
            url,
            vec![("AWS_ENDPOINT_URL", "http://127.0.0.1:1")],
            "AWS_ALLOW_HTTP=true",
        ),
    ] {
        let refused = place.run_with(&["tenant", "list", "--files-url", url], &environment);
        let refused = refused.refuses(2);
        assert!(refused.stderr.contains("hint:"), "{refused:?}");
        assert!(refused.stderr.contains(says), "{refused:?}");
    }
    assert!(!place.data().exists());
}
