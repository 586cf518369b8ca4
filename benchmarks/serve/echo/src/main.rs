//! What a JSON model server on one core cannot undercut, as three programs that each print one JSON line:
//!
//! - `echo serve ADDRESS ANSWER`: axum on one thread reads each body and answers a constant,
//! - `echo parse BODIES`: the time to parse one body (one per line) into its typed form,
//! - `echo kernel LIBRARY MODEL BODIES ROWS...`: the time of one ONNX Runtime call for each batch size.
//!
//! Times are nanoseconds, the median over blocks, measured on the core the program is pinned to.

mod floor;
mod kernel;
mod parse;
mod stopwatch;

use std::error::Error;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: echo serve ADDRESS ANSWER | parse BODIES | kernel LIBRARY MODEL BODIES ROWS...";

fn run(words: &[&str]) -> Result<(), Box<dyn Error>> {
    match words {
        ["serve", address, answer] => floor::serve(address, answer)?,
        ["parse", bodies] => println!("{}", parse::measure(bodies)?),
        ["kernel", library, model, bodies, rows @ ..] => {
            println!("{}", kernel::measure(library, model, bodies, rows)?);
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}
