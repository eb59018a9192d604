//! Tasks, statements by hand, what shells know, and what belongs to nobody.

use super::*;

#[tokio::test]
async fn a_task_runs_for_the_tenants_it_is_told() {
    let place = Place::new();
    place.run(&["demo"]).ok();
    assert!(place.run(&["run"]).ok().stdout.contains("reprice"));
    place.run(&["run", "nope", "--all"]).refuses(2);
    place.run(&["run", "reprice"]).refuses(2);
    place
        .run(&["run", "reprice", "--tenant", "nope"])
        .refuses(3);
    let prices = |code| {
        let sum = "SELECT price FROM products ORDER BY code LIMIT 1";
        let said = place.run(&["sql", "--tenant", code, "--json", "-c", sum]);
        said.ok().json()[0]["price"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (prices("acme"), prices("globex")),
        ("18.90".into(), "2.49".into())
    );
    let done = place
        .run(&["run", "reprice", "10", "--tenant", "acme"])
        .ok();
    assert_eq!(done.stdout.trim(), "acme: 20 prices changed");
    assert_eq!(
        (prices("acme"), prices("globex")),
        ("20.79".into(), "2.49".into())
    );
    // what fails for one is told, and changes nothing
    let failed = place.run(&["run", "reprice", "x", "--all", "--keep-going", "--json"]);
    let failed = failed.exits(5);
    assert_eq!(failed.json().as_array().unwrap().len(), 2);
    assert!(
        failed.stderr.contains("acme") && failed.stderr.contains("globex"),
        "{failed:?}"
    );
    assert_eq!(prices("acme"), "20.79");
    place.run(&["tenant", "suspend", "acme"]).ok();
    let done = place.run(&["run", "reprice", "--all", "-10"]).ok();
    assert_eq!(done.stdout.trim(), "globex: 20 prices changed");
}

#[tokio::test]
async fn sql_is_said_in_one_tenants_scope() {
    let place = Place::new();
    place.run(&["demo"]).ok();
    let say = |code: &str, sql: &str| place.run(&["sql", "--tenant", code, "-c", sql]);
    let names = |code| {
        say(code, "SELECT name FROM products ORDER BY name")
            .ok()
            .stdout
    };
    assert!(names("acme").contains("Claw hammer"));
    assert!(!names("globex").contains("Claw hammer"));
    say("acme", "UPDATE products SET name = 'Ours'").ok();
    assert!(names("acme").contains("Ours") && !names("globex").contains("Ours"));
    // there is no way out
    for sql in [
        "DROP TABLE products",
        "SET ROLE postgres",
        "SET tenantry.tenant = ''",
        "SELECT set_config('tenantry.tenant', '', false)",
        "SELECT * FROM tenantry.tenantry_tenants",
        "ATTACH 'x.db' AS x",
        "DELETE FROM audit_log",
        "COMMIT",
        "DELETE FROM tenantry_migrations",
        "SELECT 1; SELECT 2",
    ] {
        say("acme", sql).refuses(1);
    }
    let piped =
        "SELECT count(*) AS n\n  FROM products;\nSELECT email FROM users\nORDER BY email;\n";
    let said = place
        .run_with_input(&["sql", "--tenant", "acme"], piped)
        .ok();
    assert_eq!(
        said.stdout,
        "n\n20\nemail\nowner@example.com\nstaff@example.com\n"
    );
    place
        .run(&["sql", "--tenant", "nope", "-c", "SELECT 1"])
        .refuses(3);
}

#[test]
fn shells_and_manuals_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).ok().stdout;
        assert!(
            script.contains("migrate") && script.contains("suspend"),
            "{shell}"
        );
    }
    let page = place.run(&["man"]).ok().stdout;
    assert!(
        page.starts_with(".ie") || page.contains(".TH shop"),
        "{page}"
    );
    assert!(
        page.contains("SHOP TENANT MOVE") && !page.contains("{app}"),
        "{page}"
    );
    assert_eq!(place.files_in(""), [""; 0], "and touch nothing");
}

#[test]
fn what_is_nobodys_is_found_and_removed() {
    let place = Place::elsewhere();
    create(&place, &["acme", "globex"]);
    place.run(&["check", "--deep"]).ok();
    place.run(&["check", "--mend"]).refuses(2);
    let nobody = "01900000-0000-7000-8000-0000000000aa";
    let mail = place.data().join("mail").join(nobody);
    std::fs::create_dir_all(&mail).unwrap();
    std::fs::write(mail.join("1.eml"), "secret").unwrap();
    let file = place.data().join("tenants/aa").join(format!("{nobody}.db"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "left over").unwrap();
    let before = codes(&place);

    place.run(&["check"]).ok();
    let found = place.run(&["check", "--deep", "--json"]).exits(4).json();
    let findings = found["findings"].as_array().unwrap();
    let orphans: Vec<_> = findings.iter().filter(|one| one["ok"] == false).collect();
    assert_eq!(orphans.len(), 2, "{found}");
    assert!(orphans.iter().all(|one| {
        one["detail"].as_str().unwrap().contains(nobody)
            && one["mend"].as_str().unwrap().contains("--mend")
    }));
    // without a yes nothing goes
    let refused = place.run(&["check", "--deep", "--mend"]).refuses(4);
    assert!(refused.stderr.contains(nobody), "{refused:?}");
    assert!(mail.exists() && file.exists());
    place.run(&["check", "--deep", "--mend", "--yes"]).ok();
    assert!(!mail.exists() && !file.exists());
    assert_eq!(codes(&place), before);
    place.run(&["check", "--deep"]).ok();
    let shown = place.run(&["tenant", "show", "acme", "--json"]).ok().json();
    assert_eq!(shown["real"]["files"], 0);
}
