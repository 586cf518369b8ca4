//! What a record is asked: a rule of a router, on one value or on other rules.
//!
//! Numbers are compared by value, whatever their dtype: 2^53 + 1 is not the double that it rounds to. A value of BYTES, a time and a
//! tensor are of none of the types that a rule knows; they may be missing.

use std::cmp::Ordering;

use serde::Deserialize;

use crate::fault::{Code, Fault, Outcome};
use crate::tables::{Column, Content, Kind, Scalar, Typed};
use crate::tasks::number;

/// A rule; in JSON an object with the fields of one of them.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "Fields")]
pub(crate) enum Rule {
    Is(String, Type),
    Equals(String, Constant),
    AtLeast(String, Bound),
    Below(String, Bound),
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Box<Rule>),
}

/// Types of values.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Type {
    Integer,
    Floating,
    Text,
    Boolean,
    Missing,
}

/// What a value is compared with.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(crate) enum Constant {
    Boolean(bool),
    Number(Bound),
    Text(String),
}

/// A number of a rule.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(crate) enum Bound {
    Whole(i64),
    Unsigned(u64),
    Floating(f64),
}

/// All fields that rules have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    column: Option<String>,
    is: Option<Type>,
    equals: Option<Constant>,
    at_least: Option<Bound>,
    below: Option<Bound>,
    all: Option<Vec<Rule>>,
    any: Option<Vec<Rule>>,
    not: Option<Box<Rule>>,
}

impl TryFrom<Fields> for Rule {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let Fields { column, is, equals, at_least, below, all, any, not } = fields;
        match (column, is, equals, at_least, below, all, any, not) {
            (Some(column), Some(kind), None, None, None, None, None, None) => Ok(Self::Is(column, kind)),
            (Some(column), None, Some(value), None, None, None, None, None) => Ok(Self::Equals(column, value)),
            (Some(column), None, None, Some(value), None, None, None, None) => Ok(Self::AtLeast(column, value)),
            (Some(column), None, None, None, Some(value), None, None, None) => Ok(Self::Below(column, value)),
            (None, None, None, None, None, Some(rules), None, None) => Ok(Self::All(rules)),
            (None, None, None, None, None, None, Some(rules), None) => Ok(Self::Any(rules)),
            (None, None, None, None, None, None, None, Some(rule)) => Ok(Self::Not(rule)),
            _ => Err("a rule is a column with one of is, equals, at_least and below, or one of all, any and not"),
        }
    }
}

impl Rule {
    /// How deep rules lie in each other, this one included.
    pub(super) fn depth(&self) -> usize {
        1 + self.inner().iter().map(Self::depth).max().unwrap_or_default()
    }

    /// How many rules it is, this one included.
    pub(super) fn count(&self) -> usize {
        1 + self.inner().iter().map(Self::count).sum::<usize>()
    }

    /// The columns that it reads.
    pub(super) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Is(column, _) | Self::Equals(column, _) | Self::AtLeast(column, _) | Self::Below(column, _) => vec![column],
            _ => self.inner().iter().flat_map(Self::columns).collect(),
        }
    }

    fn inner(&self) -> &[Self] {
        match self {
            Self::All(rules) | Self::Any(rules) => rules,
            Self::Not(rule) => std::slice::from_ref(rule),
            _ => &[],
        }
    }

    /// Which of these records meet it.
    ///
    /// # Errors
    /// `MissingColumn`.
    pub(super) fn met(&self, table: &Typed, records: &[usize]) -> Outcome<Vec<bool>> {
        match self {
            Self::Is(column, kind) => each(table, column, records, |value| value.is(*kind)),
            Self::Equals(column, constant) => each(table, column, records, |value| value.equals(constant)),
            Self::AtLeast(column, bound) => {
                each(table, column, records, |value| matches!(value.order(*bound), Some(Ordering::Greater | Ordering::Equal)))
            }
            Self::Below(column, bound) => each(table, column, records, |value| value.order(*bound) == Some(Ordering::Less)),
            Self::All(rules) => folded(rules, (table, records), false),
            Self::Any(rules) => folded(rules, (table, records), true),
            Self::Not(rule) => rule.met(table, records).map(|met| met.into_iter().map(|is_met| !is_met).collect()),
        }
    }
}

