//! No input may panic a decoder or make it take more memory than the body it came in.
//!
//! Bodies are random bytes, and the golden requests with bytes changed, cut out and repeated, which get much
//! deeper. `SHOAL_PROVE_SCALE` multiplies the number of cases.

use std::path::Path;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message;

use crate::binary;
use crate::description::Description;
use crate::grpc::decode as decode_message;
use crate::intake::admit;
use crate::json::infer::decode;
use crate::json::predict::{self, Form};
use crate::json::v1;

pub(super) const DESCRIPTION: &str = r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[
    {"name":"x","dtype":"FP32","shape":[2]},{"name":"t","dtype":"BYTES"},{"name":"n","dtype":"INT64","shape":[-1]}],"outputs":[]},
    "binding":{"inputs":[{"column":"x","tensor":"x","rank":2,"missing":"NaN"}]}}"#;

pub(super) const PACKED: &str = r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"X","dtype":"FP32","shape":[2]}],"outputs":[]},
    "binding":{"inputs":[{"column":"X","tensor":"X","rank":2,"missing":"NaN","features":["x","t"]}]}}"#;

pub(super) const MOMENTS: &str = r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"at","dtype":"INT64","moment":true}],"outputs":[]},
    "binding":{"inputs":[{"column":"at","tensor":"at","rank":2,"missing":0}]}}"#;

fn cases() -> u32 {
    let scale: u32 = std::env::var("SHOAL_PROVE_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    2_000 * scale
}

/// Runs `body` over the cases of a strategy, from a fixed seed.
pub(crate) fn run<S: Strategy>(strategy: &S, body: impl Fn(S::Value)) {
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha));
    let outcome = runner.run(strategy, |value| {
        body(value);
        Ok(())
    });
    outcome.unwrap();
    println!("cases: {}", cases());
}

/// Bodies that a client could have meant, to be damaged.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors/bodies");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| std::fs::read(path).unwrap();
    let mut seeds: Vec<Vec<u8>> = files.iter().map(read).filter(|body| body.len() < 4096).collect();
    for text in [
        r#"{"features":{"x":[1,2.5],"t":"a","n":[1,2,3]}}"#,
        r#"{"features":[{"x":null,"t":"a","n":[]},{"t":"b","n":[4]}]}"#,
        r#"{"features":[[1,2],[3,null]]}"#,
        r#"{"features":[{"x":1,"t":2},{"x":null,"t":4}]}"#,
        r#"{"features":[{"X":[1,2]},{"X":null}]}"#,
        r#"{"instances":[{"x":[1,2.5],"t":{"b64":"AP8B"},"n":[1,2]},{"x":null,"t":"a","n":[3,4]}]}"#,
        r#"{"inputs":{"x":[[1,2],[3,null]],"t":["a",{"b64":"AA=="}],"n":[[1],[2]]},"signature_name":"serving_default"}"#,
        r#"{"instances":[[1,2],null]}"#,
        r#"{"inputs":[[1,2],null]}"#,
        r#"{"features":[["2021-05-31T10:20:30.5+02:00"],[1622419200],[null]]}"#,
        r#"{"instances":[{"at":"2021-05-31 10:20Z"},{"at":-1},{"at":null}]}"#,
        r#"{"inputs":{"at":["2021-05-31","0001-01-01T00:00:00-23:59"]}}"#,
        r#"{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[null,[1,2]]},{"data":["a","b"],"name":"t","shape":[2,1],"datatype":"BYTES"},{"name":"n","shape":[2,3],"datatype":"INT64","data":[1,2,3,4,5,6]}]}"#,
    ] {
        seeds.push(text.as_bytes().to_vec());
    }
    seeds
}

/// One change: (where, how many bytes go, what comes).
type Change = (prop::sample::Index, usize, Vec<u8>);

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change =
        (any::<prop::sample::Index>(), 0..8_usize, vec(prop::sample::select(b"0123456789{}[]\",:.eE-+ntf\\u\0\xff".to_vec()), 0..6));
    (prop::sample::select(seeds()), vec(change, 1..4)).prop_map(|(mut body, changes): (Vec<u8>, Vec<Change>)| {
        for (place, gone, come) in changes {
            let start = place.index(body.len() + 1);
            let end = (start + gone).min(body.len());
            body.splice(start..end, come);
        }
        body
    })
}

