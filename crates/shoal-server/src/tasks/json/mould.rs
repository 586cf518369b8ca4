//! Tasks that are written alike: but for the data of its table and its id, budget, key and weight, each says what one before it
//! said.
//!
//! Most envelopes are of this kind, and much of a short task is what it has in common with others. That is compared as bytes,
//! and only what lies between is read; what is read of their tables lies on one stack, where it may. Nothing is taken for granted: a task that does not fit is read as any other.

use std::ops::Range;
use std::sync::Arc;

use super::super::room::Room;
use super::frame::{Given, Said};
use super::scan::Scan;
use crate::tables::Typed;
use crate::tables::json::{Alike, Cursor, Heads, Laid, Lanes, Places};
use crate::tables::stack::Stack;

/// Moulds of one envelope, at most.
const MOULDS: usize = 4;
/// Tables of one envelope that may be read in vain, because what follows does not fit.
const IN_VAIN: usize = 4;

/// What tasks of one envelope have in common.
#[derive(Default)]
pub(super) struct Moulds<'t> {
    known: Vec<Mould<'t>>,
    stacks: Vec<Stack>,
    /// Where the holes are of the task that was read last.
    pub(super) holes: Holes,
    in_vain: usize,
}

/// Where the holes of a task are, in the text of its envelope.
#[derive(Default)]
pub(super) struct Holes {
    /// The number of a field, and where its value stands.
    pub(super) fields: Vec<(usize, Range<usize>)>,
    /// Where the table begins, and within it ...
    pub(super) table: usize,
    /// ... where its data are.
    pub(super) places: Places,
}

/// What one task has in common with others.
struct Mould<'t> {
    around: Around<'t>,
    heads: Heads,
    lane: Option<Lane>,
}

/// The number of the stack on which tables lie, and what reads them onto it.
struct Lane {
    stack: usize,
    lanes: Lanes,
    /// How many tables in a row could not lie there.
    in_vain: usize,
}

/// What stands around the holes of a task, and what that says.
struct Around<'t> {
    /// The text before each hole.
    before: Vec<(&'t [u8], Hole)>,
    behind: &'t [u8],
    said: Said<'t>,
}

/// Whether a task is like others.
enum Fit {
    Like,
    /// It is not, and its table was read in vain.
    InVain,
    Unlike,
}

/// What differs from task to task.
#[derive(Clone, Copy)]
enum Hole {
    /// A field of this number.
    Field(usize),
    /// The data of the next column.
    Data,
}

impl<'t> Moulds<'t> {
    /// Moulds that no task fits.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { in_vain: IN_VAIN + 1, ..Self::default() }
    }

    /// Reads the task that comes next, if it is written like one before, and goes behind it. Otherwise `said` may say anything.
    pub(super) fn next(&mut self, scan: &mut Scan<'t>, said: &mut Said<'t>, room: &mut Room) -> bool {
        if self.in_vain > IN_VAIN {
            return false;
        }
        let Self { known, stacks, .. } = self;
        let mut fits = known.iter_mut().map(|mould| mould.fit(scan, said, (room, stacks)));
        match fits.find(|fit| !matches!(fit, Fit::Unlike)).unwrap_or(Fit::Unlike) {
            Fit::Like => return true,
            Fit::InVain => self.in_vain += 1,
            Fit::Unlike => {}
        }
        false
    }

    /// Learns from a task that was read otherwise, with more behind it: its place in the text of the envelope, and what it says.
    pub(super) fn learn(&mut self, text: &'t [u8], task: Range<usize>, said: &mut Said<'t>) {
        if self.known.len() == MOULDS {
            return;
        }
        let likely = (text.len() - task.end) / task.len();
        if let Some(mut mould) = Mould::of(text, task, &self.holes, said) {
            mould.lane = self.begin_stack(said, likely).and_then(|stack| Some(Lane { stack, lanes: Lanes::of(&mould.heads)?, in_vain: 0 }));
            self.known.push(mould);
        }
    }

    /// Begins a stack with the table of a task, where it may lie on one; so many are likely to follow.
    fn begin_stack(&mut self, said: &mut Said<'t>, likely: usize) -> Option<usize> {
        let Given::Read(Ok(table)) = std::mem::take(&mut said.table) else { return None };
        match Stack::of(table, likely) {
            Ok((stack, span)) => {
                said.table = Given::Stacked(self.stacks.len(), span);
                self.stacks.push(stack);
                Some(self.stacks.len() - 1)
            }
            Err(table) => {
                said.table = Given::Read(Ok(table));
                None
            }
        }
    }

    /// The tables of each stack, when no task follows.
    pub(super) fn wholes(self) -> Vec<Arc<Typed>> {
        self.stacks.into_iter().map(Stack::whole).collect()
    }
}

impl Holes {
    pub(super) fn clear(&mut self) {
        self.fields.clear();
    }

    /// All of them, as they follow each other.
    fn in_order(&self) -> Vec<(Range<usize>, Hole)> {
        let data = self.places.data.iter().map(|data| (self.table + data.start..self.table + data.end, Hole::Data));
        let fields = self.fields.iter().map(|(field, place)| (place.clone(), Hole::Field(*field)));
        let mut holes: Vec<_> = data.chain(fields).collect();
        holes.sort_by_key(|(place, _)| place.start);
        holes
    }
}

