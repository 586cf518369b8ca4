//! Every request passes here before it may join a batch: columns against the signature.
//!
//! A decoder hands over what it found ([`Received`]: names, dtypes, full shapes, values); [`admit`] returns a
//! [`Table`] in signature order, or says which column is wrong and what was expected. A request that passes
//! cannot make a micro-batch fail by its form, so one client's bad input stays that client's.

use crate::description::{Column, Description};
use crate::fault::{Code, Fault, Outcome};
use crate::missing;
use crate::values::{Dtype, Payload, Table, Values};

/// A column as a request carries it.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// The name.
    pub name: String,
    /// The dtype that the request states.
    pub dtype: Dtype,
    /// The full shape; the first dimension is the records.
    pub shape: Vec<usize>,
    /// The values.
    pub payload: Payload,
    /// One flag for each value; empty when none is missing.
    pub missing: Vec<bool>,
}

impl Received {
    /// The values with the shape of one record: the first dimension is dropped.
    #[must_use]
    pub fn into_values(self) -> Values {
        let shape = self.shape.get(1..).unwrap_or_default().to_vec();
        let size = shape.iter().product::<usize>().max(1);
        Values { shape, payload: self.payload, missing: self.missing.into_iter().step_by(size).collect() }
    }
}

/// Brings the columns of a request into the order of the signature. The message had `message_bytes`; no column
/// may have more values than that, counting a dimension of 0 as 1 and not counting what is missing, so that a
/// short message cannot announce a large table.
///
/// # Errors
/// `DuplicateColumn`, `UnexpectedColumn`, `MissingColumn`, `WrongDtype`, `WrongShape`, `NullNotAllowed`.
pub fn admit(description: &Description, received: Vec<Received>, message_bytes: usize) -> Outcome<Table> {
    let columns = &description.signature.inputs;
    let mut slots: Vec<Option<Received>> = columns.iter().map(|_| None).collect();
    for column in received {
        let index = columns.iter().position(|known| known.name == column.name).ok_or_else(|| unexpected(columns, &column.name))?;
        if slots[index].is_some() {
            return Err(twice(&column.name));
        }
        slots[index] = Some(column);
    }
    let rows = slots.iter().flatten().find_map(|column| column.shape.first().copied());
    let mut table = Table { rows: rows.unwrap_or(0), columns: Vec::with_capacity(columns.len()) };
    for (column, slot) in columns.iter().zip(slots) {
        let received = slot.ok_or_else(|| absent(columns, &column.name))?;
        check_extent(&received, message_bytes)?;
        table.columns.push(fit(column, received, table.rows)?);
        if description.runtime == "onnx" {
            check_texts(column, &table.columns[table.columns.len() - 1].payload)?;
        }
    }
    missing::settle(&mut table, description)?;
    Ok(table)
}

fn check_extent(received: &Received, message_bytes: usize) -> Outcome<()> {
    let extent = received.shape.iter().try_fold(1_usize, |product, dim| product.checked_mul((*dim).max(1)));
    let is_empty = received.shape.first() == Some(&0);
    let missing = received.missing.iter().filter(|missing| **missing).count();
    if is_empty || extent.is_some_and(|extent| extent.saturating_sub(missing) <= message_bytes) {
        return Ok(());
    }
    let message = format!(
        "column {:?} has shape {:?}, more values than its message of {message_bytes} bytes can hold",
        received.name, received.shape
    );
    Err(Fault::new(Code::WrongShape, message))
}

/// The fault for a column that comes a second time.
#[must_use]
pub fn twice(name: &str) -> Fault {
    Fault::new(Code::DuplicateColumn, format!("column {name:?} was sent twice"))
}

/// The fault for a column that the signature does not have.
#[must_use]
pub fn unexpected(columns: &[Column], name: &str) -> Fault {
    Fault::new(Code::UnexpectedColumn, format!("the model has no input column {name:?}; it has {}", names(columns)))
}

/// The fault for a column that the request does not have.
#[must_use]
pub fn absent(columns: &[Column], name: &str) -> Fault {
    Fault::new(Code::MissingColumn, format!("input column {name:?} is not in the request; the model takes {}", names(columns)))
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| format!("{:?}", column.name)).collect::<Vec<_>>().join(", ")
}

/// The values of a column, if its dtype, shape and number of values are those of the signature.
///
/// # Errors
/// `WrongDtype`, `WrongShape`.
pub(crate) fn fit(column: &Column, received: Received, rows: usize) -> Outcome<Values> {
    check_dtype(column, received.dtype)?;
    let shape = record_shape(column, &received.shape, rows)?;
    let count = received.shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
    let have = received.payload.count(column.dtype);
    if count != Some(have) {
        let message = format!("column {:?} has shape {:?} but {have} values", column.name, received.shape);
        return Err(Fault::new(Code::WrongShape, message));
    }
    check_flags(column, &received.payload)?;
    Ok(Values { shape, payload: received.payload, missing: received.missing })
}

/// Refuses a dtype other than the column's.
///
/// # Errors
/// `WrongDtype`.
pub fn check_dtype(column: &Column, dtype: Dtype) -> Outcome<()> {
    if column.dtype == dtype {
        return Ok(());
    }
    Err(Fault::new(Code::WrongDtype, format!("column {:?} is {}, the request says {}", column.name, column.dtype.name(), dtype.name())))
}

