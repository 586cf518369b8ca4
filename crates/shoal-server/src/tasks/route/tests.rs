use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::tables::{Column, Content, Kind, Scalar};
use crate::values::{Buffer, Dtype};

fn column(name: &str, kind: Kind, content: Content) -> Column {
    Column { name: name.into(), kind, shape: Vec::new(), content, missing: Vec::new() }
}

fn mixed(name: &str, values: &[Scalar]) -> Column {
    column(name, Kind::Mixed, Content::Mixed(values.to_vec()))
}

fn doubles(name: &str, values: &[f64]) -> Column {
    column(name, Kind::Plain(Dtype::Fp64), Content::Fixed(Buffer::copy_of(bytemuck::cast_slice(values))))
}

fn whole(name: &str, values: &[i64]) -> Column {
    column(name, Kind::Plain(Dtype::Int64), Content::Fixed(Buffer::copy_of(bytemuck::cast_slice(values))))
}

fn items(name: &str, kind: Kind, values: &[&[u8]]) -> Column {
    column(name, kind, Content::Items(values.iter().map(|value| value.to_vec()).collect()))
}

fn table(columns: Vec<Column>) -> Typed {
    let rows = columns.first().map_or(0, |column| match &column.content {
        Content::Mixed(list) => list.len(),
        Content::Items(list) => list.len(),
        Content::Fixed(buffer) => buffer.len() / column.kind.width() / column.per_row(),
        Content::Text(_) => 0,
    });
    Typed { rows, columns }
}

