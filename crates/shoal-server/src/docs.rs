//! `GET /docs`: one page for people about what is served. It loads nothing: no script, no font, no picture.
//!
//! What comes from packages and from the caller is escaped twice where it must be: once for the shell into which a
//! command is pasted, once for HTML. The samples are made up, see [`crate::sample`].

use std::fmt::{self, Display, Write};

use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};

use crate::catalog::Catalog;
use crate::description::{Column, Description};
use crate::lineup::Lineup;
use crate::pages::platform;
use crate::reply::Reply;
use crate::sample;

const STYLE: &str = include_str!("docs.css");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Nothing but the style of the page itself may be loaded, and nobody may put the page into a frame.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");

/// A text as HTML shows it.
struct Shown<'a>(&'a str);

impl Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '"' => out.write_str("&quot;"),
            '\'' => out.write_str("&#39;"),
            letter => out.write_char(letter),
        })
    }
}

/// A text as one word of a shell.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The page, with commands for the address that the caller used.
pub(crate) fn page(catalog: &Catalog, headers: &HeaderMap) -> Reply {
    let lineup = catalog.lineup();
    let mut out = String::with_capacity(16 << 10);
    // Writing to a String does not fail.
    let guard = &catalog.guard;
    let way =
        Way { address: address(headers, guard.identity.is_some()), needs_keys: guard.keys.is_some(), has_try_page: guard.has_try_page };
    let _ = write_page(&mut out, &lineup, &way);
    let mut reply = Reply::new(out.into());
    reply.headers_mut().insert(CONTENT_TYPE, HTML);
    reply.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    reply
}

/// How the caller reaches this server.
struct Way {
    address: String,
    needs_keys: bool,
    has_try_page: bool,
}

/// The `Host` of the request, if it is a host and nothing else.
fn address(headers: &HeaderMap, is_tls: bool) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-:[]_".contains(letter);
    let is_host = !host.is_empty() && host.len() <= 255 && host.chars().all(is_plain);
    format!("{}://{}", if is_tls { "https" } else { "http" }, if is_host { host } else { "127.0.0.1:8000" })
}

fn write_page(out: &mut String, lineup: &Lineup, way: &Way) -> fmt::Result {
    let names: Vec<&str> = lineup.names().collect();
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Shoal: {} served</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header><div class=\"in\">\n<h1>Shoal</h1>\n\
         <p class=\"soft\">{} served at {}. Requests that arrive together are answered together, each with its own rows.</p>\n\
         <nav><a href=\"/openapi.json\">OpenAPI</a> <a href=\"/metrics\">Metrics</a> <a href=\"/v2/health/ready\">Health</a> \
         <a href=\"#endpoints\">All endpoints</a>{}</nav>\n</div></header>\n<main>\n<h2>Models</h2>\n",
        counted(names.len()),
        counted(names.len()),
        Shown(&way.address),
        if way.has_try_page { " <a href=\"/docs/try\">Try a model</a>" } else { "" },
    )?;
    if names.is_empty() {
        out.write_str("<p>Nothing is loaded at the moment.</p>\n")?;
    }
    for name in &names {
        if let Ok(offer) = lineup.find(name, None) {
            let model = Model { description: offer.description(), platform: platform(&offer), way, is_only: names.len() == 1 };
            model.write(out, &lineup.version_names(name))?;
        }
    }
    endpoints(out, names.len() == 1)?;
    write!(out, "</main>\n<footer>Shoal {}</footer>\n</body>\n</html>\n", env!("CARGO_PKG_VERSION"))
}

fn counted(models: usize) -> String {
    match models {
        0 => "No model".to_owned(),
        1 => "1 model".to_owned(),
        more => format!("{more} models"),
    }
}

/// One model on the page.
struct Model<'a> {
    description: &'a Description,
    platform: String,
    way: &'a Way,
    is_only: bool,
}

