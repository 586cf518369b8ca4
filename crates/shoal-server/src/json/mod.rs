//! JSON in and out, typed and in one pass: no tree of values is ever built.
//!
//! `elements` reads numbers, texts and nulls straight into the bytes of a column; `infer` reads the request of
//! the Open Inference Protocol, `predict` the short form of `POST /predict` (`plain` its usual body), `v1` version 1 of `KServe`; `moments` reads dates; `answer` writes both answers.
//! Depth is bounded by the parser, size by the body limit. JSON has no NaN and no infinities: they are neither
//! read nor written; `null` is a missing value. FP16 has no JSON form.

use std::cell::Cell;

use serde::de;

use crate::fault::{Code, Fault, Outcome};

/// A visitor that is its own seed: it asks the parser for what it reads.
macro_rules! seed {
    ($visitor:ty, $value:ty, $asks:ident) => {
        impl<'de> serde::de::DeserializeSeed<'de> for $visitor {
            type Value = $value;

            fn deserialize<D: serde::de::Deserializer<'de>>(self, deserializer: D) -> Result<$value, D::Error> {
                deserializer.$asks(self)
            }
        }
    };
}

pub(crate) mod answer;
mod elements;
pub(crate) mod infer;
pub(crate) mod moments;
mod plain;
pub(crate) mod predict;
pub(crate) mod v1;

/// Where a visitor leaves the fault that it found; the parser's own error type carries only text.
type Trouble = Cell<Option<Fault>>;

/// Leaves the fault and stops the parser.
fn raise<E: de::Error>(trouble: &Trouble, fault: Fault) -> E {
    trouble.set(Some(fault));
    E::custom("refused")
}

/// The fault that stopped the parser.
fn settle<T>(result: Result<T, serde_json::Error>, trouble: &Trouble) -> Outcome<T> {
    result.map_err(|error| {
        trouble.take().unwrap_or_else(|| match error.classify() {
            serde_json::error::Category::Data => {
                Fault::new(Code::InvalidRequest, format!("the request does not have the expected form: {error}"))
            }
            _ => Fault::new(Code::MalformedJson, format!("the body is not JSON: {error}")),
        })
    })
}

/// The fault for a field that the request must not have.
fn unknown_field(field: &str, place: &str, known: &str) -> Fault {
    let shown: String = field.chars().take(64).collect();
    Fault::new(Code::InvalidRequest, format!("unknown field {shown:?} in {place}; known are {known}"))
}
