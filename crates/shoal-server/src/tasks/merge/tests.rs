use proptest::prelude::*;

use super::*;
use crate::tables::Content;
use crate::values::{Buffer, Dtype};

fn fixed(name: &str, dtype: Dtype, bytes: &[u8]) -> Column {
    Column {
        name: name.into(),
        kind: Kind::Plain(dtype),
        shape: Vec::new(),
        content: Content::Fixed(Buffer::copy_of(bytes)),
        missing: Vec::new(),
    }
}

fn floats(values: &[f64]) -> Column {
    fixed("x", Dtype::Fp64, bytemuck::cast_slice(values))
}

fn whole(values: &[i64]) -> Column {
    fixed("x", Dtype::Int64, bytemuck::cast_slice(values))
}

fn texts(kind: Kind, values: &[&str]) -> Column {
    let items = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    Column { kind, content: Content::Items(items), ..floats(&[]) }
}

fn table(rows: usize, columns: Vec<Column>) -> Typed {
    Typed { rows, columns }
}

/// Merges tables as the results of tasks "0", "1" and so on.
fn merge(by: By, tables: &[(Typed, f64)]) -> Outcome<Typed> {
    let ids: Vec<String> = (0..tables.len()).map(|number| number.to_string()).collect();
    let parts: Vec<Part<'_>> = tables.iter().zip(&ids).map(|((table, weight), id)| Part { id, table, weight: *weight }).collect();
    merged(by, &[], &parts)
}

/// The only column of an answer, as doubles; None where its record is missing.
fn answer(by: By, tables: &[(Typed, f64)]) -> Option<f64> {
    let merged = merge(by, tables).unwrap();
    let column = &merged.columns[0];
    assert_eq!((merged.rows, &column.kind, column.shape.as_slice()), (1, &Kind::Plain(Dtype::Fp64), [].as_slice()));
    let Content::Fixed(buffer) = &column.content else { panic!("fixed") };
    (column.missing != [true]).then(|| f64::from_le_bytes(buffer.bytes().try_into().unwrap()))
}

fn bytes_of(column: &Column) -> &[u8] {
    let Content::Fixed(buffer) = &column.content else { panic!("fixed") };
    buffer.bytes()
}

#[test]
fn a_column_that_is_named_is_answered_also_where_there_is_no_result() {
    for by in [By::Sum, By::Mean, By::Min, By::Max, By::Variance, By::Count] {
        let merged = merged(by, &["x".to_owned()], &[]).unwrap();
        let dtype = if by == By::Count { Dtype::Int64 } else { Dtype::Fp64 };
        let missing = if matches!(by, By::Sum | By::Count) { vec![] } else { vec![true] };
        assert_eq!(merged, table(1, vec![Column { missing, ..fixed("x", dtype, &[0; 8]) }]), "{by:?}");
    }
}

/// Values cut into tasks of some rows each, all of one weight.
fn cut(values: &[f64], lengths: &[usize], weight: f64) -> Vec<(Typed, f64)> {
    let (mut rest, mut tables) = (values, Vec::new());
    for length in lengths.iter().chain([&usize::MAX]) {
        let (part, behind) = rest.split_at((*length).min(rest.len()));
        tables.push((table(part.len(), vec![floats(part)]), weight));
        rest = behind;
    }
    tables
}

/// What `math.fsum` gives: Shewchuk's partial sums, rounded half to even.
fn fsum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for value in values {
        let (mut x, mut kept) = (*value, Vec::new());
        for partial in partials {
            let (large, small) = if x.abs() < partial.abs() { (partial, x) } else { (x, partial) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        partials = kept;
    }
    let Some(mut high) = partials.pop() else { return 0.0 };
    while let Some(partial) = partials.pop() {
        let (before, sum) = (high, high + partial);
        let low = partial - (sum - before);
        high = sum;
        if low != 0.0 {
            let half_way = partials.last().is_some_and(|next| (low < 0.0) == (*next < 0.0));
            let doubled = high + low * 2.0;
            if half_way && (low * 2.0).to_bits() == (doubled - high).to_bits() {
                high = doubled;
            }
            break;
        }
    }
    high
}

fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs()
}

fn doubles() -> impl Strategy<Value = f64> {
    (-1.0..1.0_f64, -300..300_i32).prop_map(|(mantissa, exponent)| mantissa * 2_f64.powi(exponent))
}

