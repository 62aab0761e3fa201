//! Medians and spreads.

use serde::Serialize;

/// What is said of a set of values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    /// A quarter of the values is below it.
    pub(crate) lower_quartile: f64,
    /// A quarter of the values is above it.
    pub(crate) upper_quartile: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Summary {
    /// `None` of no values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&sorted, 0.5)?,
            lower_quartile: quantile(&sorted, 0.25)?,
            upper_quartile: quantile(&sorted, 0.75)?,
            least: *sorted.first()?,
            most: *sorted.last()?,
        })
    }
}

/// Between the values next to it. `None` of no values.
fn quantile(sorted: &[f64], quantile: f64) -> Option<f64> {
    let at = quantile * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// A quantile of values in any order; 0 of none.
pub(crate) fn quantile_of(values: &mut [f64], wanted: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, wanted).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_values() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]);
        let expected = Summary {
            median: 2.5,
            lower_quartile: 1.75,
            upper_quartile: 3.25,
            least: 1.0,
            most: 4.0,
        };
        assert_eq!(summary, Some(expected));
        assert_eq!(Summary::of(&[]), None);
    }
}