fn decode_all(body: &[u8], header_length: Option<usize>) {
    let body_bytes = body.len();
    for text in [DESCRIPTION, PACKED, MOMENTS] {
        let description = Description::from_json(text).unwrap();
        if let Ok(columns) = predict::decode(body, &Form::new(&description)) {
            drop(admit(&description, columns, body_bytes));
        }
        if let Ok((_, columns)) = v1::decode(body, &Form::new(&description)) {
            drop(admit(&description, columns, body_bytes));
        }
    }
    let description = Description::from_json(DESCRIPTION).unwrap();
    let body = Bytes::copy_from_slice(body);
    let Ok((header, raw)) = binary::split(&body, header_length) else { return };
    let Ok(mut request) = decode(header, &description.signature.inputs) else { return };
    if binary::fill(&mut request, raw).is_ok() {
        drop(admit(&description, request.columns, body_bytes));
    }
}

#[test]
fn random_bytes_panic_no_decoder() {
    run(&(vec(any::<u8>(), 0..512), any::<Option<u16>>()), |(body, length)| decode_all(&body, length.map(usize::from)));
}

#[test]
fn damaged_requests_panic_no_decoder() {
    run(&(damaged(), prop::option::of(0..200_usize)), |(body, length)| decode_all(&body, length));
}

#[test]
fn grpc_tensors_panic_no_decoder() {
    let shape = vec(prop_oneof![any::<i64>(), -1..4_i64], 0..4);
    let names = prop::sample::select(vec!["x", "t", "n", "?"]);
    let dtypes = prop::sample::select(vec!["FP32", "BYTES", "INT64", "INT8", "BOOL", "FP16", "?"]);
    let input = (names, dtypes, shape, vec(any::<i32>(), 0..4));
    let description = Description::from_json(DESCRIPTION).unwrap();
    run(&(vec(input, 0..4), vec(vec(any::<u8>(), 0..40), 0..4)), |(inputs, raw)| {
        let message = crate::grpc::message(inputs, raw);
        let body_bytes = message.encoded_len();
        if let Ok(columns) = decode_message(message) {
            drop(admit(&description, columns, body_bytes));
        }
    });
}

#[test]
fn random_bytes_are_no_message_or_one_that_is_refused_by_name() {
    run(&vec(any::<u8>(), 0..512), |bytes| {
        if let Ok(message) = crate::grpc::inference::ModelInferRequest::decode(&*bytes) {
            drop(decode_message(message));
        }
    });
}

#[test]
fn four_letters_cannot_stand_for_gigabytes() {
    let wide =
        r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"x","dtype":"FP32","shape":[150528]}],"outputs":[]}}"#;
    let description = Description::from_json(wide).unwrap();
    let body = format!(r#"{{"features":[{}[1]]}}"#, "null,".repeat(1_000_000));
    let fault = predict::decode(body.as_bytes(), &Form::new(&description)).unwrap_err();
    assert_eq!(fault.code, crate::fault::Code::BodyTooLarge);
}

#[test]
fn a_column_that_comes_twice_is_refused_before_more_is_read() {
    let description = Description::from_json(DESCRIPTION).unwrap();
    let column = r#"{"name":"t","datatype":"BYTES","shape":[65536],"data":[]},"#;
    let body = format!(r#"{{"inputs":[{column}{column}, and what follows is not even JSON"#);
    assert_eq!(decode(body.as_bytes(), &description.signature.inputs).unwrap_err().code, crate::fault::Code::DuplicateColumn);
}

#[test]
fn nulls_mean_the_same_whether_the_shape_comes_before_or_behind_them() {
    let wide = r#"{"name":"m","version":"1","runtime":"python","signature":{"inputs":[{"name":"x","dtype":"FP32","shape":[4],"nullable":true}],"outputs":[]}}"#;
    let description = Description::from_json(wide).unwrap();
    for (shape, nulls) in [("[1,4]", 4), ("[3,4]", 3)] {
        let data = vec!["null"; nulls].join(",");
        for body in [
            format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":{shape},"data":[{data}]}}]}}"#),
            format!(r#"{{"inputs":[{{"data":[{data}],"name":"x","datatype":"FP32","shape":{shape}}}]}}"#),
            format!(r#"{{"inputs":[{{"name":"x","data":[{data}],"datatype":"FP32","shape":{shape}}}]}}"#),
        ] {
            let request = decode(body.as_bytes(), &description.signature.inputs).unwrap();
            let table = admit(&description, request.columns, body.len()).unwrap();
            assert!(table.columns[0].missing.iter().all(|missing| *missing), "{body}");
        }
    }
}