impl Model<'_> {
    fn write(&self, out: &mut String, versions: &[String]) -> fmt::Result {
        let (name, version) = (Shown(&self.description.name), Shown(&self.description.version));
        write!(out, "<section class=\"model\" id=\"model-{name}\">\n<div class=\"title\"><h3>{name}</h3>")?;
        write!(out, "<span class=\"tag\">version {version}</span><span class=\"soft\">{}", Shown(&self.platform))?;
        if versions.len() > 1 {
            write!(out, " · also served: ")?;
            let others: Vec<&str> = versions.iter().map(String::as_str).filter(|other| *other != self.description.version).collect();
            write!(out, "{}", Shown(&others.join(", ")))?;
        }
        out.write_str("</span></div>\n")?;
        self.columns(out, "Inputs", &self.description.signature.inputs)?;
        self.columns(out, "Outputs", &self.description.signature.outputs)?;
        self.commands(out)?;
        out.write_str("<p class=\"links\">")?;
        if self.way.has_try_page {
            write!(out, "<a href=\"/docs/try#{name}\">Try it here</a> · ")?;
        }
        write!(
            out,
            "<a href=\"/v2/models/{name}\">Metadata</a> · <a href=\"/v2/models/{name}/batching\">Micro-batches, and why they closed</a></p>\n</section>\n"
        )
    }

    fn columns(&self, out: &mut String, title: &str, columns: &[Column]) -> fmt::Result {
        write!(out, "<h4>{title}</h4>\n<div class=\"wide\"><table><tr><th>Column</th><th>Type</th><th>One record</th><th></th></tr>\n")?;
        for column in columns {
            let (dtype, shape) = (column.dtype.name(), shape(column));
            let (named, notes) = (Shown(&column.name), notes(column));
            writeln!(out, "<tr><td><code>{named}</code></td><td>{dtype}</td><td>{shape}</td><td class=\"soft\">{notes}</td></tr>")?;
        }
        out.write_str("</table></div>\n")?;
        let features = columns.first().and_then(|column| self.description.input_binding(&column.name)?.features.as_ref());
        if let Some(features) = features.filter(|_| title == "Inputs") {
            write!(out, "<details><summary>{} named features pack into it</summary><p><code>", features.len())?;
            write!(out, "{}", Shown(&features.join(", ")))?;
            out.write_str("</code></p></details>\n")?;
        }
        Ok(())
    }

    fn commands(&self, out: &mut String) -> fmt::Result {
        out.write_str("<h4>Ask it</h4>\n")?;
        if !sample::is_shown(self.description) {
            return out.write_str(
                "<p>A record of this model is too long to be written out here, or has no JSON form; send binary tensors.</p>\n",
            );
        }
        let name = &self.description.name;
        out.write_str("<p class=\"soft\">These records are made up; put in values of your own.")?;
        if self.way.needs_keys {
            out.write_str(" The commands take your API key from the variable <code>KEY</code>.")?;
        }
        out.write_str("</p>\n")?;
        if self.is_only {
            self.command(out, "In short", "/predict", &sample::predict(self.description))?;
        }
        let (infer, v1) = (format!("/v2/models/{name}/infer"), format!("/v1/models/{name}:predict"));
        self.command(out, "By tensors: Open Inference Protocol", &infer, &sample::infer(self.description))?;
        self.command(out, "Record by record: version 1 of KServe", &v1, &sample::v1(self.description))
    }

    fn command(&self, out: &mut String, title: &str, path: &str, body: &str) -> fmt::Result {
        let key = if self.way.needs_keys { " -H \"X-API-Key: $KEY\"" } else { "" };
        let command = format!("curl -s{key} {} -d {}", word(&format!("{}{path}", self.way.address)), word(body));
        writeln!(out, "<p class=\"caption\">{title}</p>\n<pre><code>{}</code></pre>", Shown(&command))
    }
}

/// What else there is to say of a column.
const fn notes(column: &Column) -> &'static str {
    match (column.moment, column.nullable) {
        (false, false) => "",
        (false, true) => "may be null",
        (true, false) => "a moment: ISO 8601, or seconds since 1970 UTC",
        (true, true) => "a moment: ISO 8601, or seconds since 1970 UTC; may be null",
    }
}

/// The shape of one record, in words where it is short.
fn shape(column: &Column) -> String {
    match column.shape.as_slice() {
        [] | [1] => return "1 value".to_owned(),
        [count] if *count >= 0 => return format!("{count} values"),
        [_] => return "any number of values".to_owned(),
        _ => {}
    }
    let dims = column.shape.iter().map(|dim| if *dim < 0 { "any".to_owned() } else { dim.to_string() });
    dims.collect::<Vec<_>>().join(" × ") + " values"
}

/// (method, path, what it is for).
const ENDPOINTS: [(&str, &str, &str); 11] = [
    ("POST", "/v2/models/MODEL/infer", "an inference by tensors, JSON or binary (Open Inference Protocol)"),
    ("POST", "/v1/models/MODEL:predict", "an inference record by record (KServe, TensorFlow Serving)"),
    ("GET", "/v2/models", "the names of the models"),
    ("GET", "/v2/models/MODEL", "versions, platform, inputs and outputs"),
    ("GET", "/v2/models/MODEL/ready", "whether a model takes work"),
    ("GET", "/v2/models/MODEL/batching", "the latest micro-batches, and why they closed"),
    ("GET", "/v2/health/live", "whether the process lives"),
    ("GET", "/v2/health/ready", "whether it takes work; 503 while it drains"),
    ("POST", "/v2/repository/index", "every model and version that is served"),
    ("GET", "/metrics", "counters and histograms for Prometheus"),
    ("GET", "/openapi.json", "this interface for programs, OpenAPI 3.1"),
];

fn endpoints(out: &mut String, is_only: bool) -> fmt::Result {
    out.write_str("<h2 id=\"endpoints\">Endpoints</h2>\n<div class=\"endpoints\"><table>\n")?;
    let short = is_only.then_some(("POST", "/predict", "the first output, for one record or many"));
    for (method, path, purpose) in short.into_iter().chain(ENDPOINTS) {
        writeln!(out, "<tr><td><span class=\"verb\">{method}</span><code>{path}</code></td><td>{purpose}</td></tr>")?;
    }
    out.write_str(
        "</table></div>\n<p class=\"soft\">A version may follow a model, as in <code>/v2/models/MODEL/versions/VERSION/infer</code>. ",
    )?;
    out.write_str("Every error is <code>{\"error\": …, \"code\": …, \"hint\": …}</code>. The same models answer over gRPC.</p>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_escaped() {
        assert_eq!(Shown("<a href='x'>&\"").to_string(), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        assert_eq!(word("it's"), r"'it'\''s'");
        for wrong in ["", "a b", "evil\"<script>", "$(id)", "a/b", "';id;'"] {
            let mut headers = HeaderMap::new();
            if let Ok(value) = wrong.parse() {
                headers.insert(HOST, value);
            }
            assert_eq!(address(&headers, false), "http://127.0.0.1:8000", "{wrong}");
        }
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("[::1]:80"))]);
        assert_eq!((address(&headers, false), address(&headers, true)), ("http://[::1]:80".into(), "https://[::1]:80".into()));
    }
}
