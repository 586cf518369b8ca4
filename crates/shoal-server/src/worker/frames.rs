//! The bytes between the server and a worker: a header of 16 bytes, then a body.
//!
//! Pure and bounded: nothing is allocated that has not arrived, and a length that a frame states is held against
//! the bytes that are there before it is used. Everything is little-endian; every section starts on 8 bytes, so
//! that a reader may look at numbers in place. Golden frames: `protocol/vectors/worker`.

use std::borrow::Cow;

use serde::Deserialize;

use crate::description::Column;
use crate::fault::{Code, Fault, Outcome};
use crate::values::{Buffer, Dtype, Payload, Table, Values};

/// The first bytes of every frame; the last of them is the version of the protocol.
const MAGIC: [u8; 4] = *b"SHW\x01";
/// Bytes of a frame before its body.
pub(crate) const HEADER_BYTES: usize = 16;
/// A body, at most.
pub(crate) const BODY_LIMIT_BYTES: usize = 1 << 30;
/// Dimensions of one record, at most.
const RANK_LIMIT: usize = 32;
const HAS_MISSING: u8 = 1;
const ALIGNMENT: usize = 8;
const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Server to worker, once: what to run.
    Setup = 1,
    /// Worker to server, once: the model is open.
    Ready = 2,
    /// Server to worker: the columns of a micro-batch.
    Batch = 3,
    /// Worker to server: the columns of its answer.
    Answer = 4,
    /// Worker to server: why there is no answer.
    Failure = 5,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Setup, Self::Ready, Self::Batch, Self::Answer, Self::Failure];
}

/// Why bytes are no frame of this protocol.
pub(crate) type Garbled = String;

/// A frame's header.
pub(crate) fn header(kind: Kind, body_bytes: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4] = kind as u8;
    header[8..].copy_from_slice(&(body_bytes as u64).to_le_bytes());
    header
}

/// The kind of a frame and the length of its body.
pub(crate) fn read_header(header: &[u8; HEADER_BYTES]) -> Result<(Kind, usize), Garbled> {
    if header[..4] != MAGIC || header[5..8] != [0; 3] {
        return Err(format!("a frame begins with {:02x?}, expected {MAGIC:02x?}", &header[..8]));
    }
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == header[4]);
    let kind = kind.ok_or_else(|| format!("a frame is of kind {}, which there is not", header[4]))?;
    let length = usize::try_from(number(&header[8..])).unwrap_or(usize::MAX);
    if length > BODY_LIMIT_BYTES {
        return Err(format!("a frame announces {length} bytes, at most {BODY_LIMIT_BYTES} are read"));
    }
    Ok((kind, length))
}

/// A whole frame of columns, in parts to be written one after the other; numbers are not copied.
pub(crate) fn columns<'t>(kind: Kind, table: &'t Table, dtypes: &[Dtype]) -> Vec<Cow<'t, [u8]>> {
    let mut heads = vec![0; HEADER_BYTES];
    heads.extend_from_slice(&(table.rows as u64).to_le_bytes());
    heads.extend_from_slice(&(table.columns.len() as u64).to_le_bytes());
    let mut parts = vec![Cow::Borrowed(&ZEROS[..0])];
    for (values, dtype) in table.columns.iter().zip(dtypes) {
        let data = raw(&values.payload);
        column_head(&mut heads, values, *dtype, data.len());
        if !values.missing.is_empty() {
            padded(&mut parts, Cow::Borrowed(bytemuck::cast_slice(&values.missing)));
        }
        padded(&mut parts, data);
    }
    let body_bytes = heads.len() - HEADER_BYTES + parts.iter().map(|part| part.len()).sum::<usize>();
    heads[..HEADER_BYTES].copy_from_slice(&header(kind, body_bytes));
    parts[0] = Cow::Owned(heads);
    parts
}

