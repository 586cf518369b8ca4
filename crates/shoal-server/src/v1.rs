//! Version 1 of the protocol of `KServe` over HTTP, beside version 2: `/v1/models` and `POST /v1/models/M:predict`.
//!
//! The same engine answers. [`crate::json::v1`] reads and writes the bodies.

use serde::Serialize;
use shoal_batch::Client;

use crate::catalog::Catalog;
use crate::engine::Served;
use crate::fault::Outcome;
use crate::http::json;
use crate::intake::admit;
use crate::json::v1::{decode, write};
use crate::queue::Wishes;
use crate::reply::Reply;

/// What stands behind the name of a model in the address of a prediction.
pub(crate) const VERB: &str = ":predict";

/// Answers the records of a request, in the form that they have.
pub(crate) async fn answer(served: &Served, body: &[u8], client: Client) -> Outcome<Reply> {
    let description = served.description();
    let (layout, columns) = decode(body, served.form())?;
    let table = admit(description, columns, body.len())?;
    let answer = served.infer(table, Wishes { client, ..Wishes::default() }).await?;
    Ok(json(write(&description.signature.outputs, &answer, layout)?))
}

/// A model as `KServe` describes it (`name`, `ready`), and its versions as TensorFlow Serving does.
#[derive(Serialize)]
pub(crate) struct Described {
    name: String,
    ready: bool,
    model_version_status: Vec<VersionStatus>,
}

#[derive(Serialize)]
struct VersionStatus {
    version: String,
    state: &'static str,
    status: Status,
}

#[derive(Serialize)]
struct Status {
    error_code: &'static str,
    error_message: &'static str,
}

/// What `GET /v1/models/M` says.
pub(crate) fn described(catalog: &Catalog, name: &str) -> Described {
    let status = |version| VersionStatus { version, state: "AVAILABLE", status: Status { error_code: "OK", error_message: "" } };
    Described {
        name: name.to_owned(),
        ready: catalog.is_ready(),
        model_version_status: catalog.versions(name).into_iter().map(status).collect(),
    }
}
