//! Tests that `push` and `pull` transfer the card of a set without changes.

use crate::bench::{Bench, contents};
use crate::server::{Fault, Kind, Server};

#[test]
fn a_card_travels_with_its_set_and_changes_no_id() {
    let bench = Bench::with_set();
    let (id, url) = (bench.id("set"), bench.url("server"));
    bench.run(&["push", "set", &url]);
    bench.run(&["card", "set", "--license", "CC0"]);
    assert_eq!(bench.id("set"), id);
    std::fs::write(bench.path("set/README.md"), "By hand, with ünïcode.\n").unwrap();
    // The set is there already: only its card is sent.
    bench.run(&["push", "set", &url]);
    bench.run(&["pull", &url, "copy"]);
    assert!(contents(&bench.path("copy")) == contents(&bench.path("set")));
    assert_eq!(contents(&bench.path("copy")).keys().filter(|name| !name.ends_with(".shard")).count(), 3);

    // A card in the directory stays, unless the copy is replaced. A missing file of the card is fetched again.
    std::fs::write(bench.path("copy/README.md"), "Mine.\n").unwrap();
    std::fs::remove_file(bench.path("copy/card.png")).unwrap();
    bench.run(&["pull", &url, "copy"]);
    assert_eq!(std::fs::read_to_string(bench.path("copy/README.md")).unwrap(), "Mine.\n");
    assert!(bench.path("copy/card.png").exists());
    bench.run(&["pull", &url, "copy", "--overwrite"]);
    assert!(contents(&bench.path("copy")) == contents(&bench.path("set")));

    // `prune` removes the card together with its set.
    bench.convert("other", 50, 2);
    bench.run(&["push", "other", &url]);
    bench.run(&["prune", &url, "--keep", "1"]);
    assert!(!bench.path("server").join(&id).exists());
}

#[test]
fn a_card_of_another_set_is_not_sent() {
    let bench = Bench::with_set();
    bench.run(&["card", "set", "--license", "CC0"]);
    bench.convert("other", 50, 2);
    for name in ["README.md", "card.png"] {
        std::fs::rename(bench.path("set").join(name), bench.path("other").join(name)).unwrap();
    }
    let said = bench.refuses(&["push", "other", &bench.url("server")], 4, &["README.md", "tonic-prep card other"]);
    assert!(said.contains(&bench.id("set")) && said.contains(&bench.id("other")), "{said}");
    assert!(!bench.path("server").exists());
    bench.run(&["card", "other"]);
    bench.run(&["push", "other", &bench.url("server")]);
    assert!(std::fs::read_to_string(bench.path("other/README.md")).unwrap().contains("recordings: CC0"));
}

#[test]
fn sets_without_a_card_are_pulled_from_any_server() {
    let bench = Bench::with_set();
    // A store that doesn't let us list objects answers 403, not 404.
    let closed = |name: &str, _: u64| name.ends_with("README.md").then_some(Fault::Status(403));
    let server = Server::start(&bench.path("set"), Kind { ranges: true, tags: true }, closed);
    bench.run(&["pull", &server.url, "copy"]);
    assert!(contents(&bench.path("copy")) == contents(&bench.path("set")));
    bench.refuses(&["card", &server.url], 2, &["a directory"]);
}