impl<'t> Mould<'t> {
    /// None for a task without a table of its own, and for one whose table was not read to its end.
    fn of(text: &'t [u8], task: Range<usize>, holes: &Holes, said: &Said<'t>) -> Option<Self> {
        let Given::Read(Ok(table)) = &said.table else { return None };
        let heads = Heads::of(table, &holes.places)?;
        let (mut before, mut end) = (Vec::new(), task.start);
        for (place, hole) in holes.in_order() {
            before.push((&text[end..place.start], hole));
            end = place.end;
        }
        let mut common = Said::default();
        common.take_common(said);
        Some(Self { around: Around { before, behind: &text[end..task.end], said: common }, heads, lane: None })
    }

    /// Reads a task if it is like those before, and goes behind it. A table that cannot lie on the stack is read by itself.
    fn fit(&mut self, scan: &mut Scan<'t>, said: &mut Said<'t>, (room, stacks): (&mut Room, &mut [Stack])) -> Fit {
        let Some(Lane { stack, lanes, in_vain }) = self.lane.as_mut().filter(|lane| lane.in_vain < IN_VAIN) else {
            return self.around.read((scan, said), room, self.heads.begin());
        };
        match self.around.lay((scan, said), room, *stack, lanes.onto(&mut stacks[*stack])) {
            Fit::InVain => {
                *in_vain += 1;
                self.around.read((scan, said), room, self.heads.begin())
            }
            fit => {
                *in_vain = if matches!(fit, Fit::Like) { 0 } else { *in_vain };
                fit
            }
        }
    }
}

impl<'t> Around<'t> {
    /// Reads a task whose table goes onto the stack of that number.
    fn lay(&self, (scan, said): (&mut Scan<'t>, &mut Said<'t>), room: &mut Room, stack: usize, mut table: Laid<'_>) -> Fit {
        let mut trial = scan.clone();
        let is_read = self.fill(&mut trial, said, |cursor| table.read(cursor)).is_some();
        let has_begun = table.has_begun();
        let given = table.finish(is_read, |bytes| room.take(bytes).is_ok()).map(|span| Given::Stacked(stack, span));
        self.end((scan, trial), said, room, (given, has_begun))
    }

    /// Reads a task whose table becomes one of its own.
    fn read(&self, (scan, said): (&mut Scan<'t>, &mut Said<'t>), room: &mut Room, mut table: Alike<'_>) -> Fit {
        let mut trial = scan.clone();
        let is_read = self.fill(&mut trial, said, |cursor| table.read(cursor).ok()).is_some();
        let has_begun = table.has_begun();
        let given = if is_read { room.hold(|| table.table()).ok() } else { None };
        self.end((scan, trial), said, room, (given.map(|table| Given::Read(Ok(table))), has_begun))
    }

