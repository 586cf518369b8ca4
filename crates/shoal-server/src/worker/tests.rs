//! The golden frames, programs that are no workers, and when workers start again.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::connection::Broken;
use super::frames::{BODY_LIMIT_BYTES, HEADER_BYTES, Kind, columns, header, read_answer, read_columns, read_failure, read_header};
use super::pool::{Plan, Pool, wait_before_start};
use super::process::Launch;
use crate::description::Column;
use crate::fault::Code;
use crate::values::{Payload, Table};

#[derive(Deserialize)]
pub(super) struct Vector {
    name: String,
    kind: u8,
    #[serde(default)]
    pub(super) columns: Vec<Column>,
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

pub(super) fn vectors() -> Vec<Vector> {
    serde_json::from_str(&std::fs::read_to_string(folder().join("vectors.json")).unwrap()).unwrap()
}

pub(super) fn frame(vector: &Vector) -> Vec<u8> {
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
pub(super) fn split_any(frame: &[u8]) -> Result<&[u8], String> {
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
        memory_limit_bytes: None,
    };
    let waits: Vec<_> = [0, 1, 2, 3, 4, 5, u32::MAX].map(|in_vain| wait_before_start(&plan, in_vain).as_millis()).to_vec();
    assert_eq!(waits, [0, 0, 50, 100, 200, 300, 300]);
}

/// A frame of READY, as `printf` takes it.
const READY: &str = r"SHW\001\002\000\000\000\000\000\000\000\000\000\000\000";

/// Workers that a shell plays.
fn played(script: &str) -> Plan {
    Plan {
        launch: Launch { command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), directory: String::new() },
        setup: b"{}".to_vec(),
        model: "m".into(),
        workers: 1,
        call_limit: Duration::from_millis(100),
        start_limit: Duration::from_secs(20),
        restart_wait: Duration::from_millis(1),
        restart_wait_limit: Duration::from_millis(1),
        memory_limit_bytes: None,
    }
}

fn refusal(script: &str) -> String {
    let fault = Pool::start(played(script), &|| true).err().unwrap();
    assert_eq!(fault.code, Code::ModelUnavailable);
    fault.to_string()
}

#[test]
fn a_program_that_is_no_worker_is_refused_by_what_it_does() {
    assert!(refusal("printf 'this is no frame' >&0; exec cat >/dev/null").contains("does not speak the protocol: a frame begins with"));
    assert!(refusal("exit 5").contains("ended with exit code 5 while it opened the model"));
    assert!(refusal("kill -9 $$").contains("was killed by signal 9 (SIGKILL)"));
    let mut absent = played("");
    absent.launch.command = vec!["/nowhere/at/all".into()];
    assert!(Pool::start(absent, &|| true).err().unwrap().message.contains("/nowhere/at/all"));
}

/// What an exchange with a worker comes to that is ready, reads a byte, and then runs `script`.
fn exchanged(script: &str, call_limit: Duration) -> Broken {
    let setup_bytes = HEADER_BYTES + b"{}".len();
    let plan = played(&format!("head -c {setup_bytes} >/dev/null; printf '{READY}' >&0; head -c 1 >/dev/null; {script}"));
    let pool = Pool::start(Plan { call_limit, ..plan }, &|| true).unwrap();
    let mut connection = pool.shared.borrow().unwrap();
    let process = Arc::clone(&connection.process);
    let broken = connection.exchange(&[Cow::Borrowed(&[0; 64])]).err().unwrap();
    drop((connection, pool));
    assert!(!process.is_alive());
    broken
}

#[test]
fn a_worker_that_answers_nothing_nonsense_or_not_in_time_is_told_apart() {
    let (patience, haste) = (Duration::from_secs(20), Duration::from_millis(100));
    assert!(matches!(exchanged("exit 0", patience), Broken::Ended));
    assert!(matches!(exchanged("printf 'this is no frame' >&0; exec sleep 60", patience), Broken::Garbled(_)));
    assert!(matches!(exchanged(&format!("printf '{READY}{READY}' >&0; exec sleep 60"), patience), Broken::Garbled(_)));
    assert!(matches!(exchanged("exec sleep 60", haste), Broken::TooLate));
    assert!(matches!(exchanged("printf SHW >&0; exec sleep 60", haste), Broken::TooLate));
}
