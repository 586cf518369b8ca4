use proptest::strategy::Strategy;

use super::*;
use crate::fuzz::rules::run;
use crate::tables::samples::{assert_same, typed, with_span};
use crate::tables::{COLUMNS_LIMIT, Column, Content, Kind, Scalar, Unit};
use crate::values::Dtype;

fn table(text: &str) -> Typed {
    read(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

fn code(text: &str) -> &'static str {
    read(text.as_bytes()).map_or_else(|fault| fault.code.name(), |_| "ok")
}

/// The code for one column with these fields.
fn column(fields: &str) -> &'static str {
    code(&format!(r#"{{"columns":[{{"name":"x",{fields}}}]}}"#))
}

fn written(table: &Typed) -> String {
    let mut out = Vec::new();
    write(&mut out, table.all());
    String::from_utf8(out).unwrap()
}

fn numbers<T: bytemuck::Pod>(table: &Typed) -> Vec<T> {
    let Content::Fixed(buffer) = &table.columns[0].content else { panic!("fixed") };
    bytemuck::cast_slice(buffer.bytes()).to_vec()
}

#[test]
fn what_is_written_is_read_back_and_written_the_same() {
    run(&typed(), |original| {
        let text = written(&original);
        let found = table(&text);
        assert_eq!(found.rows, original.rows, "{text}");
        // A NaN has many bit patterns, and text one.
        assert_eq!(written(&found), text);
        assert_same(&found, &original);
    });
}

#[test]
fn short_numbers_are_the_nearest_single() {
    for decimals in 0..7 {
        let written = |number: u32| format!("{:.decimals$}", f64::from(number) / 10_f64.powi(i32::try_from(decimals).unwrap()));
        let texts: Vec<_> = (0..10_000_000).step_by(487).map(written).collect();
        let found = table(&format!(r#"{{"columns":[{{"name":"a","dtype":"FP32","data":[{}]}}]}}"#, texts.join(",")));
        let wanted: Vec<f32> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(numbers::<f32>(&found), wanted);
    }
}

#[test]
fn records_are_written_as_a_table_of_them_is() {
    run(&with_span(), |(table, span)| {
        let alone = table.take_rows(&(span.start..span.start + span.rows).collect::<Vec<_>>());
        let mut out = Vec::new();
        write(&mut out, (&table, span));
        assert_eq!(String::from_utf8(out).unwrap(), written(&alone));
    });
}

#[test]
fn the_written_form_is_that_of_the_protocol() {
    for text in [
        r#"{"rows":3,"columns":[]}"#,
        r#"{"rows":2,"columns":[{"name":"a","dtype":"BOOL","data":[true,null]}]}"#,
        r#"{"rows":2,"columns":[{"name":"a","dtype":"INT64","data":[9007199254740991,"9007199254740992"]}]}"#,
        r#"{"rows":2,"columns":[{"name":"a","dtype":"UINT64","data":["18446744073709551615",0]}]}"#,
        r#"{"rows":4,"columns":[{"name":"a","dtype":"FP64","data":[0.1,"NaN","Infinity","-Infinity"]}]}"#,
        r#"{"rows":2,"columns":[{"name":"a","dtype":"FP16","data":[0.099975586,65504.0]}]}"#,
        r#"{"rows":2,"columns":[{"name":"a","dtype":"FP32","shape":[2,1],"data":[[[0.1],[2.5]],null]}]}"#,
        r#"{"rows":1,"columns":[{"name":"a","dtype":"BYTES","data":["AP8="]}]}"#,
        r#"{"rows":1,"columns":[{"name":"a","dtype":"DATE","data":["1969-12-31"]}]}"#,
        r#"{"rows":1,"columns":[{"name":"a","dtype":"TIMESTAMP","unit":"ms","zone":"Europe/Berlin","data":["2021-05-31T10:20:30.500Z"]}]}"#,
        r#"{"rows":6,"columns":[{"name":"a","dtype":"MIXED","data":[1,0.5,"x",true,null,{"FP64":1.0}]}]}"#,
        r#"{"rows":2,"columns":[{"name":"a","dtype":"MIXED","data":[{"INT64":"9007199254740992"},{"FP64":"NaN"}]}]}"#,
    ] {
        assert_eq!(written(&table(text)), text);
    }
}

#[test]
fn defaults_and_the_order_of_fields_do_not_matter() {
    let usual = table(r#"{"columns":[{"name":"t","dtype":"TIMESTAMP","data":["1970-01-01T00:00:01Z"]}],"rows":1}"#);
    assert_eq!(usual.columns[0].kind, Kind::Timestamp(Unit::Microsecond, "UTC".into()));
    assert_eq!(numbers::<i64>(&usual), [1_000_000]);
    let text = r#"{"columns":[{"data":["1970-01-01T00:00:01Z"],"zone":"UTC","name":"t","dtype":"TIMESTAMP","unit":"us","shape":[]}]}"#;
    assert_eq!(table(text), usual);
    let late = r#"{"columns":[{"name":"x","dtype":"INT8","data":[1,2,null,null],"shape":[2]}]}"#;
    assert_eq!((table(late).rows, table(late).columns[0].missing.clone()), (2, vec![false, true]));
}

#[test]
fn tensors_are_nested_or_flat_and_missing_whole_or_in_part() {
    for (data, rows, missing) in [
        ("[[1,2],[3,4]]", 2, vec![]),
        ("[1,2,3,4]", 2, vec![]),
        ("[null,[3,4]]", 2, vec![true, false]),
        ("[[3,4],null]", 2, vec![false, true]),
        ("[null,null,3,4]", 2, vec![true, false]),
        ("[null,2,3,4]", 2, vec![true, false, false, false]),
        ("[[null,2],[3,4]]", 2, vec![true, false, false, false]),
        ("[null,null]", 2, vec![true, true]),
        ("[]", 0, vec![]),
    ] {
        let found = table(&format!(r#"{{"columns":[{{"name":"x","dtype":"FP32","shape":[2],"data":{data}}}]}}"#));
        assert_eq!((found.rows, found.columns[0].missing.clone()), (rows, missing), "{data}");
    }
    let one = table(r#"{"rows":1,"columns":[{"name":"x","dtype":"FP32","shape":[2],"data":[null,null]}]}"#);
    assert_eq!((one.rows, one.columns[0].missing.clone(), one.columns[0].is_missing(0)), (1, vec![true], true));
}

/// Values that are none of their dtype.
const NO_VALUES: [(&str, &str); 37] = [
    ("INT64", "9223372036854775808"),
    ("INT64", "-9223372036854775809"),
    ("INT64", "\"9223372036854775808\""),
    ("INT64", "1.0"),
    ("INT64", "1e3"),
    ("INT64", "\"1.0\""),
    ("INT64", "\"+1\""),
    ("INT64", "\"01\""),
    ("INT64", "\" 1\""),
    ("INT64", "\"\""),
    ("INT64", "true"),
    ("INT64", "{}"),
    ("UINT64", "18446744073709551616"),
    ("UINT64", "-1"),
    ("INT8", "128"),
    ("UINT8", "-1"),
    ("BOOL", "1"),
    ("BOOL", "\"true\""),
    ("FP32", "1e39"),
    ("FP32", "\"nan\""),
    ("FP16", "65520"),
    ("FP64", "1e999"),
    ("FP64", "\"1.5\""),
    ("UTF8", "1"),
    ("BYTES", "\"AP8\""),
    ("BYTES", "\"A P8=\""),
    ("DATE", "\"2021-02-29\""),
    ("DATE", "0"),
    ("TIMESTAMP", "0"),
    ("TIMESTAMP", "\"yesterday\""),
    ("MIXED", "9223372036854775808"),
    ("MIXED", "-9223372036854775809"),
    ("MIXED", "1e999"),
    ("MIXED", "{}"),
    ("MIXED", "{\"INT8\":1}"),
    ("MIXED", "{\"INT64\":1,\"FP64\":1}"),
    ("STRING", "\"x\""),
];

#[test]
fn integers_are_exact_at_the_edges_and_never_floats() {
    let text = r#"{"columns":[{"name":"x","dtype":"INT64","data":[9223372036854775807,-9223372036854775808,"-9223372036854775808",-0]}]}"#;
    assert_eq!(numbers::<i64>(&table(text)), [i64::MAX, i64::MIN, i64::MIN, 0]);
    let text = r#"{"columns":[{"name":"x","dtype":"UINT64","data":[18446744073709551615,"18446744073709551615"]}]}"#;
    assert_eq!(numbers::<u64>(&table(text)), [u64::MAX, u64::MAX]);
    for (dtype, value) in NO_VALUES {
        assert_eq!(column(&format!(r#""dtype":"{dtype}","data":[{value}]"#)), "wrong_dtype", "{dtype} {value}");
    }
}

#[test]
fn texts_with_half_a_surrogate_pair_are_refused_and_pairs_are_read() {
    for text in [r#""\ud800""#, r#""\ud800x""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800\u0041""#] {
        for dtype in ["UTF8", "MIXED"] {
            assert_eq!(column(&format!(r#""dtype":"{dtype}","data":[{text}]"#)), "wrong_dtype", "{text}");
        }
    }
    let found = table(r#"{"columns":[{"name":"x","dtype":"MIXED","data":["\ud83d\udc1f\u00e9\n","\u0000"]}]}"#);
    let Content::Mixed(list) = &found.columns[0].content else { panic!("mixed") };
    assert_eq!(list[..], [Scalar::Utf8("\u{1F41F}\u{e9}\n".into()), Scalar::Utf8("\0".into())]);
    assert_eq!(read(b"{\"columns\":[{\"name\":\"x\",\"dtype\":\"UTF8\",\"data\":[\"\xff\"]}]}").unwrap_err().code, Code::MalformedJson);
}

#[test]
fn a_time_without_a_zone_is_no_moment() {
    assert_eq!(column(r#""dtype":"TIMESTAMP","data":["2021-05-31T10:20:30"]"#), "time_without_zone");
    assert_eq!(column(r#""dtype":"TIMESTAMP","zone":"","data":[]"#), "time_without_zone");
    assert_eq!(column(&format!(r#""dtype":"TIMESTAMP","zone":"{}","data":[]"#, "Z".repeat(65))), "invalid_request");
}

/// Fields of a column beside its name, and the code of the refusal.
const NO_COLUMNS: [(&str, &str); 34] = [
    (r#""dtype":"INT8""#, "invalid_request"),
    (r#""dtype":"INT8","data":[1],"data":[1]"#, "invalid_request"),
    (r#""dtype":"INT8","data":[1],"name":"y""#, "invalid_request"),
    (r#""dtype":"INT8","data":[1],"extra":1"#, "invalid_request"),
    (r#""dtype":"INT8","unit":"s","data":[1]"#, "invalid_request"),
    (r#""dtype":"TIMESTAMP","unit":"h","data":[]"#, "invalid_request"),
    (r#""unit":"s","data":[1]"#, "invalid_request"),
    (r#""dtype":null,"data":[1]"#, "invalid_request"),
    (r#""dtype":"INT8","shape":[-1],"data":[1]"#, "invalid_request"),
    (r#""data":1"#, "wrong_shape"),
    (r#""data":null"#, "wrong_shape"),
    (r#""dtype":"INT8","data":1"#, "wrong_shape"),
    (r#""dtype":"INT8","data":[[1],[2]]"#, "wrong_shape"),
    (r#""dtype":"INT8","data":[[1,2]]"#, "wrong_shape"),
    (r#""dtype":"INT8","data":[[1],2]"#, "wrong_shape"),
    (r#""dtype":"INT8","shape":[2],"data":[1,2,3]"#, "wrong_shape"),
    (r#""dtype":"INT8","shape":[2],"data":[[1,2],[3]]"#, "wrong_shape"),
    (r#""dtype":"INT8","shape":[2],"data":[[1,2],3]"#, "wrong_shape"),
    (r#""dtype":"INT8","shape":[2],"data":[1,[2,3]]"#, "wrong_shape"),
    (r#""dtype":"INT8","shape":[2,1],"data":[[null,[1]]]"#, "wrong_shape"),
    (r#""dtype":"MIXED","shape":[2],"data":[]"#, "wrong_shape"),
    (r#""dtype":"INT8","shape":[1,1,1,1,1,1,1,1,1],"data":[]"#, "wrong_shape"),
    (r#""dtype":"INT8","shape":[4294967296,4294967296],"data":[]"#, "wrong_shape"),
    (r#""dtype":"INT8","shape":[0,9007199254740993],"data":[]"#, "wrong_shape"),
    (r#""dtype":"FP32","shape":[2097153],"data":[null]"#, "body_too_large"),
    (r#""dtype":"FP32","data":[NaN]"#, "malformed_json"),
    (r#""dtype":"FP32","data":[1,]"#, "malformed_json"),
    (r#""dtype":"FP32","data":[1 2]"#, "malformed_json"),
    (r#""dtype":"FP32","data":[01]"#, "malformed_json"),
    (r#""dtype":"FP32","data":[1.]"#, "malformed_json"),
    (r#""dtype":"FP32","data":[1"#, "malformed_json"),
    (r#""data":[1"#, "malformed_json"),
    (r#""data":["1"#, "malformed_json"),
    (r#""dtype":"UTF8","data":["\x"]"#, "malformed_json"),
];

#[test]
fn what_is_no_table_is_refused_by_name() {
    for (fields, want) in NO_COLUMNS {
        assert_eq!(column(fields), want, "{fields}");
    }
    for (text, want) in [
        ("", "malformed_json"),
        ("[]", "invalid_request"),
        ("null", "invalid_request"),
        ("{}", "invalid_request"),
        (r#"{"columns":[]}"#, "invalid_request"),
        (r#"{"columns":[],"rows":1.5}"#, "invalid_request"),
        (r#"{"columns":{}}"#, "invalid_request"),
        (r#"{"columns":[1]}"#, "invalid_request"),
        (r#"{"columns":[{}]}"#, "invalid_request"),
        (r#"{"columns":[],"rows":1,"rows":1}"#, "invalid_request"),
        (r#"{"columns":[],"rows":1,"x":1}"#, "invalid_request"),
        (r#"{"columns":[],"rows":1} x"#, "malformed_json"),
        (r#"{"columns":[],"rows":1000001}"#, "too_many_rows"),
        (r#"{"columns":[{"name":"a","dtype":"INT8","data":[1]},{"name":"b","dtype":"INT8","data":[]}]}"#, "wrong_shape"),
        (r#"{"columns":[{"name":"a","dtype":"INT8","data":[1]}],"rows":2}"#, "wrong_shape"),
        (r#"{"columns":[{"name":"a","data":[1]}],"rows":2}"#, "wrong_shape"),
        (r#"{"columns":[{"name":"a","data":[1]},{"name":"a","data":[1]}]}"#, "duplicate_column"),
    ] {
        assert_eq!(code(text), want, "{text}");
    }
}

#[test]
fn fields_of_a_column_come_in_any_order() {
    let (dtype, shape) = (r#""dtype":"FP32""#, r#""shape":[2]"#);
    for data in [r#""data":[[1,2],[3,4]]"#, r#""data":[1,2,3,4]"#] {
        for fields in [[dtype, data, shape], [data, dtype, shape], [shape, data, dtype], [shape, dtype, data]] {
            let found = table(&format!(r#"{{"columns":[{{{},"name":"x"}}]}}"#, fields.join(",")));
            let also = table(&format!(r#"{{"columns":[{{"name":"x",{}}}]}}"#, fields.join(",")));
            assert_eq!((numbers::<f32>(&found), found.rows, &found), (vec![1.0, 2.0, 3.0, 4.0], 2, &also));
        }
    }
    // What is read again takes its nulls once: 5.6 MB of 8 MiB.
    let times = [r#""1970-01-01T00:00:00Z""#; 1000].join(",");
    let data = format!(r#""dtype":"TIMESTAMP","shape":[1000],"data":[[{times}],{}]"#, ["null"; 700].join(","));
    assert_eq!(column(&format!(r#"{data},"unit":"s""#)), "ok");
}

#[test]
fn many_columns_of_nothing_are_refused_before_they_take_memory() {
    let columns = |count: usize| format!(r#"{{"columns":[{}]}}"#, vec![r#"{"name":"","data":[]}"#; count].join(","));
    assert_eq!(code(&columns(COLUMNS_LIMIT + 1)), "body_too_large");
    assert_eq!(code(&columns(COLUMNS_LIMIT)), "duplicate_column");
    let named = table(r#"{"columns":[{"name":"abcd","data":[]}]}"#);
    assert_eq!(named.size_bytes(), size_of::<Column>() + "abcd[]".len());
}

#[test]
fn flat_values_without_a_dtype_are_records_unless_the_table_says_how_many() {
    let values = vec!["1"; 1_001_000].join(",");
    let fault = read(format!(r#"{{"columns":[{{"name":"x","data":[{values}]}}]}}"#).as_bytes()).unwrap_err();
    assert_eq!((fault.code, fault.hint.as_ref().is_some_and(|hint| hint.contains("\"rows\""))), (Code::TooManyRows, true));
    assert_eq!(table(&format!(r#"{{"rows":1001,"columns":[{{"name":"x","data":[{values}]}}]}}"#)).rows, 1001);
}

#[test]
fn depth_is_refused_on_a_small_stack() {
    let deep = |fields: &str| format!(r#"{{"columns":[{{"name":"x",{fields}"data":{}"#, "[".repeat(200_000));
    let texts = [deep(""), deep(r#""dtype":"INT8","shape":[1,1,1,1],"#), deep(r#""dtype":"MIXED","#)];
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let codes = thread.spawn(move || texts.map(|text| code(&text))).unwrap().join().unwrap();
    assert_eq!(codes, ["malformed_json", "wrong_shape", "malformed_json"]);
}

#[test]
fn columns_without_a_dtype_stay_text_until_they_are_read() {
    let found = table(r#"{"columns":[{"name":"a","data":[ 1, "x" ,null,[2,{"y":"],["}]]},{"name":"b","dtype":"INT8","data":[1,2,3,4]}]}"#);
    assert_eq!(found.columns[0].content, Content::Text(r#"[ 1, "x" ,null,[2,{"y":"],["}]]"#.into()));
    let taken = found.take_rows(&[3, 1, 1]);
    assert_eq!(taken.columns[0].content, Content::Text(r#"[[2,{"y":"],["}], "x" , "x" ]"#.into()));
    assert_eq!((taken.rows, numbers::<i8>(&Typed { rows: 3, columns: taken.columns[1..].to_vec() })), (3, vec![4, 2, 2]));
    let mixed = table(r#"{"columns":[{"name":"a","data":[1,"x",null,2.5]}]}"#).into_mixed().unwrap();
    let Content::Mixed(list) = &mixed.columns[0].content else { panic!("mixed") };
    assert_eq!(list[..], [Scalar::Int64(1), Scalar::Utf8("x".into()), Scalar::Missing, Scalar::Fp64(2.5)]);
    let flat = table(r#"{"columns":[{"name":"a","data":[1,2,3]},{"name":"b","data":[1]}]}"#);
    assert_eq!(flat.into_mixed().unwrap_err().code, Code::WrongShape);
    assert_eq!(table(r#"{"columns":[{"name":"a","data":[[1,2]]}]}"#).into_mixed().unwrap_err().code, Code::WrongDtype);
}

#[test]
fn rows_that_are_taken_keep_values_and_flags() {
    run(&(typed(), proptest::collection::vec(proptest::prelude::any::<proptest::sample::Index>(), 0..4)), |(original, places)| {
        let rows: Vec<usize> = if original.rows == 0 { vec![] } else { places.iter().map(|place| place.index(original.rows)).collect() };
        let taken = original.take_rows(&rows);
        assert_eq!(taken.rows, rows.len());
        for (index, row) in rows.iter().enumerate() {
            assert_same(&taken.take_rows(&[index]), &original.take_rows(&[*row]));
        }
        let all: Vec<usize> = (0..original.rows).collect();
        assert_same(&original.take_rows(&all), &original);
        let mut shared = original.clone();
        shared.share();
        assert_eq!(shared.size_bytes(), original.size_bytes());
    });
}

#[test]
fn a_shared_table_lends_its_values() {
    let mut shared = table(r#"{"columns":[{"name":"a","dtype":"FP32","data":[1,2,3]}]}"#);
    shared.share();
    let place =
        |table: &Typed| if let Content::Fixed(buffer) = &table.columns[0].content { buffer.bytes().as_ptr() } else { panic!("fixed") };
    assert_eq!(place(&shared.clone()), place(&shared));
    assert_eq!((numbers::<f32>(&shared), shared.columns[0].kind.clone()), (vec![1.0, 2.0, 3.0], Kind::Plain(Dtype::Fp32)));
}

#[test]
fn each_number_of_a_list_is_what_another_parser_makes_of_it_and_a_null_is_missing() {
    let number = proptest::prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,5})([.][0-9]{1,4})?",
        1 => "-?(0|[1-9][0-9]{0,15})([.][0-9]{1,12})?([eE][+-]?[0-9])?",
        1 => proptest::strategy::Just("null".to_owned()),
    ];
    let between = || proptest::prop_oneof![3 => proptest::strategy::Just(","), 2 => proptest::strategy::Just(", "), 1 => proptest::strategy::Just(" ,  ")];
    let other = (number, between()).prop_map(|one| vec![one]);
    let parts = proptest::collection::vec(("0|[1-9][0-9]{0,2}", 0_usize..1000), 4..20);
    let alike = (parts, 0_usize..4, between()).prop_map(|(parts, decimals, between)| {
        let point = if decimals == 0 { "" } else { "." };
        let behind = |number: usize| format!("{number:03}")[..decimals].to_owned();
        parts.into_iter().map(|(whole, number)| (whole + point + &behind(number), between)).collect::<Vec<_>>()
    });
    run(&proptest::collection::vec(proptest::prop_oneof![3 => other, 2 => alike], 1..12), |lists| {
        let list = lists.concat();
        let text: String = list.iter().flat_map(|(number, between)| [number.as_str(), *between]).collect();
        let data = text.trim_end_matches([',', ' ']);
        let wanted: Vec<Option<f64>> = serde_json::from_str(&format!("[{data}]")).unwrap();
        let read_as = |dtype: &str, shape: &str, data: &str| {
            table(&format!(r#"{{"columns":[{{"name":"x","dtype":"{dtype}","shape":{shape},"data":{data}}}]}}"#))
        };
        let (flat, tensor) = (format!("[{data}]"), format!("[{}]", list.len()));
        for (shape, data) in [("[]", flat.clone()), (&tensor, flat.clone()), (&tensor, format!("[{flat}]"))] {
            if wanted.iter().all(Option::is_none) && shape != "[]" && data == flat {
                continue;
            }
            let (wide, narrow) = (read_as("FP64", shape, &data), read_as("FP32", shape, &data));
            let bits = |number: &f64| number.to_bits();
            assert!(numbers::<f64>(&wide).iter().map(bits).eq(wanted.iter().map(|number| bits(&number.unwrap_or(0.0)))), "{data}");
            #[expect(clippy::cast_possible_truncation, reason = "to the nearest, as is asked for")]
            let nearest = wanted.iter().map(|number| (number.unwrap_or(0.0) as f32).to_bits());
            assert!(numbers::<f32>(&narrow).iter().map(|number| number.to_bits()).eq(nearest), "{data}");
            let flags = |column: &Column| (0..list.len()).map(|at| column.missing.get(at).copied().unwrap_or(false)).collect::<Vec<_>>();
            if shape == "[]" {
                assert_eq!(flags(&wide.columns[0]), wanted.iter().map(Option::is_none).collect::<Vec<_>>(), "{data}");
            }
        }
    });
}

#[test]
fn every_number_is_what_another_parser_makes_of_it() {
    let number = proptest::prop_oneof![
        "-?[0-9]{1,20}",
        "-?[0-9]{0,12}[.]?[0-9]{0,24}",
        "-?[0-9]{1,3}[.][0-9]{1,3}[eE][+-]?[0-9]{0,3}",
        "[-+.eE0-9]{1,9}"
    ];
    run(&number, |text| {
        let body = format!(r#"{{"columns":[{{"name":"x","dtype":"FP64","data":[{text}]}},{{"name":"y","dtype":"INT64","data":[7]}}]}}"#);
        match serde_json::from_str::<f64>(&text) {
            Ok(number) => assert_eq!(numbers::<f64>(&table(&body))[0].to_bits(), number.to_bits(), "{text}"),
            Err(_) => assert!(read(body.as_bytes()).is_err(), "{text}"),
        }
        let integer = read(body.replace("FP64", "INT64").as_bytes()).ok().map(|table| numbers::<i64>(&table)[0]);
        // That parser takes zero below zero for a float.
        let other = serde_json::from_str::<i64>(&text).ok().or_else(|| (text == "-0").then_some(0));
        assert_eq!(integer, other, "{text}");
    });
}