proptest! {
    #[test]
    fn sums_are_those_of_fsum_under_any_cut(
        mut values in prop::collection::vec(doubles(), 0..60), lengths in prop::collection::vec(0..9_usize, 0..9), cancel in any::<bool>(),
    ) {
        if cancel {
            // All but the last of them cancel.
            let last = values.pop();
            values.extend(values.clone().iter().rev().map(|value| -value));
            values.extend(last);
        }
        let found = answer(By::Sum, &cut(&values, &lengths, 1.0)).unwrap();
        prop_assert_eq!(found.to_bits(), (fsum(&values) + 0.0).to_bits());
    }

    #[test]
    fn means_and_variances_are_within_the_bound_of_rational_arithmetic(
        tasks in prop::collection::vec((prop::collection::vec(-50_i64..50, 0..6), 0..9_u32), 1..8), far in -(1_i64 << 39)..1 << 39,
    ) {
        // Values are whole numbers of 2^-8, close together and far from zero; weights whole numbers of 2^-2.
        let unit = |value: &i64| (value + far) as f64 / 256.0;
        let tables: Vec<(Typed, f64)> = tasks.iter().map(|(values, weight)| {
            let column = floats(&values.iter().map(unit).collect::<Vec<_>>());
            (table(values.len(), vec![column]), f64::from(*weight) / 4.0)
        }).collect();
        let records: Vec<(i128, i128)> = tasks.iter().flat_map(|(values, weight)| {
            values.iter().map(move |value| (i128::from(value + far), i128::from(*weight)))
        }).collect();
        let weights: i128 = records.iter().map(|(_, weight)| weight).sum();
        let first: i128 = records.iter().map(|(value, weight)| value * weight).sum();
        let second: i128 = records.iter().map(|(value, weight)| value * value * weight).sum();
        let mean = answer(By::Mean, &tables);
        prop_assert_eq!(mean.is_none(), weights == 0);
        prop_assert!(mean.is_none_or(|found| is_near(found, first as f64 / weights as f64 / 256.0)));
        let variance = answer(By::Variance, &tables);
        prop_assert_eq!(variance.is_none(), weights <= 4);
        let spread = (weights * second - first * first) as f64 / 65_536.0;
        prop_assert!(variance.is_none_or(|found| is_near(found, spread / (weights * (weights - 4)) as f64)));
    }

    #[test]
    fn a_cut_changes_no_bit_of_any_answer(
        values in prop::collection::vec(doubles(), 1..40), lengths in prop::collection::vec(0..9_usize, 0..9), weight in 0.0..3.0_f64,
    ) {
        for by in [By::Sum, By::Mean, By::Variance, By::Min, By::Max] {
            let (whole, parts) = (answer(by, &cut(&values, &[], weight)), answer(by, &cut(&values, &lengths, weight)));
            prop_assert_eq!(whole.map(f64::to_bits), parts.map(f64::to_bits));
        }
    }
}

#[test]
fn sums_of_whole_numbers_are_whole_and_refused_beyond_64_bits() {
    let sum = |tables: &[(Typed, f64)]| merge(By::Sum, tables).map(|merged| merged.columns[0].clone());
    let task = |values: &[i64]| (table(values.len(), vec![whole(values)]), 1.0);
    assert_eq!(sum(&[task(&[i64::MAX, 1]), task(&[-2])]).unwrap(), whole(&[i64::MAX - 1]));
    assert_eq!(sum(&[task(&[i64::MIN])]).unwrap(), whole(&[i64::MIN]));
    assert_eq!(sum(&[task(&[])]).unwrap(), whole(&[0]));
    let fault = sum(&[task(&[i64::MAX]), task(&[1])]).unwrap_err();
    assert_eq!((fault.code, fault.message.contains("\"x\"")), (Code::MergeMismatch, true));
    let unsigned = table(1, vec![fixed("x", Dtype::Uint64, &u64::MAX.to_le_bytes())]);
    assert_eq!(sum(&[(unsigned.clone(), 1.0)]).unwrap_err().code, Code::MergeMismatch);
    let truths = table(3, vec![fixed("x", Dtype::Bool, &[1, 0, 1])]);
    assert_eq!(sum(&[(truths, 1.0), task(&[40])]).unwrap(), whole(&[42]));
    assert_eq!(answer(By::Sum, &[(unsigned, 2.0)]), Some(2.0 * u64::MAX as f64));
}

