//! Tables of every kind, drawn at random, for the tests of all codecs.

use half::f16;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::stack::Span;
use super::{Column, Content, Kind, Scalar, Typed, Unit, moments};
use crate::values::{Buffer, Dtype};

/// A table whose columns are all of a stated kind.
pub(super) fn typed() -> impl Strategy<Value = Typed> {
    (0..5_usize).prop_flat_map(|rows| {
        vec(column(rows), 0..5).prop_map(move |mut columns| {
            for (place, column) in columns.iter_mut().enumerate() {
                column.name = format!("{}{place}", column.name).into();
            }
            Typed { rows, columns }
        })
    })
}

/// A table, and some of its records that stand together.
pub(super) fn with_span() -> impl Strategy<Value = (Typed, Span)> {
    (typed(), any::<[prop::sample::Index; 2]>()).prop_map(|(table, ends)| {
        let [one, other] = ends.map(|end| end.index(table.rows + 1));
        (table, Span { start: one.min(other), rows: one.abs_diff(other) })
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    let plain = select(Dtype::ALL.to_vec()).prop_filter("fixed", |dtype| *dtype != Dtype::Bytes).prop_map(Kind::Plain);
    let zones = select(vec!["UTC", "Europe/Berlin", "+02:00"]);
    let timestamp = (select(Unit::ALL.to_vec()), zones).prop_map(|(unit, zone)| Kind::Timestamp(unit, zone.into()));
    prop_oneof![4 => plain, 1 => timestamp, 3 => select(vec![Kind::Utf8, Kind::Bytes, Kind::Date, Kind::Mixed])]
}

fn column(rows: usize) -> impl Strategy<Value = Column> {
    let shapes = select(vec![vec![], vec![], vec![], vec![3], vec![2, 2], vec![1], vec![0], vec![2, 0, 1]]);
    let name = select(vec!["", "a", "\u{e9}\"\\\n", "\u{1F41F}"]);
    (kind(), shapes, name, vec(any::<bool>(), rows)).prop_flat_map(move |(kind, shape, name, missing)| {
        let shape = if kind == Kind::Mixed { vec![] } else { shape };
        let missing = if kind == Kind::Mixed || !missing.contains(&true) { vec![] } else { missing };
        let count = rows * shape.iter().product::<usize>();
        content(&kind, count).prop_map(move |content| {
            let mut column = Column { name: name.into(), kind: kind.clone(), shape: shape.clone(), content, missing: missing.clone() };
            column.clear_missing();
            column
        })
    })
}

fn content(kind: &Kind, count: usize) -> BoxedStrategy<Content> {
    let fixed = |values: Vec<Vec<u8>>| Content::Fixed(Buffer::copy_of(&values.concat()));
    match kind.clone() {
        Kind::Plain(dtype) => vec(value(dtype), count).prop_map(fixed).boxed(),
        Kind::Date => vec(-719_162..2_932_897_i32, count)
            .prop_map(move |days| fixed(days.iter().map(|day| day.to_le_bytes().to_vec()).collect()))
            .boxed(),
        Kind::Timestamp(unit, _) => {
            let moment = prop_oneof![any::<i64>(), -62_135_596_800..253_402_300_800_i64, -1_000..1_000_i64];
            let moment = moment.prop_map(move |count| if moments::is_moment(count, unit) { count } else { 0 });
            vec(moment, count).prop_map(move |list| fixed(list.iter().map(|count| count.to_le_bytes().to_vec()).collect())).boxed()
        }
        Kind::Utf8 => vec(text().prop_map(String::into_bytes), count).prop_map(Content::Items).boxed(),
        Kind::Bytes => vec(vec(any::<u8>(), 0..5), count).prop_map(Content::Items).boxed(),
        Kind::Mixed | Kind::Untyped => vec(scalar(), count).prop_map(Content::Mixed).boxed(),
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,4}", select(vec!["\0", "\u{10FFFF}", "\u{7f}\u{80}", "\r\n", "null", "9223372036854775808"]).prop_map(String::from)]
}

fn double() -> impl Strategy<Value = f64> {
    let special = vec![
        0.0,
        -0.0,
        1.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        1e16,
        9_007_199_254_740_993.0,
    ];
    // One NaN only: JSON has no others.
    prop_oneof![select(special), any::<f64>(), (-1_000..1_000_i32).prop_map(|number| f64::from(number) / 8.0)]
        .prop_map(|number| if number.is_nan() { f64::NAN } else { number })
}

fn value(dtype: Dtype) -> BoxedStrategy<Vec<u8>> {
    let integer = prop_oneof![any::<u64>(), 0..3_u64, select(vec![u64::MAX, 1 << 63, (1 << 63) - 1, (1 << 53) - 1, 1 << 53])];
    match dtype {
        Dtype::Bool => any::<bool>().prop_map(|flag| vec![u8::from(flag)]).boxed(),
        Dtype::Fp64 => double().prop_map(|number| number.to_le_bytes().to_vec()).boxed(),
        Dtype::Fp32 => prop_oneof![any::<f32>(), select(vec![0.1, -0.0, f32::MAX, f32::INFINITY, 1e-45])]
            .prop_map(|number| if number.is_nan() { f32::NAN } else { number })
            .prop_map(|number| number.to_le_bytes().to_vec())
            .boxed(),
        Dtype::Fp16 => any::<u16>()
            .prop_map(f16::from_bits)
            .prop_map(|number| if number.is_nan() { f16::from_f64(f64::NAN) } else { number })
            .prop_map(|number| number.to_le_bytes().to_vec())
            .boxed(),
        dtype => integer.prop_map(move |number| number.to_le_bytes()[..dtype.width()].to_vec()).boxed(),
    }
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let integer = prop_oneof![any::<i64>(), -2..3_i64, select(vec![(1 << 53) - 1, 1 << 53, -(1 << 53), i64::MAX, i64::MIN])];
    prop_oneof![
        Just(Scalar::Missing),
        any::<bool>().prop_map(Scalar::Bool),
        integer.prop_map(Scalar::Int64),
        double().prop_map(Scalar::Fp64),
        text().prop_map(Scalar::Utf8),
    ]
}

/// Asserts that two tables are the same, NaN being itself, and zero below zero another one than zero.
pub(super) fn assert_same(found: &Typed, expected: &Typed) {
    assert_eq!(comparable(found), comparable(expected));
}

/// The table with the bits of floats in mixed columns; those of others are compared as bytes.
fn comparable(table: &Typed) -> Typed {
    let mut table = table.clone();
    for column in &mut table.columns {
        if let Content::Mixed(list) = &mut column.content {
            for scalar in list.iter_mut() {
                if let Scalar::Fp64(value) = scalar {
                    *scalar = Scalar::Utf8(format!("FP64 {:x}", value.to_bits()));
                }
            }
        }
    }
    table
}
