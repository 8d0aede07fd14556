//! Parses the values of `--part`: `I/N` and `slurm`.

use std::str::FromStr;

use tonic_shard::Part;

/// Returns the part that this task of a Slurm array makes. `variable` reads an environment variable.
fn of_slurm(variable: impl Fn(&str) -> Option<String>) -> Result<Part, String> {
    let number = |name: &str| -> Result<u32, String> {
        let name = format!("SLURM_ARRAY_TASK_{name}");
        let Some(text) = variable(&name) else {
            return Err(format!("{name} is not set: submit the job with sbatch --array=1-N, or type --part I/N"));
        };
        text.trim().parse().map_err(|_| format!("{name} is {text:?}, which is no number: type --part I/N"))
    };
    let (task, least, most) = (number("ID")?, number("MIN")?, number("MAX")?);
    let (count, step) = (number("COUNT")?, number("STEP")?.max(1));
    let is_regular = least <= task && task <= most && (task - least).is_multiple_of(step);
    if !is_regular || most.checked_sub(least).is_none_or(|span| span / step != count.wrapping_sub(1)) {
        let typed = match least {
            0 => "--part $((SLURM_ARRAY_TASK_ID + 1))/N",
            _ => "--part $SLURM_ARRAY_TASK_ID/N",
        };
        return Err(format!(
            "the array of {count} tasks from {least} to {most} has gaps, so that the number of parts isn't known: type \
             {typed} with the number N of all parts, or submit with --array=1-N"
        ));
    }
    if least > 1 && least != step {
        return Err(format!(
            "the array begins at {least}, and may be a few tasks of a larger one that were submitted again: type --part \
             $SLURM_ARRAY_TASK_ID/N with the number N of all parts, or submit with --array=1-N"
        ));
    }
    Ok(Part { index: (task - least) / step + 1, of: count })
}

/// Parses the value of `--part`: `I/N`, or `slurm` for the part of this task of a Slurm array.
pub(crate) fn part(text: &str) -> Result<Part, String> {
    match text {
        "slurm" => of_slurm(|name| std::env::var(name).ok()),
        _ => Part::from_str(text).map_err(|expected| format!("{expected}, or slurm")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the index of the part and the number of parts for the task `id` of a Slurm array.
    fn task(id: &str, [min, max, count, step]: [u32; 4]) -> Result<(u32, u32), String> {
        let part = of_slurm(|name| {
            Some(match name.strip_prefix("SLURM_ARRAY_TASK_")? {
                "ID" => id.to_string(),
                "MIN" => min.to_string(),
                "MAX" => max.to_string(),
                "COUNT" => count.to_string(),
                "STEP" => step.to_string(),
                _ => return None,
            })
        });
        part.map(|part| (part.index, part.of))
    }

    #[test]
    fn tasks_of_regular_arrays_make_the_parts_in_order() {
        for (id, array, part) in [
            ("0", [0, 3, 4, 1], (1, 4)),
            ("3", [0, 3, 4, 1], (4, 4)),
            ("1", [1, 4, 4, 1], (1, 4)),
            ("5", [0, 10, 3, 5], (2, 3)),
            ("10", [0, 10, 3, 5], (3, 3)),
            ("8", [1, 10, 2, 7], (2, 2)), // --array=1-10:7
            ("30", [10, 40, 4, 10], (3, 4)),
            ("0", [0, 0, 1, 1], (1, 1)),
        ] {
            assert_eq!(task(id, array), Ok(part), "{id} of {array:?}");
        }
    }

    #[test]
    fn irregular_arrays_and_other_jobs_are_refused_with_the_words_to_type() {
        for (id, array, words) in [
            ("3", [1, 7, 3, 1], "type --part $SLURM_ARRAY_TASK_ID/N"), // --array=1,3,7
            ("0", [0, 9, 2, 1], "type --part $((SLURM_ARRAY_TASK_ID + 1))/N"),
            ("3", [3, 3, 1, 1], "type --part $SLURM_ARRAY_TASK_ID/N"), // --array=3, of 1-8
            ("4", [3, 4, 2, 1], "begins at 3"),
            ("4", [0, 10, 3, 5], "has gaps"),
            ("11", [0, 10, 3, 5], "has gaps"),
            ("x", [0, 3, 4, 1], "SLURM_ARRAY_TASK_ID is \"x\""),
            ("4294967295", [0, u32::MAX, 4, 1], "has gaps"),
        ] {
            let refused = task(id, array).unwrap_err();
            assert!(refused.contains(words), "{id} of {array:?}: {refused}");
        }
        assert!(of_slurm(|_| None).unwrap_err().contains("SLURM_ARRAY_TASK_ID is not set: submit the job with sbatch"));
        assert!(part("1/2").is_ok() && part("3/2").unwrap_err().ends_with("or slurm"));
    }
}
