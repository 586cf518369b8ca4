use std::sync::Arc;

use super::*;
use crate::executor::Executor;
use crate::flight::{Hold, Member, run};
use crate::values::Buffer;
use shoal_batch::RequestId;

/// A description whose input `x` of shape `shape` has this rule, and whose output `y` follows it.
fn described(dtype: &str, shape: &str, rule: &str) -> Outcome<Description> {
    Description::from_json(&format!(
        r#"{{"name":"m","version":"1","runtime":"python","signature":{{
            "inputs":[{{"name":"x","dtype":"{dtype}","shape":{shape},"padding":{rule}}},{{"name":"n","dtype":"INT64"}}],
            "outputs":[{{"name":"y","dtype":"{dtype}","shape":{shape},"follows":"x"}},{{"name":"n","dtype":"INT64"}}]}}}}"#
    ))
}

fn integers(shape: &[usize], numbers: &[i64]) -> Values {
    Values { shape: shape.to_vec(), payload: Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(numbers))), missing: Vec::new() }
}

fn request(rows: usize, x: Values) -> Table {
    Table { rows, columns: vec![x, integers(&[], &vec![7; rows])] }
}

/// Answers each record with itself, and remembers what it was given.
#[derive(Default)]
struct Echo {
    given: Vec<Table>,
}

impl Executor for Echo {
    fn run(&mut self, inputs: &Table) -> Outcome<Table> {
        self.given.push(inputs.clone());
        Ok(inputs.clone())
    }
}

/// Runs requests in one micro-batch: what the model was given, and each request's answer.
fn flown(description: &Description, requests: Vec<Table>) -> (Table, Vec<Table>) {
    let member = |(id, table): (u64, Table)| Member { id: RequestId(id), start: 0, rows: table.rows, table: Arc::new(table) };
    let members: Vec<Member> = (0..).zip(requests).map(member).collect();
    let mut echo = Echo::default();
    let mut hold = Hold::new(description.input_dtypes()).with_padding(description.padding.clone());
    let outcomes = run(&mut echo, &members, &mut hold, true);
    let whole = |answer: Answer| {
        let mut table = Table::empty_like(&answer.table, &description.output_dtypes(), answer.rows);
        table.append(&answer.table, &description.output_dtypes(), answer.start, answer.rows).unwrap();
        table
    };
    (echo.given.remove(0), outcomes.into_iter().map(|outcome| whole(outcome.unwrap())).collect())
}

fn given(table: &Table) -> (Vec<usize>, Vec<i64>) {
    let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
    (table.columns[0].shape.clone(), bytemuck::cast_slice(buffer.bytes()).to_vec())
}

