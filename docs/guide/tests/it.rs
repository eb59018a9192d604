//! What the guide's first chapter says of its program, done as it says.

use std::fs;

use serde_json::json;
use tenantry_trial::{Client, PASSWORD, Place};

#[derive(Debug)]
struct Notes;

impl tenantry_trial::Program for Notes {
    const NAME: &'static str = "notes";
    const PATH: &'static str = env!("CARGO_BIN_EXE_notes");
}

#[tokio::test]
async fn the_first_chapter_works_as_it_says() {
    let place = Place::<Notes>::new();
    for (code, name) in [("acme", "Acme"), ("globex", "Globex")] {
        let words = ["tenant", "create", code, "--name", name];
        let owner = [
            "--owner-email",
            "owner@example.com",
            "--owner-password-stdin",
        ];
        let words: Vec<&str> = words.into_iter().chain(owner).collect();
        place.run_with_input(&words, PASSWORD).ok();
    }
    let server = place.serve();
    let login = async |client: &Client<Notes>| {
        let login = json!({"email": "owner@example.com", "password": PASSWORD});
        client.post("/login", login).await.is(200).text()
    };
    let acme = server.host("acme");
    let token = login(&acme).await;
    let owner = acme.bearer(&token);
    owner
        .post("/notes", json!({"text": "Buy milk"}))
        .await
        .is(201);
    let notes = owner.get("/notes").await.is(200).json();
    assert_eq!(notes[0]["text"], "Buy milk");

    let globex = server.host("globex");
    globex.bearer(&token).get("/notes").await.is(401);
    let theirs = login(&globex).await;
    let notes = globex.bearer(&theirs).get("/notes").await.is(200).json();
    assert_eq!(notes, json!([]));
    server.host("initech").get("/notes").await.is(404);
    drop(server);

    let archive = place.path("acme.tenantry");
    let archive = archive.to_str().expect("the path is text");
    for words in [
        &["tenant", "list"][..],
        &["migrate", "--plan"],
        &["user", "list", "--tenant", "acme"],
        &["tenant", "export", "acme", "--out", archive],
        &["check"],
        &["--help"],
    ] {
        place.run(words).ok();
    }
    Place::<Notes>::new().run(&["demo"]).ok();
}

#[test]
fn each_chapter_is_listed_and_tried() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let summary = fs::read_to_string(format!("{folder}/SUMMARY.md")).expect("there is a summary");
    let tried = include_str!("../chapters.rs");
    for entry in fs::read_dir(folder).expect("there are chapters") {
        let name = entry.expect("it can be read").file_name();
        let name = name.to_str().expect("its name is text");
        if name != "SUMMARY.md" {
            assert!(
                summary.contains(&format!("({name})")),
                "{name} is not in the summary"
            );
            let is_the_program = name == "ten-minutes.md";
            assert!(
                is_the_program || tried.contains(name),
                "{name}'s examples are not tried"
            );
        }
    }
}