/// Which records meet all rules, or any of them. One that `decides` is not asked for the rules behind: of any one that is met, of
/// all one that is not.
fn folded(rules: &[Rule], (table, records): (&Typed, &[usize]), decides: bool) -> Outcome<Vec<bool>> {
    let mut met = vec![!decides; records.len()];
    let mut open: Vec<usize> = (0..records.len()).collect();
    for rule in rules {
        let asked: Vec<usize> = open.iter().map(|place| records[*place]).collect();
        let mut answers = rule.met(table, &asked)?.into_iter();
        open.extract_if(.., |_| answers.next() == Some(decides)).for_each(|place| met[place] = decides);
        if open.is_empty() {
            break;
        }
    }
    Ok(met)
}

fn each(table: &Typed, column: &str, records: &[usize], is_met: impl Fn(&Value<'_>) -> bool) -> Outcome<Vec<bool>> {
    let column = table.columns.iter().find(|other| other.name == column).ok_or_else(|| absent(column))?;
    Ok(records.iter().map(|record| is_met(&Value::of(column, *record))).collect())
}

/// A rule reads a column that is not there.
pub(super) fn absent(column: &str) -> Fault {
    Fault::new(Code::MissingColumn, format!("column {column:?} is missing; a rule of the router reads it"))
}

/// A value as rules see it.
#[derive(Debug, PartialEq)]
enum Value<'v> {
    Missing,
    Boolean(bool),
    Whole(i128),
    Floating(f64),
    Text(&'v [u8]),
    /// Of no type that rules know.
    Other,
}

impl<'v> Value<'v> {
    fn of(column: &'v Column, record: usize) -> Self {
        if column.is_missing(record) {
            return Self::Missing;
        }
        match (&column.kind, &column.content) {
            _ if !column.shape.is_empty() => Self::Other,
            (Kind::Plain(dtype), Content::Fixed(buffer)) => match number::read(*dtype, buffer.bytes(), record) {
                Some(number::Number::Boolean(value)) => Self::Boolean(value),
                Some(number::Number::Whole(value)) => Self::Whole(value),
                Some(number::Number::Floating(value)) => Self::Floating(value),
                None => Self::Other,
            },
            (Kind::Utf8, Content::Items(items)) => Self::Text(&items[record]),
            (Kind::Mixed, Content::Mixed(list)) => match &list[record] {
                Scalar::Missing => Self::Missing,
                Scalar::Bool(value) => Self::Boolean(*value),
                Scalar::Int64(value) => Self::Whole((*value).into()),
                Scalar::Fp64(value) => Self::Floating(*value),
                Scalar::Utf8(text) => Self::Text(text.as_bytes()),
            },
            _ => Self::Other,
        }
    }

    const fn is(&self, kind: Type) -> bool {
        match kind {
            Type::Integer => matches!(self, Self::Whole(_)),
            Type::Floating => matches!(self, Self::Floating(_)),
            Type::Text => matches!(self, Self::Text(_)),
            Type::Boolean => matches!(self, Self::Boolean(_)),
            Type::Missing => matches!(self, Self::Missing),
        }
    }

    fn equals(&self, constant: &Constant) -> bool {
        match (self, constant) {
            (Self::Boolean(value), Constant::Boolean(constant)) => value == constant,
            (Self::Text(value), Constant::Text(constant)) => *value == constant.as_bytes(),
            (_, Constant::Number(number)) => self.order(*number) == Some(Ordering::Equal),
            _ => false,
        }
    }

    /// How it stands to a number; None where it is none, or NaN.
    fn order(&self, bound: Bound) -> Option<Ordering> {
        let whole = match bound {
            Bound::Whole(bound) => i128::from(bound),
            Bound::Unsigned(bound) => i128::from(bound),
            Bound::Floating(bound) => {
                return match self {
                    Self::Whole(value) => order(*value, bound),
                    Self::Floating(value) => value.partial_cmp(&bound),
                    _ => None,
                };
            }
        };
        match self {
            Self::Whole(value) => Some(value.cmp(&whole)),
            Self::Floating(value) => order(whole, *value).map(Ordering::reverse),
            _ => None,
        }
    }
}

/// How a whole number of 65 bits stands to a double.
fn order(whole: i128, double: f64) -> Option<Ordering> {
    const BEYOND: f64 = (1_u128 << 100) as f64;
    if double.is_nan() || double.abs() >= BEYOND {
        return 0_f64.partial_cmp(&double);
    }
    #[expect(clippy::cast_possible_truncation, reason = "it has less than 100 bits, and no fraction")]
    let cut = double.trunc() as i128;
    Some(whole.cmp(&cut).then_with(|| 0_f64.total_cmp(&(double.fract() + 0.0))))
}
