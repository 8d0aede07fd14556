//! Tests of sets on real servers: object stores (moto, Azurite) and web servers (nginx, Python's `http.server`).

use crate::bad_line::BadLine;
use crate::bench::{Bench, contents, json};
use crate::services::{Service, azure, nginx, python, s3};

/// A path with spaces and letters outside ASCII.
const PATH: &str = "sets of März/日本 100%/ssc";

/// Reads the set at `url` with `info`, `pull`, `verify` and training. Asserts that it is the set `set`.
fn read(bench: &Bench, url: &str, copy: &str) {
    let id = bench.id("set");
    assert_eq!(json(&bench.run(&["info", url, "--json"]))["set_id"], id);
    let pulled = json(&bench.run(&["pull", url, copy, "--expect", &id, "--json"]));
    assert_eq!(pulled["set_id"], id);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path(copy)));
    let part = format!("{copy}-part");
    bench.run(&["pull", url, &part, "--samples", "100..116"]);
    assert_eq!(bench.run(&["cat", &part, "--sample", "3"]), bench.run(&["cat", "set", "--sample", "103"]));
    bench.run(&["verify", url]);
    #[cfg(feature = "train")]
    {
        let [local, remote] = ["set", url].map(|train| {
            crate::train::fit(
                bench,
                train,
                &format!("{copy}-run"),
                &["--overwrite", "--cache", "stream", "--remote-cache", &format!("{copy}-cache")],
            )
            .1
        });
        assert_eq!(local, remote);
    }
}

/// Pushes, reads and prunes sets at an object store.
fn object_store(service: Service, wrong: (&'static str, &str), refused: &str, no_bucket: &str) {
    let mut bench = Bench::with_set();
    bench.variables.clone_from(&service.variables);
    let url = format!("{}/{PATH}", service.url);
    let shards = contents(&bench.path("set")).len() as u64 - 1;
    let pushed = json(&bench.run(&["push", "set", &url, "--json"]));
    assert_eq!((&pushed["sent_shards"], &pushed["copied_shards"]), (&shards.into(), &0.into()));
    read(&bench, &url, "copy");

    // The first samples are the same, so all shards but the last are copied by the server.
    bench.run(&["subset", "shorter", "set", "--samples", "..290"]);
    let pushed = json(&bench.run(&["push", "shorter", &url, "--json"]));
    assert_eq!(pushed["sent_shards"], 1, "{pushed}");
    assert!(pushed["copied_shards"].as_u64().unwrap() > 1, "{pushed}");
    let pinned = format!("{url}#{}", bench.id("set"));
    read(&bench, &pinned, "pinned");
    let pruned = json(&bench.run(&["prune", &url, "--keep", "1", "--json"]));
    assert_eq!(pruned["removed"], serde_json::json!([bench.id("set")]));
    bench.refuses(&["info", &pinned], 4, &["expected a shard set"]);
    bench.run(&["verify", &url]);

    let nowhere = url.replacen("://lab/", "://nowhere/", 1);
    for words in [&["push", "set", &nowhere][..], &["info", &nowhere], &["pull", &nowhere, "x"]] {
        bench.refuses(words, 1, &["://nowhere/", no_bucket, "make it"]);
    }
    bench.variables.push((wrong.0, wrong.1.into()));
    for words in [&["push", "set", &url][..], &["info", &url], &["pull", &url, "x"], &["prune", &url, "--keep", "1"]] {
        let text = bench.refuses(words, 1, &[refused, wrong.0, "latest.json"]);
        assert!(!text.contains(wrong.1), "{text}");
    }
}

#[test]
fn sets_travel_over_s3() {
    if let Some(service) = s3() {
        object_store(service, ("AWS_SECRET_ACCESS_KEY", "wrong-secret"), "SignatureDoesNotMatch", "NoSuchBucket");
    }
}

#[test]
fn sets_travel_over_azure() {
    if let Some(service) = azure() {
        let wrong = ("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmctc2VjcmV0");
        object_store(service, wrong, "AuthorizationFailure", "ContainerNotFound");
    }
}

/// Makes a set and pushes it to the folder `server`, at [`PATH`].
fn pushed() -> Bench {
    let bench = Bench::with_set();
    bench.run(&["push", "set", &format!("{}/{PATH}", bench.url("server"))]);
    bench
}

#[test]
fn sets_are_read_from_nginx() {
    let bench = pushed();
    let Some(service) = nginx(&bench.path("server")) else { return };
    read(&bench, &format!("{}/{PATH}", service.url), "copy");
    read(&bench, &format!("{}/moved/{PATH}", service.url), "moved");
    let with = |user: &str| service.url.replacen("://", &format!("://{user}"), 1) + "/closed/" + PATH;
    read(&bench, &with("me:password@"), "closed");
    for user in ["", "me:wrong-secret@", "other:password@"] {
        let text = bench.refuses(&["pull", &with(user), "refused"], 1, &[&service.url, "401", "user:password@"]);
        assert!(!text.contains("secret") && !text.contains("me:"), "{text}");
    }
    let signed = format!("{}/signed/{PATH}", service.url);
    read(&bench, &format!("{signed}?sig=a%2Fb"), "signed");
    for query in ["", "?sig=other"] {
        bench.refuses(&["info", &format!("{signed}{query}")], 1, &["/signed/", "403"]);
    }
    bench.refuses(&["info", &format!("{}/nothing", service.url)], 4, &["/nothing", "manifest.json"]);
    bench.refuses(&["push", "set", &service.url], 2, &["read only"]);
}

#[test]
fn sets_are_read_from_a_server_without_ranges() {
    let bench = pushed();
    let Some(service) = python(&bench.path("server")) else { return };
    read(&bench, &format!("{}/{PATH}", service.url), "copy");
    bench.refuses(&["info", &format!("{}/nothing", service.url)], 4, &["/nothing", "manifest.json"]);
}

#[test]
fn lines_to_real_servers_may_break_at_any_byte() {
    let mut bench = pushed();
    let folder = bench.path("server");
    let services = [("s3", s3()), ("azure", azure()), ("nginx", nginx(&folder)), ("python", python(&folder))];
    for (name, service) in services {
        let Some(service) = service else { continue };
        let line = BadLine::to(&service.address);
        let service = service.through(&line.address);
        bench.variables.clone_from(&service.variables);
        let url = format!("{}/{PATH}", service.url);
        if ["s3", "azure"].contains(&name) {
            line.spoil(8);
            // If a push fails, the user repeats it.
            let push = || bench.tool(&["push", "set", &url, "--timeout", "3"]).output().unwrap().status.success();
            assert!((0..10).any(|_| push()), "{name}");
        }
        for round in 0..3 {
            line.spoil(8);
            let copy = format!("{name}-{round}");
            bench.run(&["pull", &url, &copy, "--timeout", "3"]);
            assert_eq!(contents(&bench.path("set")), contents(&bench.path(&copy)), "{copy}");
            assert!(line.left() < 8, "{copy}: no connection was bad");
        }
    }
}
