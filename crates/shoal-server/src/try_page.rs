//! `GET /docs/try`: a page on which a model is asked by hand. It is there only where the operator asks for it.
//!
//! Page, style and script are files of this program: they name no model, hold nothing that a caller sent, and need no key. The
//! script fetches `/docs/try/models.json`, which says what the models take and needs a key like everything else, and makes the page from that as
//! text, never as markup. The browser is told to load nothing but these files, from nowhere else.

use std::collections::HashMap;

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

/// Routers on the way to a model, at most.
const ROUTERS_LIMIT: usize = 8;
/// The dtype of a column of values of any type.
const MIXED: &str = "MIXED";

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
    is_router: bool,
    inputs: Vec<Input>,
}

#[derive(Clone, Serialize)]
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
    let body =
        serde_json::to_vec(&all(lineup)).map_err(|error| Fault::new(Code::Internal, format!("the models cannot be written: {error}")))?;
    Ok(json(body))
}

fn all(lineup: &Lineup) -> Models<'_> {
    let mut names: Vec<&str> = lineup.all().map(|offer| offer.description().name.as_str()).collect();
    names.dedup();
    Models { models: names.into_iter().map(|name| model(lineup, name)).collect() }
}

fn model<'a>(lineup: &Lineup, name: &'a str) -> Model<'a> {
    let first = lineup.find(name, None).map(|offer| offer.description().version.clone()).unwrap_or_default();
    let mut names = lineup.version_names(name);
    names.sort_by_key(|version| *version != first);
    let versions = names.iter().filter_map(|version| lineup.find(name, Some(version)).ok());
    Model { name, versions: versions.map(|offer| form(lineup, offer.description())).collect() }
}

fn form(lineup: &Lineup, description: &Description) -> Form {
    Form {
        version: description.version.clone(),
        is_router: description.is_router(),
        inputs: inputs(lineup, description, (ROUTERS_LIMIT, &mut Known::new())),
    }
}

/// What records of routers may have, by name and version, so that each router is looked at once. One that leads to itself adds nothing there.
type Known = HashMap<(String, String), Vec<Input>>;

fn inputs(lineup: &Lineup, description: &Description, (routers, known): (usize, &mut Known)) -> Vec<Input> {
    if !description.is_router() {
        return description.signature.inputs.iter().map(|column| input(description, column)).collect();
    }
    if routers == 0 {
        return Vec::new();
    }
    let key = (description.name.clone(), description.version.clone());
    if let Some(found) = known.get(&key) {
        return found.clone();
    }
    known.insert(key.clone(), Vec::new());
    let found = inputs_of_router(lineup, description, (routers - 1, known));
    known.insert(key, found.clone());
    found
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

/// What records of a router may have: the columns that its rules read, and those of the models to which it leads. Any may be
/// missing, and one that is not the same everywhere is of any type.
fn inputs_of_router(lineup: &Lineup, router: &Description, (routers, known): (usize, &mut Known)) -> Vec<Input> {
    let mut found = Vec::new();
    for route in &router.routes {
        route.reads().into_iter().for_each(|name| join(&mut found, of_any_type(name)));
        if let Ok(offer) = lineup.find(&route.model, route.version.as_deref()) {
            for input in inputs(lineup, offer.description(), (routers, &mut *known)).into_iter().flat_map(unpacked) {
                join(&mut found, Input { name: route.name_of(&input.name).to_owned(), may_be_missing: true, ..input });
            }
        }
    }
    found
}

fn of_any_type(name: &str) -> Input {
    Input { name: name.to_owned(), dtype: MIXED, shape: Vec::new(), may_be_missing: true, is_moment: false, features: Vec::new() }
}

/// A column as the features that pack into it, where it has names for them.
fn unpacked(input: Input) -> Vec<Input> {
    let single = |name: &String| Input { name: name.clone(), shape: Vec::new(), features: Vec::new(), ..input.clone() };
    if input.features.is_empty() { vec![input] } else { input.features.iter().map(single).collect() }
}

fn join(found: &mut Vec<Input>, input: Input) {
    let Some(other) = found.iter_mut().find(|other| other.name == input.name) else { return found.push(input) };
    let is_same = (other.dtype, other.is_moment) == (input.dtype, input.is_moment);
    match (other.shape.is_empty(), input.shape.is_empty()) {
        (true, true) if !is_same => *other = of_any_type(&input.name),
        // A rule reads it, and a model says what it is.
        (true, false) if other.dtype == MIXED => *other = input,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_that_lead_to_each_other_by_many_routes_are_looked_at_once() {
        let package = |text: &str| (Description::from_json(&format!(r#"{{"version":"1",{text}}}"#)).unwrap(), Vec::new());
        let route = |number: usize, model: &str| format!(r#"{{"model":"{model}","when":{{"column":"c{number}","is":"missing"}}}}"#);
        let router = |name: &str, to: &str| {
            let routes = (0..200).map(|number| route(number, to)).chain([route(200, "m")]).collect::<Vec<_>>().join(",");
            package(&format!(r#""name":"{name}","runtime":"router","routes":[{routes}]"#))
        };
        let model = package(r#""name":"m","runtime":"onnx","signature":{"inputs":[{"name":"x","dtype":"FP64"}],"outputs":[]}"#);
        let catalog = Catalog::of(vec![router("a", "b"), router("b", "a"), model]);
        let lineup = catalog.lineup();
        let Models { models } = all(&lineup);
        for router in &models[..2] {
            let names: Vec<&str> = router.versions[0].inputs.iter().map(|input| input.name.as_str()).collect();
            assert_eq!((names.len(), names.contains(&"x")), (202, true), "{}", router.name);
        }
    }
}