fn column_head(heads: &mut Vec<u8>, values: &Values, dtype: Dtype, data_bytes: usize) {
    let rank = u16::try_from(values.shape.len()).unwrap_or(u16::MAX);
    heads.push(dtype_number(dtype));
    heads.push(if values.missing.is_empty() { 0 } else { HAS_MISSING });
    heads.extend_from_slice(&rank.to_le_bytes());
    heads.extend_from_slice(&[0; 4]);
    heads.extend_from_slice(&(data_bytes as u64).to_le_bytes());
    for dim in &values.shape {
        heads.extend_from_slice(&(*dim as u64).to_le_bytes());
    }
}

/// The number of a dtype: its place in the list of the protocol, from 1.
fn dtype_number(dtype: Dtype) -> u8 {
    Dtype::ALL.iter().zip(1..).find(|(known, _)| **known == dtype).map_or(0, |(_, number)| number)
}

/// The data of a column; texts are their offsets, one more than there are texts, and then their bytes.
fn raw(payload: &Payload) -> Cow<'_, [u8]> {
    let list = match payload {
        Payload::Fixed(buffer) => return Cow::Borrowed(buffer.bytes()),
        Payload::Bytes(list) => list,
    };
    let mut data = Vec::with_capacity((list.len() + 1) * 8 + list.iter().map(Vec::len).sum::<usize>());
    let mut end = 0_u64;
    data.extend_from_slice(&end.to_le_bytes());
    for text in list {
        end += text.len() as u64;
        data.extend_from_slice(&end.to_le_bytes());
    }
    for text in list {
        data.extend_from_slice(text);
    }
    Cow::Owned(data)
}

fn padded<'t>(parts: &mut Vec<Cow<'t, [u8]>>, part: Cow<'t, [u8]>) {
    let gap = part.len().next_multiple_of(ALIGNMENT) - part.len();
    parts.push(part);
    if gap > 0 {
        parts.push(Cow::Borrowed(&ZEROS[..gap]));
    }
}

/// The columns in a body, which must be the declared ones in number and dtype.
pub(crate) fn read_columns(body: &[u8], declared: &[Column]) -> Result<Table, Garbled> {
    let mut rest = Rest(body);
    let rows = rest.length("rows")?;
    let count = rest.length("columns")?;
    if count != declared.len() {
        return Err(format!("a table has {count} columns, expected {}", declared.len()));
    }
    let heads = declared.iter().map(|column| read_head(&mut rest, column)).collect::<Result<Vec<_>, _>>()?;
    let mut table = Table { rows, columns: Vec::with_capacity(count) };
    for (column, head) in declared.iter().zip(heads) {
        table.columns.push(read_values(&mut rest, column, head, rows)?);
    }
    match rest.0.len() {
        0 => Ok(table),
        left => Err(format!("{left} bytes are left over after the last column")),
    }
}

struct Head {
    shape: Vec<usize>,
    data_bytes: usize,
    has_missing: bool,
}

fn read_head(rest: &mut Rest<'_>, column: &Column) -> Result<Head, Garbled> {
    let fixed = rest.take(8)?;
    let (dtype, flags, rank) = (fixed[0], fixed[1], usize::from(fixed[2]) | usize::from(fixed[3]) << 8);
    if dtype != dtype_number(column.dtype) {
        return Err(format!("column {:?} is of dtype number {dtype}, expected {}", column.name, dtype_number(column.dtype)));
    }
    if flags & !HAS_MISSING != 0 || fixed[4..] != [0; 4] || rank > RANK_LIMIT {
        return Err(format!("column {:?} has the head {fixed:02x?}, which says nothing known", column.name));
    }
    let data_bytes = rest.length("bytes")?;
    let shape = (0..rank).map(|_| rest.length("a dimension")).collect::<Result<Vec<_>, _>>()?;
    Ok(Head { shape, data_bytes, has_missing: flags & HAS_MISSING != 0 })
}

