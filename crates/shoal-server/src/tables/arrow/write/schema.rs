//! The schema of a written stream.

use arrow_ipc::{Binary, BinaryArgs};
use arrow_ipc::{
    Bool, BoolArgs, Date, DateArgs, DateUnit, Field, FieldArgs, FixedSizeList, FixedSizeListArgs, FloatingPoint, FloatingPointArgs, Int,
    IntArgs, KeyValue, KeyValueArgs, Null, NullArgs, Precision, Schema, SchemaArgs, TimeUnit, Timestamp, TimestampArgs, Type, Union,
    UnionArgs, UnionMode, Utf8, Utf8Args,
};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use super::signed;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::{Column, Content, Kind, Typed, Unit};
use crate::values::Dtype;

type Builder<'b> = FlatBufferBuilder<'b>;
type Typing = (Type, WIPOffset<UnionWIPOffset>);

/// The children of a union, in the order of their type codes.
const CHILDREN: [&str; 5] = ["null", "bool", "int64", "double", "utf8"];

/// A schema of no columns, with one entry of metadata.
pub(super) fn head(builder: &mut Builder<'_>, key: &str, value: &str) -> WIPOffset<UnionWIPOffset> {
    let fields = builder.create_vector::<WIPOffset<Field<'_>>>(&[]);
    let entry = entry(builder, key, value);
    let custom_metadata = Some(builder.create_vector(&[entry]));
    let arguments = SchemaArgs { fields: Some(fields), custom_metadata, ..SchemaArgs::default() };
    Schema::create(builder, &arguments).as_union_value()
}

fn entry<'b>(builder: &mut Builder<'b>, key: &str, value: &str) -> WIPOffset<KeyValue<'b>> {
    let (key, value) = (Some(builder.create_string(key)), Some(builder.create_string(value)));
    KeyValue::create(builder, &KeyValueArgs { key, value })
}

/// The schema of a table.
pub(super) fn schema(builder: &mut Builder<'_>, table: &Typed) -> Outcome<WIPOffset<UnionWIPOffset>> {
    let fields = table.columns.iter().map(|column| column_field(builder, column)).collect::<Outcome<Vec<_>>>()?;
    let fields = Some(builder.create_vector(&fields));
    Ok(Schema::create(builder, &SchemaArgs { fields, ..SchemaArgs::default() }).as_union_value())
}

fn column_field<'b>(builder: &mut Builder<'b>, column: &Column) -> Outcome<WIPOffset<Field<'b>>> {
    if matches!(&column.content, Content::Text(text) if !text.is_empty()) {
        let message = format!("column {:?} has no dtype, without which Arrow cannot carry it", column.name);
        return Err(Fault::new(Code::InvalidRequest, message).hint("say its dtype"));
    }
    let typing = typing(builder, &column.kind);
    if column.shape.is_empty() {
        let children = if column.kind == Kind::Mixed { children(builder) } else { Vec::new() };
        return Ok(field(builder, &column.name, typing, (&children, None)));
    }
    let values = field(builder, "item", typing, (&[], None));
    let list = FixedSizeList::create(builder, &FixedSizeListArgs { listSize: signed(column.per_row())? }).as_union_value();
    let shape = column.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let metadata = [
        entry(builder, "ARROW:extension:name", "arrow.fixed_shape_tensor"),
        entry(builder, "ARROW:extension:metadata", &format!("{{\"shape\":[{shape}]}}")),
    ];
    Ok(field(builder, &column.name, (Type::FixedSizeList, list), (&[values], Some(&metadata))))
}

/// The children of a field, and its metadata.
type Parts<'p, 'b> = (&'p [WIPOffset<Field<'b>>], Option<&'p [WIPOffset<KeyValue<'b>>]>);

fn field<'b>(
    builder: &mut Builder<'b>,
    name: &str,
    (type_type, type_): Typing,
    (children, metadata): Parts<'_, 'b>,
) -> WIPOffset<Field<'b>> {
    let name = Some(builder.create_string(name));
    let children = Some(builder.create_vector(children));
    let custom_metadata = metadata.map(|entries| builder.create_vector(entries));
    let arguments = FieldArgs { name, nullable: true, type_type, type_: Some(type_), children, custom_metadata, ..FieldArgs::default() };
    Field::create(builder, &arguments)
}

fn children<'b>(builder: &mut Builder<'b>) -> Vec<WIPOffset<Field<'b>>> {
    let kinds = [Kind::Untyped, Kind::Plain(Dtype::Bool), Kind::Plain(Dtype::Int64), Kind::Plain(Dtype::Fp64), Kind::Utf8];
    let child = |(name, kind): (&&str, &Kind)| {
        let typing = typing(builder, kind);
        field(builder, name, typing, (&[], None))
    };
    CHILDREN.iter().zip(&kinds).map(child).collect()
}

fn typing(builder: &mut Builder<'_>, kind: &Kind) -> Typing {
    match kind {
        Kind::Plain(dtype) => plain(builder, *dtype),
        Kind::Utf8 => (Type::Utf8, Utf8::create(builder, &Utf8Args {}).as_union_value()),
        Kind::Bytes => (Type::Binary, Binary::create(builder, &BinaryArgs {}).as_union_value()),
        Kind::Date => (Type::Date, Date::create(builder, &DateArgs { unit: DateUnit::DAY }).as_union_value()),
        Kind::Untyped => (Type::Null, Null::create(builder, &NullArgs {}).as_union_value()),
        Kind::Timestamp(unit, zone) => {
            let timezone = Some(builder.create_string(zone));
            (Type::Timestamp, Timestamp::create(builder, &TimestampArgs { unit: time_unit(*unit), timezone }).as_union_value())
        }
        Kind::Mixed => {
            let codes = Some(builder.create_vector(&[0_i32, 1, 2, 3, 4]));
            (Type::Union, Union::create(builder, &UnionArgs { mode: UnionMode::Dense, typeIds: codes }).as_union_value())
        }
    }
}

const fn time_unit(unit: Unit) -> TimeUnit {
    match unit {
        Unit::Second => TimeUnit::SECOND,
        Unit::Millisecond => TimeUnit::MILLISECOND,
        Unit::Microsecond => TimeUnit::MICROSECOND,
        Unit::Nanosecond => TimeUnit::NANOSECOND,
    }
}

fn plain(builder: &mut Builder<'_>, dtype: Dtype) -> Typing {
    let precision = match dtype {
        Dtype::Bool | Dtype::Bytes => return (Type::Bool, Bool::create(builder, &BoolArgs {}).as_union_value()),
        Dtype::Fp16 => Precision::HALF,
        Dtype::Fp32 => Precision::SINGLE,
        Dtype::Fp64 => Precision::DOUBLE,
        integer => {
            let is_signed = matches!(integer, Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64);
            let bits = i32::try_from(integer.width() * 8).unwrap_or_default();
            return (Type::Int, Int::create(builder, &IntArgs { bitWidth: bits, is_signed }).as_union_value());
        }
    };
    (Type::FloatingPoint, FloatingPoint::create(builder, &FloatingPointArgs { precision }).as_union_value())
}
