//! Time units of files, and their conversion to whole microseconds, which the rest of the crate uses.

use std::str::FromStr;

use crate::events::whole;

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds: `s`, 1,000,000 microseconds.
    Seconds,
    /// Milliseconds: `ms`, 1,000 microseconds.
    Milliseconds,
    /// Microseconds: `us`, the unit of all times in this crate.
    Microseconds,
    /// Nanoseconds: `ns`, 0.001 microseconds.
    Nanoseconds,
}

/// A year in microseconds.
pub(crate) const YEAR: f64 = 365.25 * 86_400e6;

impl TimeUnit {
    /// Names of the units on the command line. Longer names come first, so that `ms` is not parsed as `s`.
    const NAMES: [(&str, TimeUnit); 4] = [
        ("ms", TimeUnit::Milliseconds),
        ("us", TimeUnit::Microseconds),
        ("ns", TimeUnit::Nanoseconds),
        ("s", TimeUnit::Seconds),
    ];

    pub(crate) fn all() -> impl Iterator<Item = TimeUnit> {
        Self::NAMES.into_iter().map(|(_, unit)| unit)
    }

    /// Converts a time in this unit to microseconds, truncated toward zero. `None` if the time is not finite, or if the
    /// result does not fit an `i64`.
    pub fn of_float(self, time: f64) -> Option<i64> {
        whole(match self {
            TimeUnit::Seconds => time * 1e6,
            TimeUnit::Milliseconds => time * 1e3,
            TimeUnit::Microseconds => time,
            TimeUnit::Nanoseconds => time / 1e3,
        })
    }

    /// Converts a time in this unit to microseconds, truncated toward zero. `None` if the result does not fit an `i64`.
    pub fn of_integer(self, time: i64) -> Option<i64> {
        match self {
            TimeUnit::Seconds => time.checked_mul(1_000_000),
            TimeUnit::Milliseconds => time.checked_mul(1_000),
            TimeUnit::Microseconds => Some(time),
            TimeUnit::Nanoseconds => Some(time / 1_000),
        }
    }