fn package(name: &str, text: &str) -> Arc<Description> {
    Arc::new(Description::from_json(&format!(r#"{{"name":"{name}","version":"1",{text}}}"#)).unwrap())
}

fn router(name: &str, routes: &str) -> Arc<Description> {
    package(name, &format!(r#""runtime":"router","routes":[{routes}]"#))
}

fn model(name: &str) -> Arc<Description> {
    package(name, r#""runtime":"onnx","signature":{"inputs":[{"name":"x","dtype":"FP64"}],"outputs":[{"name":"y","dtype":"FP64"}]}"#)
}

/// The legs of a table through the first of some packages: who answers, and which records.
fn way(packages: &[Arc<Description>], table: &Typed) -> Outcome<Vec<Leg<Arc<Description>>>> {
    let served: BTreeMap<&str, &Arc<Description>> = packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let find = |name: &str, _: Option<&str>| {
        served
            .get(name)
            .map(|found| Arc::clone(found))
            .ok_or_else(|| Fault::new(Code::UnknownModel, format!("no model {name:?} is served")))
    };
    legs(&Guide { find: &find, description: |package| package }, Arc::clone(&packages[0]), table.clone())
}

/// Which records meet a rule.
fn met(rule: &str, table: &Typed) -> Vec<usize> {
    let packages = [router("r", &format!(r#"{{"model":"yes","when":{rule}}},{{"model":"no"}}"#)), model("yes"), model("no")];
    let legs = way(&packages, table).unwrap();
    legs.into_iter().find(|leg| leg.model.name == "yes").map(|leg| leg.places).unwrap_or_default()
}

#[test]
fn types_are_those_of_the_values() {
    let all =
        table(vec![mixed("v", &[Scalar::Int64(1), Scalar::Fp64(f64::NAN), Scalar::Utf8("a".into()), Scalar::Bool(true), Scalar::Missing])]);
    for (place, kind) in ["integer", "floating", "text", "boolean", "missing"].into_iter().enumerate() {
        assert_eq!(met(&format!(r#"{{"column":"v","is":"{kind}"}}"#), &all), [place], "{kind}");
    }
    let typed = |column: Column, kind: &str| met(&format!(r#"{{"column":"v","is":"{kind}"}}"#), &table(vec![column])).len();
    assert_eq!(typed(whole("v", &[1, 2]), "integer"), 2);
    assert_eq!(typed(doubles("v", &[1.0]), "floating"), 1);
    assert_eq!(typed(items("v", Kind::Utf8, &[b"a"]), "text"), 1);
    assert_eq!(typed(items("v", Kind::Bytes, &[b"a"]), "text"), 0);
    assert_eq!(typed(Column { missing: vec![true, false], ..whole("v", &[0, 2]) }, "missing"), 1);
    assert_eq!(typed(Column { shape: vec![2], ..whole("v", &[1, 2]) }, "integer"), 0);
    assert_eq!(typed(Column { kind: Kind::Date, ..column("v", Kind::Date, Content::Fixed(Buffer::copy_of(&[0; 4]))) }, "integer"), 0);
}

#[test]
fn values_are_compared_whatever_their_type() {
    let values = table(vec![mixed(
        "v",
        &[Scalar::Int64(2), Scalar::Fp64(2.0), Scalar::Fp64(2.5), Scalar::Utf8("2".into()), Scalar::Bool(true), Scalar::Missing],
    )]);
    for (rule, expected) in [
        (r#""equals":2"#, &[0, 1][..]),
        (r#""equals":2.0"#, &[0, 1]),
        (r#""equals":"2""#, &[3]),
        (r#""equals":true"#, &[4]),
        (r#""equals":1"#, &[]),
        (r#""at_least":2"#, &[0, 1, 2]),
        (r#""at_least":2.25"#, &[2]),
        (r#""below":2.5"#, &[0, 1]),
        (r#""below":3"#, &[0, 1, 2]),
    ] {
        assert_eq!(met(&format!(r#"{{"column":"v",{rule}}}"#), &values), expected, "{rule}");
    }
    assert_eq!(met(r#"{"column":"v","at_least":0}"#, &table(vec![doubles("v", &[f64::NAN, f64::INFINITY, -1.0])])), [1]);
}

#[test]
fn large_numbers_are_compared_exactly() {
    let values = table(vec![whole("v", &[i64::MAX, (1 << 53) + 1, i64::MIN])]);
    assert_eq!(met(r#"{"column":"v","equals":9007199254740992.0}"#, &values), [0_usize; 0]);
    assert_eq!(met(r#"{"column":"v","at_least":9007199254740993}"#, &values), [0, 1]);
    assert_eq!(met(r#"{"column":"v","below":9223372036854775808}"#, &values), [0, 1, 2]);
    assert_eq!(met(r#"{"column":"v","at_least":9223372036854775808.0}"#, &values), [0_usize; 0]);
    assert_eq!(met(r#"{"column":"v","below":-1e300}"#, &values), [0_usize; 0]);
    let double = table(vec![doubles("v", &[9_007_199_254_740_992.0])]);
    assert_eq!(met(r#"{"column":"v","below":9007199254740993}"#, &double), [0]);
}

#[test]
fn rules_are_joined() {
    let values = table(vec![mixed("v", &[Scalar::Int64(1), Scalar::Int64(9), Scalar::Utf8("a".into())]), doubles("w", &[0.0, 0.0, 5.0])]);
    let small = r#"{"column":"v","below":5}"#;
    let heavy = r#"{"column":"w","at_least":1}"#;
    assert_eq!(met(&format!(r#"{{"any":[{small},{heavy}]}}"#), &values), [0, 2]);
    assert_eq!(met(&format!(r#"{{"all":[{{"not":{small}}},{{"not":{heavy}}}]}}"#), &values), [1]);
}

#[test]
fn each_record_takes_the_first_route_whose_rule_it_meets() {
    let packages = [
        router(
            "r",
            r#"{"model":"a","when":{"column":"v","is":"text"}},{"model":"b","when":{"column":"v","at_least":5},"rename":{"v":"x"}},{"model":"a"}"#,
        ),
        model("a"),
        model("b"),
    ];
    let values = table(vec![
        mixed("v", &[Scalar::Int64(9), Scalar::Utf8("t".into()), Scalar::Int64(1), Scalar::Fp64(7.0)]),
        whole("n", &[0, 1, 2, 3]),
    ]);
    let found = way(&packages, &values).unwrap();
    let told: Vec<_> = found.iter().map(|leg| (leg.model.name.as_str(), leg.places.as_slice())).collect();
    assert_eq!(told, [("b", [0, 3].as_slice()), ("a", &[1]), ("a", &[2])]);
    assert_eq!(found[0].table, table(vec![mixed("x", &[Scalar::Int64(9), Scalar::Fp64(7.0)]), whole("n", &[0, 3])]));
    assert!(way(&packages, &values.take_rows(&[])).unwrap().is_empty());
}

#[test]
fn what_cannot_be_routed_is_refused_by_name() {
    let only_text = r#"{"model":"a","when":{"column":"v","is":"text"},"rename":{"w":"v"}}"#;
    let code = |routes: &str, columns: Vec<Column>| way(&[router("r", routes), model("a")], &table(columns)).unwrap_err();
    let fault = code(only_text, vec![mixed("v", &[Scalar::Utf8("t".into()), Scalar::Int64(1)])]);
    assert_eq!((fault.code, fault.message.starts_with("record 1 ")), (Code::NoRoute, true), "{}", fault.message);
    assert_eq!(code(only_text, vec![whole("x", &[1])]).code, Code::MissingColumn);
    let both = vec![items("v", Kind::Utf8, &[b"t"]), whole("w", &[1])];
    assert_eq!(code(only_text, both).code, Code::DuplicateColumn);
    let fault = code(r#"{"model":"b"}"#, vec![whole("x", &[1])]);
    assert_eq!((fault.code, fault.message.contains("router \"r\"")), (Code::UnknownModel, true));
}

#[test]
fn routers_lead_to_routers_eight_deep_and_never_back() {
    let chain = |length: usize| -> Vec<Arc<Description>> {
        let link = |number: usize| router(&format!("r{number}"), &format!(r#"{{"model":"r{}"}}"#, number + 1));
        (0..length).map(link).chain([model(&format!("r{length}"))]).collect()
    };
    let values = table(vec![whole("x", &[1, 2])]);
    assert_eq!(way(&chain(8), &values).unwrap()[0].model.name, "r8");
    let fault = way(&chain(9), &values).unwrap_err();
    assert_eq!((fault.code, fault.message.contains("r0 -> r1")), (Code::RouterCycle, true));
    let circle = [router("a", r#"{"model":"b"}"#), router("b", r#"{"model":"a"}"#)];
    assert_eq!(way(&circle, &values).unwrap_err().code, Code::RouterCycle);
    let twice =
        [router("a", r#"{"model":"b","when":{"column":"x","below":2}},{"model":"b"}"#), router("b", r#"{"model":"c"}"#), model("c")];
    assert_eq!(way(&twice, &values).unwrap().len(), 2);
}

#[test]
fn a_router_that_was_not_sealed_by_us_is_refused() {
    let deep = format!("{}{{\"column\":\"v\",\"is\":\"text\"}}{}", "{\"not\":".repeat(8), "}".repeat(8));
    for routes in [
        String::new(),
        r#"{"model":"a"},{"model":"b"}"#.to_owned(),
        r#"{"model":"a","when":{"column":"v","is":"word"}}"#.to_owned(),
        r#"{"model":"a","when":{"column":"v"}}"#.to_owned(),
        r#"{"model":"a","when":{"is":"text"}}"#.to_owned(),
        r#"{"model":"a","when":{"column":"v","is":"text","below":1}}"#.to_owned(),
        r#"{"model":"a","weight":1}"#.to_owned(),
        format!(r#"{{"model":"a","when":{deep}}}"#),
        vec![r#"{"model":"a","when":{"column":"v","is":"text"}}"#; 257].join(","),
    ] {
        let text = format!(r#"{{"name":"r","version":"1","runtime":"router","routes":[{routes}]}}"#);
        assert_eq!(Description::from_json(&text).unwrap_err().code, Code::CorruptPackage, "{routes}");
    }
    for text in [r#""runtime":"onnx""#, r#""runtime":"router""#] {
        let text = format!(r#"{{"name":"r","version":"1",{text}}}"#);
        assert_eq!(Description::from_json(&text).unwrap_err().code, Code::CorruptPackage, "{text}");
    }
}

#[test]
fn answers_come_back_in_the_order_of_the_records() {
    let answers = vec![
        ([1, 3].as_slice(), table(vec![doubles("y", &[10.0, 30.0]), items("word", Kind::Utf8, &[b"b", b"d"])])),
        (&[0, 2], table(vec![doubles("y", &[0.5, 20.0])])),
    ];
    let joined = join(4, answers.clone(), None).unwrap();
    let words = Column { missing: vec![true, false, true, false], ..items("word", Kind::Utf8, &[b"", b"b", b"", b"d"]) };
    assert_eq!(joined, table(vec![doubles("y", &[0.5, 10.0, 20.0, 30.0]), words.clone()]));
    let wanted = ["word".to_owned()];
    assert_eq!(join(4, answers.clone(), Some(&wanted)).unwrap(), table(vec![words]));
    assert_eq!(join(4, answers, Some(&["z".to_owned()])).unwrap_err().code, Code::UnexpectedColumn);
    assert_eq!(join(0, Vec::new(), None).unwrap(), table(vec![]));
}

#[test]
fn columns_of_other_dtypes_become_mixed() {
    let joined = |one: Column, other: Column| {
        join(2, vec![([0].as_slice(), table(vec![one])), (&[1], table(vec![other]))], None).map(|joined| joined.columns[0].clone())
    };
    assert_eq!(joined(whole("y", &[1]), doubles("y", &[1.0])).unwrap(), mixed("y", &[Scalar::Int64(1), Scalar::Fp64(1.0)]));
    let missing = Column { missing: vec![true], ..doubles("y", &[0.0]) };
    assert_eq!(joined(items("y", Kind::Utf8, &[b"a"]), missing).unwrap(), mixed("y", &[Scalar::Utf8("a".into()), Scalar::Missing]));
    let flag = column("y", Kind::Plain(Dtype::Bool), Content::Fixed(Buffer::copy_of(&[1])));
    assert_eq!(joined(flag, mixed("y", &[Scalar::Int64(2)])).unwrap(), mixed("y", &[Scalar::Bool(true), Scalar::Int64(2)]));
    let bytes = items("y", Kind::Bytes, &[&[0xff]]);
    assert_eq!(joined(items("y", Kind::Utf8, &[b"a"]), bytes.clone()).unwrap(), items("y", Kind::Bytes, &[b"a", &[0xff]]));
    let huge = column("y", Kind::Plain(Dtype::Uint64), Content::Fixed(Buffer::copy_of(&u64::MAX.to_le_bytes())));
    let tensor = Column { shape: vec![1], ..whole("y", &[1]) };
    for (one, other) in [(bytes, whole("y", &[1])), (huge, doubles("y", &[1.0])), (tensor, whole("y", &[1]))] {
        assert_eq!(joined(one, other).unwrap_err().code, Code::MergeMismatch);
    }
}

#[test]
fn a_large_table_of_nothing_is_not_written() {
    let rows = 100_000;
    let tensor = Column { shape: vec![1000], ..doubles("image", &[1.0; 1000]) };
    let others = table(vec![whole("y", &vec![1; rows - 1])]);
    let places: Vec<usize> = (0..rows).collect();
    let answers = vec![(&places[..1], table(vec![tensor])), (&places[1..], others)];
    assert_eq!(join(rows, answers, None).unwrap_err().code, Code::BodyTooLarge);
}

proptest! {
    #[test]
    fn every_record_comes_back_at_its_place(values in prop::collection::vec(-9_i64..9, 0..50), limit in -9_i64..9) {
        let rule = format!(r#"{{"model":"a","when":{{"column":"x","below":{limit}}}}},{{"model":"b"}}"#);
        let all = table(vec![whole("x", &values)]);
        let legs = way(&[router("r", &rule), model("a"), model("b")], &all).unwrap();
        let places: usize = legs.iter().map(|leg| leg.places.len()).sum();
        prop_assert_eq!(places, values.len());
        let joined = join(values.len(), legs.iter().map(|leg| (leg.places.as_slice(), leg.table.clone())).collect(), None).unwrap();
        prop_assert!(values.is_empty() || joined == all);
    }
}
