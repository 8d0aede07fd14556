//! Checks that the column t agrees with fields that give the same times in another unit, such as `t_ns`.

use std::path::Path;

use crate::error::{Error, Result};
use crate::remedy::Remedy;
use crate::source::columns::{
    ArrayInfo, ArrayKind, FieldPath, Fields, Part, Role, Survey, map_line, shape, unit_in_name,
};
use crate::time_unit::TimeUnit;

/// Compares the column t with the fields next to it that are named after a unit, such as `t_ns`. `unit` is the unit of
/// t. A field may count its times from a different zero.
///
/// # Errors
/// [`Error::Columns`] if the times of such a field differ from t.
pub(crate) fn check_times(path: &Path, file: &dyn Survey, fields: &Fields, unit: TimeUnit) -> Result<()> {
    let Some(t) = &fields[Role::T as usize] else { return Ok(()) };
    let others = neighbours(file.arrays(), t);
    let others = others.into_iter().filter_map(|(name, field)| Some((unit_in_name(&name)?, field)));
    let others: Vec<(TimeUnit, FieldPath)> =
        others.filter(|(_, field)| !fields.contains(&Some(field.clone()))).collect();
    let Some(times) = (if others.is_empty() { None } else { file.sample(t) }) else { return Ok(()) };
    for (unit_of_other, other) in others {
        let Some(numbers) = file.sample(&other).filter(|numbers| numbers.len() == times.len()) else { continue };
        let agree = |unit: TimeUnit| agree((&times, unit), (&numbers, unit_of_other));
        if agree(unit) {
            continue;
        }
        let map = |t: &FieldPath| {
            let mut names = fields.each_ref().map(|field| field.as_ref().map(ToString::to_string));
            names[Role::T as usize] = Some(t.to_string());
            map_line(&names, &[])
        };
        let likely = TimeUnit::all().find(|unit| agree(*unit));
        let if_in = likely.map_or(String::new(), |likely| format!("; they agree if {t} is in {likely}"));
        return Err(Error::Columns {
            path: path.into(),
            place: t.to_string(),
            expected: format!("the times of {other}"),
            got: format!("times in {unit} that differ from them{if_in}"),
            remedies: likely.map(Remedy::Unit).into_iter().chain([map(&other), map(t)]).collect(),
        });
    }
    Ok(())
}

/// Returns the name and the path of `t` and of each numeric field next to it. Such a field is an array of the same
/// length in the same group, or a member of the same records.
fn neighbours(arrays: &[ArrayInfo], t: &FieldPath) -> Vec<(String, FieldPath)> {
    let Some(own) = arrays.iter().find(|array| array.name == t.array) else { return Vec::new() };
    let fields = match t.part {
        Part::Member(_) => own.members().into_iter().map(|(_, field)| field).collect(),
        Part::Whole => {
            let is_next = |array: &&ArrayInfo| {
                matches!(array.kind, ArrayKind::Number(_))
                    && array.group_and_name().0 == own.group_and_name().0
                    && shape::column(&array.shape) == shape::column(&own.shape)
            };
            arrays.iter().filter(is_next).map(|array| array.field(Part::Whole)).collect()
        }
        Part::Column { .. } => Vec::new(),
    };
    fields.into_iter().map(|field: FieldPath| (field.to_string(), field)).collect()
}

/// Returns whether two lists contain the same times in different units. Ignores different zeros and rounding errors.
fn agree((a, unit_of_a): (&[f64], TimeUnit), (b, unit_of_b): (&[f64], TimeUnit)) -> bool {
    let [us_of_a, us_of_b] = [unit_of_a.microseconds(), unit_of_b.microseconds()];
    let pairs = || a.iter().zip(b).map(|(a, b)| (a * us_of_a, b * us_of_b)).filter(|(a, b)| (a - b).is_finite());
    let Some((first_of_a, first_of_b)) = pairs().next() else { return true };
    let most = 2.0 * (error(a) * us_of_a + error(b) * us_of_b);
    pairs().all(|(a, b)| ((a - first_of_a) - (b - first_of_b)).abs() <= most)
}

/// Returns the largest rounding error of the times in a list, in the unit of the list.
fn error(numbers: &[f64]) -> f64 {
    let finite = || numbers.iter().filter(|n| n.is_finite());
    let largest = finite().fold(0.0, |largest: f64, n| largest.max(n.abs()));
    let is_single = finite().all(|n| f64::from(*n as f32) == *n);
    let tick = f64::from(u8::from(finite().all(|n| n.fract() == 0.0)));
    tick + largest * if is_single { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_times_in_two_units_agree() {
        let us: Vec<f64> = (0..500).map(|i| f64::from(i * 1_733 + 17)).collect();
        let other = |scale: f64, add: f64| us.iter().map(|t| t * scale + add).collect::<Vec<f64>>();
        let whole = |times: Vec<f64>| times.into_iter().map(f64::trunc).collect::<Vec<f64>>();
        let single = |times: Vec<f64>| times.into_iter().map(|t| f64::from(t as f32)).collect::<Vec<f64>>();
        let micro = |b: &[f64], unit| agree((&us, TimeUnit::Microseconds), (b, unit));
        for (times, unit) in [
            (other(1e3, 0.0), TimeUnit::Nanoseconds),
            (other(1e3, 1.7e18), TimeUnit::Nanoseconds),
            (whole(other(1e-3, 0.0)), TimeUnit::Milliseconds),
            (other(1e-6, 1.7e9), TimeUnit::Seconds),
            (single(other(1e-6, 0.0)), TimeUnit::Seconds),
        ] {
            assert!(micro(&times, unit), "{unit}");
        }
        assert!(!micro(&other(1e3, 0.0), TimeUnit::Microseconds));
        assert!(!micro(&other(1e-3, 0.0), TimeUnit::Seconds));
        // A clock that runs 0.1 % faster.
        assert!(!micro(&other(1.001e3, 0.0), TimeUnit::Nanoseconds));
    }
}
