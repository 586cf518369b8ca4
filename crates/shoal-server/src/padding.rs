//! Records of different lengths in one micro-batch: padded where the signature says how, and cut back in the answers.
//!
//! 1. An input column with one variable dimension may carry a rule: the value to fill with, the end it goes to, and the
//!    lengths that a length is rounded up to. A record is always padded to its rounded length, alone as in company, so a
//!    model sees few shapes and its costs are known by them. In a micro-batch of several lengths all are padded to the
//!    longest of the rounded ones.
//! 2. An output column that follows such an input column is cut back to each record's own length. A model whose answer
//!    does not have the padded length broke its signature.
//! 3. A length of 0, and one beyond the last of the lengths that a rule lists, is left as it is. A record of length 0
//!    travels with its like only.
//! 4. Sealing has proved that an answer does not depend on padding. What counts against limits is the padded size.

use std::sync::Arc;

use serde::Deserialize;
use shoal_batch::rounded_length;

use crate::description::{Column, Description, Missing};
use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;
use crate::missing::encode;
use crate::values::{Dtype, Payload, Table, Values};

/// A dimension is at most so long: what Arrow can count.
const LENGTH_LIMIT: usize = (1 << 31) - 1;
/// Lengths that a rule may list.
const LENGTHS_LIMIT: usize = 1024;

/// How an input column is padded, as a signature says it.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// What to fill with: a number, a text, `"NaN"`.
    pub value: Missing,
    /// The end that is filled.
    #[serde(default)]
    pub at: End,
    /// Lengths are rounded up to multiples of this ...
    #[serde(default)]
    pub multiple_of: Option<usize>,
    /// ... or to the next of these, in ascending order; to one of four steps in each power of two if neither is said.
    #[serde(default)]
    pub lengths: Option<Vec<usize>>,
}

/// Where the filling goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Before the record's own values.
    Start,
    /// After them.
    #[default]
    End,
}

impl Rule {
    /// The length that a record of this length is padded to.
    fn rounded(&self, length: usize) -> usize {
        match (&self.lengths, self.multiple_of) {
            (Some(lengths), _) => lengths.iter().copied().find(|known| *known >= length).filter(|_| length > 0).unwrap_or(length),
            (None, Some(step)) => length.next_multiple_of(step),
            (None, None) => rounded_length(length),
        }
    }

    fn is_sound(&self) -> bool {
        let is_length = |length: &usize| (1..=LENGTH_LIMIT).contains(length);
        let ascends = |lengths: &Vec<usize>| lengths.is_sorted_by(|one, next| one < next) && lengths.iter().all(is_length);
        match (&self.lengths, self.multiple_of) {
            (Some(_), Some(_)) => false,
            (Some(lengths), None) => (1..=LENGTHS_LIMIT).contains(&lengths.len()) && ascends(lengths),
            (None, step) => step.as_ref().is_none_or(is_length),
        }
    }
}

/// What pads the inputs of a model and cuts its answers.
#[derive(Clone, Debug)]
pub(crate) struct Padding {
    /// For each input column that is padded, how.
    inputs: Vec<Option<Fill>>,
    /// The output columns.
    outputs: Vec<Output>,
}

/// The shapes of padded records, as the batcher is told of them.
pub(crate) struct Lengths {
    /// All dimensions that padding leaves alone.
    pub(crate) beside: Vec<usize>,
    /// The others, rounded.
    pub(crate) padded: Vec<usize>,
    /// Bytes that a record would have in the padded columns if it were all filling.
    pub(crate) row_bytes: usize,
}

#[derive(Clone, Debug)]
struct Output {
    name: String,
    dtype: Dtype,
    /// How it follows an input column, if it does.
    follow: Option<Follow>,
}

