use std::io::Cursor;

use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use proptest::prelude::*;

use super::*;
use crate::fuzz::rules::run;
use crate::tables::samples::{assert_same, typed};
use crate::tables::{Column, Content, Kind, json, protobuf};
use crate::values::{Buffer, Dtype};

fn written(table: &Typed) -> Bytes {
    let mut out = Vec::new();
    write(&mut out, table).unwrap();
    out.into()
}

#[test]
fn what_is_written_is_read_back_in_every_encoding() {
    run(&typed(), |original| {
        let mut text = Vec::new();
        json::write(&mut text, original.all());
        assert_same(&read(written(&original)).unwrap(), &original);
        assert_same(&protobuf::read(protobuf::written(&original)).unwrap(), &original);
        assert_same(&json::read(&text).unwrap(), &original);
    });
}

#[test]
fn another_implementation_reads_what_is_written_and_is_read() {
    run(&typed(), |original| {
        let stream = written(&original);
        let mut reader = StreamReader::try_new(Cursor::new(&stream), None).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &reader.schema()).unwrap();
        let batch = reader.next().unwrap().unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns(), reader.next().is_none()), (original.rows, original.columns.len(), true));
        writer.write(&batch).unwrap();
        let again = read(writer.into_inner().unwrap().into()).unwrap();
        // A list of no values has no row whose flag could be told from that of its values there.
        let is_told = |column: &Column| column.shape.iter().all(|dim| *dim > 0);
        let of =
            |table: &Typed| Typed { rows: table.rows, columns: table.columns.iter().filter(|column| is_told(column)).cloned().collect() };
        assert_same(&of(&again), &of(&original));
    });
}

fn one(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Column {
    let content = Content::Fixed(Buffer::copy_of(bytes));
    Column { name: "x".into(), kind: Kind::Plain(dtype), shape: shape.to_vec(), content, missing: Vec::new() }
}

#[test]
fn values_of_fixed_width_are_lent_where_nothing_is_missing() {
    let stream = written(&Typed { rows: 3, columns: vec![one(Dtype::Int64, &[], &[7; 24])] });
    let table = read(stream.clone()).unwrap();
    let Content::Fixed(buffer) = &table.columns[0].content else { panic!("fixed") };
    assert!(stream.as_ptr_range().contains(&buffer.bytes().as_ptr()));
}

#[test]
fn single_values_of_tensors_may_be_missing() {
    let column = Column { missing: vec![false, true, false, false], ..one(Dtype::Int8, &[2], &[1, 0, 3, 4]) };
    let table = Typed { rows: 2, columns: vec![column] };
    assert_same(&read(written(&table)).unwrap(), &table);
}

#[test]
fn lists_that_announce_more_values_than_a_stream_has_take_no_memory() {
    let column = Column { missing: vec![true; 1000], ..one(Dtype::Fp32, &[1 << 26], &[]) };
    let stream = written(&Typed { rows: 1000, columns: vec![column] });
    assert_eq!((read(stream.clone()).unwrap_err().code, stream.len() < 2048), (Code::InvalidArrow, true));
}

#[test]
fn a_column_of_nulls_has_no_dtype_and_takes_no_room() {
    let column = Column { kind: Kind::Untyped, content: Content::Text(Bytes::new()), ..one(Dtype::Int8, &[], &[]) };
    let table = Typed { rows: 1_000_000, columns: vec![column] };
    let found = read(written(&table)).unwrap();
    assert_eq!((&found, found.size_bytes(), found.columns[0].is_missing(999_999)), (&table, size_of::<Column>() + 1, true));
    let untyped = json::read(br#"{"columns":[{"name":"x","data":[1]}]}"#).unwrap();
    assert_eq!(write(&mut Vec::new(), &untyped).unwrap_err().code, Code::InvalidRequest);
}

#[test]
fn a_head_is_an_envelope_and_what_follows_is_left() {
    let json = br#"{"tasks":[{"model":"m","table":{"arrow":8}}]}"#;
    let mut body = Vec::new();
    write_head(&mut body, json);
    let length = body.len();
    body.extend_from_slice(b"\xff\xff\xff\xff\0\0\0\0");
    let body = Bytes::from(body);
    let (envelope, read_bytes) = head(&body).unwrap();
    assert_eq!((&envelope[..], read_bytes), (&json[..], length));
    assert!(body.as_ptr_range().contains(&envelope.as_ptr()));
    let table = written(&Typed { rows: 0, columns: vec![] });
    for bad in [
        Bytes::new(),
        body.slice(..length - 1),
        body.slice(8..),
        table,
        written(&Typed { rows: 0, columns: vec![one(Dtype::Int8, &[], &[])] }),
    ] {
        assert_eq!(head(&bad).unwrap_err().code, Code::InvalidArrow);
    }
}

/// Every table within a stream, cut short at each of its bytes.
#[test]
fn a_stream_that_is_cut_short_is_none_wherever_it_is_cut() {
    let text = br#"{"columns":[{"name":"a","dtype":"UTF8","data":["x",null,"yz"]},{"name":"b","dtype":"MIXED","data":[1,"x",null]},
        {"name":"c","dtype":"FP32","shape":[2],"data":[[1,2],null,[3,4]]}]}"#;
    let stream = written(&json::read(text).unwrap());
    assert!(read(stream.clone()).is_ok());
    for length in 0..stream.len() {
        assert_eq!(read(stream.slice(..length)).unwrap_err().code, Code::InvalidArrow, "{length} of {}", stream.len());
    }
}

/// What a stream may become: values of 8, 4 or 1 bytes anywhere in it.
fn damaged() -> impl Strategy<Value = (Typed, Vec<(prop::sample::Index, Vec<u8>)>)> {
    let numbers = vec![0, 1, 2, 8, 255, 1 << 16, 1 << 31, u64::from(u32::MAX), 1 << 40, 1 << 63, u64::MAX, u64::MAX - 7];
    let number = (prop::sample::select(numbers), prop::sample::select(vec![1_usize, 2, 4, 8]));
    let bytes = number.prop_map(|(number, width)| number.to_le_bytes()[..width].to_vec());
    (typed(), prop::collection::vec((any::<prop::sample::Index>(), bytes), 1..4))
}

#[test]
fn no_damage_to_a_stream_panics_or_takes_memory() {
    run(&damaged(), |(table, changes)| {
        let mut stream = written(&table).to_vec();
        for (place, bytes) in changes {
            let start = place.index(stream.len()) / bytes.len() * bytes.len();
            let end = (start + bytes.len()).min(stream.len());
            stream[start..end].copy_from_slice(&bytes[..end - start]);
        }
        let length = stream.len();
        if let Ok(found) = read(stream.into()) {
            assert!(found.rows <= 1_000_000);
            assert!(found.size_bytes() <= 64 * length + 64, "{} bytes of {length}", found.size_bytes());
        }
    });
}
