//! Counting and computing over rows: the `Stats` headers.

use super::column::{Column, Kind, Value, rounded};
use super::filter::{Filter, take};
use super::request::{Computation, Step};
use super::{Effort, Fault, find};

/// What one `Stats` header asks for.
#[derive(Debug)]
pub(super) enum Stat {
    Count(Filter),
    Compute {
        computation: Computation,
        column: usize,
        kind: Kind,
    },
}

impl Stat {
    /// Makes them of the headers, which are a stack as filters are.
    pub(super) fn all<R>(
        steps: &[Step],
        table: &str,
        columns: &[Column<R>],
    ) -> Result<Vec<Stat>, Fault> {
        let mut stack = Vec::new();
        for step in steps {
            let stat = match step {
                Step::Compare {
                    column,
                    operator,
                    value,
                } => Stat::Count(Filter::compare(table, columns, column, operator, value)?),
                Step::And(count) => {
                    Stat::Count(Filter::All(counts(&mut stack, *count, "StatsAnd")?))
                }
                Step::Or(count) => Stat::Count(Filter::Any(counts(&mut stack, *count, "StatsOr")?)),
                Step::Negate => {
                    let negated = Filter::All(counts(&mut stack, 1, "StatsNegate")?);
                    Stat::Count(Filter::Not(Box::new(negated)))
                }
                Step::Compute(computation, name) => {
                    Stat::computed(table, columns, *computation, name)?
                }
            };
            stack.push(stat);
        }
        Ok(stack)
    }

    fn computed<R>(
        table: &str,
        columns: &[Column<R>],
        computation: Computation,
        name: &str,
    ) -> Result<Stat, Fault> {
        let (column, declared) = find(table, columns, name)?;
        match declared.kind() {
            Kind::Text | Kind::List => Err(Fault::Invalid(format!(
                "Column '{}' of type {} has nothing to compute",
                declared.name,
                declared.kind().name()
            ))),
            kind => Ok(Stat::Compute {
                computation,
                column,
                kind,
            }),
        }
    }
}

fn counts(stack: &mut Vec<Stat>, count: usize, header: &str) -> Result<Vec<Filter>, Fault> {
    let taken = take(stack, count, header)?.into_iter();
    taken
        .map(|stat| match stat {
            Stat::Count(filter) => Ok(filter),
            Stat::Compute { .. } => Err(Fault::Invalid(format!(
                "{header}: what is computed cannot be combined"
            ))),
        })
        .collect()
}

/// What has come together for one [`Stat`].
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Tally {
    /// Takes a row in.
    pub(super) fn add<R>(
        &mut self,
        stat: &Stat,
        row: &R,
        columns: &[Column<R>],
        effort: &mut Effort,
    ) -> Result<(), Fault> {
        effort.spend(1)?;
        match stat {
            Stat::Count(filter) => {
                self.count += u64::from(filter.holds(row, columns, effort)?);
            }
            Stat::Compute { column, .. } => {
                let value = match columns.get(*column).map(|column| column.value(row)) {
                    Some(Value::Int(value)) => value as f64,
                    Some(Value::Float(value)) => value,
                    _ => 0.0,
                };
                self.take_in(value);
            }
        }
        Ok(())
    }

    fn take_in(&mut self, value: f64) {
        let is_first = self.count == 0;
        self.min = if is_first { value } else { self.min.min(value) };
        self.max = if is_first { value } else { self.max.max(value) };
        self.sum += value;
        self.count += 1;
    }

    /// What is to be shown; 0 where there were no rows.
    pub(super) fn result(&self, stat: &Stat) -> Value<'static> {
        let (computation, kind) = match stat {
            Stat::Count(_) => return Value::Int(i64::try_from(self.count).unwrap_or(i64::MAX)),
            Stat::Compute {
                computation, kind, ..
            } => (*computation, *kind),
        };
        let number = match computation {
            Computation::Sum => self.sum,
            Computation::Min => self.min,
            Computation::Max => self.max,
            Computation::Average => self.sum / self.count.max(1) as f64,
        };
        match kind {
            Kind::Int | Kind::Time if computation != Computation::Average => {
                Value::Int(number as i64)
            }
            _ => Value::Float(rounded(number)),
        }
    }
}
