//! Routers: which model answers each record of a table, and the answers as one table again; all of it pure.
//!
//! - Each record goes to the first [`Route`] whose [`rule`] it meets; one that meets none fails the task.
//! - A column that a rule reads and the table lacks is missing, whatever other rules say.
//! - [`legs`] follows routers that lead to routers, at most eight, until only models are left. [`join`] is the way back.

mod join;
mod rule;
mod split;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::description::Description;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::Typed;

pub(crate) use join::join;
use rule::Rule;

/// Routers on the way of one record, at most.
const DEPTH_LIMIT: usize = 8;
/// Routes of a router, at most.
const ROUTES_LIMIT: usize = 256;
/// Rules of a router, those within others included, at most.
const RULES_LIMIT: usize = 4096;

/// Where records go that meet a rule.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// A model, or another router.
    pub(crate) model: String,
    /// None is whichever version answers requests that name none.
    pub(crate) version: Option<String>,
    /// None takes every record.
    when: Option<Rule>,
    /// The model's name of a column, by the router's.
    #[serde(default)]
    rename: BTreeMap<String, String>,
}

impl Route {
    /// The columns that its rule reads.
    pub(crate) fn reads(&self) -> Vec<&str> {
        self.when.as_ref().map(Rule::columns).unwrap_or_default()
    }

    /// The router's name of a column of the model.
    pub(crate) fn name_of<'a>(&'a self, column: &'a str) -> &'a str {
        self.rename.iter().find(|(_, to)| *to == column).map_or(column, |(from, _)| from)
    }
}

/// Refuses routes that no router has.
///
/// # Errors
/// `CorruptPackage`: a package with them was not sealed by us.
pub(crate) fn check(routes: &[Route]) -> Outcome<()> {
    let rules = || routes.iter().filter_map(|route| route.when.as_ref());
    let unreached = routes.iter().rev().skip(1).any(|route| route.when.is_none());
    let problem = match routes.len() {
        0 => "has no routes",
        count if count > ROUTES_LIMIT => "has more than 256 routes",
        _ if unreached => "has a route behind one that takes every record",
        _ if rules().any(|rule| rule.depth() > DEPTH_LIMIT) => "has rules nested more than 8 deep",
        _ if rules().map(Rule::count).sum::<usize>() > RULES_LIMIT => "has more than 4096 rules",
        _ => return Ok(()),
    };
    Err(Fault::new(Code::CorruptPackage, format!("shoal.json describes a router that {problem}")))
}

/// Records that one model answers.
#[derive(Debug)]
pub(crate) struct Leg<M> {
    /// Who answers: no router.
    pub(crate) model: M,
    /// Which records of the router's table these are, ascending.
    pub(crate) places: Vec<usize>,
    /// These records, with the model's names of columns; it may have more columns than the model.
    pub(crate) table: Typed,
}

/// How names are looked up.
pub(crate) struct Guide<'g, M> {
    /// What is served under a name, in that version or in the one that answers requests that name none.
    pub(crate) find: &'g dyn Fn(&str, Option<&str>) -> Outcome<M>,
    pub(crate) description: fn(&M) -> &Description,
}

/// The records of a table by who answers them, ordered by the first record of each.
///
/// # Errors
/// `MissingColumn`, `NoRoute`, `DuplicateColumn` where a renamed column meets another one, `RouterCycle`, and those of finding a model.
pub(crate) fn legs<M>(guide: &Guide<'_, M>, router: M, table: Typed) -> Outcome<Vec<Leg<M>>> {
    let places = (0..table.rows).collect();
    let mut legs = Vec::new();
    follow(guide, &mut Vec::new(), Leg { model: router, places, table }, &mut legs)?;
    legs.sort_by_key(|leg: &Leg<M>| leg.places.first().copied());
    Ok(legs)
}

/// Name and version of a router on the way.
type Step = (String, String);

fn follow<M>(guide: &Guide<'_, M>, way: &mut Vec<Step>, leg: Leg<M>, found: &mut Vec<Leg<M>>) -> Outcome<()> {
    let description = (guide.description)(&leg.model);
    if !description.is_router() {
        found.push(leg);
        return Ok(());
    }
    step(way, description)?;
    for part in split::split(description, &leg.table)? {
        let model = (guide.find)(&part.route.model, part.route.version.as_deref()).map_err(|fault| astray(description, fault))?;
        let places = part.places.iter().map(|place| leg.places[*place]).collect();
        follow(guide, way, Leg { model, places, table: part.table }, found)?;
    }
    way.pop();
    Ok(())
}

/// Goes on to a router that is not on the way yet.
fn step(way: &mut Vec<Step>, router: &Description) -> Outcome<()> {
    let next = (router.name.clone(), router.version.clone());
    let (is_met, is_long) = (way.contains(&next), way.len() == DEPTH_LIMIT);
    way.push(next);
    if !is_met && !is_long {
        return Ok(());
    }
    let names = way.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" -> ");
    let what = if is_met { "a router leads to itself" } else { "records go through more than 8 routers" };
    Err(Fault::new(Code::RouterCycle, format!("{what}: {names}")).hint("seal one of them anew, with a route to a model"))
}

/// A route leads to nothing that is served.
fn astray(router: &Description, fault: Fault) -> Fault {
    let message = format!("a route of router {:?} leads nowhere: {}", router.name, fault.message);
    fault.told(message)
}
