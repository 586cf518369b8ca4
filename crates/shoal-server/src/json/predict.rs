//! The short form: `POST /predict {"features": ...}`.
//!
//! For a model with one input column, a record is the list of its k values (one, for a scalar), and many
//! records are a list of lists. For any model, a record may be an object from column name to value, and many
//! a list of objects; the names of the k features that pack into one `[k]` column may take its place. Every
//! column must be there; a missing value is null. Several columns go by name, never by position. Moments may be text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::elements::{Elements, Sink};
use super::{Trouble, plain, raise, settle, unknown_field};
use crate::description::{Column, Description};
use crate::fault::{Code, Fault, Outcome};
use crate::intake::{Received, absent, unexpected};
use crate::values::{Buffer, Payload};

/// How records of a model may be written; made once for each model.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(super) inputs: Vec<Column>,
    /// The columns that an object may name: the inputs, or the features that pack into the only one.
    columns: Vec<Column>,
    packs: bool,
    may_be_missing: Vec<bool>,
    values_per_row: usize,
}

impl Form {
    pub(crate) fn new(description: &Description) -> Self {
        let inputs = description.signature.inputs.clone();
        let binding = inputs.first().and_then(|input| description.input_binding(&input.name));
        let features = binding.and_then(|binding| binding.features.as_ref()).filter(|_| inputs.len() == 1);
        let scalar = |name: &String| Column { name: name.clone(), shape: Vec::new(), ..inputs[0].clone() };
        let columns: Vec<Column> = features.map_or_else(|| inputs.clone(), |names| names.iter().map(scalar).collect());
        let replaced = |column: &Column| {
            let name = if features.is_some() { &inputs[0].name } else { &column.name };
            column.nullable || description.input_binding(name).is_some_and(|binding| binding.missing.is_some())
        };
        Self {
            packs: features.is_some(),
            may_be_missing: columns.iter().map(replaced).collect(),
            values_per_row: inputs.first().map_or(1, |input| input.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(1)).product()),
            columns,
            inputs,
        }
    }
}

/// Reads the records of a request.
pub(crate) fn decode(body: &[u8], form: &Form) -> Outcome<Vec<Received>> {
    let Some(first) = form.inputs.first() else {
        return Err(Fault::new(Code::InvalidRequest, "the model has no input columns"));
    };
    let usual = if form.inputs.len() == 1 { plain::decode(body, first) } else { None };
    usual.map_or_else(|| parse(body, form, first), |received| Ok(vec![received]))
}

/// Reads a body of any form.
pub(super) fn parse(body: &[u8], form: &Form, first: &Column) -> Outcome<Vec<Received>> {
    let trouble = Trouble::default();
    let mut records = Records::new(form, first, false);
    let mut parser = serde_json::Deserializer::from_slice(body);
    let result = Body { records: &mut records, trouble: &trouble }.deserialize(&mut parser);
    settle(result.and_then(|()| parser.end()), &trouble)?;
    records.received()
}

/// What was read: values by position, or a list of values for each named column.
pub(super) struct Records<'f> {
    form: &'f Form,
    pub(super) positional: Sink<'f>,
    named: Vec<Sink<'f>>,
    rows: usize,
    is_seen: bool,
    /// Every entry is a record, also where the list is one of values.
    is_instances: bool,
}

impl<'f> Records<'f> {
    pub(super) fn new(form: &'f Form, first: &'f Column, is_instances: bool) -> Self {
        let mut positional = Sink::new(first, form.values_per_row);
        positional.takes_base64 = is_instances;
        positional.takes_text = true;
        Self { form, positional, named: Vec::new(), rows: 0, is_seen: false, is_instances }
    }

    /// What was read, as columns.
    pub(super) fn received(self) -> Outcome<Vec<Received>> {
        if self.rows == 0 { self.by_position() } else { self.by_name() }
    }

