//! Envelopes and answers in JSON; the head of an envelope in Arrow is the same.
//!
//! A table that is wrong is the fault of its tasks; what breaks the frame around the tables refuses all of it.

mod frame;
mod mould;
mod scan;
mod write;

pub(crate) use frame::{Tables, frame};
pub(crate) use write::{write, write_line, write_merged_line, write_with};

use super::Envelope;
use super::room::Room;
use crate::fault::{Code, Fault, Outcome};
use crate::tables;

/// Reads an envelope.
///
/// # Errors
/// `MalformedJson`, `InvalidRequest`, those of [`Room::settle`] and of [`Envelope::new`].
pub(crate) fn read(body: &[u8], room: Room) -> Outcome<Envelope> {
    frame(body, room, Tables::AsJson)?.envelope(tables::json::read)
}

/// Reads an envelope; whether tasks that are written alike are read as such.
#[cfg(test)]
pub(super) fn read_either(body: &[u8], room: Room, is_alike: bool) -> Outcome<Envelope> {
    let moulds = if is_alike { mould::Moulds::default() } else { mould::Moulds::none() };
    frame::looked_through(body, room, Tables::AsJson, moulds)?.envelope(tables::json::read)
}

/// The fault of an envelope with two shared tables of one name.
pub(crate) fn table_twice(name: &str) -> Fault {
    let shown: String = name.chars().take(64).collect();
    Fault::new(Code::InvalidRequest, format!("the shared table {shown:?} stands twice"))
}

/// The fault of a task that refers to a table which is not there.
pub(crate) fn unknown_table(name: &str) -> Fault {
    let shown: String = name.chars().take(64).collect();
    Fault::new(Code::UnknownTable, format!("the envelope has no shared table {shown:?}")).hint("put it into `tables`, by this name")
}

#[cfg(test)]
mod tests {
    use super::super::Input;
    use super::*;
    use crate::tables::Kind;

    fn read_text(text: &str) -> Outcome<Envelope> {
        read(text.as_bytes(), Room::of_body(1 << 20))
    }

    fn with_data(column: &str) -> String {
        format!(r#"{{"tasks":[{{"model":"m","table":{{"columns":[{{"name":"x",{column}}}]}}}}]}}"#)
    }

    #[test]
    fn what_is_no_json_refuses_the_envelope_also_where_nobody_has_read_it_yet() {
        let typed = |data: &str| with_data(&format!(r#""dtype":"FP64","data":{data}"#));
        let untyped = |data: &str| with_data(&format!(r#""data":{data}"#));
        for data in ["[NaN]", "[1,]", "[01]", "[1", "[\"\u{1}\"]"] {
            for text in [typed(data), untyped(data)] {
                assert_eq!(read_text(&text).unwrap_err().code, Code::MalformedJson, "{text}");
            }
        }
        for text in [format!("{}x", typed("[1]")), format!("{},", typed("[1]")), typed("[1]").replace("}]}}", "}]} }")] {
            assert_eq!(read_text(&text).err().map(|fault| fault.code), (!text.contains("} }")).then_some(Code::MalformedJson), "{text}");
        }
    }

    #[test]
    fn names_of_three_bytes_do_not_become_many_times_as_many() {
        let many = vec!["\"\""; 20 << 10].join(",");
        let tasks = |more: &str| format!(r#"{{"tasks":[{{"model":"m","table":"t"{more}}}]"#);
        let columns = format!(r#"{},"merge":{{"by":"concat","columns":[{many}]}}}}"#, tasks(""));
        for text in [format!("{}}}", tasks(&format!(r#","outputs":[{many}]"#))), columns] {
            let read = |limit| read(text.as_bytes(), Room::of_body(limit)).err().map(|fault| fault.code);
            assert_eq!((read(text.len()), read(4 * text.len())), (Some(Code::BodyTooLarge), None));
        }
        let wrong = read_text(&format!("{}}}", tasks(r#","outputs":["a",1]"#)));
        assert_eq!(wrong.unwrap_err().code, Code::InvalidRequest);
    }

    #[test]
    fn a_table_is_what_stands_there_whatever_stands_around_it() {
        let text = r#" {"tasks" :[ {"table": {"columns" : [{"name":"x","data":[ "]}" , null]}]} , "model":"\u006d" } ] } "#;
        let envelope = read_text(text).unwrap();
        let Ok(Input::Own(table)) = &envelope.tasks[0].input else { panic!("its own") };
        assert_eq!((envelope.tasks[0].query.model.as_str(), table.rows, &table.columns[0].kind), ("m", 2, &Kind::Untyped));
    }
}
