//! Describes in words which events a conversion lost, and guesses the cause from the sample that lost the most events.
//!
//! In these texts, names in backticks are parameters of the library. The program replaces these names by its options.

use crate::convert::chunks::ChunkMaker;
use crate::convert::inputs::{Inputs, Rowless};
use crate::convert::large::Passed;
use crate::convert::loss::{Losses, Step, StepLoss};
use crate::convert::outside::outside_cause;
use crate::error::Result;
use crate::framing::{Framing, ToFrame};
use crate::recipe::Recipe;
use crate::source::{Cut, Layout, Recording, Unlabelled, ask_unit};
use crate::transform::{CropTime, Transform};

/// The user gets a note or a warning about a loss above this share of the events, 0 to 1.
pub(super) const NOTABLE: f64 = 0.1;

/// The settings of a conversion that help to guess the causes of losses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub recipe: &'a Recipe,
    /// Whether the recipe is the default one, which the user can change with `crop_time` and `time_window`.
    pub usual: bool,
    pub layout: Layout,
    pub cut: Cut,
}

/// Returns a note about each step that lost many events, or that lost all events of a sample. With `all`, also returns
/// notes about small losses that the recipe doesn't ask for. `scope` is a text that says which samples were counted.
pub(super) fn loss_notes(
    losses: &Losses,
    setting: Setting<'_>,
    maker: &mut ChunkMaker<'_>,
    scope: &str,
    all: bool,
) -> Result<Vec<String>> {
    let most = losses.steps().iter().filter(|step| !step.intended).map(|step| step.lost).max().unwrap_or(0);
    // The loss of all steps together may be notable even if the loss of each step alone is not.
    let together = losses.share() > NOTABLE;
    let least = if all {
        0.0
    } else if together {
        (losses.share_of(most) / 2.0).min(NOTABLE)
    } else {
        NOTABLE
    };
    let mut notes = Vec::new();
    for step in losses.steps() {
        let notable = losses.share_of(step.lost) > if step.intended { NOTABLE } else { least };
        if !notable && step.emptied == 0 {
            continue;
        }
        let what = amount(losses, step);
        let name = name(setting.recipe, step.step);
        notes.push(if step.intended {
            format!("{name} left out {what}, as the recipe asks{scope}")
        } else {
            let before = maker.events_before(step.worst_sample(), step.step)?;
            let cause = cause(setting, step.step, step.worst_sample(), &before);
            format!("warning: {name} lost {what}{scope}: {cause}")
        });
    }
    Ok(notes)
}

/// Returns warnings about events that are left out, if they are more than the share `limit` (0 to 1) of the events:
///
/// - events outside the intervals of the labels: one warning for each recording
/// - events of recordings without a row in the table of labels: one warning for all these recordings
/// - events outside the range of events: one warning for all recordings above the limit
pub(super) fn left_out_warnings(inputs: &Inputs, limit: f64) -> Result<Vec<String>> {
    let too_much = inputs.unlabelled().filter(|(_, left)| left.events as f64 > limit * left.of as f64 + 1e-6);
    let warning = |(recording, left): (&Recording, &Unlabelled)| {
        let Unlabelled { events, of, intervals: (from, to), times: (first, last), probable } = left;
        let unit = ask_unit(*probable);
        format!(
            "warning: the intervals of `labels` leave out {} of the events of {} ({events} of {of}): they go from {} \
             to {} s, the events from {} to {} s; {unit}",
            percent(*events as f64 / *of as f64),
            recording.name,
            seconds(*from),
            seconds(*to),
            seconds(*first),
            seconds(*last)
        )
    };
    let mut warnings: Vec<String> = too_much.map(warning).collect();
    let Rowless { recordings, events } = inputs.rowless();
    if events > 0 {
        let all = inputs.left_out()?.1;
        let share = events as f64 / all as f64;
        warnings.extend((share > limit).then(|| {
            let percent = percent(share);
            format!(
                "warning: {recordings} recordings without a row in `labels` have {percent} of the events ({events} \
                 of {all})"
            )
        }));
    }
    let mut cut = Vec::new();
    for (recording, outside) in inputs.out_of_range() {
        let all = outside + recording.unlabelled.as_ref().map_or_else(|| recording.events(), |left| Ok(left.of))?;
        if outside as f64 > limit * all as f64 + 1e-6 {
            cut.push((recording, outside, all));
        }
    }
    if let Some((first, outside, all)) = cut.first() {
        let (left, of) = cut.iter().fold((0, 0), |(left, of), (_, outside, all)| (left + outside, of + all));
        let of_more = match cut.len() - 1 {
            0 => String::new(),
            more => format!(
                ", and {} of this one's and those of {more} more ({left} of {of})",
                percent(left as f64 / of as f64)
            ),
        };
        warnings.push(format!(
            "warning: the range of `events` leaves out {} of the events of {} ({outside} of {all}){of_more}: it cuts \
             every recording; convert the one that needs it by itself",
            percent(*outside as f64 / *all as f64),
            first.name
        ));
    }
    Ok(warnings)
}

/// Formats a share of 0 to 1 as a percentage with at most one decimal. Only 0 becomes `0%`, and only 1 becomes `100%`.
pub(super) fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round();
    let inside = share > 0.0 && share < 1.0;
    format!("{}%", if inside { tenths.clamp(1.0, 999.0) } else { tenths } / 10.0)
}

/// Returns a text that says how many events a step lost, and which samples had no events left after the step.
fn amount(losses: &Losses, step: &StepLoss) -> String {
    let events = format!("{} of the events ({} of {})", percent(losses.share_of(step.lost)), step.lost, losses.events);
    match (step.emptied, step.first_emptied) {
        (1, Some(first)) => format!("{events}, and all that was left of sample {first}"),
        (n, Some(first)) => format!("{events}, and all that was left of {n} samples, the first of them sample {first}"),
        _ => events,
    }
}

