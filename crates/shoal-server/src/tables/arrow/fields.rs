//! What the columns of a stream are, by its schema.

use arrow_ipc::{DateUnit, Endianness, Field as Message, Precision, Schema, TimeUnit, Type, UnionMode};
use serde::Deserialize;

use super::{COLUMNS, Dictionaries, broken};
use crate::fault::{Code, Fault, Outcome};
use crate::tables::rules::{check_dimensions, check_shape, check_zone};
use crate::tables::{DIMENSIONS, Kind, Unit};
use crate::values::Dtype;

const EXTENSION: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
const TENSOR: &str = "arrow.fixed_shape_tensor";

/// A column as its schema says it.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
    /// The sizes of the lists around each value.
    pub(super) lists: Vec<usize>,
    pub(super) storage: Storage,
}

/// How values are stored.
pub(super) enum Storage {
    Null,
    Bool,
    Fixed(usize),
    Texts { is_large: bool },
    Dictionary { id: i64, index: Index },
    Union(Vec<Child>),
}

/// An index of a dictionary: so many bytes, below zero or not.
#[derive(Clone, Copy)]
pub(super) struct Index {
    pub(super) width: usize,
    pub(super) is_signed: bool,
}

/// A child of a union.
pub(super) struct Child {
    pub(super) code: i8,
    pub(super) kind: ChildKind,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum ChildKind {
    Null,
    Bool,
    Int64,
    Fp64,
    Utf8,
}

/// The columns, and the dictionaries that they refer to.
pub(super) fn fields(schema: &Schema<'_>) -> Outcome<(Vec<Field>, Dictionaries)> {
    if schema.endianness() != Endianness::Little {
        return Err(broken("it is big-endian"));
    }
    let messages = schema.fields();
    let count = messages.map_or(0, |fields| fields.len());
    if count > COLUMNS {
        return Err(broken(format!("it has {count} columns; at most {COLUMNS}")));
    }
    let mut dictionaries = Dictionaries::new();
    let fields = messages.into_iter().flatten().map(|message| field(message, &mut dictionaries)).collect::<Outcome<_>>()?;
    Ok((fields, dictionaries))
}

fn field(message: Message<'_>, dictionaries: &mut Dictionaries) -> Outcome<Field> {
    let name = message.name().unwrap_or_default().to_owned();
    let (mut lists, mut inner) = (Vec::new(), message);
    while inner.type_type() == Type::FixedSizeList && inner.dictionary().is_none() {
        let size = inner.type_as_fixed_size_list().and_then(|list| usize::try_from(list.listSize()).ok());
        lists.push(size.ok_or_else(|| broken(format!("the lists of column {name:?} have a negative size")))?);
        if lists.len() > DIMENSIONS {
            return Err(Fault::new(Code::WrongShape, format!("column {name:?} has more than {DIMENSIONS} dimensions")));
        }
        inner = only_child(&name, &inner)?;
    }
    let (kind, storage) = leaf(&name, &inner, dictionaries)?;
    if kind == Kind::Untyped && !lists.is_empty() {
        return Err(no_dtype(&name, "list of nulls"));
    }
    let shape = shape(&name, &message, &lists)?;
    check_shape(&name, &kind, &shape)?;
    Ok(Field { name, kind, shape, lists, storage })
}

fn only_child<'m>(name: &str, message: &Message<'m>) -> Outcome<Message<'m>> {
    let children = message.children().filter(|children| children.len() == 1);
    children.map(|children| children.get(0)).ok_or_else(|| broken(format!("the lists of column {name:?} are not of one type")))
}

fn no_dtype(name: &str, kind: &str) -> Fault {
    Fault::new(Code::WrongDtype, format!("column {name:?} is of the Arrow type {kind}, which has no dtype here"))
        .hint("cast it to a type of the table of dtypes, or leave it out")
}

/// What the metadata of a tensor says.
#[derive(Deserialize)]
struct Tensor {
    shape: Vec<usize>,
    permutation: Option<Vec<usize>>,
}