    /// Returns the name of the unit on the command line: s, ms, us or ns.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| name)
    }

    /// Finds the most probable unit other than `self`. Also returns the duration of the recording in microseconds, if
    /// its times are in that unit. `None` if no other unit gives a duration between 10 ms and a day.
    ///
    /// - `lasts`: the duration in microseconds, if the times are in the unit `self`.
    /// - `events`: the number of events of the recording.
    pub(crate) fn probable(self, lasts: f64, events: u64) -> Option<(TimeUnit, f64)> {
        let in_unit = |unit: TimeUnit| lasts * unit.microseconds() / self.microseconds();
        let far = |(_, us): &(TimeUnit, f64)| unusual(*us, events);
        let others = Self::NAMES.into_iter().filter(|(_, unit)| *unit != self);
        let plausible = others.map(|(_, unit)| (unit, in_unit(unit))).filter(|(_, us)| Self::lasts_plausibly(*us));
        plausible.min_by(|a, b| far(a).total_cmp(&far(b)))
    }

    /// Returns whether a recording can last `us` microseconds: 10 ms to a day.
    pub(crate) fn lasts_plausibly(us: f64) -> bool {
        (1e4..=86_400e6).contains(&us)
    }

    /// Returns the unit from [`TimeUnit::probable`] if it is more probable than `self`, or only a little less probable.
    pub(crate) fn rival(self, lasts: f64, events: u64) -> Option<(TimeUnit, f64)> {
        self.probable(lasts, events).filter(|(_, us)| unusual(*us, events) <= unusual(lasts, events) + 0.5)
    }

    /// Finds the unit with which a stored time is nearest to `other` microseconds. `None` if this unit is `self`. `us`
    /// is the stored time in microseconds, if its unit is `self`.
    pub(crate) fn fitting(self, us: f64, other: f64) -> Option<TimeUnit> {
        let far = |unit: TimeUnit| (us * unit.microseconds() / self.microseconds() / other).abs().log10().abs();
        Self::all().min_by(|a, b| far(*a).total_cmp(&far(*b))).filter(|unit| *unit != self && far(*unit) < far(self))
    }

    /// Finds the unit with which a time since 1970 lies in the years 1990 to 2070. `time` is this time in microseconds,
    /// if its unit is `self`. `None` if no unit fits, or if `self` fits.
    pub(crate) fn since_1970(self, time: f64) -> Option<TimeUnit> {
        let year = |unit: &TimeUnit| time * unit.microseconds() / self.microseconds() / YEAR;
        Self::all().find(|unit| (20.0..100.0).contains(&year(unit))).filter(|unit| *unit != self)
    }

    /// Returns the length of this unit in microseconds.
    pub(crate) fn microseconds(self) -> f64 {
        match self {
            TimeUnit::Seconds => 1e6,
            TimeUnit::Milliseconds => 1e3,
            TimeUnit::Microseconds => 1.0,
            TimeUnit::Nanoseconds => 1e-3,
        }
    }

    /// Recognises a unit by a text that files use, such as `usec`, `Microseconds`, `1e-6 s` or `us since 1970-01-01`.
    ///
    /// ```
    /// use tonic_prep::TimeUnit;
    /// assert_eq!(TimeUnit::recognise("\u{b5}s"), Some(TimeUnit::Microseconds));
    /// assert_eq!(TimeUnit::recognise("Seconds"), Some(TimeUnit::Seconds));
    /// assert_eq!(TimeUnit::recognise("0.001 s"), Some(TimeUnit::Milliseconds));
    /// assert_eq!(TimeUnit::recognise("10 us"), None);
    /// ```
    pub fn recognise(text: &str) -> Option<TimeUnit> {
        Self::of_length(Self::measure(text)?)
    }

    /// Returns the unit whose length is `us` microseconds, within the rounding error of a float32. `None` if no unit
    /// has this length.
    pub(crate) fn of_length(us: f64) -> Option<TimeUnit> {
        let is = |unit: &TimeUnit| (us / unit.microseconds() - 1.0).abs() < 1e-7;
        Self::all().find(is)
    }

    /// Parses a unit, or a multiple or fraction of a unit, such as `ticks of 10 us`, and returns its length in
    /// microseconds. The numbers 1e-3, 1e-6 and 1e-9 without a unit are in seconds. `None` for other texts.
    pub(crate) fn measure(text: &str) -> Option<f64> {
        let text = text.replace("(s)", "s"); // second(s)
        let text = text.trim_matches(|c: char| c.is_whitespace() || "\0[](){}.".contains(c)).to_lowercase();
        let text = text.split_once(" since ").map_or(&*text, |(text, _)| text);
        let text = ["datetime64[", "timedelta64[", "ticks of", "tick of", "units of", "in "]
            .into_iter()
            .fold(text, |text, before| text.strip_prefix(before).unwrap_or(text).trim());
        let (number, name) =
            text.split_at(text.find(|c: char| !"0123456789.e+-/^* ".contains(c)).unwrap_or(text.len()));
        let number = number.trim().trim_end_matches('*').trim_end();
        let parsed = |text: &str| text.trim().parse::<f64>().ok();
        let power = || number.split_once('^').or(number.split_once("**"));
        let number = match (number.split_once('/'), power()) {
            _ if number.is_empty() => 1.0,
            (Some((above, below)), _) => parsed(above)? / parsed(below)?,
            (_, Some((base, power))) => parsed(base)?.powi(parsed(power)? as i32),
            _ => parsed(number)?,
        };
        let unit = match name.trim() {
            "min" | "minute" | "minutes" => return Some(number * 60e6),
            "h" | "hour" | "hours" => return Some(number * 3600e6),
            "s" | "sec" | "secs" | "second" | "seconds" => TimeUnit::Seconds,
            "" if [1e-3, 1e-6, 1e-9].iter().any(|of| (number / of - 1.0).abs() < 1e-7) => TimeUnit::Seconds,
            "ms" | "msec" | "msecs" | "milli" | "millis" | "millisec" | "millisecs" | "millisecond"
            | "milliseconds" => TimeUnit::Milliseconds,
            // Micro is written u, as the micro sign and as a Greek letter.
            "us" | "usec" | "usecs" | "\u{b5}s" | "\u{3bc}s" | "\u{b5}sec" | "\u{3bc}sec" => TimeUnit::Microseconds,
            "micro" | "micros" | "microsec" | "microsecs" | "microsecond" | "microseconds" => TimeUnit::Microseconds,
            "ns" | "nsec" | "nsecs" | "nano" | "nanos" | "nanosec" | "nanosecs" | "nanosecond" | "nanoseconds" => {
                TimeUnit::Nanoseconds
            }
            _ => return None,
        };
        Some(number * unit.microseconds()).filter(|us| us.is_finite() && *us > 0.0)
    }

    /// Parses a time such as `100ms`, `1.5s` or `50000` and returns microseconds. A time without a unit is in the unit
    /// `self`.
    ///
    /// # Errors
    /// A text that says what was expected.
    ///
    /// ```
    /// use tonic_prep::TimeUnit;
    /// assert_eq!(TimeUnit::Microseconds.read("1.5s"), Ok(1_500_000));
    /// assert_eq!(TimeUnit::Microseconds.read("1500"), Ok(1_500));
    /// assert!(TimeUnit::Microseconds.read("soon").is_err());
    /// ```
    pub fn read(self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        let suffix = Self::NAMES.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)));
        let (number, unit) = suffix.map_or((text, self), |(number, unit)| (number.trim_end(), unit));
        let time = match number.parse::<i64>() {
            Ok(whole) => unit.of_integer(whole),
            Err(_) => number.parse::<f64>().ok().and_then(|time| match unit {
                // Decimal fractions such as 0.1 are not exact in float64, so round instead of truncating.
                TimeUnit::Seconds => whole((time * 1e6).round()),
                TimeUnit::Milliseconds => whole((time * 1e3).round()),
                unit => unit.of_float(time),
            }),
        };
        time.ok_or_else(|| "a time such as 100ms, 1.5s or 50000us".into())
    }
}

/// Returns how unusual it is that a recording of `events` events lasts `us` microseconds: 1 for each factor of ten
/// between its duration and 10 seconds, plus 1 for each factor of ten between its rate and 100,000 events per second.
fn unusual(us: f64, events: u64) -> f64 {
    let rate = events as f64 / us * 10.0;
    (us / 1e7).log10().abs() + rate.log10().abs()
}

impl std::fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Formats a duration of `us` microseconds in the unit that suits it: `99 ms`, `1.5 s`, `12 days`.
pub(crate) fn duration(us: f64) -> String {
    const UNITS: [(f64, &str); 6] =
        [(86_400e6, "days"), (3_600e6, "hours"), (60e6, "minutes"), (1e6, "s"), (1e3, "ms"), (1.0, "us")];
    // A duration that would be rounded to 1000 of a unit gets the next larger unit: 999.96 ms is `1 s`.
    let (size, name) = UNITS.into_iter().find(|(size, _)| us.abs() >= *size * 0.9995).unwrap_or((1.0, "us"));
    let number = us / size;
    let digits = usize::from(number.abs() < 100.0 && (number - number.round()).abs() >= 0.05);
    format!("{number:.digits$} {name}")
}

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<TimeUnit, String> {
        let unit = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        unit.map(|(_, unit)| unit).ok_or_else(|| "expected s, ms, us or ns".into())
    }
}
