//! A column of all results as one record.
//!
//! | | of | is |
//! |---|---|---|
//! | `count` | anything | how many records are not missing, INT64, a scalar |
//! | `sum` | numbers | INT64 of integers and BOOL without weights, otherwise FP64; 0 of no records |
//! | `mean` | numbers | the sum of weight times value over that of weights, FP64; missing where that is 0 |
//! | `variance` | numbers | that of the sample, FP64: a weight of 2 is two records; missing where the weights are not above 1 |
//! | `min`, `max` | numbers | of their dtype; -0.0 and 0.0 are 0.0; missing of no records |
//!
//! Tensors are reduced element by element, by one sum that is used again for each. Where there is no result at all, a column that
//! is named is a scalar: FP64, or INT64 for `count`.

use half::f16;

use crate::fault::{Code, Fault, Outcome};
use crate::tables::{Column, Content, Kind};
use crate::tasks::number::{Number, read};
use crate::values::{Buffer, Dtype};

use super::exact::{Exact, Term};
use super::large::Large;
use super::{By, Gathered, Piece, described, mismatch};

/// The column as one record; None where its values are no numbers and it was not asked for by name.
///
/// # Errors
/// `MergeMismatch` where it has no numbers and was asked for, where dtypes or shapes differ, or a sum is beyond INT64.
pub(super) fn reduced(by: By, column: &Gathered<'_>, is_named: bool) -> Outcome<Option<Column>> {
    if by == By::Count {
        return Ok(Some(counted(column)));
    }
    if column.pieces.is_empty() {
        return Ok(Some(of_nothing(by, column.name)));
    }
    if !column.pieces.iter().any(Piece::is_numbers) {
        return if is_named { Err(no_numbers(by, column)) } else { Ok(None) };
    }
    let first = column.pieces[0];
    for piece in &column.pieces {
        if !piece.is_numbers() || !first.is_numbers() || piece.column.shape != first.column.shape || !by.joins(first, *piece) {
            let (one, other) = (described(first.column), described(piece.column));
            return Err(mismatch(column.name, (first.id, &one), (piece.id, &other)));
        }
    }
    Reduction { by, column, elements: first.column.shape.iter().product() }.done().map(Some)
}

impl By {
    /// Whether numbers of both dtypes can be reduced together.
    fn joins(self, one: Piece<'_>, other: Piece<'_>) -> bool {
        !matches!(self, Self::Min | Self::Max) || one.column.kind == other.column.kind
    }
}

fn no_numbers(by: By, column: &Gathered<'_>) -> Fault {
    let message = format!("column {:?} is {}; its {} needs numbers", column.name, described(column.pieces[0].column), by.name());
    Fault::new(Code::MergeMismatch, message)
}

/// What a column is that was asked for, where no task has a result.
fn of_nothing(by: By, name: &str) -> Column {
    let missing = if by == By::Sum { Vec::new() } else { vec![true] };
    Column { missing, ..record(name, Dtype::Fp64, (Vec::new(), vec![0; 8])) }
}

fn counted(column: &Gathered<'_>) -> Column {
    let there: usize = column.pieces.iter().map(Piece::there).sum();
    let count = i64::try_from(there).unwrap_or(i64::MAX);
    record(column.name, Dtype::Int64, (Vec::new(), count.to_le_bytes().to_vec()))
}

/// A column of one record.
fn record(name: &str, dtype: Dtype, (shape, bytes): (Vec<usize>, Vec<u8>)) -> Column {
    let content = Content::Fixed(Buffer::copy_of(&bytes));
    Column { name: name.into(), kind: Kind::Plain(dtype), shape, content, missing: Vec::new() }
}

/// One reduction of one column of numbers, all of one shape.
struct Reduction<'r> {
    by: By,
    column: &'r Gathered<'r>,
    /// Values of one record.
    elements: usize,
}

