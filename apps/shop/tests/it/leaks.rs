//! After a day's work: no password, token or key lies about in clear. Mail that was written to files is
//! what was to be sent, with its links, and is looked at by nobody here; so is the file of the keys.

use std::{fs, path::Path, process::Command};

use serde_json::json;
use tenantry::testing::files_with;

use crate::support::{Place, Shop, link_in_mail, log_in, text};

/// Archives, opened; and everything else as it is, below a folder.
fn open_archives(folder: &Path) {
    for path in files_with(folder, &[0x1f, 0x8b]) {
        if path.extension().is_some_and(|kind| kind == "archive") {
            let opened = Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
            assert!(opened.status.success(), "{}", path.display());
            fs::write(path.with_extension("opened"), opened.stdout).unwrap();
        }
    }
}

#[tokio::test]
async fn no_secret_lies_about() {
    let place = Place::new();
    let server = place.serve();
    let password = "the first password of all";
    let shop = Shop::open_as(&server, "acme", password).await;
    let owner = shop.as_owner();
    let mut secrets = vec![password.to_owned(), shop.owner.token.clone()];

    let smtp = "hunter2-of-the-mail-server";
    let url = format!("smtps://acme:{smtp}@mail.example.com:465");
    let set = [
        "tenant",
        "settings",
        "acme",
        "set",
        "mail.smtp_url",
        "--stdin",
    ];
    place.run_with_input(&set, &url).ok();
    secrets.push(smtp.into());

    let login = json!({ "email": shop.owner.email, "password": password });
    let pair = shop
        .visitor()
        .post("/api/auth/jwt", login)
        .await
        .is(200)
        .json();
    secrets.extend([text(&pair["access"]), text(&pair["refresh"])]);
    let key = json!({ "name": "till", "scopes": ["products:write"] });
    let key = owner.post("/api/keys", key).await.is(201).json();
    secrets.push(text(&key["secret"]));
    secrets.push(shop.session_of(&shop.owner).await);

    let invitation = json!({ "email": "ann@example.com", "role": "staff" });
    owner.post("/api/invitations", invitation).await.is(201);
    let link = link_in_mail(&shop, "ann@example.com").await;
    let joining = "the password that ann has";
    let join = json!({ "link": link, "password": joining, "first_name": "Ann" });
    shop.visitor()
        .post("/api/invitations/accept", join)
        .await
        .is(201);
    secrets.extend([link, joining.into()]);
    secrets.push(log_in(&shop.visitor(), "ann@example.com", joining).await);

    let asked = json!({ "email": "ann@example.com" });
    shop.visitor()
        .post("/api/auth/password/forgot", asked)
        .await
        .is(202);
    let mut link = link_in_mail(&shop, "ann@example.com").await;
    while secrets.contains(&link) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        link = link_in_mail(&shop, "ann@example.com").await;
    }
    let anew = "another password that ann has";
    let reset = json!({ "link": link, "password": anew });
    shop.visitor().post("/api/auth/password/reset", reset).await;
    secrets.extend([link, anew.into()]);
    // what is refused is as secret
    let wrong = "the password of another place";
    let login = json!({ "email": shop.owner.email, "password": wrong });
    shop.visitor().post("/api/auth/login", login).await.is(401);
    secrets.push(wrong.into());

    let keys = fs::read_to_string(place.data().join("keys")).unwrap();
    secrets.push(keys.trim().to_owned());
    place.run(&["keys", "rotate"]).ok();
    let keys = fs::read_to_string(place.data().join("keys")).unwrap();
    secrets.push(keys.lines().next().unwrap().to_owned());

    // what commands say
    let mut said = server.stderr();
    for line in [
        &["tenant", "list", "--json"][..],
        &["tenant", "show", "acme", "--json"],
        &["tenant", "settings", "acme", "--json"],
        &["tenant", "settings", "acme"],
        &["user", "list", "--tenant", "acme", "--json"],
        &["keys", "list", "--json"],
        &["check", "--json"],
    ] {
        let done = place.run(line).ok();
        said.push_str(&done.stdout);
        said.push_str(&done.stderr);
    }
    said.push_str(&owner.get("/api/settings").await.is(200).text());
    said.push_str(&owner.get("/api/audit").await.is(200).text());
    // and what is carried away
    let (archive, backup) = (place.path("acme.archive"), place.path("backup"));
    place
        .run(&[
            "tenant",
            "export",
            "acme",
            "--out",
            archive.to_str().unwrap(),
        ])
        .ok();
    place
        .run(&["backup", "--out", backup.to_str().unwrap()])
        .ok();
    fs::create_dir(place.path("carried")).unwrap();
    fs::rename(archive, place.path("carried/acme.archive")).unwrap();
    for folder in [place.path("carried"), backup.clone()] {
        open_archives(&folder);
    }
    let found = |secret: &str| -> Vec<String> {
        let folders = [place.data(), place.path("carried"), backup.clone()];
        let files = folders.iter().flat_map(|folder| {
            let files = files_with(folder, secret.as_bytes());
            files.into_iter().map(|file| {
                let name = file.strip_prefix(place.path("")).unwrap_or(&file);
                name.display().to_string()
            })
        });
        let mut files: Vec<String> = files
            .filter(|file| !file.contains("mail/") && file != "data/keys")
            .collect();
        if said.contains(secret) {
            files.push("what was said".into());
        }
        files
    };
    assert!(secrets.len() >= 14 && secrets.iter().all(|secret| secret.len() > 10));
    for (number, secret) in secrets.iter().enumerate() {
        let files = found(secret);
        assert!(files.is_empty(), "secret {number} ({secret}): {files:?}");
    }
    // what looks would find it: in what is said, in what is carried away and in the data
    let address = found("ann@example.com");
    for place in ["what was said", "carried/acme.opened", "backup/"] {
        assert!(
            address.iter().any(|file| file.contains(place)),
            "{place}: {address:?}"
        );
    }
    fs::write(place.data().join("planted"), format!("x{smtp}x")).unwrap();
    assert_eq!(found(smtp), ["data/planted"]);
}
