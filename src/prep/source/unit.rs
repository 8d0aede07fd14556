//! Units of time: files count seconds or nanoseconds, everything after them whole microseconds.

use std::str::FromStr;

use super::super::events::whole;

/// What a number of time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// The units' names, longest first, so that `ms` is not taken for `s`.
    const NAMES: [(&str, TimeUnit); 4] = [
        ("ms", TimeUnit::Milliseconds),
        ("us", TimeUnit::Microseconds),
        ("ns", TimeUnit::Nanoseconds),
        ("s", TimeUnit::Seconds),
    ];

    /// Microseconds, the fraction cut off; `None` for a time that is no number or does not fit 64 bits.
    pub fn of_float(self, time: f64) -> Option<i64> {
        whole(match self {
            TimeUnit::Seconds => time * 1e6,
            TimeUnit::Milliseconds => time * 1e3,
            TimeUnit::Microseconds => time,
            TimeUnit::Nanoseconds => time / 1e3,
        })
    }

    /// Microseconds, the fraction cut off; `None` for a time that does not fit 64 bits.
    pub fn of_integer(self, time: i64) -> Option<i64> {
        match self {
            TimeUnit::Seconds => time.checked_mul(1_000_000),
            TimeUnit::Milliseconds => time.checked_mul(1_000),
            TimeUnit::Microseconds => Some(time),
            TimeUnit::Nanoseconds => Some(time / 1_000),
        }
    }

    /// Reads a time such as `100ms`, `1.5s` or `50000`, which without a unit has this one.
    ///
    /// # Errors
    /// What was expected.
    ///
    /// ```
    /// use tonic_toolkit::prep::source::unit::TimeUnit;
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
                // 0.1 is no float64: what people write is rounded, not cut off.
                TimeUnit::Seconds => whole((time * 1e6).round()),
                TimeUnit::Milliseconds => whole((time * 1e3).round()),
                unit => unit.of_float(time),
            }),
        };
        time.ok_or_else(|| "a time such as 100ms, 1.5s or 50000us".into())
    }
}

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<TimeUnit, String> {
        let unit = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        unit.map(|(_, unit)| unit).ok_or_else(|| "expected s, ms, us or ns".into())
    }
}
