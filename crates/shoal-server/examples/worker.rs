//! How long micro-batches take through a worker process: `just bench worker` runs it.
//!
//! Standard input has one JSON object: `description` (the text of a `shoal.json`), `command` and `directory` (how a
//! worker starts), `values_hex` (the one input column) and `rows`, `warm_up` and `calls`. Standard output gets the
//! nanoseconds of each call, as a JSON list.

use std::error::Error;
use std::time::Instant;

use serde::Deserialize;
use shoal_server::options::Options;
use shoal_server::values::{Buffer, Payload, Table, Values};
use shoal_server::worker::{Launch, open};

#[derive(Deserialize)]
struct Question {
    description: String,
    command: Vec<String>,
    directory: String,
    values_hex: String,
    rows: usize,
    warm_up: usize,
    calls: usize,
}

fn unhex(text: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16)).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let question: Question = serde_json::from_reader(std::io::stdin())?;
    let launch = Launch { command: question.command, directory: question.directory };
    let (description, mut executors) = open(&question.description, launch, &Options::default(), &|| true)?;
    let input = description.signature.inputs.first().ok_or("the model has no input")?;
    let shape = input.shape.iter().map(|dim| usize::try_from(*dim)).collect::<Result<Vec<_>, _>>()?;
    let payload = Payload::Fixed(Buffer::copy_of(&unhex(&question.values_hex)?));
    let table = Table { rows: question.rows, columns: vec![Values { shape, payload, missing: vec![] }] };
    let executor = executors.first_mut().ok_or("there is no executor")?;
    let mut took_ns = Vec::with_capacity(question.calls);
    for call in 0..question.warm_up + question.calls {
        let start = Instant::now();
        executor.run(&table)?;
        if call >= question.warm_up {
            took_ns.push(start.elapsed().as_nanos());
        }
    }
    println!("{}", serde_json::to_string(&took_ns)?);
    Ok(())
}
