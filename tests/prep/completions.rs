//! Tests of `completions`: shells read the scripts, and complete commands and flags.

use super::recording::{prep, shell, stdout};

#[test]
fn bash_completes_commands_and_flags() {
    let script = "source <(\"$0\" completions bash); COMP_WORDS=(tonic-prep \"$@\"); COMP_CWORD=$#
        _tonic__prep tonic-prep \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[@]}\"";
    for (words, expected) in [(&["ver"][..], "verify"), (&["card", "--lic"], "--license"), (&["lock", "--j"], "--json")]
    {
        assert_eq!(stdout(&mut shell("bash", script, words)).trim(), expected, "{words:?}");
    }
}

#[test]
fn other_shells_have_scripts_too() {
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(stdout(prep().args(["completions", shell])).contains("tonic-prep"), "{shell}");
    }
}
