//! Tests of `card` and `lock` for sets in directories.

use super::recording::{Recording, Scratch, contents, json, refuses, scratch, tool};

/// Makes a folder with a set named `a set`. The name of its recording contains Markdown and HTML.
fn with_set() -> Scratch {
    let dir = scratch();
    let file = Recording::random(7, 9, 12).write(&dir.join("a|b <img src=x>_*.h5"));
    dir.convert(&[&file], "a set", &["--chunk-samples", "2", "--shard-size", "50"]);
    dir
}

#[test]
fn a_card_describes_the_set_and_changes_nothing_of_it() {
    let dir = with_set();
    let (set, before) = (dir.join("a set"), contents(&dir.join("a set")));
    let written =
        json(tool("card", &set).args(["--license", "CC-BY-4.0", "--source-url", "https://a.b/c_d", "--json"]));
    let card = std::fs::read_to_string(set.join("README.md")).unwrap();
    let id = written["set_id"].as_str().unwrap();
    for words in [
        "# a set\n",
        id,
        "licence of the recordings: CC-BY-4.0",
        "<https://a.b/c_d>",
        "![statistics of the set](card.png)",
        r"| a\|b \<img src=x\>\_\*.h5 |",
        "tonic-prep convert 'a|b <img src=x>_*.h5' -o 'shards/a set' --recipe recipe.toml",
        "\n[frames]\n",
        "| events\\_in |",
    ] {
        assert!(card.contains(words), "{words}: {card}");
    }
    assert!(std::fs::read(set.join("card.png")).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(json(tool("verify", &set).arg("--json"))["whole"], true);
    let after = contents(&set);
    assert!(before.iter().all(|(name, bytes)| after[name] == *bytes) && after.len() == before.len() + 2);

    // The same command gives the same card, and a card that nobody has changed can be written anew.
    json(tool("card", &set).args(["--license", "CC-BY-4.0", "--source-url", "https://a.b/c_d", "--json"]));
    assert!(contents(&set) == after);
    // A licence or source that is not given again stays. An empty text removes it.
    json(tool("card", &set).args(["--source-url", "https://a.b/c_d", "--json"]));
    assert!(contents(&set) == after);
    json(tool("card", &set).args(["--license", "", "--json"]));
    let card = std::fs::read_to_string(set.join("README.md")).unwrap();
    assert!(card.contains("licence of the recordings: not given") && card.contains("<https://a.b/c_d>"), "{card}");
}

#[test]
fn a_card_of_an_earlier_set_is_told() {
    let dir = with_set();
    let set = dir.join("a set");
    json(tool("card", &set).args(["--license", "CC *BY*", "--json"]));
    let other = Recording::random(5, 9, 13).write(&dir.join("other.h5"));
    let convert = |more: &[&str]| {
        let mut command = tool("convert", &other);
        let done = command.arg("-o").arg(&set).args(["--overwrite", "--quiet"]).args(more).assert().success();
        let output = done.get_output();
        [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).into_owned())
    };
    for word in ["warning", "set id of the card", "tonic-prep card"] {
        assert!(convert(&[])[0].contains(word), "{word}");
        assert!(convert(&["--json"])[1].contains(word), "{word}");
    }
    json(tool("card", &set).arg("--json"));
    assert!(!convert(&[])[0].contains("warning"));
    assert!(std::fs::read_to_string(set.join("README.md")).unwrap().contains(r"recordings: CC \*BY\*"));
}

#[test]
fn a_card_that_was_changed_by_hand_stays() {
    let dir = with_set();
    let set = dir.join("a set");
    json(tool("card", &set).arg("--json"));
    let page = set.join("README.md");
    let written = std::fs::read_to_string(&page).unwrap();
    for other in ["mine".into(), written.replace("# a set", "# My set"), format!("{written}And more.\n")] {
        std::fs::write(&page, &other).unwrap();
        refuses(&mut tool("card", &set), 2, &["README.md", "by hand", "--force replaces it"]);
        assert_eq!(std::fs::read_to_string(&page).unwrap(), other);
    }
    json(tool("card", &set).args(["--force", "--json"]));
    assert_eq!(std::fs::read_to_string(&page).unwrap(), written);
    std::fs::remove_file(&page).unwrap();
    refuses(&mut tool("card", &set), 2, &["card.png", "by hand"]);
}

#[test]
fn a_lock_file_has_the_ids_of_sets() {
    let dir = with_set();
    let lock = |places: &[&str]| {
        let mut command = tool("lock", &dir.join("sets.toml"));
        command.current_dir(dir.join("")).args(places);
        command
    };
    dir.convert(&[&dir.join("a|b <img src=x>_*.h5")], "other", &["--chunk-samples", "3"]);
    let locked = json(lock(&["a set", "test=other", "--json"]).arg("-q"));
    let id = |name: &str| json(tool("info", &dir.join(name)).arg("--json"))["set_id"].clone();
    assert_eq!((&locked["sets"][0]["name"], &locked["sets"][0]["id"]), (&"a set".into(), &id("a set")));
    assert_eq!((&locked["sets"][1]["name"], &locked["sets"][1]["id"]), (&"test".into(), &id("other")));
    let text = std::fs::read_to_string(dir.join("sets.toml")).unwrap();
    assert!(text.contains("[[set]]") && text.contains("[frames]"), "{text}");
    // A set with the name of a set in the file replaces this set. The rest of the file stays.
    let again = json(lock(&["test=a set", "--json"]).arg("-q"));
    assert_eq!((again["sets"].as_array().unwrap().len(), &again["sets"][1]["id"]), (2, &id("a set")));
    refuses(&mut lock(&["x=a set", "x=other"]), 2, &["x for", "NAME=PLACE"]);
    for (bad, words) in [("[[set]]\nname = 1\n", "a lock file"), ("[[sets]]\n", "unknown field")] {
        std::fs::write(dir.join("sets.toml"), bad).unwrap();
        refuses(&mut lock(&["a set"]), 2, &["sets.toml", words]);
    }
}