/// The shape of one record. A scalar column may come as `[N]` or `[N,1]`.
fn record_shape(column: &Column, full: &[usize], rows: usize) -> Outcome<Vec<usize>> {
    let wrong = || {
        let mut want: Vec<String> = vec!["N".into()];
        want.extend(column.shape.iter().map(ToString::to_string));
        let message = format!("column {:?} has shape {full:?}; expected [{}], with N = {rows} records", column.name, want.join(", "));
        Fault::new(Code::WrongShape, message).hint("the first dimension is the records, also for a single one")
    };
    let (first, rest) = full.split_first().ok_or_else(wrong)?;
    let rest = if column.shape.is_empty() && rest == [1] { &[] } else { rest };
    let fits = *first == rows
        && rest.len() == column.shape.len()
        && column.shape.iter().zip(rest).all(|(want, have)| *want < 0 || usize::try_from(*want).ok() == Some(*have));
    if fits { Ok(rest.to_vec()) } else { Err(wrong()) }
}

/// Refuses bytes that are no BOOL.
///
/// # Errors
/// `WrongDtype`.
pub(crate) fn check_flags(column: &Column, payload: &Payload) -> Outcome<()> {
    match payload {
        Payload::Fixed(buffer) if column.dtype == Dtype::Bool => match buffer.bytes().iter().position(|byte| *byte > 1) {
            Some(place) => Err(Fault::new(
                Code::WrongDtype,
                format!("column {:?} is BOOL; value {place} is the byte {}, expected 0 or 1", column.name, buffer.bytes()[place]),
            )),
            None => Ok(()),
        },
        Payload::Fixed(_) | Payload::Bytes(_) => Ok(()),
    }
}

/// ONNX Runtime takes C strings: a text with a NUL, or bytes that are no text, would be cut or refused there.
///
/// # Errors
/// `WrongDtype`.
pub(crate) fn check_texts(column: &Column, payload: &Payload) -> Outcome<()> {
    let Payload::Bytes(list) = payload else { return Ok(()) };
    let broken = list.iter().position(|item| item.contains(&0) || std::str::from_utf8(item).is_err());
    broken.map_or(Ok(()), |place| {
        let message = format!("column {:?} takes UTF-8 text without NUL characters; value {place} is not", column.name);
        Err(Fault::new(Code::WrongDtype, message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Buffer;

    fn description() -> Description {
        Description::from_json(
            r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"a","dtype":"FP32","shape":[2]},{"name":"b","dtype":"BYTES"}],"outputs":[]},
                "binding":{"inputs":[{"column":"a","tensor":"a","rank":2,"missing":"NaN"}]}}"#,
        )
        .unwrap()
    }

    fn a(shape: &[usize], values: &[f32]) -> Received {
        let payload = Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(values)));
        Received { name: "a".into(), dtype: Dtype::Fp32, shape: shape.to_vec(), payload, missing: vec![] }
    }

    fn b(texts: &[&str]) -> Received {
        let payload = Payload::Bytes(texts.iter().map(|text| text.as_bytes().to_vec()).collect());
        Received { name: "b".into(), dtype: Dtype::Bytes, shape: vec![texts.len()], payload, missing: vec![] }
    }

    fn code_of(received: Vec<Received>) -> Code {
        admit(&description(), received, 1000).unwrap_err().code
    }

    #[test]
    fn columns_come_out_in_signature_order() {
        let table = admit(&description(), vec![b(&["x"]), a(&[1, 2], &[1.0, 2.0])], 1000).unwrap();
        assert_eq!((table.rows, table.columns[0].shape.as_slice(), table.columns[1].shape.as_slice()), (1, &[2][..], &[][..]));
    }

    #[test]
    fn a_scalar_column_may_come_as_a_matrix_of_one_column() {
        let mut matrix = b(&["x", "y"]);
        matrix.shape = vec![2, 1];
        assert!(admit(&description(), vec![matrix, a(&[2, 2], &[0.0; 4])], 1000).is_ok());
    }

    #[test]
    fn each_wrong_column_is_refused_by_its_own_name() {
        let good = || a(&[1, 2], &[1.0, 2.0]);
        let mut stranger = good();
        stranger.name = "c".into();
        let mut integer = good();
        integer.dtype = Dtype::Int32;
        assert_eq!(code_of(vec![good()]), Code::MissingColumn);
        assert_eq!(code_of(vec![good(), b(&["x"]), stranger]), Code::UnexpectedColumn);
        assert_eq!(code_of(vec![good(), good(), b(&["x"])]), Code::DuplicateColumn);
        assert_eq!(code_of(vec![integer, b(&["x"])]), Code::WrongDtype);
        assert_eq!(code_of(vec![a(&[2], &[1.0, 2.0]), b(&["x", "y"])]), Code::WrongShape);
        assert_eq!(code_of(vec![a(&[1, 3], &[0.0; 3]), b(&["x"])]), Code::WrongShape);
        assert_eq!(code_of(vec![good(), b(&["x", "y"])]), Code::WrongShape);
        assert_eq!(code_of(vec![a(&[1, 2], &[0.0; 3]), b(&["x"])]), Code::WrongShape);
        assert_eq!(code_of(vec![a(&[usize::MAX, 2], &[0.0; 2]), b(&["x"])]), Code::WrongShape);
        assert_eq!(code_of(vec![good(), b(&["x\0y"])]), Code::WrongDtype);
    }

    #[test]
    fn a_missing_value_becomes_what_the_binding_says_or_is_refused() {
        let mut holes = a(&[1, 2], &[1.0, 2.0]);
        holes.missing = vec![false, true];
        let table = admit(&description(), vec![holes.clone(), b(&["x"])], 1000).unwrap();
        let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
        assert!(bytemuck::cast_slice::<u8, f32>(buffer.bytes())[1].is_nan());
        let mut text = b(&["x"]);
        text.missing = vec![true];
        assert_eq!(code_of(vec![a(&[1, 2], &[1.0, 2.0]), text]), Code::NullNotAllowed);
    }
}
