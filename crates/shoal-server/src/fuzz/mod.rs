//! No input may panic a decoder, or make it take much more memory than the input has.
//!
//! - A **target** is a decoder with inputs that a client could have meant. They are changed as [`mutation`] says, for
//!   20 seconds, or as long as `SHOAL_FUZZ_SECONDS` says; all targets at the same time, or the one that
//!   `SHOAL_FUZZ_TARGET` names.
//! - The sequence is the same each time; `SHOAL_FUZZ_SEED` begins another one, "fresh" one that nobody has seen.
//! - An input whose answer is new (another error, or the same in other words) becomes an input to be changed. This is
//!   all that guides the search. Coverage of the code does not: cargo-fuzz needs a nightly compiler, which this project does
//!   not use, and honggfuzz a fuzzer built in C beside it.
//! - What fails is made as small as it gets, written to `target/fuzz`, and named; `SHOAL_FUZZ_INPUT` runs that file alone.
//!
//! A new decoder enrols in [`TARGETS`], and gets its stage in `tools/prove.toml`.

use bytes::Bytes;
use prost::Message;

use crate::binary;
use crate::description::Description;
use crate::fault::Outcome;
use crate::grpc::decode as decode_message;
use crate::grpc::inference::ModelInferRequest;
use crate::intake::{Received, admit};
use crate::json::infer::decode;
use crate::json::predict::{self, Form};
use crate::tables::fuzz as tables;
use crate::tasks::fuzz as tasks;
use crate::worker::fuzz as worker;

mod hunt;
mod mutation;
pub(crate) mod rules;

pub(crate) use mutation::Input;
use rules::{DESCRIPTION, MOMENTS, PACKED, seeds};

/// What nulls may stand for, in all columns of a description together.
const NULLS_BYTES: usize = 32 << 20;
/// A value in memory, at most, for each byte of its input: an empty text is three characters of JSON.
const GROWTH: usize = 16;

/// A decoder to be tried.
struct Target {
    name: &'static str,
    corpus: fn() -> Vec<Input>,
    /// Decodes, and says in a few words how it went.
    run: fn(&Input) -> String,
}

const TARGETS: [Target; 9] = [
    Target { name: "json", corpus: json_corpus, run: run_json },
    Target { name: "binary", corpus: binary_corpus, run: run_binary },
    Target { name: "grpc", corpus: grpc_corpus, run: run_grpc },
    Target { name: "worker", corpus: worker::corpus, run: worker::run },
    Target { name: "tables-json", corpus: tables::json_corpus, run: tables::run_json },
    Target { name: "tables-arrow", corpus: tables::arrow_corpus, run: tables::run_arrow },
    Target { name: "tables-protobuf", corpus: tables::protobuf_corpus, run: tables::run_protobuf },
    Target { name: "tasks-json", corpus: tasks::json_corpus, run: tasks::run_json },
    Target { name: "tasks-protobuf", corpus: tasks::protobuf_corpus, run: tasks::run_protobuf },
];

#[test]
fn no_decoder_panics() {
    hunt::all(&TARGETS);
}

fn description() -> Description {
    Description::from_json(DESCRIPTION).unwrap()
}

fn told(outcome: Outcome<()>) -> String {
    outcome.map_or_else(|fault| format!("{} {}", fault.code.name(), fault.message), |()| "ok".into())
}

fn admitted(description: &Description, columns: Vec<Received>, input_bytes: usize) -> Outcome<()> {
    let table = admit(description, columns, input_bytes)?;
    let (bytes, limit) = (table.size_bytes(), GROWTH * input_bytes + NULLS_BYTES);
    assert!(bytes <= limit, "{bytes} bytes of memory from an input of {input_bytes}");
    Ok(())
}

fn json_corpus() -> Vec<Input> {
    seeds().into_iter().map(Input::from).collect()
}

fn run_json(input: &Input) -> String {
    let body = &input.body;
    let short = [DESCRIPTION, PACKED, MOMENTS].map(|text| {
        let description = Description::from_json(text).unwrap();
        let columns = predict::decode(body, &Form::new(&description));
        told(columns.and_then(|columns| admitted(&description, columns, body.len())))
    });
    let description = description();
    let request = decode(body, &description.signature.inputs);
    let long = told(request.and_then(|request| admitted(&description, request.columns, body.len())));
    format!("{} | {long}", short.join(" | "))
}

/// Every golden body, cut where its header ends, and a request of this description.
fn binary_corpus() -> Vec<Input> {
    let head = r#"{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}},
        {"name":"t","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":11}},
        {"name":"n","shape":[2,1],"datatype":"INT64","data":[1,2]}]}"#;
    let mut body = head.as_bytes().to_vec();
    body.extend_from_slice(&[0; 16]);
    body.extend_from_slice(b"\x01\0\0\0a\x02\0\0\0bc");
    let split = |body: Vec<u8>| {
        // A golden body is JSON, and raw bytes behind its last bracket.
        let end = body.iter().rposition(|byte| *byte == b'}').map(|place| place + 1);
        Input { header_length: end, body }
    };
    seeds().into_iter().map(split).chain([Input { header_length: Some(head.len()), body }]).collect()
}

fn run_binary(input: &Input) -> String {
    let description = description();
    let body = Bytes::copy_from_slice(&input.body);
    told(binary::split(&body, input.header_length).and_then(|(header, raw)| {
        let mut request = decode(header, &description.signature.inputs)?;
        binary::fill(&mut request, raw)?;
        admitted(&description, request.columns, input.body.len())
    }))
}

fn grpc_corpus() -> Vec<Input> {
    let raw = vec![vec![0; 16], b"\x01\0\0\0a\x02\0\0\0bc".to_vec(), vec![0; 16]];
    let columns = |numbers: Vec<i32>| {
        vec![("x", "FP32", vec![2, 2], numbers.clone()), ("t", "BYTES", vec![2], vec![]), ("n", "INT64", vec![2, 1], numbers)]
    };
    let mut seeds = vec![crate::grpc::message(columns(vec![]), raw), crate::grpc::message(columns(vec![1, 2, 3, 4]), vec![])];
    for dtype in ["BOOL", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "UINT64", "FP16", "FP64"] {
        seeds.push(crate::grpc::message(vec![("x", dtype, vec![2], vec![1, -1])], vec![]));
        seeds.push(crate::grpc::message(vec![("x", dtype, vec![2], vec![])], vec![vec![1; 16]]));
    }
    seeds.into_iter().map(|message| Input::from(message.encode_to_vec())).collect()
}

fn run_grpc(input: &Input) -> String {
    let description = description();
    match ModelInferRequest::decode(&*input.body) {
        Err(error) => error.to_string(),
        Ok(message) => told(decode_message(message).and_then(|columns| admitted(&description, columns, input.body.len()))),
    }
}