/// The shape of a record: as the extension says, or the sizes of the lists.
fn shape(name: &str, message: &Message<'_>, lists: &[usize]) -> Outcome<Vec<usize>> {
    let entry = |wanted: &str| {
        let found = message.custom_metadata().into_iter().flatten().find(|entry| entry.key() == Some(wanted));
        found.and_then(|entry| entry.value())
    };
    if entry(EXTENSION) != Some(TENSOR) {
        return Ok(lists.to_vec());
    }
    let text = entry(EXTENSION_METADATA).unwrap_or_default();
    let tensor: Tensor = serde_json::from_str(text).map_err(|error| broken(format!("the metadata of tensor {name:?} is none: {error}")))?;
    if tensor.permutation.is_some_and(|places| places.iter().enumerate().any(|(place, other)| place != *other)) {
        return Err(Fault::new(Code::WrongDtype, format!("the dimensions of tensor {name:?} are permuted, which is not read"))
            .hint("lay its values out in the order of its dimensions"));
    }
    let product = |sizes: &[usize]| sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    check_dimensions(name, tensor.shape.len())?;
    if lists.is_empty() || product(&tensor.shape).is_none_or(|values| Some(values) != product(lists)) {
        let message = format!("tensor {name:?} says shape {:?}, and is stored in lists of {lists:?} values", tensor.shape);
        return Err(Fault::new(Code::WrongShape, message));
    }
    Ok(tensor.shape)
}

fn leaf(name: &str, message: &Message<'_>, dictionaries: &mut Dictionaries) -> Outcome<(Kind, Storage)> {
    let other = || no_dtype(name, message.type_type().variant_name().unwrap_or("unknown"));
    if message.dictionary().is_some() {
        return dictionary(name, message, dictionaries);
    }
    let plain = |dtype: Dtype| (Kind::Plain(dtype), Storage::Fixed(dtype.width()));
    Ok(match message.type_type() {
        Type::Null => (Kind::Untyped, Storage::Null),
        Type::Bool => (Kind::Plain(Dtype::Bool), Storage::Bool),
        Type::Int => plain(message.type_as_int().and_then(|int| integer(int.bitWidth(), int.is_signed())).ok_or_else(other)?),
        Type::FloatingPoint => match message.type_as_floating_point().map(|float| float.precision()) {
            Some(Precision::HALF) => plain(Dtype::Fp16),
            Some(Precision::SINGLE) => plain(Dtype::Fp32),
            Some(Precision::DOUBLE) => plain(Dtype::Fp64),
            _ => return Err(other()),
        },
        Type::Utf8 => (Kind::Utf8, Storage::Texts { is_large: false }),
        Type::LargeUtf8 => (Kind::Utf8, Storage::Texts { is_large: true }),
        Type::Binary => (Kind::Bytes, Storage::Texts { is_large: false }),
        Type::LargeBinary => (Kind::Bytes, Storage::Texts { is_large: true }),
        Type::Timestamp => (timestamp(name, message)?, Storage::Fixed(Dtype::Int64.width())),
        Type::Date if message.type_as_date().is_some_and(|date| date.unit() == DateUnit::DAY) => {
            (Kind::Date, Storage::Fixed(Dtype::Int32.width()))
        }
        Type::Union => (Kind::Mixed, Storage::Union(children(name, message)?)),
        _ => return Err(other()),
    })
}

const fn integer(bits: i32, is_signed: bool) -> Option<Dtype> {
    Some(match (bits, is_signed) {
        (8, true) => Dtype::Int8,
        (16, true) => Dtype::Int16,
        (32, true) => Dtype::Int32,
        (64, true) => Dtype::Int64,
        (8, false) => Dtype::Uint8,
        (16, false) => Dtype::Uint16,
        (32, false) => Dtype::Uint32,
        (64, false) => Dtype::Uint64,
        _ => return None,
    })
}