    fn by_position(mut self) -> Outcome<Vec<Received>> {
        let column = &self.form.inputs[0];
        if self.form.inputs.len() > 1 {
            return Err(several(self.form));
        }
        let record = self.positional.record_shape();
        // Nothing but nulls: as many as a record has values are one record, otherwise each is a record.
        let are_records =
            self.positional.leading_nulls().is_some_and(|nulls| self.is_instances || nulls != record.iter().product::<usize>());
        self.positional.finish((!are_records).then_some(usize::MAX))?;
        let shape = match self.positional.dims.as_slice() {
            [0] => [&[0], record.as_slice()].concat(),
            [records] if are_records => [&[*records], record.as_slice()].concat(),
            dims if !self.is_instances && dims.len() == column.shape.len().max(1) => [&[1], dims].concat(),
            dims => dims.to_vec(),
        };
        Ok(vec![Received {
            name: column.name.clone(),
            dtype: column.dtype,
            shape,
            payload: self.positional.payload,
            missing: self.positional.missing,
        }])
    }

    fn by_name(mut self) -> Outcome<Vec<Received>> {
        self.named.iter_mut().try_for_each(|sink| sink.finish(Some(self.rows)))?;
        let is_mixed = self.positional.dims.first().is_some_and(|entries| *entries != self.rows);
        if is_mixed || self.positional.count() > 0 {
            return Err(mixed());
        }
        if self.form.packs {
            let several = self.named.iter().position(|sink| !sink.dims.is_empty() || sink.count() != self.rows);
            return match several {
                Some(index) => Err(one_value(&self.form.columns[index])),
                None => Ok(vec![pack(&self.form.inputs[0], &self.named, self.rows)]),
            };
        }
        let rows = self.rows;
        let received = |(column, sink): (&Column, Sink<'_>)| {
            let mut shape = vec![rows];
            shape.extend(if sink.dims.is_empty() { sink.record_shape() } else { sink.dims[1..].to_vec() });
            Received { name: column.name.clone(), dtype: column.dtype, shape, payload: sink.payload, missing: sink.missing }
        };
        Ok(self.form.columns.iter().zip(self.named).map(received).collect())
    }
}

fn one_value(feature: &Column) -> Fault {
    Fault::new(Code::WrongShape, format!("column {:?} takes one value in each record, not a list", feature.name))
}

/// Interleaves k lists of n values into n records of k values.
fn pack(column: &Column, sinks: &[Sink<'_>], rows: usize) -> Received {
    let mut payload = Payload::with_capacity(column.dtype, rows * sinks.len());
    let mut missing = Vec::new();
    let width = column.dtype.width();
    for row in 0..rows {
        for sink in sinks {
            match (&mut payload, &sink.payload) {
                (Payload::Fixed(target), Payload::Fixed(source)) => Buffer::extend(target, &source.bytes()[row * width..(row + 1) * width]),
                (Payload::Bytes(target), Payload::Bytes(source)) => target.push(source[row].clone()),
                (Payload::Fixed(_), Payload::Bytes(_)) | (Payload::Bytes(_), Payload::Fixed(_)) => {}
            }
            missing.push(sink.missing.get(row).copied().unwrap_or(false));
        }
    }
    if !missing.contains(&true) {
        missing.clear();
    }
    Received { name: column.name.clone(), dtype: column.dtype, shape: vec![rows, sinks.len()], payload, missing }
}

struct Body<'b, 'f> {
    records: &'b mut Records<'f>,
    trouble: &'b Trouble,
}

seed!(Body<'_, '_>, (), deserialize_map);

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with \"features\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { records, trouble } = self;
        while let Some(field) = map.next_key::<Cow<'de, str>>()? {
            if field != "features" {
                return Err(raise(trouble, unknown_field(&field, "the request", "features")));
            }
            if std::mem::replace(&mut records.is_seen, true) {
                return Err(raise(trouble, Fault::new(Code::InvalidRequest, "the field \"features\" stands twice in one object")));
            }
            map.next_value_seed(Features { records: &mut *records, trouble, is_top: true })?;
        }
        if records.is_seen {
            return Ok(());
        }
        Err(raise(trouble, Fault::new(Code::InvalidRequest, "the request has no field \"features\"")))
    }
}

/// `features` itself (a list or an object), or one entry of its list.
pub(super) struct Features<'b, 'f> {
    pub(super) records: &'b mut Records<'f>,
    pub(super) trouble: &'b Trouble,
    pub(super) is_top: bool,
}