#[test]
fn a_weight_counts_each_record_so_many_times() {
    let task = |values: &[f64], weight: f64| (table(values.len(), vec![floats(values)]), weight);
    let twice = [task(&[1.0, 4.0], 1.0), task(&[1.0, 4.0], 1.0), task(&[10.0], 1.0)];
    let weighted = [task(&[1.0, 4.0], 2.0), task(&[10.0], 1.0)];
    for by in [By::Sum, By::Mean, By::Variance] {
        assert_eq!(answer(by, &weighted), answer(by, &twice), "{by:?}");
    }
    assert_eq!(answer(By::Mean, &[task(&[1.0], 0.0)]), None);
    assert_eq!(answer(By::Sum, &[task(&[1.0], 0.0)]), Some(0.0));
    assert_eq!(answer(By::Variance, &[task(&[1.0], 1.0)]), None);
}

#[test]
fn sums_that_are_larger_than_every_double_have_a_mean_and_a_variance() {
    let tables = [(table(2, vec![floats(&[f64::MAX, f64::MAX])]), f64::MAX), (table(2, vec![floats(&[5e-324, 0.0])]), 5e-324)];
    assert_eq!(answer(By::Mean, &tables), Some(f64::MAX));
    assert_eq!(answer(By::Sum, &tables), Some(f64::INFINITY));
    assert_eq!(answer(By::Variance, &[(table(2, vec![floats(&[1e-200, 3e-200])]), 1.0)]), Some(0.0));
}

#[test]
fn infinities_and_nan_are_added_as_ieee_754_says() {
    let of = |by, values: &[f64]| answer(by, &[(table(values.len(), vec![floats(values)]), 1.0)]).unwrap();
    assert_eq!(of(By::Sum, &[f64::INFINITY, 1.0]).to_bits(), f64::INFINITY.to_bits());
    assert_eq!(of(By::Mean, &[f64::NEG_INFINITY, 1.0]).to_bits(), f64::NEG_INFINITY.to_bits());
    for values in [&[f64::INFINITY, f64::NEG_INFINITY][..], &[f64::NAN, 1.0]] {
        for by in [By::Sum, By::Mean, By::Variance] {
            assert!(of(by, values).is_nan(), "{by:?} {values:?}");
        }
    }
    assert!(of(By::Variance, &[f64::INFINITY, 1.0]).is_nan());
    for by in [By::Min, By::Max] {
        assert!(of(by, &[1.0, f64::NAN, 2.0]).is_nan(), "{by:?}");
    }
    assert_eq!(of(By::Min, &[0.0, -0.0]).to_bits(), 0.0_f64.to_bits());
}

#[test]
fn missing_records_are_passed_over_and_counted_out() {
    let mut column = floats(&[7.0, 0.0, 5.0]);
    column.missing = vec![false, true, false];
    let some = [(table(3, vec![column.clone()]), 1.0)];
    assert_eq!((answer(By::Min, &some), answer(By::Mean, &some)), (Some(5.0), Some(6.0)));
    assert_eq!(merge(By::Count, &some).unwrap().columns[0], whole(&[2]));
    column.missing = vec![true; 3];
    let none = [(table(3, vec![column]), 1.0)];
    for by in [By::Min, By::Max, By::Mean, By::Variance] {
        assert_eq!(answer(by, &none), None, "{by:?}");
    }
    assert_eq!((answer(By::Sum, &none), merge(By::Count, &none).unwrap().columns[0].clone()), (Some(0.0), whole(&[0])));
}

#[test]
fn tensors_are_reduced_element_by_element() {
    let of = |values: &[f32]| {
        let column = fixed("x", Dtype::Fp32, bytemuck::cast_slice(values));
        (table(values.len() / 2, vec![Column { shape: vec![2], ..column }]), 1.0)
    };
    let tables = [of(&[1.0, 10.0, 2.0, 20.0]), of(&[6.0, 60.0])];
    let mean = merge(By::Mean, &tables).unwrap().columns.remove(0);
    assert_eq!((mean.shape.as_slice(), bytes_of(&mean)), ([2].as_slice(), bytemuck::cast_slice::<f64, u8>(&[3.0, 30.0])));
    let most = merge(By::Max, &tables).unwrap().columns.remove(0);
    assert_eq!((&most.kind, bytes_of(&most)), (&Kind::Plain(Dtype::Fp32), bytemuck::cast_slice::<f32, u8>(&[6.0, 60.0])));
    let other = (table(1, vec![floats(&[1.0])]), 1.0);
    assert_eq!(merge(By::Mean, &[of(&[1.0, 2.0]), other]).unwrap_err().code, Code::MergeMismatch);
}

