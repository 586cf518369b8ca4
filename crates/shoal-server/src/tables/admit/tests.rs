use std::sync::Arc;

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::flight::Answer;
use crate::fuzz::rules::run;
use crate::tables::answer::answered;
use crate::tables::convert::nearest_half;
use crate::tables::json::{read, write};
use crate::tables::samples::typed;
use crate::tables::{Kind, Scalar};

fn description(inputs: &str, binding: &str) -> Description {
    let outputs = inputs.replace(r#","moment":true"#, "");
    let signature = format!(r#"{{"inputs":[{inputs}],"outputs":[{outputs}]}}"#);
    let text = format!(r#"{{"name":"m","version":"1","runtime":"python","signature":{signature},"binding":{{"inputs":[{binding}]}}}}"#);
    Description::from_json(&text).unwrap()
}

fn admitted(description: &Description, columns: &str) -> Outcome<Table> {
    admit(description, read(format!(r#"{{"columns":[{columns}]}}"#).as_bytes())?, Extra::Refused)
}

/// The first column of a model with one column `x`, as values of one dtype.
fn x<T: bytemuck::Pod>(input: &str, column: &str) -> Outcome<Vec<T>> {
    let description = description(&format!(r#"{{"name":"x",{input}}}"#), "");
    let table = admitted(&description, &format!(r#"{{"name":"x",{column}}}"#))?;
    let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
    Ok(bytemuck::cast_slice(buffer.bytes()).to_vec())
}

fn code(input: &str, column: &str) -> &'static str {
    let description = description(&format!(r#"{{"name":"x",{input}}}"#), "");
    admitted(&description, &format!(r#"{{"name":"x",{column}}}"#)).map_or_else(|fault| fault.code.name(), |_| "ok")
}

fn items(table: &Table, column: usize) -> Vec<String> {
    let Payload::Bytes(list) = &table.columns[column].payload else { panic!("bytes") };
    list.iter().map(|item| String::from_utf8(item.clone()).unwrap()).collect()
}

#[test]
fn numbers_are_converted_by_value() {
    assert_eq!(x::<i64>(r#""dtype":"INT64""#, r#""dtype":"UINT8","data":[255]"#).unwrap(), [255]);
    assert_eq!(x::<u64>(r#""dtype":"UINT64""#, r#""dtype":"INT8","data":[127]"#).unwrap(), [127]);
    // 2^24 + 1 and 2^63 + 2^39 + 1 lie between two FP32: ties go to even, and there is one rounding only.
    assert_eq!(x::<f32>(r#""dtype":"FP32""#, r#""dtype":"INT32","data":[16777217,16777219]"#).unwrap(), [16_777_216.0, 16_777_220.0]);
    assert_eq!(x::<f32>(r#""dtype":"FP32""#, r#""dtype":"UINT64","data":["9223372586610589697"]"#).unwrap(), [9_223_373_136_366_403_584.0]);
    assert_eq!(x::<f64>(r#""dtype":"FP64""#, r#""dtype":"INT64","data":["9007199254740993"]"#).unwrap(), [9_007_199_254_740_992.0]);
    assert_eq!(x::<f32>(r#""dtype":"FP32""#, r#""dtype":"FP64","data":[0.1,"Infinity"]"#).unwrap(), [0.1, f32::INFINITY]);
    assert_eq!(x::<f64>(r#""dtype":"FP64""#, r#""dtype":"FP16","data":[0.5,"-Infinity"]"#).unwrap(), [0.5, f64::NEG_INFINITY]);
    assert_eq!(x::<u16>(r#""dtype":"FP16""#, r#""dtype":"INT64","data":[2049]"#).unwrap(), [0x6800]);
    assert!(x::<f32>(r#""dtype":"FP32""#, r#""dtype":"FP64","data":["NaN"]"#).unwrap()[0].is_nan());
    for (input, column) in [
        (r#""dtype":"INT8""#, r#""dtype":"INT64","data":[128]"#),
        (r#""dtype":"UINT64""#, r#""dtype":"INT64","data":[-1]"#),
        (r#""dtype":"INT64""#, r#""dtype":"UINT64","data":["9223372036854775808"]"#),
        (r#""dtype":"INT64""#, r#""dtype":"FP64","data":[1.0]"#),
        (r#""dtype":"FP32""#, r#""dtype":"FP64","data":[1e39]"#),
        (r#""dtype":"FP16""#, r#""dtype":"INT64","data":[65520]"#),
        (r#""dtype":"FP32""#, r#""dtype":"BOOL","data":[true]"#),
        (r#""dtype":"BOOL""#, r#""dtype":"INT8","data":[1]"#),
        (r#""dtype":"FP32""#, r#""dtype":"UTF8","data":["1"]"#),
        (r#""dtype":"BYTES""#, r#""dtype":"INT8","data":[1]"#),
        (r#""dtype":"INT64""#, r#""dtype":"DATE","data":["2021-05-31"]"#),
        (r#""dtype":"INT32""#, r#""dtype":"DATE","data":["2021-05-31"]"#),
        (r#""dtype":"INT64","moment":true"#, r#""dtype":"UTF8","data":["2021-05-31"]"#),
        (r#""dtype":"BYTES""#, r#""dtype":"TIMESTAMP","data":["1970-01-01T00:00:00Z"]"#),
    ] {
        assert_eq!(code(input, column), "wrong_dtype", "{input} {column}");
    }
}

#[test]
fn the_nearest_fp16_is_found_in_one_step() {
    let value = |bits: u16| f16::from_bits(bits).to_f64();
    // Between any two neighbours, and hardly beside the middle: further than FP32 can tell.
    for bits in (0..0x7bff_u16).step_by(7) {
        let (low, high) = (value(bits), value(bits + 1));
        let middle = f64::midpoint(low, high);
        let even = if bits % 2 == 0 { bits } else { bits + 1 };
        for (number, nearest) in [(middle, even), (middle.next_up(), bits + 1), (middle.next_down(), bits), (low, bits)] {
            assert_eq!(nearest_half(number).to_bits(), nearest, "{number:e}");
            assert_eq!(nearest_half(-number).to_bits(), nearest | 0x8000, "-{number:e}");
        }
    }
    assert_eq!((nearest_half(65519.99).to_bits(), nearest_half(65520.0), nearest_half(1e300)), (0x7bff, f16::INFINITY, f16::INFINITY));
    assert!(nearest_half(f64::NAN).is_nan() && nearest_half(5e-324).to_bits() == 0);
}

#[test]
fn a_mixed_column_becomes_what_a_plain_one_of_the_same_values_does() {
    let number = prop_oneof![any::<i64>(), -300..300_i64, prop::sample::select(vec![i64::MIN, i64::MAX, 1 << 53, (1 << 24) + 1])];
    let numbers = prop_oneof![
        prop::collection::vec(number.prop_map(Scalar::Int64), 0..4),
        prop::collection::vec(any::<f64>().prop_map(Scalar::Fp64), 0..4),
        prop::collection::vec(any::<bool>().prop_map(Scalar::Bool), 0..4),
    ];
    let bytes = |scalar: &Scalar| match scalar {
        Scalar::Int64(value) => value.to_le_bytes().to_vec(),
        Scalar::Fp64(value) => value.to_le_bytes().to_vec(),
        Scalar::Bool(value) => vec![u8::from(*value)],
        _ => panic!("no number"),
    };
    run(&(numbers, prop::sample::select(crate::values::Dtype::ALL.to_vec())), |(scalars, dtype)| {
        let Some(first) = scalars.first() else { return };
        let kind = Kind::Plain(match first {
            Scalar::Int64(_) => crate::values::Dtype::Int64,
            Scalar::Fp64(_) => crate::values::Dtype::Fp64,
            _ => crate::values::Dtype::Bool,
        });
        let fixed = Content::Fixed(Buffer::copy_of(&scalars.iter().flat_map(bytes).collect::<Vec<_>>()));
        let model = description(&format!(r#"{{"name":"x","dtype":"{}"}}"#, dtype.name()), "");
        let rows = scalars.len();
        let found = [(kind, fixed), (Kind::Mixed, Content::Mixed(scalars))].map(|(kind, content)| {
            let column = Column { name: "x".into(), kind, shape: vec![], content, missing: vec![] };
            admit(&model, Typed { rows, columns: vec![column] }, Extra::Refused).map_err(|fault| fault.code)
        });
        assert_eq!(found[0], found[1]);
    });
}

#[test]
fn times_and_days_become_whole_seconds_towards_the_past() {
    let moment = r#""dtype":"INT64","moment":true"#;
    let times = r#""dtype":"TIMESTAMP","unit":"ms","data":["1969-12-31T23:59:59.999Z","1970-01-01T00:00:01.999Z"]"#;
    assert_eq!(x::<i64>(moment, times).unwrap(), [-1, 1]);
    assert_eq!(x::<i64>(moment, r#""dtype":"DATE","data":["1969-12-31"]"#).unwrap(), [-86_400]);
    assert_eq!(x::<i64>(moment, r#""dtype":"INT32","data":[7]"#).unwrap(), [7]);
    assert_eq!(x::<i64>(moment, r#""data":["1970-01-01",7,"1970-01-01T00:00:01.5+00:00"]"#).unwrap(), [0, 7, 1]);
}

#[test]
fn records_of_a_mixed_column_are_converted_each_by_itself() {
    assert_eq!(x::<f32>(r#""dtype":"FP32""#, r#""dtype":"MIXED","data":[1,0.5,{"FP64":"Infinity"}]"#).unwrap(), [1.0, 0.5, f32::INFINITY]);
    assert_eq!(x::<i8>(r#""dtype":"INT8""#, r#""dtype":"MIXED","data":[-128,127]"#).unwrap(), [-128, 127]);
    assert_eq!(x::<u8>(r#""dtype":"BOOL""#, r#""dtype":"MIXED","data":[true,false]"#).unwrap(), [1, 0]);
    for (dtype, value) in [("INT8", "128"), ("INT8", "1.0"), ("INT8", "true"), ("FP32", "\"1\""), ("FP32", "1e39"), ("BYTES", "1")] {
        let column = format!(r#""dtype":"MIXED","data":[{value}]"#);
        assert_eq!(code(&format!(r#""dtype":"{dtype}""#), &column), "wrong_dtype", "{dtype} {value}");
    }
    assert_eq!(code(r#""dtype":"FP32""#, r#""dtype":"MIXED","data":[null]"#), "null_not_allowed");
    let bytes = description(r#"{"name":"x","dtype":"BYTES","nullable":true}"#, "");
    let table = admitted(&bytes, r#"{"name":"x","dtype":"MIXED","data":["a",null]}"#).unwrap();
    assert_eq!((items(&table, 0), table.columns[0].missing.clone()), (vec!["a".into(), String::new()], vec![false, true]));
}

#[test]
fn columns_without_a_dtype_follow_the_rules_of_tensors() {
    assert_eq!(x::<f32>(r#""dtype":"FP32","shape":[2]"#, r#""data":[[1,2.5],[3,4]]"#).unwrap(), [1.0, 2.5, 3.0, 4.0]);
    assert_eq!(x::<f32>(r#""dtype":"FP32","shape":[2]"#, r#""data":[1,2.5]"#).unwrap(), [1.0, 2.5]);
    assert_eq!(x::<i64>(r#""dtype":"INT64","shape":[-1]"#, r#""data":[[1,2,3],[4,5,6]]"#).unwrap(), [1, 2, 3, 4, 5, 6]);
    for (input, column, want) in [
        (r#""dtype":"INT64""#, r#""data":["1"]"#, "wrong_dtype"),
        (r#""dtype":"INT64""#, r#""data":[1.0]"#, "wrong_dtype"),
        (r#""dtype":"FP32""#, r#""data":["NaN"]"#, "wrong_dtype"),
        (r#""dtype":"FP16""#, r#""data":[1]"#, "wrong_dtype"),
        (r#""dtype":"BYTES""#, r#""data":[1]"#, "wrong_dtype"),
        (r#""dtype":"INT64","moment":true"#, r#""data":["yesterday"]"#, "wrong_dtype"),
        (r#""dtype":"FP32""#, r#""data":[1,]"#, "malformed_json"),
        (r#""dtype":"FP32","shape":[2]"#, r#""data":[1,2,3]"#, "wrong_shape"),
        (r#""dtype":"INT64","shape":[-1]"#, r#""data":[1,2,3]"#, "wrong_shape"),
        (r#""dtype":"INT64","shape":[-1]"#, r#""data":[[1],[1,2]]"#, "wrong_shape"),
        (r#""dtype":"INT64","shape":[-1]"#, r#""data":[null]"#, "wrong_shape"),
        (r#""dtype":"FP32","shape":[4194304]"#, r#""data":[null]"#, "body_too_large"),
        (r#""dtype":"FP32""#, r#""data":[[[1]]]"#, "wrong_shape"),
        (r#""dtype":"FP32""#, r#""data":[[1],[2]]"#, "ok"),
        (r#""dtype":"FP32""#, r#""data":[[1,2]]"#, "wrong_shape"),
    ] {
        assert_eq!(code(input, column), want, "{input} {column}");
    }
    let texts = admitted(&description(r#"{"name":"x","dtype":"BYTES"}"#, ""), r#"{"name":"x","data":["AP8=","\u00e9"]}"#).unwrap();
    assert_eq!(items(&texts, 0), ["AP8=", "\u{e9}"]);
}

#[test]
fn columns_come_in_the_order_of_the_signature_and_each_wrong_one_is_named() {
    let two = description(r#"{"name":"a","dtype":"INT8"},{"name":"b","dtype":"BYTES"}"#, "");
    let (a, b) = (r#"{"name":"a","data":[1]}"#, r#"{"name":"b","dtype":"UTF8","data":["x"]}"#);
    let table = admitted(&two, &format!("{b},{a}")).unwrap();
    assert_eq!((table.rows, items(&table, 1)), (1, vec!["x".to_owned()]));
    let extra = format!(r#"{a},{{"name":"c","data":[1]}},{b}"#);
    let fault = |columns: &str| admitted(&two, columns).unwrap_err();
    assert_eq!((fault(a).code, fault(a).message.contains("\"b\"")), (Code::MissingColumn, true));
    assert_eq!((fault(&extra).code, fault(&extra).message.contains("\"c\"")), (Code::UnexpectedColumn, true));
    assert_eq!(admit(&two, read(format!(r#"{{"columns":[{extra}]}}"#).as_bytes()).unwrap(), Extra::Dropped).unwrap(), table);
    assert_eq!(fault(&format!(r#"{a},{{"name":"b","dtype":"UTF8","shape":[2],"data":["x","y"]}}"#)).code, Code::WrongShape);
    assert_eq!(fault(&format!(r#"{a},{{"name":"b","data":["x","y"]}}"#)).code, Code::WrongShape);
    let many: Vec<String> = (0..40).map(|place| format!(r#"{{"name":"c{place}","dtype":"INT8"}}"#)).collect();
    let sent: Vec<String> = (0..40).rev().map(|place| format!(r#"{{"name":"c{place}","data":[{place}]}}"#)).collect();
    let table = admitted(&description(&many.join(","), ""), &sent.join(",")).unwrap();
    for (place, column) in table.columns.iter().enumerate() {
        assert_eq!(column.payload, Payload::Fixed(Buffer::copy_of(&[u8::try_from(place).unwrap()])));
    }
}

#[test]
fn named_features_pack_into_one_column_whatever_their_dtypes() {
    let packed = |missing: &str| {
        let binding = format!(r#"{{"column":"X","tensor":"X","rank":2,{missing}"features":["a","b"]}}"#);
        description(r#"{"name":"X","dtype":"FP32","shape":[2]},{"name":"t","dtype":"BYTES"}"#, &binding)
    };
    let (a, b, t) =
        (r#"{"name":"a","dtype":"INT8","data":[1,3]}"#, r#"{"name":"b","data":[2.5,null]}"#, r#"{"name":"t","data":["x","y"]}"#);
    let table = admitted(&packed(r#""missing":"NaN","#), &format!("{b},{t},{a}")).unwrap();
    let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
    let values: &[f32] = bytemuck::cast_slice(buffer.bytes());
    assert_eq!((&values[..3], values[3].is_nan(), table.columns[0].shape.clone()), (&[1.0, 2.5, 3.0][..], true, vec![2]));
    let strict = packed("");
    let fault = |columns: &str| admitted(&strict, columns).unwrap_err();
    let nulls = fault(&format!("{a},{b},{t}"));
    assert_eq!((nulls.code, nulls.message.contains("\"b\"")), (Code::NullNotAllowed, true));
    assert_eq!((fault(&format!("{a},{t}")).code, fault(&format!("{a},{t}")).message.contains("\"b\"")), (Code::MissingColumn, true));
    assert_eq!(fault(t).code, Code::MissingColumn);
    let others: Vec<String> = (0..20).map(|place| format!(r#"{{"name":"c{place}","data":[1,2]}}"#)).collect();
    let many = admit(
        &strict,
        read(format!(r#"{{"columns":[{},{t},{a},{}]}}"#, others.join(","), b.replace("null", "4")).as_bytes()).unwrap(),
        Extra::Dropped,
    );
    assert_eq!(many.unwrap().columns[0].shape, [2]);
    let whole = r#"{"name":"X","data":[[1,2],[3,4]]}"#;
    assert!(admitted(&strict, &format!("{whole},{t}")).is_ok());
    assert_eq!(fault(&format!("{whole},{t},{a}")).code, Code::UnexpectedColumn);
    assert_eq!(fault(&format!(r#"{a},{{"name":"b","dtype":"FP32","shape":[2],"data":[[1,2],[3,4]]}},{t}"#)).code, Code::WrongShape);
}

#[test]
fn missing_records_become_what_the_package_says_are_kept_or_refused() {
    let replaced = description(r#"{"name":"x","dtype":"FP64","shape":[2]}"#, r#"{"column":"x","tensor":"x","rank":2,"missing":-1}"#);
    for column in [r#""dtype":"FP32","shape":[2],"data":[[1,null],null]"#, r#""data":[[1,null],null]"#] {
        let table = admitted(&replaced, &format!(r#"{{"name":"x",{column}}}"#)).unwrap();
        let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
        assert_eq!(bytemuck::cast_slice::<u8, f64>(buffer.bytes()), [1.0, -1.0, -1.0, -1.0]);
        assert!(table.columns[0].missing.is_empty());
    }
    let kept = description(r#"{"name":"x","dtype":"FP32","shape":[2],"nullable":true}"#, "");
    let whole = admitted(&kept, r#"{"name":"x","dtype":"FP32","shape":[2],"data":[[1,2],null]}"#).unwrap();
    assert_eq!(whole.columns[0].missing, [false, true]);
    assert_eq!(admitted(&kept, r#"{"name":"x","data":[[1,null],null]}"#).unwrap_err().code, Code::NullNotAllowed);
    assert_eq!(code(r#""dtype":"FP32""#, r#""dtype":"INT8","data":[1,null]"#), "null_not_allowed");
    let open = description(r#"{"name":"x","dtype":"FP32","shape":[-1],"nullable":true}"#, "");
    let empty = admitted(&open, r#"{"name":"x","dtype":"FP32","shape":[0],"data":[[],null,[]]}"#).unwrap();
    assert_eq!((empty.rows, empty.columns[0].missing.clone()), (3, vec![false, true, false]));
}

#[test]
fn a_column_of_nulls_has_the_dtype_of_the_signature() {
    let nulls = |rows| {
        let column =
            Column { name: "x".into(), kind: Kind::Untyped, shape: vec![], content: Content::Text(bytes::Bytes::new()), missing: vec![] };
        Typed { rows, columns: vec![column] }
    };
    let kept = description(r#"{"name":"x","dtype":"FP32","shape":[2],"nullable":true}"#, "");
    let table = admit(&kept, nulls(2), Extra::Refused).unwrap();
    assert_eq!((table.size_bytes(), table.columns[0].missing.clone()), (16, vec![true, true]));
    assert!(nulls(2).columns[0].is_missing(1));
    let wide = description(r#"{"name":"x","dtype":"FP32","shape":[1048576],"nullable":true}"#, "");
    assert_eq!(admit(&wide, nulls(3), Extra::Refused).unwrap_err().code, Code::BodyTooLarge);
    assert_eq!(admit(&description(r#"{"name":"x","dtype":"INT8"}"#, ""), nulls(1), Extra::Refused).unwrap_err().code, Code::NullNotAllowed);
}

#[test]
fn onnx_takes_texts_and_nothing_else() {
    let mut onnx = description(r#"{"name":"x","dtype":"BYTES"}"#, "");
    let columns = [r#"{"name":"x","dtype":"BYTES","data":["/w=="]}"#, r#"{"name":"x","dtype":"UTF8","data":["a\u0000"]}"#];
    assert!(columns.iter().all(|column| admitted(&onnx, column).is_ok()));
    onnx.runtime = "onnx".into();
    assert!(columns.iter().all(|column| admitted(&onnx, column).unwrap_err().code == Code::WrongDtype));
}

#[test]
fn tables_of_no_rows_and_models_of_no_columns_are_taken() {
    let one = description(r#"{"name":"x","dtype":"FP32","shape":[2]}"#, "");
    for column in [r#"{"name":"x","data":[]}"#, r#"{"name":"x","dtype":"FP32","shape":[2],"data":[]}"#] {
        assert_eq!(admitted(&one, column).unwrap().rows, 0);
    }
    assert_eq!(admit(&description("", ""), read(br#"{"columns":[],"rows":3}"#).unwrap(), Extra::Refused).unwrap().rows, 3);
}

#[test]
fn a_dimension_that_no_list_decides_is_0() {
    let open = description(r#"{"name":"x","dtype":"FP32","shape":[-1,-1]}"#, "");
    for data in ["[[]]", "[[],[]]", "[[[]],[[]]]"] {
        let table = admitted(&open, &format!(r#"{{"name":"x","data":{data}}}"#)).unwrap();
        assert_eq!((table.columns[0].shape[1], table.columns[0].per_row()), (0, 0), "{data}");
    }
}

#[test]
fn rows_that_a_table_states_are_held_against_its_columns() {
    let scalar = description(r#"{"name":"x","dtype":"INT8"}"#, "");
    let told = |description: &Description, text: &str| read(text.as_bytes()).and_then(|table| admit(description, table, Extra::Refused));
    assert_eq!(told(&scalar, r#"{"rows":1,"columns":[{"name":"x","data":[1,2,3]}]}"#).unwrap_err().code, Code::WrongShape);
    assert_eq!(told(&scalar, r#"{"rows":3,"columns":[{"name":"x","data":[1,2,3]}]}"#).unwrap().rows, 3);
    let tensor = description(r#"{"name":"x","dtype":"INT8","shape":[3]},{"name":"y","dtype":"INT8"}"#, "");
    assert_eq!(told(&tensor, r#"{"columns":[{"name":"x","data":[1,2,3]},{"name":"y","data":[1]}]}"#).unwrap().rows, 1);
    assert_eq!(told(&tensor, r#"{"rows":1,"columns":[{"name":"x","data":[1,2,3]},{"name":"y","data":[1]}]}"#).unwrap().rows, 1);
    assert_eq!(told(&tensor, r#"{"columns":[{"name":"x","data":[1,2,3]},{"name":"y","data":[1,2]}]}"#).unwrap_err().code, Code::WrongShape);
}

#[test]
fn an_answer_is_a_table_of_the_outputs_that_are_wanted() {
    let description = description(r#"{"name":"a","dtype":"FP32","shape":[2]},{"name":"b","dtype":"BYTES"}"#, "");
    let numbers = Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(&[0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0])));
    let bytes = Payload::Bytes(vec![b"\xff".to_vec(), b"x".to_vec(), b"y".to_vec()]);
    let a = Values { shape: vec![2], payload: numbers, missing: vec![false, true, false] };
    let table = Arc::new(Table { rows: 3, columns: vec![a, Values { shape: vec![], payload: bytes, missing: vec![] }] });
    let told = |start, rows, indices: &[usize]| {
        let mut out = Vec::new();
        write(&mut out, answered(&description, Answer::new(Arc::clone(&table), start, rows), indices).all());
        String::from_utf8(out).unwrap()
    };
    let (a, b) = (r#"{"name":"a","dtype":"FP32","shape":[2],"data":[null,[4.0,5.0]]}"#, r#"{"name":"b","dtype":"UTF8","data":["x","y"]}"#);
    assert_eq!(told(1, 2, &[1, 0]), format!(r#"{{"rows":2,"columns":[{b},{a}]}}"#));
    assert_eq!(told(0, 1, &[1]), r#"{"rows":1,"columns":[{"name":"b","dtype":"BYTES","data":["/w=="]}]}"#);
    assert_eq!(told(0, 0, &[]), r#"{"rows":0,"columns":[]}"#);
    let Payload::Bytes(list) = &table.columns[1].payload else { panic!("bytes") };
    let text = list[1].as_ptr();
    let handed_on = answered(&description, Answer::new(table, 0, 3), &[1]);
    let Content::Items(items) = &handed_on.columns[0].content else { panic!("items") };
    assert_eq!(items[1].as_ptr(), text);
}

#[test]
fn no_table_panics_a_model() {
    let dtypes = prop::sample::select(crate::values::Dtype::ALL.to_vec());
    let column = (dtypes, prop::sample::select(vec!["", "2,2", "3", "-1", "0"]), any::<bool>(), any::<bool>());
    run(&(typed(), prop::collection::vec(column, 5)), |(table, columns)| {
        let inputs: Vec<String> = (table.columns.iter().zip(&columns))
            .map(|(column, (dtype, shape, nullable, _))| {
                let name = serde_json::to_string(column.name.as_str()).unwrap();
                format!(r#"{{"name":{name},"dtype":"{}","shape":[{shape}],"nullable":{nullable}}}"#, dtype.name())
            })
            .collect();
        let bindings: Vec<String> = (table.columns.iter().zip(&columns))
            .filter(|(_, (.., replaced))| *replaced)
            .map(|(column, _)| {
                format!(r#"{{"column":{},"tensor":"x","rank":1,"missing":0}}"#, serde_json::to_string(column.name.as_str()).unwrap())
            })
            .collect();
        let description = description(&inputs.join(","), &bindings.join(","));
        let rows = table.rows;
        if let Ok(admitted) = admit(&description, table.clone(), Extra::Refused) {
            assert_eq!(admitted.rows, rows);
            let indices: Vec<usize> = (0..admitted.columns.len()).collect();
            let answer = answered(&description, Answer::new(Arc::new(admitted), 0, rows), &indices);
            assert_eq!(answer.take_rows(&(0..rows).collect::<Vec<_>>()), answer);
        }
        assert!(table.columns.iter().all(|column| column.kind != Kind::Untyped || matches!(column.content, Content::Text(_))));
    });
}