impl<'f> Features<'_, 'f> {
    /// A value or list by position, which is a record of the only column.
    fn element<E: Error>(&mut self) -> Result<Elements<'_, 'f>, E> {
        if self.is_top {
            let message = "\"features\" must be a list of values, an object, or a list of records";
            return Err(raise(self.trouble, Fault::new(Code::InvalidRequest, message)));
        }
        if self.records.form.inputs.len() > 1 {
            return Err(raise(self.trouble, several(self.records.form)));
        }
        Ok(Elements { sink: &mut self.records.positional, trouble: self.trouble, depth: 1 })
    }
}

fn several(form: &Form) -> Fault {
    let message = format!("the model has {} input columns; a list of values does not say which is which", form.inputs.len());
    Fault::new(Code::InvalidRequest, message).hint("send each record as an object from column name to value")
}

seed!(Features<'_, '_>, (), deserialize_any);

impl<'de> Visitor<'de> for Features<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of values, an object, or a list of records")
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.element()?.visit_f64(number)
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.element()?.visit_u64(number)
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.element()?.visit_i64(number)
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.element()?.visit_bool(value)
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.element()?.visit_str(text)
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.element()?.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        if !self.is_top {
            return self.element()?.visit_seq(list);
        }
        let mut length = 0;
        while list.next_element_seed(Features { records: &mut *self.records, trouble: self.trouble, is_top: false })?.is_some() {
            length += 1;
        }
        self.records.positional.list(0, length).map_err(|fault| raise(self.trouble, fault))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { records, trouble, is_top } = self;
        let columns = &records.form.columns;
        if records.named.is_empty() {
            let sink = |column| {
                let mut sink = Sink::new(column, 1);
                sink.takes_base64 = records.is_instances;
                sink.takes_text = true;
                sink
            };
            records.named = columns.iter().map(sink).collect();
        }
        let mut seen = vec![false; columns.len()];
        let mut is_packed = false;
        while let Some(field) = map.next_key::<Cow<'de, str>>()? {
            let index = columns.iter().position(|column| column.name == *field);
            if index.is_none() && field == "b64" && records.takes_bare_bytes() && !is_packed && !seen.contains(&true) {
                return bare_bytes(records, trouble, map);
            }
            let Some(index) = index else {
                if !records.form.packs || field != records.form.inputs[0].name {
                    return Err(raise(trouble, unexpected(columns, &field)));
                }
                refuse_second(std::mem::replace(&mut is_packed, true), &field).map_err(|fault| raise(trouble, fault))?;
                map.next_value_seed(Elements { sink: &mut records.positional, trouble, depth: 1 })?;
                continue;
            };
            refuse_second(std::mem::replace(&mut seen[index], true), &field).map_err(|fault| raise(trouble, fault))?;
            map.next_value_seed(Elements { sink: &mut records.named[index], trouble, depth: 1 })?;
        }
        records.end_object(&seen, is_packed, is_top).map_err(|fault| raise(trouble, fault))
    }
}

/// Reads the rest of `{"b64": text}`, a record of the only column.
fn bare_bytes<'de, A: MapAccess<'de>>(records: &mut Records<'_>, trouble: &Trouble, mut map: A) -> Result<(), A::Error> {
    let text: Cow<'de, str> = map.next_value()?;
    records.positional.base64(&text, 1).map_err(|fault| raise(trouble, fault))?;
    match map.next_key::<Cow<'de, str>>()? {
        None => Ok(()),
        Some(field) => Err(raise(trouble, unknown_field(&field, "bytes", "b64"))),
    }
}

fn refuse_second(is_second: bool, column: &str) -> Outcome<()> {
    if is_second { Err(Fault::new(Code::DuplicateColumn, format!("column {column:?} was sent twice in one record"))) } else { Ok(()) }
}

fn mixed() -> Fault {
    Fault::new(Code::InvalidRequest, "\"features\" mixes kinds of records; send all as lists, or all as objects with the same names")
}

