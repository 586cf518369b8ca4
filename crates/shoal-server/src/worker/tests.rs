//! The golden frames, damaged ones, and when workers start again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;

use super::frames::{BODY_LIMIT_BYTES, HEADER_BYTES, Kind, columns, header, read_answer, read_columns, read_failure, read_header};
use super::pool::{Plan, wait_before_start};
use super::process::Launch;
use crate::description::Column;
use crate::fault::Code;
use crate::fuzz::run;
use crate::values::{Payload, Table};

#[derive(Deserialize)]
struct Vector {
    name: String,
    kind: u8,
    #[serde(default)]
    columns: Vec<Column>,
    rows: Option<usize>,
    expect: Option<Vec<Expected>>,
    #[serde(default)]
    is_refused: bool,
}

#[derive(Deserialize)]
struct Expected {
    shape: Vec<usize>,
    data_hex: Option<String>,
    strings_hex: Option<Vec<String>>,
    missing_hex: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors/worker")
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(&std::fs::read_to_string(folder().join("vectors.json")).unwrap()).unwrap()
}

fn frame(vector: &Vector) -> Vec<u8> {
    std::fs::read(folder().join("frames").join(format!("{}.bin", vector.name))).unwrap()
}

fn split(frame: &[u8]) -> Result<(Kind, &[u8]), String> {
    let (head, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
    let (kind, body_bytes) = read_header(head)?;
    assert_eq!(body_bytes, body.len());
    Ok((kind, body))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn check(vector: &Vector, expect: &[Expected], table: &Table) {
    assert_eq!((Some(table.rows), table.columns.len()), (vector.rows, expect.len()), "{}", vector.name);
    for (values, expected) in table.columns.iter().zip(expect) {
        let missing = expected.missing_hex.as_deref().map(unhex).unwrap_or_default();
        assert_eq!(values.missing, missing.iter().map(|flag| *flag == 1).collect::<Vec<_>>(), "{}", vector.name);
        assert_eq!(values.shape, expected.shape, "{}", vector.name);
        match &values.payload {
            Payload::Fixed(buffer) => assert_eq!(buffer.bytes(), unhex(expected.data_hex.as_ref().unwrap()), "{}", vector.name),
            Payload::Bytes(list) => {
                let texts = expected.strings_hex.as_ref().unwrap().iter().map(|text| unhex(text)).collect::<Vec<_>>();
                assert_eq!(*list, texts, "{}", vector.name);
            }
        }
    }
}

#[test]
fn golden_frames_hold_their_columns_and_are_written_byte_for_byte() {
    let mut tables = 0;
    for vector in vectors() {
        let Some(expect) = &vector.expect else { continue };
        let bytes = frame(&vector);
        let (kind, body) = split(&bytes).unwrap();
        let table = read_columns(body, &vector.columns).unwrap();
        check(&vector, expect, &table);
        let dtypes: Vec<_> = vector.columns.iter().map(|column| column.dtype).collect();
        assert_eq!(columns(kind, &table, &dtypes).concat(), bytes, "{}", vector.name);
        tables += 1;
    }
    assert_eq!(tables, 18);
}

#[test]
fn golden_frames_that_are_bad_are_refused() {
    let bad: Vec<_> = vectors().into_iter().filter(|vector| vector.is_refused).collect();
    assert!(bad.len() > 20, "{}", bad.len());
    for vector in bad {
        let bytes = frame(&vector);
        let read = split_any(&bytes).and_then(|body| read_columns(body, &vector.columns).map(|_| ()));
        assert!(read.is_err(), "{}", vector.name);
    }
}

/// The body of a frame whose header may announce more than there is.
fn split_any(frame: &[u8]) -> Result<&[u8], String> {
    let (head, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
    read_header(head).map(|_| body)
}

#[test]
fn frames_without_columns_are_what_the_vectors_say() {
    for vector in vectors().iter().filter(|vector| vector.expect.is_none() && !vector.is_refused) {
        let bytes = frame(vector);
        let (kind, body) = split(&bytes).unwrap();
        assert_eq!((kind as u8, [&header(kind, body.len())[..], body].concat()), (vector.kind, bytes.clone()), "{}", vector.name);
        if kind == Kind::Failure {
            let fault = read_failure(body).unwrap();
            assert_eq!((fault.code, fault.hint.as_deref()), (Code::ModelFailed, Some("none")));
        }
    }
}

#[test]
fn a_model_that_fails_cannot_name_another_code_than_its_own() {
    let body = br#"{"code":"queue_full","message":"m"}"#;
    assert_eq!(read_answer(Kind::Failure, body, &[]).unwrap().unwrap_err().code, Code::ModelFailed);
    assert_eq!(read_failure(br#"{"code":"unmet_requirement","message":"m"}"#).unwrap().code, Code::UnmetRequirement);
    assert_eq!(read_failure(br#"{"code":"of_another_version","message":"m"}"#).unwrap().code, Code::ModelFailed);
    assert!(read_answer(Kind::Ready, b"", &[]).is_err());
}

#[test]
fn random_bytes_panic_no_reader_of_frames() {
    let declared: Vec<_> = vectors().into_iter().map(|vector| vector.columns).collect();
    run(&(vec(any::<u8>(), 0..256), prop::sample::select(declared), 0..6_u8), |(body, declared, kind)| {
        let mut head = header(Kind::Answer, body.len());
        head[4] = kind;
        if let Ok((kind, _)) = read_header(&head) {
            drop(read_answer(kind, &body, &declared));
        }
    });
}

#[test]
fn damaged_frames_panic_no_reader_and_take_no_more_memory_than_they_have() {
    let seeds: Vec<_> = vectors().into_iter().map(|vector| (frame(&vector), vector.columns)).collect();
    let change = (any::<prop::sample::Index>(), 0..4_usize, vec(any::<u8>(), 0..9));
    run(&(prop::sample::select(seeds), vec(change, 1..4)), |((mut frame, declared), changes)| {
        for (place, gone, come) in changes {
            let start = place.index(frame.len() + 1);
            let end = (start + gone).min(frame.len());
            frame.splice(start..end, come);
        }
        if frame.len() >= HEADER_BYTES
            && let Ok(body) = split_any(&frame)
            && let Ok(table) = read_columns(body, &declared)
        {
            // Offsets are gone, and flags for booleans are as wide as they were.
            assert!(table.size_bytes() <= 2 * body.len());
        }
    });
}

#[test]
fn a_frame_cannot_announce_more_than_the_limit() {
    let (kind, length) = read_header(&header(Kind::Batch, BODY_LIMIT_BYTES)).unwrap();
    assert_eq!((kind, length), (Kind::Batch, BODY_LIMIT_BYTES));
    assert!(read_header(&header(Kind::Batch, BODY_LIMIT_BYTES + 1)).is_err());
}

#[test]
fn the_first_restart_comes_at_once_and_the_waits_double_up_to_their_limit() {
    let plan = Plan {
        launch: Launch { command: vec![], directory: String::new() },
        setup: vec![],
        model: "m".into(),
        workers: 1,
        call_limit: Duration::ZERO,
        start_limit: Duration::ZERO,
        restart_wait: Duration::from_millis(50),
        restart_wait_limit: Duration::from_millis(300),
    };
    let waits: Vec<_> = [0, 1, 2, 3, 4, 5, u32::MAX].map(|in_vain| wait_before_start(&plan, in_vain).as_millis()).to_vec();
    assert_eq!(waits, [0, 0, 50, 100, 200, 300, 300]);
}
