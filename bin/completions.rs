//! The command `completions`, which prints a script that lets a shell complete the arguments of a program.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// Prints the script for a shell and for the program whose arguments have the type `P`.
pub(crate) fn print<P: CommandFactory>(program: &str, shell: Shell, out: &mut impl Write) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut P::command(), program, &mut script);
    // clap_complete 4.6.11 for bash takes the hyphen of the program's name for the space before a subcommand.
    let script = String::from_utf8(script)?.replace(&program.replace('-', "__subcmd__"), &program.replace('-', "__"));
    Ok(out.write_all(script.as_bytes())?)
}
