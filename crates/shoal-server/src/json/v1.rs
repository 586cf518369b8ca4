//! Version 1 of the protocol of `KServe` and TensorFlow Serving: `POST /v1/models/M:predict`.
//!
//! `{"instances": [...]}` is a list of records: bare values or lists where the model has one input column, else objects
//! from column name to value. `{"inputs": ...}` is columns: an object from column name to a list of its records, or
//! that list where there is one column. A request has one of the two, and its answer, `predictions` or `outputs`, has
//! the same form. Bytes may be `{"b64": text}`; in an answer they are, where the name of the column ends in `_bytes`.
//! Moments may be text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::answer::{Texts, record, text};
use super::elements::{Elements, Sink};
use super::predict::{Features, Form, Records};
use super::{Trouble, raise, settle, unknown_field};
use crate::description::Column;
use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;
use crate::intake::{Received, absent, twice, unexpected};
use crate::values::Dtype;

/// The only signature that a model of this server has.
const SIGNATURE: &str = "serving_default";

/// How a request is written, and so its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Rows,
    Columns,
}

/// Reads a request.
pub(crate) fn decode(body: &[u8], form: &Form) -> Outcome<(Layout, Vec<Received>)> {
    let trouble = Trouble::default();
    let Some(first) = form.inputs.first() else {
        return Err(Fault::new(Code::InvalidRequest, "the model has no input columns"));
    };
    let mut request = Request { records: Records::new(form, first, true), columns: Vec::new(), layout: None };
    let mut parser = serde_json::Deserializer::from_slice(body);
    let result = Body { request: &mut request, inputs: &form.inputs, trouble: &trouble }.deserialize(&mut parser);
    settle(result.and_then(|()| parser.end()), &trouble)?;
    match request.layout {
        Some(Layout::Rows) => Ok((Layout::Rows, request.records.received()?)),
        Some(Layout::Columns) => Ok((Layout::Columns, received(request.columns, &form.inputs)?)),
        None => Err(Fault::new(Code::InvalidRequest, "the request has neither \"instances\" nor \"inputs\"")),
    }
}

/// What was read, in one form or the other.
struct Request<'f> {
    records: Records<'f>,
    /// One for each input column, once `inputs` was read.
    columns: Vec<Option<Sink<'f>>>,
    layout: Option<Layout>,
}

fn received(columns: Vec<Option<Sink<'_>>>, inputs: &[Column]) -> Outcome<Vec<Received>> {
    let one = |(sink, column): (Option<Sink<'_>>, &Column)| {
        let mut sink = sink.ok_or_else(|| absent(inputs, &column.name))?;
        if sink.dims.is_empty() {
            let message = format!("column {:?} is one value; expected the list of its records", column.name);
            return Err(Fault::new(Code::WrongShape, message));
        }
        if sink.leading_nulls().is_some() {
            sink.dims.extend(sink.record_shape());
        }
        sink.finish(None)?;
        let Sink { payload, missing, dims, .. } = sink;
        Ok(Received { name: column.name.clone(), dtype: column.dtype, shape: dims, payload, missing })
    };
    columns.into_iter().zip(inputs).map(one).collect()
}

struct Body<'b, 'f> {
    request: &'b mut Request<'f>,
    inputs: &'f [Column],
    trouble: &'b Trouble,
}

seed!(Body<'_, '_>, (), deserialize_map);

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with \"instances\" or \"inputs\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { request, inputs, trouble } = self;
        while let Some(field) = map.next_key::<Cow<'de, str>>()? {
            let layout = match &*field {
                "instances" => Layout::Rows,
                "inputs" => Layout::Columns,
                "signature_name" => {
                    check_signature(map.next_value()?).map_err(|fault| raise(trouble, fault))?;
                    continue;
                }
                _ => return Err(raise(trouble, unknown_field(&field, "the request", "instances, inputs, signature_name"))),
            };
            if request.layout.replace(layout).is_some() {
                let message = "\"instances\" and \"inputs\" stand in one request, or one of them twice; expected one of them once";
                return Err(raise(trouble, Fault::new(Code::InvalidRequest, message)));
            }
            match layout {
                Layout::Rows => map.next_value_seed(Instances { records: &mut request.records, trouble })?,
                Layout::Columns => {
                    request.columns = inputs.iter().map(|_| None).collect();
                    map.next_value_seed(Inputs { columns: &mut request.columns, known: inputs, trouble })?;
                }
            }
        }
        Ok(())
    }
}