impl Records<'_> {
    /// Whether `{"b64": text}` can be a record.
    fn takes_bare_bytes(&self) -> bool {
        self.form.inputs.len() == 1 && self.positional.takes_encoded()
    }

    /// One object was read: either its packed column, or every column by name.
    fn end_object(&mut self, seen: &[bool], is_packed: bool, is_top: bool) -> Outcome<()> {
        if is_packed {
            return match seen.contains(&true) {
                true => Err(mixed()),
                false if is_top => self.positional.list(0, 1),
                false => Ok(()),
            };
        }
        self.rows += 1;
        match seen.iter().position(|seen| !seen) {
            None => Ok(()),
            Some(index) => {
                let fault = absent(&self.form.columns, &self.form.columns[index].name);
                Err(if self.form.may_be_missing[index] { fault.hint("send null for a missing value") } else { fault })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::admit;
    use crate::values::Table;

    const ONE: &str = r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"X","dtype":"FP32","shape":[2]}],"outputs":[]},
        "binding":{"inputs":[{"column":"X","tensor":"X","rank":2,"missing":"NaN","features":["a","b"]}]}}"#;
    const TWO: &str = r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"age","dtype":"INT64"},{"name":"city","dtype":"BYTES"}],"outputs":[]},
        "binding":{"inputs":[{"column":"city","tensor":"city","rank":2,"missing":"unknown"}]}}"#;

    fn table(description: &str, body: &str) -> Outcome<Table> {
        let description = Description::from_json(description)?;
        admit(&description, decode(body.as_bytes(), &Form::new(&description))?, body.len())
    }

    fn floats(table: &Table) -> Vec<f32> {
        let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
        bytemuck::cast_slice(buffer.bytes()).to_vec()
    }

    fn code(description: &str, body: &str) -> Code {
        table(description, body).unwrap_err().code
    }

    #[test]
    fn one_record_is_a_list_and_many_are_a_list_of_lists() {
        let one = table(ONE, r#"{"features":[1,2.5]}"#).unwrap();
        let many = table(ONE, r#"{"features":[[1,2.5],[3,4]]}"#).unwrap();
        assert_eq!((one.rows, floats(&one)), (1, vec![1.0, 2.5]));
        assert_eq!((many.rows, floats(&many)), (2, vec![1.0, 2.5, 3.0, 4.0]));
    }

    #[test]
    fn nothing_but_nulls_is_one_record_or_that_many() {
        assert_eq!(table(ONE, r#"{"features":[null,null]}"#).unwrap().rows, 1);
        assert_eq!(table(ONE, r#"{"features":[null,null,null]}"#).unwrap().rows, 3);
        assert_eq!(table(ONE, r#"{"features":[null,[1,2]]}"#).unwrap().rows, 2);
        assert_eq!(table(ONE, r#"{"features":[]}"#).unwrap().rows, 0);
    }

    #[test]
    fn features_pack_by_name_whatever_their_order() {
        let records = table(ONE, r#"{"features":[{"b":2,"a":1},{"a":3,"b":4}]}"#).unwrap();
        assert_eq!(floats(&records), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_null_becomes_what_the_package_says_of_missing_values_and_a_column_left_out_is_refused() {
        assert!(floats(&table(ONE, r#"{"features":{"a":1,"b":null}}"#).unwrap())[1].is_nan());
        let Payload::Bytes(city) = &table(TWO, r#"{"features":{"age":1,"city":null}}"#).unwrap().columns[1].payload.clone() else {
            panic!("texts")
        };
        assert_eq!(city, &[b"unknown"]);
        assert_eq!(code(TWO, r#"{"features":{"age":null,"city":"x"}}"#), Code::NullNotAllowed);
        for body in [r#"{"features":{"city":"x"}}"#, r#"{"features":{"age":1}}"#] {
            assert_eq!(code(TWO, body), Code::MissingColumn);
        }
        assert_eq!(table(ONE, r#"{"features":{"a":1}}"#).unwrap_err().hint.as_deref().unwrap(), "send null for a missing value");
    }

    #[test]
    fn no_record_gets_lost_among_others_of_another_kind() {
        for body in [
            r#"{"features":[null,{"a":1,"b":2}]}"#,
            r#"{"features":[[],{"a":1,"b":2}]}"#,
            r#"{"features":[{"a":1,"b":2},null]}"#,
            r#"{"features":[{"a":1,"b":2},[]]}"#,
        ] {
            assert_eq!(code(ONE, body), Code::InvalidRequest, "{body}");
        }
    }

    #[test]
    fn a_list_in_the_place_of_one_value_is_refused() {
        for value in ["[]", "[5,6]", "[[1]]", "[1]"] {
            assert_eq!(code(ONE, &format!(r#"{{"features":{{"a":{value},"b":2}}}}"#)), Code::WrongShape, "{value}");
        }
    }

    #[test]
    fn the_packed_column_may_be_named_itself() {
        assert_eq!(floats(&table(ONE, r#"{"features":{"X":[1,2]}}"#).unwrap()), [1.0, 2.0]);
        assert_eq!(floats(&table(ONE, r#"{"features":[{"X":[1,2]},{"X":[3,4]}]}"#).unwrap()), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(table(ONE, r#"{"features":{"X":null}}"#).unwrap().rows, 1);
        assert_eq!(code(ONE, r#"{"features":{"X":[1,2],"a":1}}"#), Code::InvalidRequest);
        assert_eq!(code(ONE, r#"{"features":[{"X":[1,2]},{"a":1,"b":2}]}"#), Code::InvalidRequest);
        assert_eq!(code(ONE, r#"{"features":{"X":[1]}}"#), Code::WrongShape);
    }

    #[test]
    fn a_missing_value_is_named_by_its_feature() {
        let strict = ONE.replace(r#""missing":"NaN","#, "");
        let fault = table(&strict, r#"{"features":{"a":1,"b":null}}"#).unwrap_err();
        assert_eq!((fault.code, fault.message.contains("\"b\"")), (Code::NullNotAllowed, true));
    }

    #[test]
    fn a_missing_record_may_stand_for_more_values_than_its_message_has_bytes() {
        let wide = ONE.replace("\"shape\":[2]", "\"shape\":[64]").replace(r#","features":["a","b"]"#, "");
        assert_eq!(table(&wide, r#"{"features":[null]}"#).unwrap().rows, 1);
    }

    #[test]
    fn every_wrong_form_is_refused_by_name() {
        for (body, want) in [
            (r#"{"features":[1]}"#, Code::WrongShape),
            (r#"{"features":[[],[1,2]]}"#, Code::WrongShape),
            (r#"{"features":[[1,2],[3]]}"#, Code::WrongShape),
            (r#"{"features":[[1,2],3]}"#, Code::WrongShape),
            (r#"{"features":[1,"x"]}"#, Code::WrongDtype),
            (r#"{"features":[1,1e39]}"#, Code::WrongDtype),
            (r#"{"features":7}"#, Code::InvalidRequest),
            (r#"{"features":[{"a":1,"b":2},[1,2]]}"#, Code::InvalidRequest),
            (r#"{"features":[1,2],"features":[1,2]}"#, Code::InvalidRequest),
            (r#"{"rows":[1,2]}"#, Code::InvalidRequest),
            ("{}", Code::InvalidRequest),
            ("[1,2]", Code::InvalidRequest),
            (r#"{"features":{"a":1,"c":2}}"#, Code::UnexpectedColumn),
            (r#"{"features":{"a":1,"a":2}}"#, Code::DuplicateColumn),
            (r#"{"features":[1,2]} x"#, Code::MalformedJson),
            (r#"{"features":[1,NaN]}"#, Code::MalformedJson),
            ("", Code::MalformedJson),
        ] {
            assert_eq!(code(ONE, body), want, "{body}");
        }
        assert_eq!(code(TWO, r#"{"features":[1,"x"]}"#), Code::InvalidRequest);
    }

    #[test]
    fn depth_is_refused_on_a_small_stack() {
        let deep = |inner: &str| format!(r#"{{"features":{}{inner}"#, "[".repeat(200_000));
        let unknown = format!(r#"{{"x":{}"#, "{\"y\":".repeat(200_000));
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        let codes = thread.spawn(move || [code(ONE, &deep("1")), code(ONE, &unknown)]).unwrap().join().unwrap();
        assert_eq!(codes, [Code::WrongShape, Code::InvalidRequest]);
    }
}
