//! Tests that the frozen command lines of both programs still parse.

use std::process::Command;

const FROZEN: &str = include_str!("../data/frozen/command_lines.txt");

/// Asserts that `executable` parses every frozen command line of `program`.
pub(crate) fn assert_all_parse(program: &str, executable: &str) {
    let dir = tempfile::tempdir().unwrap();
    let refused = |words: &str| {
        let mut command = Command::new(executable);
        let output = command.args(words.split_whitespace()).current_dir(dir.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code().is_some_and(|code| code != 101), "{program} {words}: {stderr}");
        // Clap's errors end with this line, whether a flag is unknown, a value is invalid or flags conflict. No other
        // error has it.
        stderr.contains("try '--help'").then_some(stderr)
    };
    assert!(refused("--unknown").is_some());
    let lines: Vec<&str> = FROZEN.lines().filter_map(|line| line.strip_prefix(program)).collect();
    assert!(lines.len() > 30);
    let errors: Vec<String> =
        lines.into_iter().filter_map(|line| Some(format!("{line}: {}", refused(line)?))).collect();
    assert!(errors.is_empty(), "{}", errors.concat());
}