fn check_signature(name: Option<Cow<'_, str>>) -> Outcome<()> {
    match name {
        Some(name) if name != SIGNATURE => {
            let shown: String = name.chars().take(64).collect();
            Err(Fault::new(Code::InvalidRequest, format!("the model has no signature {shown:?}; it has {SIGNATURE:?}")))
        }
        _ => Ok(()),
    }
}

/// The list of `instances`.
struct Instances<'b, 'f> {
    records: &'b mut Records<'f>,
    trouble: &'b Trouble,
}

seed!(Instances<'_, '_>, (), deserialize_seq);

impl<'de> Visitor<'de> for Instances<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        Features { records: self.records, trouble: self.trouble, is_top: true }.visit_seq(list)
    }
}

/// The columns of `inputs`.
struct Inputs<'b, 'f> {
    columns: &'b mut Vec<Option<Sink<'f>>>,
    known: &'f [Column],
    trouble: &'b Trouble,
}

impl<'f> Inputs<'_, 'f> {
    /// A place for the values of a column that was not there yet.
    fn place(&mut self, index: usize) -> Outcome<Elements<'_, 'f>> {
        let column = &self.known[index];
        if self.columns[index].is_some() {
            return Err(twice(&column.name));
        }
        let mut sink = Sink::new(column, 1);
        sink.takes_base64 = true;
        sink.takes_text = true;
        Ok(Elements { sink: self.columns[index].insert(sink), trouble: self.trouble, depth: 0 })
    }
}

seed!(Inputs<'_, '_>, (), deserialize_any);

impl<'de> Visitor<'de> for Inputs<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object from column name to the list of its records, or that list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, list: A) -> Result<(), A::Error> {
        if self.known.len() > 1 {
            let message = format!("the model has {} input columns; a list does not say which it is", self.known.len());
            let fault = Fault::new(Code::InvalidRequest, message).hint("send an object from column name to the list of its records");
            return Err(raise(self.trouble, fault));
        }
        let trouble = self.trouble;
        self.place(0).map_err(|fault| raise(trouble, fault))?.visit_seq(list)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let (inputs, trouble) = (self.known, self.trouble);
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let index = inputs.iter().position(|column| column.name == *name);
            let index = index.ok_or_else(|| raise(trouble, unexpected(inputs, &name)))?;
            map.next_value_seed(self.place(index).map_err(|fault| raise(trouble, fault))?)?;
        }
        Ok(())
    }
}

/// Writes the answer in the form of its request.
pub(crate) fn write(columns: &[Column], answer: &Answer, layout: Layout) -> Outcome<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    match layout {
        Layout::Rows => {
            out.extend_from_slice(b"{\"predictions\":");
            rows(&mut out, columns, answer)?;
        }
        Layout::Columns => {
            out.extend_from_slice(b"{\"outputs\":");
            by_column(&mut out, columns, answer)?;
        }
    }
    out.push(b'}');
    Ok(out)
}

fn rows(out: &mut Vec<u8>, columns: &[Column], answer: &Answer) -> Outcome<()> {
    out.push(b'[');
    for row in 0..answer.rows {
        if row > 0 {
            out.push(b',');
        }
        by_name(out, columns, |out, index| value(out, columns, answer, (index, row)))?;
    }
    out.push(b']');
    Ok(())
}

fn by_column(out: &mut Vec<u8>, columns: &[Column], answer: &Answer) -> Outcome<()> {
    by_name(out, columns, |out, index| {
        out.push(b'[');
        for row in 0..answer.rows {
            if row > 0 {
                out.push(b',');
            }
            value(out, columns, answer, (index, row))?;
        }
        out.push(b']');
        Ok(())
    })
}

/// Writes something for each column: an object by name, or that of the only column by itself.
fn by_name(out: &mut Vec<u8>, columns: &[Column], mut each: impl FnMut(&mut Vec<u8>, usize) -> Outcome<()>) -> Outcome<()> {
    if columns.len() == 1 {
        return each(out, 0);
    }
    for (index, column) in columns.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        text(out, &column.name);
        out.push(b':');
        each(out, index)?;
    }
    out.push(b'}');
    Ok(())
}

