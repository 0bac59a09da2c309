//! Permanent numbers. Stored rows name summaries, definitions and aggregates by numbers
//! that never change their meaning, so that the order of the configuration, a new summary
//! or a new aggregate change nothing that is stored. What would change the meaning of
//! stored rows is refused, with the two ways on.

use serde::{Deserialize, Serialize};

use super::records::{Position, Record};
use super::{Database, StoreError};
use crate::config::{AggregateDefinition, Definition, Schema};

/// All summaries that ever had rows here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    summaries: Vec<RegisteredSummary>,
}

/// A summary and its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredSummary {
    /// Its permanent number, from 1.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its definitions, oldest first; the first has number 1.
    pub definitions: Vec<Definition>,
    /// Aggregates that it has or had.
    pub aggregates: Vec<RegisteredAggregate>,
}

/// An aggregate and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredAggregate {
    /// Its permanent number within the summary, from 1.
    pub number: u32,
    /// What it is.
    pub definition: AggregateDefinition,
    /// First event that it counts: sequence number; 0: all.
    pub since_sequence: u64,
    /// Arrival time of that moment, in microseconds since 1970.
    pub since_us: i64,
    /// Set when it was taken out of the configuration.
    pub retired: bool,
}

impl RegisteredSummary {
    fn new(number: u32, name: &str, definition: &Definition) -> Self {
        let aggregates = definition.aggregates.iter().zip(1..).map(|(definition, number)| {
            let (definition, since_sequence, since_us) = (definition.clone(), 0, 0);
            RegisteredAggregate { number, definition, since_sequence, since_us, retired: false }
        });
        Self {
            number,
            name: name.to_owned(),
            definitions: vec![definition.clone()],
            aggregates: aggregates.collect(),
        }
    }

    /// Number of the definition that new rows are made with.
    pub fn definition(&self) -> u32 {
        self.definitions.len() as u32
    }

    /// The number of an aggregate that is configured.
    pub fn aggregate(&self, name: &str) -> Option<&RegisteredAggregate> {
        self.aggregates.iter().find(|a| !a.retired && a.definition.name == name)
    }

    /// Takes over a new definition, or says what contradicts the stored rows.
    fn update(&mut self, new: &Definition, position: Position) -> Result<(), String> {
        let Some(old) = self.definitions.last() else { return Ok(()) };
        if old == new {
            return Ok(());
        }
        refuse_change("its zone", &old.zone, &new.zone)?;
        refuse_change("its time", &old.time, &new.time)?;
        let dimensions = |d: &Definition| {
            let list: Vec<_> =
                d.dimensions.iter().map(|d| format!("{} {}", d.name, d.kind)).collect();
            list.join(", ")
        };
        refuse_change("its dimensions", &dimensions(old), &dimensions(new))?;
        refuse_change("its filter", &old.filter, &new.filter)?;
        for aggregate in &new.aggregates {
            if let Some(old) = self.aggregate(&aggregate.name).map(|a| &a.definition) {
                let what = format!("aggregate {}", aggregate.name);
                refuse_change(&what, &old.kind, &aggregate.kind)?;
                refuse_change(&format!("the filter of {what}"), &old.filter, &aggregate.filter)?;
            }
        }
        for aggregate in &mut self.aggregates {
            let name = &aggregate.definition.name;
            aggregate.retired |= !new.aggregates.iter().any(|a| a.name == *name);
        }
        for definition in &new.aggregates {
            if self.aggregate(&definition.name).is_some() {
                continue;
            }
            self.aggregates.push(RegisteredAggregate {
                number: 1 + self.aggregates.len() as u32,
                definition: definition.clone(),
                since_sequence: position.sequence,
                since_us: position.arrival_us,
                retired: false,
            });
        }
        self.definitions.push(new.clone());
        Ok(())
    }
}

fn refuse_change(what: &str, old: &str, new: &str) -> Result<(), String> {
    let shown =
        |text: &str| if text.is_empty() { "none".to_owned() } else { format!("\"{text}\"") };
    if old == new {
        return Ok(());
    }
    Err(format!("{what} changed from {} to {}", shown(old), shown(new)))
}

impl Registry {
    /// The registry for a schema: the stored one with what is new. Writes nothing.
    ///
    /// # Errors
    /// Where stored rows contradict the schema.
    pub fn resolve(store: &Database, schema: &Schema) -> Result<Self, StoreError> {
        let mut registry: Self = store.record(&Record::Registry)?.unwrap_or_default();
        let position = store.position()?;
        for summary in &schema.summaries {
            let definition = Definition::of(schema, summary);
            let next = 1 + registry.summaries.len() as u32;
            let Some(known) = registry.summaries.iter_mut().find(|s| s.name == summary.name) else {
                registry.summaries.push(RegisteredSummary::new(next, &summary.name, &definition));
                continue;
            };
            if store.first_day(known.number)?.is_none() {
                *known = RegisteredSummary::new(known.number, &summary.name, &definition);
                continue;
            }
            known.update(&definition, position).map_err(|what| {
                StoreError(format!(
                    "summary \"{}\" has stored rows, and {what}: give the new one another name, or \
                     rebuild all summaries from the events (move the data folder of {} away, which \
                     holds them all, and send the events again)",
                    summary.name,
                    store.folder().display()
                ))
            })?;
        }
        Ok(registry)
    }

    /// Keeps the registry.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn save(&self, store: &Database) -> Result<(), StoreError> {
        store.put(&Record::Registry, self)
    }

    /// A summary by name.
    pub fn summary(&self, name: &str) -> Option<&RegisteredSummary> {
        self.summaries.iter().find(|s| s.name == name)
    }
}