impl Reduction<'_> {
    fn done(&self) -> Outcome<Column> {
        match self.by {
            By::Min | By::Max => Ok(self.extremes()),
            By::Sum if self.is_whole() => self.whole_sums(),
            _ => Ok(self.floats()),
        }
    }

    fn pieces(&self) -> &[Piece<'_>] {
        &self.column.pieces
    }

    fn shape(&self) -> Vec<usize> {
        self.pieces()[0].column.shape.clone()
    }

    /// Whether the sum is one of whole numbers, without weights.
    fn is_whole(&self) -> bool {
        let is_float = |piece: &Piece<'_>| matches!(piece.dtype(), Dtype::Fp16 | Dtype::Fp32 | Dtype::Fp64);
        self.pieces().iter().all(|piece| !is_float(piece) && piece.is_plain())
    }

    /// One element of each record that is there.
    fn each(&self, element: usize, mut take: impl FnMut(Piece<'_>, Number)) {
        for piece in self.pieces() {
            let (dtype, bytes) = (piece.dtype(), piece.bytes());
            let records = (0..piece.rows).filter(|record| piece.has(*record));
            let values = records.filter_map(|record| read(dtype, bytes, record * self.elements + element));
            values.for_each(|value| take(*piece, value));
        }
    }

    fn whole_sums(&self) -> Outcome<Column> {
        let (mut sum, mut bytes) = (Exact::new(), Vec::new());
        for element in 0..self.elements {
            sum.clear();
            self.each(element, |_, value| sum.add(&[value.into()]));
            let total = sum.total().as_i64().ok_or_else(|| self.overflow(&sum))?;
            bytes.extend(total.to_le_bytes());
        }
        Ok(record(self.column.name, Dtype::Int64, (self.shape(), bytes)))
    }

    fn overflow(&self, sum: &Exact) -> Fault {
        let message = format!("the sum of column {:?} is about {:e}, beyond INT64", self.column.name, sum.total().nearest());
        Fault::new(Code::MergeMismatch, message).hint("give a task a weight, such as 1.5, for a sum in floating point; or sum FP64")
    }

    /// A sum in floating point, a mean or a variance.
    fn floats(&self) -> Column {
        let weights = self.weights();
        let is_missing = match self.by {
            By::Mean => !weights.is_positive(),
            By::Variance => !weights.minus(&Large::one()).is_positive(),
            _ => false,
        };
        let (mut sums, mut bytes) = (Sums::new(self.by), Vec::with_capacity(8 * self.elements));
        for element in 0..self.elements {
            let value = if is_missing { 0.0 } else { sums.of(&weights, |take| self.each(element, take)) };
            bytes.extend(value.to_le_bytes());
        }
        let missing = if is_missing { vec![true] } else { Vec::new() };
        Column { missing, ..record(self.column.name, Dtype::Fp64, (self.shape(), bytes)) }
    }

    /// The weights of all records that are there.
    fn weights(&self) -> Large {
        let mut sum = Exact::new();
        for piece in self.pieces() {
            sum.add(&[Term::from(piece.weight), Term::from(piece.there() as u64)]);
        }
        sum.total()
    }

    fn extremes(&self) -> Column {
        let (dtype, is_largest) = (self.pieces()[0].dtype(), self.by == By::Max);
        let (mut bytes, mut missing) = (Vec::new(), Vec::new());
        for element in 0..self.elements {
            let mut found: Option<Number> = None;
            self.each(element, |_, value| found = Some(found.map_or(value, |found| extreme(found, value, is_largest))));
            if found.is_none() {
                missing = vec![true];
            }
            write(found.unwrap_or(Number::Whole(0)), dtype, &mut bytes);
        }
        Column { missing, ..record(self.column.name, dtype, (self.shape(), bytes)) }
    }
}

/// The sums from which one element of an answer is made.
struct Sums {
    by: By,
    first: Exact,
    second: Exact,
}

impl Sums {
    const fn new(by: By) -> Self {
        Self { by, first: Exact::new(), second: Exact::new() }
    }

    /// The answer for the values that `each` gives.
    fn of(&mut self, weights: &Large, each: impl FnOnce(&mut dyn FnMut(Piece<'_>, Number))) -> f64 {
        self.first.clear();
        self.second.clear();
        let (first, second, by) = (&mut self.first, &mut self.second, self.by);
        each(&mut |piece, value| {
            let (weight, value) = (Term::from(piece.weight), Term::from(value));
            first.add(&[weight, value]);
            if by == By::Variance {
                second.add(&[weight, value, value]);
            }
        });
        match by {
            By::Variance => self.variance(weights),
            By::Mean => self.first.special().unwrap_or_else(|| self.first.total().over(weights)),
            _ => self.first.special().unwrap_or_else(|| self.first.total().nearest()),
        }
    }

    /// `(W * sum(w*x*x) - sum(w*x)**2) / (W * (W - 1))`, exact up to the division.
    fn variance(&self, weights: &Large) -> f64 {
        if self.first.special().is_some() {
            return f64::NAN;
        }
        let first = self.first.total();
        let spread = weights.times(&self.second.total()).minus(&first.times(&first));
        spread.over(&weights.times(&weights.minus(&Large::one())))
    }
}

impl Piece<'_> {
    /// How many records are not missing.
    fn there(&self) -> usize {
        (0..self.rows).filter(|record| self.has(*record)).count()
    }

    /// Whether its records count as one each.
    fn is_plain(&self) -> bool {
        self.weight.to_bits() == 1_f64.to_bits()
    }

    /// Of a column of numbers.
    const fn dtype(&self) -> Dtype {
        match self.column.kind {
            Kind::Plain(dtype) => dtype,
            _ => Dtype::Bytes,
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.column.content {
            Content::Fixed(buffer) => buffer.bytes(),
            _ => &[],
        }
    }
}

/// The larger or the smaller of both; NaN if one of them is.
fn extreme(one: Number, other: Number, is_largest: bool) -> Number {
    let is_other = match (one, other) {
        (Number::Boolean(one), Number::Boolean(two)) => (two && !one) == is_largest,
        (Number::Whole(one), Number::Whole(two)) => (two > one) == is_largest,
        (Number::Floating(one), Number::Floating(two)) => two.is_nan() || (!one.is_nan() && (two > one) == is_largest),
        _ => false,
    };
    if is_other { other } else { one }
}

fn write(value: Number, dtype: Dtype, bytes: &mut Vec<u8>) {
    match (value, dtype) {
        (Number::Boolean(value), _) => bytes.push(value.into()),
        (Number::Whole(value), _) => bytes.extend_from_slice(&value.to_le_bytes()[..dtype.width()]),
        // Of two zeros, the one above.
        (Number::Floating(value), Dtype::Fp16) => bytes.extend(f16::from_f64(value + 0.0).to_le_bytes()),
        #[expect(clippy::cast_possible_truncation, reason = "it was read as one of 32 bits")]
        (Number::Floating(value), Dtype::Fp32) => bytes.extend((value as f32 + 0.0).to_le_bytes()),
        (Number::Floating(value), _) => bytes.extend((value + 0.0).to_le_bytes()),
    }
}