#[derive(Clone, Debug)]
struct Fill {
    axis: usize,
    rule: Rule,
    /// One value, little-endian, or one text.
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Follow {
    axis: usize,
    input: usize,
}

impl Padding {
    /// The padding of a signature; none where no column has a rule.
    ///
    /// # Errors
    /// `CorruptPackage`, naming the column, for a rule that cannot be followed.
    pub(crate) fn of(description: &Description) -> Outcome<Option<Self>> {
        let (inputs, outputs) = (&description.signature.inputs, &description.signature.outputs);
        if let Some(column) =
            inputs.iter().find(|column| column.follows.is_some()).or(outputs.iter().find(|column| column.padding.is_some()))
        {
            return Err(unsound(column));
        }
        let inputs: Vec<Option<Fill>> = inputs.iter().map(fill).collect::<Outcome<_>>()?;
        let output = |column: &Column| {
            let follow = follow(column, description, &inputs)?;
            Ok(Output { name: column.name.clone(), dtype: column.dtype, follow })
        };
        let outputs = outputs.iter().map(output).collect::<Outcome<_>>()?;
        Ok(inputs.iter().any(Option::is_some).then_some(Self { inputs, outputs }))
    }

    /// The shapes that the records of a table have when they are padded, column by column.
    pub(crate) fn shapes(&self, table: &Table) -> Vec<Vec<usize>> {
        self.inputs
            .iter()
            .zip(&table.columns)
            .map(|(fill, values)| fill.as_ref().map_or_else(|| values.shape.clone(), |fill| fill.shape(values)))
            .collect()
    }

    /// What decides with whom the records of a table may travel; none where they travel with their like only.
    pub(crate) fn lengths(&self, table: &Table) -> Option<Lengths> {
        let mut found = Lengths { beside: Vec::new(), padded: Vec::new(), row_bytes: 0 };
        for (fill, values) in self.inputs.iter().zip(&table.columns) {
            let Some(fill) = fill else {
                found.beside.extend(&values.shape);
                continue;
            };
            let length = fill.rule.rounded(values.shape[fill.axis]);
            found.padded.push(length);
            found.beside.extend(fill.beside(values));
            found.row_bytes = found.row_bytes.saturating_add(fill.filling_bytes(values, length));
        }
        found.padded.iter().all(|length| *length > 0).then_some(found)
    }

    /// The shapes to which records of all these tables can be padded; they are of one kin.
    pub(crate) fn widest<'t>(&self, first: &Table, others: impl Iterator<Item = &'t Table>) -> Vec<Vec<usize>> {
        let mut shapes = self.shapes(first);
        for table in others {
            let padded = self.inputs.iter().zip(&table.columns).zip(&mut shapes);
            for ((fill, values), shape) in padded {
                if let Some(fill) = fill {
                    shape[fill.axis] = shape[fill.axis].max(fill.rule.rounded(values.shape[fill.axis]));
                }
            }
        }
        shapes
    }

    /// Whether no record of a table needs padding.
    pub(crate) fn fits(&self, table: &Table) -> bool {
        let is_whole = |fill: &Fill, values: &Values| fill.rule.rounded(values.shape[fill.axis]) == values.shape[fill.axis];
        self.inputs.iter().zip(&table.columns).all(|(fill, values)| fill.as_ref().is_none_or(|fill| is_whole(fill, values)))
    }

    /// Bytes that the values of a table take when they are padded.
    pub(crate) fn size_bytes(&self, table: &Table) -> usize {
        let size = |fill: &Option<Fill>, values: &Values| {
            let added = fill.as_ref().map_or(0, |fill| fill.added_bytes(values, table.rows));
            values.payload.size_bytes().saturating_add(added)
        };
        self.inputs.iter().zip(&table.columns).map(|(fill, values)| size(fill, values)).fold(0, usize::saturating_add)
    }

    /// Appends records `start..start + rows` of a table, padded to the shapes of `target`.
    ///
    /// # Errors
    /// `Internal` when they cannot be: the queue never puts two padded shapes into one bucket.
    pub(crate) fn append(&self, target: &mut Table, source: &Table, dtypes: &[Dtype], (start, rows): (usize, usize)) -> Outcome<()> {
        for (index, (to, from)) in target.columns.iter_mut().zip(&source.columns).enumerate() {
            match &self.inputs[index] {
                Some(fill) if to.shape != from.shape => {
                    fill.append(to, from, (start, rows))?;
                    to.append_missing(from, target.rows, (start, rows));
                }
                _ if to.shape == from.shape => to.append(from, dtypes[index], target.rows, (start, rows)),
                _ => return Err(met(to, from)),
            }
        }
        target.rows += rows;
        Ok(())
    }

