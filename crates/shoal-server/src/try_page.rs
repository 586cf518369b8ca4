//! `GET /docs/try`: a page on which a model is asked by hand. It is there only where the operator asks for it.
//!
//! Page, style and script are files of this program: they name no model, hold nothing that a caller sent, and need no key. The
//! script fetches `/docs/try/models.json`, which says what the models take and needs a key like everything else, and makes the page from that as
//! text, never as markup. The browser is told to load nothing but these files, from nowhere else.

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use serde::Serialize;

use crate::catalog::Catalog;
use crate::description::{Column, Description};
use crate::fault::{Code, Fault, Outcome};
use crate::http::json;
use crate::lineup::Lineup;
use crate::reply::Reply;

const PAGE: &str = include_str!("try_page/page.html");
const STYLE: &str = concat!(include_str!("docs.css"), include_str!("try_page/page.css"));
const SCRIPT: &str = include_str!("try_page/page.js");
const VALUES: &str = include_str!("try_page/values.js");
const PROGRAMS: &str = include_str!("try_page/programs.js");

/// Own files and own answers only; no markup is ever made from text; nobody may put the page into a frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // The next version of the server has another page.
    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// One file of the page.
#[derive(Clone, Copy)]
pub(crate) enum File {
    Fixed(&'static str, &'static str),
    Models,
}

impl File {
    /// The file at a path, split at its slashes.
    pub(crate) fn find(parts: &[&str]) -> Option<Self> {
        const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
        Some(match parts {
            ["docs", "try"] => Self::Fixed(PAGE, "text/html; charset=utf-8"),
            ["docs", "try", "page.css"] => Self::Fixed(STYLE, "text/css; charset=utf-8"),
            ["docs", "try", "page.js"] => Self::Fixed(SCRIPT, JAVASCRIPT),
            ["docs", "try", "values.js"] => Self::Fixed(VALUES, JAVASCRIPT),
            ["docs", "try", "programs.js"] => Self::Fixed(PROGRAMS, JAVASCRIPT),
            ["docs", "try", "models.json"] => Self::Models,
            _ => return None,
        })
    }

    pub(crate) fn reply(self, catalog: &Catalog) -> Outcome<Reply> {
        match self {
            Self::Fixed(text, kind) => Ok(fixed(text, kind)),
            Self::Models => models(&catalog.lineup()),
        }
    }
}

/// Whether a path is one of the files that name no model.
pub(crate) fn is_open(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    matches!(File::find(&parts), Some(File::Fixed(..)))
}

fn fixed(text: &'static str, kind: &'static str) -> Reply {
    let mut reply = Reply::new(Bytes::from_static(text.as_bytes()).into());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().extend(HEADERS);
    reply
}

#[derive(Serialize)]
struct Models<'a> {
    models: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    /// The one that speaks for the model first.
    versions: Vec<Form>,
}

#[derive(Serialize)]
struct Form {
    version: String,
    runtime: String,
    inputs: Vec<Input>,
}

#[derive(Serialize)]
struct Input {
    name: String,
    dtype: &'static str,
    shape: Vec<i64>,
    may_be_missing: bool,
    is_moment: bool,
    /// Names of the scalars that pack into it.
    features: Vec<String>,
}

fn models(lineup: &Lineup) -> Outcome<Reply> {
    let content = Models { models: lineup.names().map(|name| model(lineup, name)).collect() };
    let body =
        serde_json::to_vec(&content).map_err(|error| Fault::new(Code::Internal, format!("the models cannot be written: {error}")))?;
    Ok(json(body))
}

fn model<'a>(lineup: &Lineup, name: &'a str) -> Model<'a> {
    let first = lineup.find(name, None).map(|offer| offer.description().version.clone()).unwrap_or_default();
    let mut names = lineup.version_names(name);
    names.sort_by_key(|version| *version != first);
    let versions = names.iter().filter_map(|version| lineup.find(name, Some(version)).ok());
    Model { name, versions: versions.map(|offer| form(offer.description())).collect() }
}

fn form(description: &Description) -> Form {
    Form {
        version: description.version.clone(),
        runtime: description.runtime.clone(),
        inputs: description.signature.inputs.iter().map(|column| input(description, column)).collect(),
    }
}

fn input(description: &Description, column: &Column) -> Input {
    let binding = description.input_binding(&column.name);
    Input {
        name: column.name.clone(),
        dtype: column.dtype.name(),
        shape: column.shape.clone(),
        may_be_missing: column.nullable || binding.is_some_and(|binding| binding.missing.is_some()),
        is_moment: column.moment,
        features: binding.and_then(|binding| binding.features.clone()).unwrap_or_default(),
    }
}