    /// Reads what lies in the holes, `data` those of the next column, if everything around them is the same.
    fn fill(&self, scan: &mut Scan<'t>, said: &mut Said<'t>, mut data: impl FnMut(&mut Cursor<'t>) -> Option<()>) -> Option<()> {
        for (before, hole) in &self.before {
            scan.pass(before)?;
            match hole {
                Hole::Field(field) => said.set(*field, scan).ok()?,
                Hole::Data => data(scan.cursor())?,
            }
        }
        scan.pass(self.behind)
    }

    /// Goes behind a task with a table. None is there where it is wrong or there is no room: whoever reads the task as any other says
    /// so.
    fn end(
        &self,
        (scan, trial): (&mut Scan<'t>, Scan<'t>),
        said: &mut Said<'t>,
        room: &mut Room,
        (given, has_begun): (Option<Given<'t>>, bool),
    ) -> Fit {
        if let Some(table) = given {
            said.table = table;
            if room.take(said.take_common(&self.said)).is_ok() {
                *scan = trial;
                return Fit::Like;
            }
        }
        *said = Said::default();
        if has_begun { Fit::InVain } else { Fit::Unlike }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::super::frame::{Tables, looked_through};
    use super::super::read_either;
    use super::*;
    use crate::fuzz::rules::run;
    use crate::tasks::vectors::told;

    fn either(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        select(choices)
    }

    /// A column with a hole for its data.
    fn column() -> impl Strategy<Value = String> {
        let head = either(&[
            r#""name":"x","dtype":"FP32","#,
            r#""name":"x","dtype":"FP32","shape":[2],"#,
            r#""name":"x","dtype":"FP64","shape":[0,60],"#,
            r#""name":"z","dtype":"INT64","#,
            r#""name":"z","dtype":"DATE","#,
            r#""name":"y","dtype":"UTF8","#,
            r#""name":"y","#,
        ]);
        let tail = either(&["", "", "", r#","shape":[2]"#, r#","unit":"s""#, r#","data":[]"#]);
        (head, tail).prop_map(|(head, tail)| format!(r#"{{{head}"data":@{tail}}}"#))
    }

    fn data() -> impl Strategy<Value = &'static str> {
        either(&[
            "[]",
            "[1.5]",
            "[1.5, 2.5]",
            "[[1,2]]",
            " [[1,2],null]",
            "[null]",
            r#"["a","b"]"#,
            r#"["2020-02-20"]"#,
            "[1,2]",
            "[1.5,2.5,13.5,4.5,5.5,6.5]",
            "[1.5, 2.5, 3, 4.55, 5.5, 6.5]",
            "[[]]",
            "[[],[]]",
        ])
    }

    fn table() -> impl Strategy<Value = String> {
        let rows = either(&["", "", r#""rows":1,"#, r#""rows":2,"#]);
        let own = (rows, prop::collection::vec(column(), 0..3))
            .prop_map(|(rows, columns)| format!(r#"{{{rows}"columns":[{}]}}"#, columns.join(",")));
        prop_oneof![8 => own, 1 => Just(r#""shared""#.to_owned())]
    }

    fn task() -> impl Strategy<Value = String> {
        let before = either(&["", "", r#""id":"a","#, r#""id":"b" , "#, r#""id":null,"#, r#""timeout_us":7,"#]);
        let model = either(&[r#""model":"m","#, r#""model":"m","#, r#""model":"other","#]);
        let behind = either(&[
            "",
            "",
            r#","outputs":["label"]"#,
            r#","outputs":["label","p"],"weight":2"#,
            r#","weight":0.5"#,
            r#","timeout_us":12"#,
            r#","timeout_us":123,"idempotency_key":"k""#,
            r#","priority":1,"version":"2""#,
            r#","id":"c""#,
        ]);
        (before, model, table(), behind).prop_map(|(before, model, table, behind)| format!(r#"{{{before}{model}"table":{table}{behind}}}"#))
    }

    /// Tasks of few kinds, that mostly differ in their data.
    fn tasks() -> impl Strategy<Value = String> {
        let kinds = prop::collection::vec(task(), 1..4);
        let picks = prop::collection::vec((any::<Index>(), [data(), data()]), 1..9);
        (kinds, picks).prop_map(|(kinds, picks)| {
            let fill = |(kind, [first, second]): &(Index, [&str; 2])| kind.get(&kinds).replacen('@', first, 1).replace('@', second);
            picks.iter().map(fill).collect::<Vec<_>>().join(",")
        })
    }

    fn envelope() -> impl Strategy<Value = Vec<u8>> {
        let broken = prop::option::weighted(0.2, (any::<Index>(), any::<u8>()));
        (tasks(), broken).prop_map(|(tasks, broken)| {
            let mut text = format!(r#"{{"tasks":[{tasks}],"tables":{{"shared":{{"rows":1,"columns":[]}}}}}}"#).into_bytes();
            if let Some((place, byte)) = broken {
                *place.get_mut(&mut text) = byte;
            }
            text
        })
    }

    #[test]
    fn a_task_says_the_same_however_those_before_it_are_written() {
        run(&(envelope(), select(&[100_usize, 10_000][..])), |(text, limit)| {
            let read = |is_alike| told(read_either(&text, Room::of_body(limit), is_alike));
            assert_eq!(read(true), read(false), "{}", String::from_utf8_lossy(&text));
        });
    }

    fn alike(id: &str, data: &str, timeout_us: u32) -> String {
        format!(
            r#"{{"id":"{id}","model":"m","table":{{"columns":[{{"name":"x","dtype":"INT8","data":{data}}}]}},"timeout_us":{timeout_us}}}"#
        )
    }

    #[test]
    fn what_differs_is_read_and_what_is_written_otherwise_is_left() {
        let text = format!(r#"{{"tasks":[{},{}]}}"#, alike("a", "[1,2]", 10), alike("b", "[3]", 2000));
        let other = alike("c", "[4]", 30);
        let strange = [other.replace("INT8", "INT16"), other.replace("[4]", "[400]"), other.replace("30}", r#"30,"weight":1}"#)];
        let mut frame = looked_through(text.as_bytes(), Room::of_body(1 << 20), Tables::AsJson, Moulds::default()).unwrap();
        for (text, end) in [(&other, other.len()), (&strange[0], 0), (&strange[1], 0), (&strange[2], 0)] {
            let mut scan = Scan::new(text.as_bytes());
            let is_alike = frame.moulds.next(&mut scan, &mut Said::default(), &mut Room::of_body(1 << 20));
            assert_eq!((is_alike, scan.at()), (end > 0, end), "{text}");
        }
    }

    #[test]
    fn tables_are_not_read_in_vain_over_and_over() {
        let urgent = |task: &str| task.replace(r#","timeout_us""#, r#","priority":1,"timeout_us""#);
        let task = alike("", "[1]", 5);
        let text = format!(r#"{{"tasks":[{}]}}"#, vec![task.clone() + "," + &urgent(&task); 10].join(","));
        let frame = looked_through(text.as_bytes(), Room::of_body(1 << 20), Tables::AsJson, Moulds::default()).unwrap();
        assert_eq!(frame.moulds.in_vain, IN_VAIN + 1);
    }
}
