//! The program `tonic-prep`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tonic_prep_cli::main(std::env::args_os()))
}