fn value(out: &mut Vec<u8>, columns: &[Column], answer: &Answer, (index, row): (usize, usize)) -> Outcome<()> {
    let column = &columns[index];
    let texts = if column.dtype == Dtype::Bytes && column.name.ends_with("_bytes") { Texts::Base64 } else { Texts::Plain };
    record(out, column, &answer.table.columns[index], answer.start + row, texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Description;
    use crate::intake::admit;
    use crate::values::{Payload, Table};

    const ONE: &str = r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"X","dtype":"FP32","shape":[2]}],"outputs":[]},
        "binding":{"inputs":[{"column":"X","tensor":"X","rank":2,"missing":"NaN","features":["a","b"]}]}}"#;
    const TWO: &str = r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"age","dtype":"INT64"},{"name":"city","dtype":"BYTES"}],"outputs":[]}}"#;
    const SCALAR: &str = r#"{"name":"m","version":"1","runtime":"python","signature":{"inputs":[{"name":"n","dtype":"INT64","nullable":true}],"outputs":[]}}"#;
    const OCTETS: &str =
        r#"{"name":"m","version":"1","runtime":"python","signature":{"inputs":[{"name":"image","dtype":"BYTES"}],"outputs":[]}}"#;

    fn table(description: &str, body: &str) -> Outcome<(Layout, Table)> {
        let description = Description::from_json(description)?;
        let (layout, columns) = decode(body.as_bytes(), &Form::new(&description))?;
        Ok((layout, admit(&description, columns, body.len())?))
    }

    fn floats(table: &Table) -> Vec<f32> {
        let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
        bytemuck::cast_slice(buffer.bytes()).to_vec()
    }

    fn texts(table: &Table, column: usize) -> Vec<Vec<u8>> {
        let Payload::Bytes(list) = &table.columns[column].payload else { panic!("texts") };
        list.clone()
    }

    #[test]
    fn rows_and_columns_say_the_same() {
        for (body, layout) in [
            (r#"{"instances":[[1,2.5],[3,4]]}"#, Layout::Rows),
            (r#"{"instances":[{"X":[1,2.5]},{"X":[3,4]}],"signature_name":"serving_default"}"#, Layout::Rows),
            (r#"{"instances":[{"b":2.5,"a":1},{"a":3,"b":4}],"signature_name":null}"#, Layout::Rows),
            (r#"{"inputs":[[1,2.5],[3,4]]}"#, Layout::Columns),
            (r#"{"inputs":{"X":[[1,2.5],[3,4]]}}"#, Layout::Columns),
        ] {
            let (found, table) = table(ONE, body).unwrap();
            assert_eq!((found, table.rows, floats(&table)), (layout, 2, vec![1.0, 2.5, 3.0, 4.0]), "{body}");
        }
        for body in [r#"{"instances":[{"age":1,"city":"x"},{"city":"y","age":2}]}"#, r#"{"inputs":{"city":["x","y"],"age":[1,2]}}"#] {
            let (_, table) = table(TWO, body).unwrap();
            assert_eq!((table.rows, texts(&table, 1)), (2, vec![b"x".to_vec(), b"y".to_vec()]), "{body}");
        }
    }

    #[test]
    fn every_instance_is_a_record() {
        assert_eq!(table(SCALAR, r#"{"instances":[1,2,3]}"#).unwrap().1.rows, 3);
        assert_eq!(table(SCALAR, r#"{"instances":[null]}"#).unwrap().1.rows, 1);
        assert_eq!(table(ONE, r#"{"instances":[null,null]}"#).unwrap().1.rows, 2);
        assert_eq!(table(ONE, r#"{"inputs":[null,null]}"#).unwrap().1.rows, 2);
        for body in [r#"{"instances":[]}"#, r#"{"inputs":[]}"#] {
            assert_eq!(table(SCALAR, body).unwrap().1.rows, 0, "{body}");
        }
        assert_eq!(table(ONE, r#"{"instances":[1,2]}"#).unwrap_err().code, Code::WrongShape);
    }

    #[test]
    fn bytes_come_as_text_or_as_base64() {
        let want = vec![b"plain".to_vec(), vec![0, 255, 1]];
        for body in [
            r#"{"instances":["plain",{"b64":"AP8B"}]}"#,
            r#"{"instances":[{"image":"plain"},{"image":{"b64":"AP8B"}}]}"#,
            r#"{"inputs":{"image":["plain",{"b64":"AP8B"}]}}"#,
            r#"{"inputs":["plain",{"b64":"AP8B"}]}"#,
        ] {
            assert_eq!(texts(&table(OCTETS, body).unwrap().1, 0), want, "{body}");
        }
        for body in [
            r#"{"instances":[{"b64":"AP8"}]}"#,
            r#"{"instances":[{"b64":"AP8B","x":1}]}"#,
            r#"{"instances":[{"image":{"b64":"AP8B","x":1}}]}"#,
            r#"{"instances":[{"image":{"b46":"AP8B"}}]}"#,
            r#"{"inputs":[{"b64":7}]}"#,
        ] {
            assert!(table(OCTETS, body).is_err(), "{body}");
        }
        assert_eq!(table(SCALAR, r#"{"inputs":[{"b64":"AP8B"}]}"#).unwrap_err().code, Code::WrongDtype);
    }

    #[test]
    fn moments_come_as_seconds_or_as_text() {
        let description = SCALAR.replace(r#""nullable":true"#, r#""moment":true"#);
        for body in [
            r#"{"instances":[1622456430,"2021-05-31T10:20:30Z"]}"#,
            r#"{"instances":[{"n":"2021-05-31T10:20:30"},{"n":1622456430}]}"#,
            r#"{"inputs":{"n":["2021-05-31T12:20:30+02:00",1622456430]}}"#,
            r#"{"inputs":["2021-05-31 10:20:30.25","2021-05-31T05:20:30-0500"]}"#,
        ] {
            let (_, table) = table(&description, body).unwrap();
            let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
            assert_eq!(bytemuck::cast_slice::<u8, i64>(buffer.bytes()), [1_622_456_430; 2], "{body}");
        }
        assert_eq!(table(&description, r#"{"inputs":["2021-05-32"]}"#).unwrap_err().code, Code::WrongDtype);
    }

    #[test]
    fn every_wrong_form_is_refused_by_name() {
        for (body, want) in [
            ("{}", Code::InvalidRequest),
            ("[]", Code::InvalidRequest),
            ("", Code::MalformedJson),
            (r#"{"instances":{"X":[1,2]}}"#, Code::InvalidRequest),
            (r#"{"instances":[[1,2]],"inputs":[[1,2]]}"#, Code::InvalidRequest),
            (r#"{"instances":[[1,2]],"instances":[[1,2]]}"#, Code::InvalidRequest),
            (r#"{"instances":[[1,2]],"signature_name":"other"}"#, Code::InvalidRequest),
            (r#"{"instances":[[1,2]],"id":1}"#, Code::InvalidRequest),
            (r#"{"instances":[[1,2],[3]]}"#, Code::WrongShape),
            (r#"{"instances":[[1,"x"]]}"#, Code::WrongDtype),
            (r#"{"instances":[[1,2],{"X":[1,2]}]} x"#, Code::MalformedJson),
            (r#"{"inputs":{"X":[[1,2]],"X":[[1,2]]}}"#, Code::DuplicateColumn),
            (r#"{"inputs":{"Y":[[1,2]]}}"#, Code::UnexpectedColumn),
            (r#"{"inputs":{}}"#, Code::MissingColumn),
            (r#"{"inputs":{"X":1}}"#, Code::WrongShape),
            (r#"{"inputs":7}"#, Code::InvalidRequest),
        ] {
            assert_eq!(table(ONE, body).unwrap_err().code, want, "{body}");
        }
        assert_eq!(table(TWO, r#"{"inputs":[1]}"#).unwrap_err().code, Code::InvalidRequest);
        assert_eq!(table(TWO, r#"{"inputs":{"age":[1],"city":["x","y"]}}"#).unwrap_err().code, Code::WrongShape);
    }

    #[test]
    fn depth_is_refused_on_a_small_stack() {
        let deep = |start: &str| format!("{start}{}", "[".repeat(200_000));
        let bodies = [deep(r#"{"instances":"#), deep(r#"{"inputs":"#), deep(r#"{"inputs":{"X":"#), deep(r#"{"x":"#)];
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        let codes = thread.spawn(move || bodies.map(|body| table(ONE, &body).unwrap_err().code)).unwrap().join().unwrap();
        assert_eq!(codes, [Code::WrongShape, Code::WrongShape, Code::WrongShape, Code::InvalidRequest]);
    }
}