#[test]
fn columns_that_are_no_numbers_are_counted_and_otherwise_left_out() {
    let called = |name: &str, column: Column| Column { name: name.into(), ..column };
    let some = table(2, vec![called("word", texts(Kind::Utf8, &["a", "b"])), floats(&[1.0, 2.0])]);
    let names = |merged: Typed| merged.columns.into_iter().map(|column| column.name).collect::<Vec<_>>();
    let tables = [(some, 1.0)];
    assert_eq!(names(merge(By::Sum, &tables).unwrap()), ["x"]);
    assert_eq!(names(merge(By::Count, &tables).unwrap()), ["word", "x"]);
    let parts = [Part { id: "a", table: &tables[0].0, weight: 1.0 }];
    assert_eq!(names(merged(By::Min, &["x".to_owned()], &parts).unwrap()), ["x"]);
    for (columns, code) in [(&["word"][..], Code::MergeMismatch), (&["y"], Code::MergeMismatch), (&["x", "x"], Code::DuplicateColumn)] {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        assert_eq!(merged(By::Min, &columns, &parts).unwrap_err().code, code, "{columns:?}");
    }
    let mixed = [tables[0].clone(), (table(1, vec![texts(Kind::Utf8, &["c"])]), 1.0)];
    assert_eq!(merge(By::Sum, &mixed).unwrap_err().code, Code::MergeMismatch);
}

#[test]
fn extremes_keep_the_dtype_and_need_one() {
    let small = |values: &[u8]| (table(values.len(), vec![fixed("x", Dtype::Uint8, values)]), 1.0);
    assert_eq!(merge(By::Max, &[small(&[3, 200]), small(&[9])]).unwrap().columns[0], fixed("x", Dtype::Uint8, &[200]));
    let mixed = [small(&[1]), (table(1, vec![whole(&[1])]), 1.0)];
    assert_eq!(merge(By::Min, &mixed).unwrap_err().code, Code::MergeMismatch);
    assert_eq!(merge(By::Sum, &mixed).unwrap().columns[0], whole(&[2]));
}

#[test]
fn tables_are_put_one_after_the_other_in_the_order_of_their_tasks() {
    let mut first = floats(&[1.0, 0.0]);
    first.missing = vec![false, true];
    let tables = [(table(2, vec![first]), 1.0), (table(0, vec![floats(&[])]), 1.0), (table(1, vec![floats(&[3.0])]), 1.0)];
    let joined = merge(By::Concat, &tables).unwrap();
    assert_eq!((joined.rows, &joined.columns[0].missing), (3, &vec![false, true, false]));
    assert_eq!(bytes_of(&joined.columns[0]), bytemuck::cast_slice::<f64, u8>(&[1.0, 0.0, 3.0]));
    let words = [(table(1, vec![texts(Kind::Utf8, &["a"])]), 1.0), (table(1, vec![texts(Kind::Bytes, &["b"])]), 1.0)];
    assert_eq!(merge(By::Concat, &words).unwrap().columns[0], texts(Kind::Bytes, &["a", "b"]));
    assert_eq!(merge(By::Concat, &[]).unwrap(), table(0, vec![]));
}

#[test]
fn tables_with_other_columns_are_not_put_together() {
    let one = || table(1, vec![floats(&[1.0])]);
    let other = |column| [(one(), 1.0), (table(1, vec![column]), 1.0)];
    let renamed = Column { name: "y".into(), ..floats(&[1.0]) };
    let tensor = Column { shape: vec![1], ..floats(&[1.0]) };
    for column in [renamed, tensor, whole(&[1]), texts(Kind::Utf8, &["a"])] {
        let fault = merge(By::Concat, &other(column)).unwrap_err();
        assert_eq!((fault.code, fault.message.contains("task \"0\"")), (Code::MergeMismatch, true), "{}", fault.message);
    }
    let more = table(1, vec![floats(&[1.0]), Column { name: "y".into(), ..floats(&[1.0]) }]);
    assert_eq!(merge(By::Concat, &[(one(), 1.0), (more, 1.0)]).unwrap_err().code, Code::MergeMismatch);
}

#[test]
fn a_merge_has_a_name_that_is_known() {
    for by in By::ALL {
        assert_eq!(By::from_name(by.name()), Ok(by));
    }
    assert_eq!(By::from_name("median").unwrap_err().code, Code::InvalidRequest);
}