fn read_values(rest: &mut Rest<'_>, column: &Column, head: Head, rows: usize) -> Result<Values, Garbled> {
    let per_row = head.shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
    let count = per_row.and_then(|size| size.checked_mul(rows));
    let count = count.ok_or_else(|| format!("column {:?} has the shape {:?}, which is too large", column.name, head.shape))?;
    let missing = if head.has_missing { read_flags(rest, column, rows)? } else { Vec::new() };
    let data = rest.padded(head.data_bytes)?;
    let payload = match column.dtype {
        Dtype::Bytes => Payload::Bytes(read_texts(data, column, count)?),
        fixed => {
            if Some(data.len()) != count.checked_mul(fixed.width()) {
                return Err(format!("column {:?} has {} bytes for {count} values", column.name, data.len()));
            }
            if fixed == Dtype::Bool && data.iter().any(|byte| *byte > 1) {
                return Err(format!("column {:?} has a boolean that is neither 0 nor 1", column.name));
            }
            Payload::Fixed(Buffer::copy_of(data))
        }
    };
    Ok(Values { shape: head.shape, payload, missing })
}

fn read_flags(rest: &mut Rest<'_>, column: &Column, rows: usize) -> Result<Vec<bool>, Garbled> {
    let flags = rest.padded(rows)?;
    if flags.iter().any(|flag| *flag > 1) {
        return Err(format!("column {:?} has a flag that is neither 0 nor 1", column.name));
    }
    Ok(flags.iter().map(|flag| *flag == 1).collect())
}

fn read_texts(data: &[u8], column: &Column, count: usize) -> Result<Vec<Vec<u8>>, Garbled> {
    let wrong = || format!("column {:?} has offsets that do not fit its {} bytes and {count} texts", column.name, data.len());
    let table = count.checked_add(1).and_then(|count| count.checked_mul(8)).filter(|bytes| *bytes <= data.len()).ok_or_else(wrong)?;
    let (offsets, texts) = data.split_at(table);
    let mut ends = offsets.chunks_exact(8).map(|bytes| usize::try_from(number(bytes)).unwrap_or(usize::MAX));
    let mut start = ends.next().filter(|first| *first == 0).ok_or_else(wrong)?;
    let mut list = Vec::with_capacity(count);
    for end in ends {
        list.push(texts.get(start..end).ok_or_else(wrong)?.to_vec());
        start = end;
    }
    if start == texts.len() { Ok(list) } else { Err(wrong()) }
}

/// What is not read yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, bytes: usize) -> Result<&'b [u8], Garbled> {
        let (taken, rest) =
            self.0.split_at_checked(bytes).ok_or_else(|| format!("a table ends {} bytes too early", bytes - self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn padded(&mut self, bytes: usize) -> Result<&'b [u8], Garbled> {
        let taken = self.take(bytes)?;
        let gap = self.take(bytes.next_multiple_of(ALIGNMENT) - bytes)?;
        if gap.iter().all(|byte| *byte == 0) { Ok(taken) } else { Err("the gap behind a section is not zero".to_owned()) }
    }

    fn length(&mut self, of: &str) -> Result<usize, Garbled> {
        let stated = number(self.take(8)?);
        usize::try_from(stated).ok().filter(|length| *length <= BODY_LIMIT_BYTES).ok_or_else(|| format!("a table says {stated} {of}"))
    }
}

/// Eight bytes as a number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
    #[serde(default)]
    hint: Option<String>,
}

/// The fault in the body of a failure; a code that only Python knows is `ModelFailed`.
pub(crate) fn read_failure(body: &[u8]) -> Result<Fault, Garbled> {
    let failure: Failure = serde_json::from_slice(body).map_err(|error| format!("a failure cannot be read: {error}"))?;
    let fault = Fault::new(Code::from_name(&failure.code).unwrap_or(Code::ModelFailed), failure.message);
    Ok(match failure.hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    })
}

/// The answer or the fault that a frame carries to the caller of a micro-batch.
///
/// # Errors
/// Outer: the bytes are no answer. Inner: the model raised.
pub(crate) fn read_answer(kind: Kind, body: &[u8], outputs: &[Column]) -> Result<Outcome<Table>, Garbled> {
    match kind {
        Kind::Answer => read_columns(body, outputs).map(Ok),
        Kind::Failure => read_failure(body).map(|fault| Err(fault.coded(Code::ModelFailed))),
        other => Err(format!("a worker answered a micro-batch with a frame of kind {other:?}")),
    }
}