    /// Holds an answer to its signature: columns that follow an input have the length that it was padded to.
    ///
    /// # Errors
    /// `ModelFailed`, naming the column.
    pub(crate) fn check(&self, inputs: &Table, answer: &Table) -> Outcome<()> {
        for (index, (follow, fill)) in self.followers() {
            let have = answer.columns[index].shape[follow.axis];
            let want = inputs.columns[follow.input].shape[fill.axis];
            if have != want {
                let name = &self.outputs[index].name;
                let message = format!("the model answered column {name:?} with length {have}; the input that it follows has {want}");
                return Err(Fault::new(Code::ModelFailed, message));
            }
        }
        Ok(())
    }

    /// The output columns that follow an input column.
    fn followers(&self) -> impl Iterator<Item = (usize, (Follow, &Fill))> {
        self.outputs.iter().enumerate().filter_map(|(index, output)| Some((index, self.follower(output)?)))
    }

    fn follower(&self, output: &Output) -> Option<(Follow, &Fill)> {
        let follow = output.follow?;
        Some((follow, self.inputs[follow.input].as_ref()?))
    }

    /// Cuts an answer back to the lengths of the request it belongs to.
    pub(crate) fn cut(&self, answer: Answer, request: &Table) -> Answer {
        let is_own = |(index, (follow, fill)): (usize, (Follow, &Fill))| {
            answer.table.columns[index].shape[follow.axis] == request.columns[follow.input].shape[fill.axis]
        };
        if self.followers().all(is_own) {
            return answer;
        }
        let columns = self.outputs.iter().zip(&answer.table.columns).map(|(output, values)| {
            let follower = self.follower(output);
            let (runs, shape) = follower.map_or_else(|| Runs::whole(values), |(follow, fill)| fill.own_runs(values, follow, request));
            Values { shape, ..runs.take(values, output.dtype, (answer.start, answer.rows)) }
        });
        Answer::new(Arc::new(Table { rows: answer.rows, columns: columns.collect() }), 0, answer.rows)
    }
}

fn fill(column: &Column) -> Outcome<Option<Fill>> {
    let Some(rule) = &column.padding else { return Ok(None) };
    let axis = variable_axis(column).filter(|_| rule.is_sound()).ok_or_else(|| unsound(column))?;
    Ok(Some(Fill { axis, rule: rule.clone(), value: encode(column, &rule.value)? }))
}

fn follow(column: &Column, description: &Description, inputs: &[Option<Fill>]) -> Outcome<Option<Follow>> {
    let Some(name) = &column.follows else { return Ok(None) };
    let input = description.signature.inputs.iter().position(|input| input.name == *name).filter(|input| inputs[*input].is_some());
    let axis = variable_axis(column);
    axis.zip(input).map(|(axis, input)| Some(Follow { axis, input })).ok_or_else(|| unsound(column))
}

/// The one dimension that varies.
fn variable_axis(column: &Column) -> Option<usize> {
    let axis = column.shape.iter().position(|dim| *dim == -1)?;
    column.shape[axis + 1..].iter().all(|dim| *dim != -1).then_some(axis)
}

fn unsound(column: &Column) -> Fault {
    let message = format!(
        "column {:?} has a rule of padding that cannot be followed; an input is padded and an output follows a padded input, \
         each with one variable dimension, and lengths ascend from 1 on",
        column.name
    );
    Fault::new(Code::CorruptPackage, message)
}

fn met(target: &Values, source: &Values) -> Fault {
    Fault::new(Code::Internal, format!("records of shape {:?} and {:?} met in one micro-batch", target.shape, source.shape))
}

impl Fill {
    fn shape(&self, values: &Values) -> Vec<usize> {
        let mut shape = values.shape.clone();
        shape[self.axis] = self.rule.rounded(shape[self.axis]);
        shape
    }