#[test]
fn lengths_round_up_as_the_rule_says() {
    let rule = |text: &str| serde_json::from_str::<Rule>(text).unwrap();
    let rounded = |rule: &Rule| [0, 1, 5, 8, 9, 17, 100, 1000].map(|length| rule.rounded(length));
    assert_eq!(rounded(&rule(r#"{"value":0}"#)), [0, 1, 5, 8, 10, 20, 112, 1024]);
    assert_eq!(rounded(&rule(r#"{"value":0,"multiple_of":8}"#)), [0, 8, 8, 8, 16, 24, 104, 1000]);
    assert_eq!(rounded(&rule(r#"{"value":0,"lengths":[8,128]}"#)), [0, 8, 8, 8, 128, 128, 128, 1000]);
}

#[test]
fn requests_of_different_lengths_are_padded_to_one_and_their_answers_cut_back() {
    for (at, expected) in [("end", [1, 2, 3, -1, 4, 5, 6, -1, 7, -1, -1, -1]), ("start", [-1, 1, 2, 3, -1, 4, 5, 6, -1, -1, -1, 7])] {
        let description = described("INT64", "[-1]", &format!(r#"{{"value":-1,"at":"{at}","multiple_of":4}}"#)).unwrap();
        let requests = vec![request(2, integers(&[3], &[1, 2, 3, 4, 5, 6])), request(1, integers(&[1], &[7]))];
        let (model, answers) = flown(&description, requests.clone());
        assert_eq!(given(&model), (vec![4], expected.to_vec()), "{at}");
        assert_eq!(answers, requests, "{at}");
    }
}

#[test]
fn the_dimension_that_varies_may_lie_between_others() {
    let description = described("INT64", "[2,-1,2]", r#"{"value":0,"multiple_of":2}"#).unwrap();
    let requests = vec![request(1, integers(&[2, 1, 2], &[1, 2, 3, 4])), request(1, integers(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]))];
    let (model, answers) = flown(&description, requests.clone());
    assert_eq!(given(&model), (vec![2, 2, 2], vec![1, 2, 0, 0, 3, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(answers, requests);
}

#[test]
fn texts_are_padded_with_a_text_and_missing_records_stay_missing() {
    let description = described("BYTES", "[-1]", r#"{"value":"-","multiple_of":2}"#).unwrap();
    let texts = |texts: &[&str]| Payload::Bytes(texts.iter().map(|text| text.as_bytes().to_vec()).collect());
    let short = Values { shape: vec![1], payload: texts(&["a", "b"]), missing: vec![false, true] };
    let long = Values { shape: vec![2], payload: texts(&["c", "d"]), missing: Vec::new() };
    let (model, answers) = flown(&description, vec![request(1, long), request(2, short.clone())]);
    assert_eq!(model.columns[0].payload, texts(&["c", "d", "a", "-", "b", "-"]));
    assert_eq!(model.columns[0].missing, [false, false, true]);
    assert_eq!(answers[1].columns[0], short);
}

#[test]
fn a_record_alone_is_padded_as_in_company_and_a_whole_one_is_not_copied() {
    let description = described("INT64", "[-1]", r#"{"value":0,"lengths":[4]}"#).unwrap();
    let (model, answers) = flown(&description, vec![request(1, integers(&[3], &[1, 2, 3]))]);
    assert_eq!((given(&model).0, given(&answers[0])), (vec![4], (vec![3], vec![1, 2, 3])));
    let padding = description.padding.unwrap();
    assert!(padding.fits(&request(1, integers(&[4], &[0; 4]))) && padding.fits(&request(1, integers(&[9], &[0; 9]))));
}

#[test]
fn limits_count_the_padded_size_and_a_size_beyond_all_bounds_does_not_wrap_around() {
    let padding = described("INT64", "[-1]", r#"{"value":0,"multiple_of":10}"#).unwrap().padding.unwrap();
    let table = request(3, integers(&[2], &[0; 6]));
    assert_eq!((table.size_bytes(), padding.size_bytes(&table)), (3 * 2 * 8 + 24, 3 * 10 * 8 + 24));
    let padding = described("INT64", "[-1,2147483647,2147483647]", r#"{"value":0,"multiple_of":2147483647}"#).unwrap().padding.unwrap();
    let huge = Table { rows: 3, columns: vec![integers(&[1, 2_147_483_647, 2_147_483_647], &[]), integers(&[], &[0; 3])] };
    assert_eq!(padding.size_bytes(&huge), usize::MAX);
}

#[test]
fn an_answer_that_does_not_follow_is_the_fault_of_the_model() {
    let padding = described("INT64", "[-1]", r#"{"value":0}"#).unwrap().padding.unwrap();
    let fault = padding.check(&request(1, integers(&[4], &[0; 4])), &request(1, integers(&[3], &[0; 3]))).unwrap_err();
    assert!(fault.code == Code::ModelFailed && fault.message.contains("\"y\""), "{}", fault.message);
}

#[test]
fn rules_that_cannot_be_followed_are_refused_when_the_package_is_opened() {
    let refused = |dtype: &str, shape: &str, rule: &str| {
        let fault = described(dtype, shape, rule).expect_err(rule);
        assert_eq!(fault.code, Code::CorruptPackage, "{rule}");
    };
    refused("INT64", "[3]", r#"{"value":0}"#);
    refused("INT64", "[-1,-1]", r#"{"value":0}"#);
    refused("INT64", "[-1]", r#"{"value":0.5}"#);
    refused("INT64", "[-1]", r#"{"value":"zero"}"#);
    refused("INT64", "[-1]", r#"{"value":0,"multiple_of":0}"#);
    refused("INT64", "[-1]", r#"{"value":0,"lengths":[]}"#);
    refused("INT64", "[-1]", r#"{"value":0,"lengths":[8,8]}"#);
    refused("INT64", "[-1]", r#"{"value":0,"lengths":[0,8]}"#);
    refused("INT64", "[-1]", r#"{"value":0,"lengths":[8],"multiple_of":8}"#);
    refused("INT64", "[-1]", r#"{"value":0,"at":"middle"}"#);
    refused("INT64", "[-1]", "null");
}

#[test]
fn requests_that_round_up_to_different_lengths_are_padded_to_the_longest_and_cut_back() {
    let description = described("INT64", "[-1]", r#"{"value":-1,"multiple_of":2}"#).unwrap();
    // The first is whole as it is, and still is padded for the second.
    let requests =
        vec![request(1, integers(&[2], &[1, 2])), request(1, integers(&[5], &[3, 4, 5, 6, 7])), request(1, integers(&[1], &[8]))];
    let (model, answers) = flown(&description, requests.clone());
    assert_eq!(given(&model), (vec![6], vec![1, 2, -1, -1, -1, -1, 3, 4, 5, 6, 7, -1, 8, -1, -1, -1, -1, -1]));
    assert_eq!(answers, requests);
}

/// Echoes what it is given, and fails where it meets a 13.
struct Superstitious {
    shapes: Vec<(usize, Vec<usize>)>,
}

impl Executor for Superstitious {
    fn run(&mut self, inputs: &Table) -> Outcome<Table> {
        let (shape, numbers) = given(inputs);
        self.shapes.push((inputs.rows, shape));
        if numbers.contains(&13) { Err(Fault::new(Code::ModelFailed, "13")) } else { Ok(inputs.clone()) }
    }
}

#[test]
fn halves_of_a_failed_micro_batch_are_padded_to_their_own_longest() {
    let description = described("INT64", "[-1]", r#"{"value":0,"multiple_of":4}"#).unwrap();
    let tables = [integers(&[1], &[1]), integers(&[3], &[1, 2, 3]), integers(&[9], &[13; 9]), integers(&[5], &[5; 5])];
    let member = |(id, x)| Member { id: RequestId(id), start: 0, rows: 1, table: Arc::new(request(1, x)) };
    let members: Vec<Member> = (0..).zip(tables).map(member).collect();
    let mut model = Superstitious { shapes: Vec::new() };
    let mut hold = Hold::new(description.input_dtypes()).with_padding(description.padding.clone());
    let outcomes = run(&mut model, &members, &mut hold, true);
    assert_eq!(model.shapes, [(4, vec![12]), (2, vec![4]), (2, vec![12]), (1, vec![12]), (1, vec![8])]);
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    let own = |index: usize| outcomes[index].as_ref().unwrap().table.columns[0].shape.clone();
    assert_eq!([0, 1, 3].map(own), [[1], [3], [5]]);
}

#[test]
fn shapes_are_told_by_their_padded_lengths_and_what_a_value_of_them_takes() {
    let padding = described("INT64", "[2,-1,3]", r#"{"value":0,"multiple_of":4}"#).unwrap().padding.unwrap();
    let told = |shape: &[usize]| padding.lengths(&request(1, integers(shape, &vec![0; shape.iter().product()])));
    let (short, long) = (told(&[2, 3, 3]).unwrap(), told(&[2, 7, 3]).unwrap());
    assert_eq!((short.padded, long.padded), (vec![4], vec![8]));
    assert_eq!(short.beside, long.beside);
    let bytes = |shape: &[usize]| padding.size_bytes(&request(1, integers(shape, &vec![0; shape.iter().product()])));
    assert_eq!(long.row_bytes - short.row_bytes, bytes(&[2, 7, 3]) - bytes(&[2, 3, 3]), "both as the batcher counts");
    assert!(told(&[2, 0, 3]).is_none(), "nothing is not padded");
}
