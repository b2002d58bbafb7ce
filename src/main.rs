use std::process::ExitCode;

fn main() -> ExitCode {
    klaxond::cli::main(std::env::args_os())
}
