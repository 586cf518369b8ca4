//! The records of a table by the route that each of them takes.

use std::collections::{BTreeSet, HashSet};

use crate::description::Description;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::Typed;

use super::Route;
use super::rule::absent;

/// Records that take one route.
pub(super) struct Part<'r> {
    pub(super) route: &'r Route,
    /// Which records these are, ascending.
    pub(super) places: Vec<usize>,
    /// These records, with their columns renamed.
    pub(super) table: Typed,
}

/// Those routes that records take, in their order.
///
/// # Errors
/// `MissingColumn`, `NoRoute`, `DuplicateColumn`.
pub(super) fn split<'r>(router: &'r Description, table: &Typed) -> Outcome<Vec<Part<'r>>> {
    refuse_absent(&router.routes, table)?;
    let (mut parts, mut left) = (Vec::new(), (0..table.rows).collect::<Vec<_>>());
    for route in &router.routes {
        let places = taken(route, table, &mut left)?;
        if !places.is_empty() {
            let taken = if places.len() == table.rows { table.clone() } else { table.take_rows(&places) };
            let table = renamed(router, route, taken)?;
            parts.push(Part { route, places, table });
        }
    }
    match left.first() {
        None => Ok(parts),
        Some(record) => {
            let message = format!("record {record} meets no rule of router {:?}, and so do {} others", router.name, left.len() - 1);
            Err(Fault::new(Code::NoRoute, message).hint("a last route without `when` takes what no other takes"))
        }
    }
}

/// Every column that a rule reads is there.
fn refuse_absent(routes: &[Route], table: &Typed) -> Outcome<()> {
    let there: HashSet<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let read = routes.iter().filter_map(|route| route.when.as_ref()).flat_map(super::rule::Rule::columns);
    read.into_iter().find(|column| !there.contains(column)).map_or(Ok(()), |column| Err(absent(column)))
}

/// The records that take a route, of those that are left.
fn taken(route: &Route, table: &Typed, left: &mut Vec<usize>) -> Outcome<Vec<usize>> {
    let Some(rule) = &route.when else { return Ok(std::mem::take(left)) };
    let mut met = rule.met(table, left)?.into_iter();
    Ok(left.extract_if(.., |_| met.next().unwrap_or_default()).collect())
}

fn renamed(router: &Description, route: &Route, mut table: Typed) -> Outcome<Typed> {
    if route.rename.is_empty() {
        return Ok(table);
    }
    let mut names = BTreeSet::new();
    for column in &mut table.columns {
        if let Some(name) = route.rename.get(column.name.as_str()) {
            column.name = name.into();
        }
        if !names.insert(&column.name) {
            let message = format!("router {:?} renames a column to {:?}, and the table has that one, too", router.name, column.name);
            return Err(Fault::new(Code::DuplicateColumn, message));
        }
    }
    Ok(table)
}