fn name(recipe: &Recipe, step: Step) -> &str {
    match step {
        Step::Times => "reading the times",
        Step::Sensor => "the sensor's bounds",
        Step::Transform(i) => recipe.transforms[i].name(),
        Step::Slicing => "slicing into frames",
    }
}

/// Returns why a step probably lost events, and what to do. `before` describes the sample before the step.
fn cause(setting: Setting<'_>, step: Step, sample: u64, before: &Passed) -> String {
    match (step, before.times) {
        (Step::Times, _) => {
            "these times are no numbers, or are beyond 64 bits of microseconds: is the unit another one (`time_unit`)?"
                .into()
        }
        (Step::Sensor, _) => match before.first_outside {
            Some((i, event)) => format!("event {i} of sample {sample} has {}", outside_cause(event)),
            None => "is the sensor another one (`sensor`)?".into(),
        },
        (Step::Transform(i), Some(times)) => match &setting.recipe.transforms[i] {
            Transform::CropTime(crop) => crop_cause(setting, *crop, sample, times),
            _ => "it takes times beyond 64 bits of microseconds: is the unit another one (`time_unit`)?".into(),
        },
        (Step::Slicing, Some(times)) => slicing_cause(setting, sample, before.events, times.1.saturating_sub(times.0)),
        (_, None) => "the recipe is made for other times, or they have another unit (`time_unit`)".into(),
    }
}

fn crop_cause(setting: Setting<'_>, crop: CropTime, sample: u64, (first, last): (i64, i64)) -> String {
    let span = format!("sample {sample} goes from {} to {} s", seconds(first), seconds(last));
    let uncut = setting.cut == Cut::Whole && !matches!(setting.layout, Layout::Hsd | Layout::Ntidigits);
    let unit = "times in another unit need `time_unit`";
    match crop.max {
        Some(max) if first > max && last.saturating_sub(first) < first => {
            let from_zero = if uncut { ", or `sample_duration`, whose samples start at 0" } else { "" };
            format!(
                "{span}, all of it after {} s: times that do not start at 0, but at the Unix epoch or with a clock, \
                 need a recipe with TimeAlignment before CropTime{from_zero}; {unit}",
                seconds(max)
            )
        }
        Some(max) if last > max => {
            let longer = if setting.usual { "a larger `crop_time`" } else { "a larger max of CropTime in the recipe" };
            let pieces = if uncut { ", or to be cut with `sample_duration`" } else { "" };
            let longer = format!("longer recordings need {longer}{pieces}");
            let [first, second] = if last / 100 > max { [unit, &longer] } else { [&longer, unit] };
            format!("{span}, and is cropped after {} s: {first}; {second}", seconds(max))
        }
        _ => {
            format!("{span}, and is cropped before {} s, the min of CropTime in the recipe; {unit}", seconds(crop.min))
        }
    }
}

fn slicing_cause(setting: Setting<'_>, sample: u64, events: u64, duration: i64) -> String {
    let lasts = format!("sample {sample} lasts {} s", seconds(duration));
    let unit = "times in another unit need `time_unit`";
    let window = |window: f64, name: &str| {
        format!(
            "the last, incomplete window of a sample is left out; {lasts}, a window ({name}) {} s: samples of few \
             windows need a shorter one, or include_incomplete = true in the recipe's [frames]; {unit}",
            seconds(window as i64)
        )
    };
    match setting.recipe.frames {
        Framing::ToFrame(ToFrame { start_time, end_time, .. }) if start_time.or(end_time).is_some() => {
            format!("events before start_time or after end_time are left out; {lasts}; {unit}")
        }
        Framing::ToFrame(ToFrame { time_window: Some(size), include_incomplete: false, .. }) => {
            window(size as f64, "time_window")
        }
        Framing::ToTimesurface(rule) if !rule.include_incomplete => window(rule.dt, "dt"),
        Framing::ToFrame(ToFrame { time_window: Some(_), .. }) | Framing::ToTimesurface(_) => format!(
            "the last events of a sample that lasts a whole number of windows are left out, as in Tonic; {lasts}; \
             {unit}"
        ),
        Framing::ToFrame(ToFrame { event_count: Some(count), .. }) => format!(
            "the events after the last full frame are left out; sample {sample} has {events}, a frame (event_count) \
             {count}: give a smaller event_count, or include_incomplete = true"
        ),
        Framing::ToFrame(ToFrame { n_event_bins: Some(bins), .. }) => {
            format!(
                "what is left after {bins} equal bins is left out; sample {sample} has {events}: give fewer \
                 n_event_bins"
            )
        }
        Framing::ToFrame(ToFrame { n_time_bins: Some(1), .. }) => {
            format!("the bin ends before the last microsecond of a sample; {lasts}: give time_window instead; {unit}")
        }
        _ => {
            format!("what is left after equal bins of whole microseconds is left out; {lasts}: give fewer bins; {unit}")
        }
    }
}

fn seconds(us: i64) -> String {
    let (sign, us) = (if us < 0 { "-" } else { "" }, us.unsigned_abs());
    let text = format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_times_are_never_rounded_to_what_they_are_not() {
        assert_eq!([0.0, 1e-9, 0.104, 0.999_999, 1.0].map(percent), ["0%", "0.1%", "10.4%", "99.9%", "100%"]);
        let times = [0, -1, 1_000_000, 90_000, 1_504_645_177_420_000, i64::MIN].map(seconds);
        assert_eq!(times, ["0", "-0.000001", "1", "0.09", "1504645177.42", "-9223372036854.775808"]);
    }
}