    fn beside<'v>(&self, values: &'v Values) -> impl Iterator<Item = usize> + use<'v> {
        let own = self.axis;
        values.shape.iter().enumerate().filter(move |(axis, _)| *axis != own).map(|(_, dim)| *dim)
    }

    fn added_bytes(&self, values: &Values, rows: usize) -> usize {
        let own = values.shape[self.axis];
        self.filling_bytes(values, self.rule.rounded(own) - own).saturating_mul(rows)
    }

    /// Bytes of so much filling in each record.
    fn filling_bytes(&self, values: &Values, length: usize) -> usize {
        let each = match &values.payload {
            Payload::Fixed(_) => self.value.len(),
            Payload::Bytes(_) => self.value.len() + 4,
        };
        self.beside(values).fold(length, usize::saturating_mul).saturating_mul(each)
    }

    /// Appends the values of some records, each run along the dimension filled up.
    fn append(&self, to: &mut Values, from: &Values, (start, rows): (usize, usize)) -> Outcome<()> {
        let inner: usize = from.shape[self.axis + 1..].iter().product();
        let outer: usize = from.shape[..self.axis].iter().product();
        let (own, padded) = (from.shape[self.axis] * inner, to.shape[self.axis] * inner);
        if padded < own || to.per_row() != outer * padded {
            return Err(met(to, from));
        }
        let runs = start * outer..(start + rows) * outer;
        match (&mut to.payload, &from.payload) {
            (Payload::Fixed(target), Payload::Fixed(source)) => {
                let filling = self.value.repeat(padded - own);
                let run_bytes = own * self.value.len();
                for run in runs {
                    let values = &source.bytes()[run * run_bytes..(run + 1) * run_bytes];
                    let (first, second) = self.ordered(values, &filling);
                    target.extend(first);
                    target.extend(second);
                }
            }
            (Payload::Bytes(target), Payload::Bytes(source)) => {
                let filling = vec![self.value.clone(); padded - own];
                for run in runs {
                    let (first, second) = self.ordered(&source[run * own..(run + 1) * own], &filling);
                    target.extend_from_slice(first);
                    target.extend_from_slice(second);
                }
            }
            _ => return Err(met(to, from)),
        }
        Ok(())
    }

    const fn ordered<'v, T>(&self, values: &'v [T], filling: &'v [T]) -> (&'v [T], &'v [T]) {
        match self.rule.at {
            End::End => (values, filling),
            End::Start => (filling, values),
        }
    }

    /// Where the own values of a request lie in an output that follows, and the shape of its records without the rest.
    fn own_runs(&self, values: &Values, follow: Follow, request: &Table) -> (Runs, Vec<usize>) {
        let (own, padded) = (request.columns[follow.input].shape[self.axis], values.shape[follow.axis]);
        let mut shape = values.shape.clone();
        shape[follow.axis] = own;
        let from = if self.rule.at == End::Start { padded - own } else { 0 };
        let (outer, inner) = (shape[..follow.axis].iter().product(), shape[follow.axis + 1..].iter().product::<usize>());
        (Runs { outer, length: padded * inner, from: from * inner, to: (from + own) * inner }, shape)
    }
}

/// Parts of the records of a column: each has `outer` runs of `length` values, of which `from..to` are taken.
struct Runs {
    outer: usize,
    length: usize,
    from: usize,
    to: usize,
}

impl Runs {
    fn whole(values: &Values) -> (Self, Vec<usize>) {
        (Self { outer: 1, length: values.per_row(), from: 0, to: values.per_row() }, values.shape.clone())
    }

    fn take(&self, values: &Values, dtype: Dtype, (start, rows): (usize, usize)) -> Values {
        let runs = start * self.outer..(start + rows) * self.outer;
        let taken = runs.map(|run| run * self.length + self.from..run * self.length + self.to);
        let mut payload = Payload::with_capacity(dtype, rows * self.outer * (self.to - self.from));
        for values_taken in taken {
            match (&mut payload, &values.payload) {
                (Payload::Fixed(target), Payload::Fixed(source)) => {
                    target.extend(&source.bytes()[values_taken.start * dtype.width()..values_taken.end * dtype.width()]);
                }
                (Payload::Bytes(target), Payload::Bytes(source)) => target.extend_from_slice(&source[values_taken]),
                (Payload::Fixed(_), Payload::Bytes(_)) | (Payload::Bytes(_), Payload::Fixed(_)) => {}
            }
        }
        let missing = values.missing.get(start..start + rows).unwrap_or_default().to_vec();
        Values { shape: Vec::new(), payload, missing }
    }
}

#[cfg(test)]
mod tests;