fn timestamp(name: &str, message: &Message<'_>) -> Outcome<Kind> {
    let timestamp = message.type_as_timestamp().ok_or_else(|| broken(format!("column {name:?} has no type")))?;
    let unit = match timestamp.unit() {
        TimeUnit::SECOND => Unit::Second,
        TimeUnit::MILLISECOND => Unit::Millisecond,
        TimeUnit::MICROSECOND => Unit::Microsecond,
        TimeUnit::NANOSECOND => Unit::Nanosecond,
        _ => return Err(broken(format!("the times of column {name:?} have an unknown unit"))),
    };
    let zone = timestamp.timezone().unwrap_or_default();
    check_zone(name, zone)?;
    Ok(Kind::Timestamp(unit, zone.to_owned()))
}

/// Texts that are named by an index.
fn dictionary(name: &str, message: &Message<'_>, dictionaries: &mut Dictionaries) -> Outcome<(Kind, Storage)> {
    let is_large = match message.type_type() {
        Type::Utf8 => false,
        Type::LargeUtf8 => true,
        _ => return Err(no_dtype(name, "dictionary of something else than texts")),
    };
    let encoding = message.dictionary().ok_or_else(|| broken(format!("column {name:?} has no dictionary")))?;
    let index = encoding.indexType().map_or(Some(Dtype::Int32), |index| integer(index.bitWidth(), index.is_signed()));
    let index = index.ok_or_else(|| broken(format!("the indices of column {name:?} are no integers")))?;
    if *dictionaries.entry(encoding.id()).or_insert(is_large) != is_large {
        return Err(broken(format!("the dictionary of column {name:?} has two types")));
    }
    let is_signed = matches!(index, Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64);
    Ok((Kind::Utf8, Storage::Dictionary { id: encoding.id(), index: Index { width: index.width(), is_signed } }))
}

fn children(name: &str, message: &Message<'_>) -> Outcome<Vec<Child>> {
    let union = message.type_as_union().filter(|union| union.mode() == UnionMode::Dense);
    let union = union.ok_or_else(|| no_dtype(name, "sparse union"))?;
    let messages = message.children();
    let codes = union.typeIds();
    let count = messages.map_or(0, |messages| messages.len());
    if codes.is_some_and(|codes| codes.len() != count) {
        return Err(broken(format!("the union {name:?} has {count} children and another number of codes")));
    }
    let mut children: Vec<Child> = Vec::with_capacity(count.min(DIMENSIONS));
    for (place, message) in messages.into_iter().flatten().enumerate() {
        let kind = child_kind(&message).ok_or_else(|| no_dtype(name, "union of something else than null, bool, int64, double, utf8"))?;
        let code = codes.map_or(i32::try_from(place).unwrap_or(-1), |codes| codes.get(place));
        let code = i8::try_from(code).ok().filter(|code| *code >= 0);
        let code = code.ok_or_else(|| broken(format!("the union {name:?} has a type code that is none")))?;
        if children.iter().any(|child| child.kind == kind) {
            return Err(no_dtype(name, "union of one type twice"));
        }
        if children.iter().any(|child| child.code == code) {
            return Err(broken(format!("the union {name:?} has one type code twice")));
        }
        children.push(Child { code, kind });
    }
    Ok(children)
}

fn child_kind(message: &Message<'_>) -> Option<ChildKind> {
    if message.dictionary().is_some() {
        return None;
    }
    match message.type_type() {
        Type::Null => Some(ChildKind::Null),
        Type::Bool => Some(ChildKind::Bool),
        Type::Utf8 => Some(ChildKind::Utf8),
        Type::Int => message.type_as_int().filter(|int| int.bitWidth() == 64 && int.is_signed()).map(|_| ChildKind::Int64),
        Type::FloatingPoint => {
            message.type_as_floating_point().filter(|float| float.precision() == Precision::DOUBLE).map(|_| ChildKind::Fp64)
        }
        _ => None,
    }
}
