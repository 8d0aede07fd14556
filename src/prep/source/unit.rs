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
    /// Nanoseconds: `ns`, 1,000 of them a microsecond.
    Nanoseconds,
}

impl TimeUnit {
    /// Names of the units. Longer names come first, so that `ms` is not parsed as `s`.
    const NAMES: [(&str, TimeUnit); 4] = [
        ("ms", TimeUnit::Milliseconds),
        ("us", TimeUnit::Microseconds),
        ("ns", TimeUnit::Nanoseconds),
        ("s", TimeUnit::Seconds),
    ];

    /// Converts a time in this unit to microseconds, truncated toward zero. `None` if it is not finite or does not fit
    /// an `i64`.
    pub fn of_float(self, time: f64) -> Option<i64> {
        whole(match self {
            TimeUnit::Seconds => time * 1e6,
            TimeUnit::Milliseconds => time * 1e3,
            TimeUnit::Microseconds => time,
            TimeUnit::Nanoseconds => time / 1e3,
        })
    }

    /// Converts a time in this unit to microseconds, truncated toward zero. `None` if it does not fit an `i64`.
    pub fn of_integer(self, time: i64) -> Option<i64> {
        match self {
            TimeUnit::Seconds => time.checked_mul(1_000_000),
            TimeUnit::Milliseconds => time.checked_mul(1_000),
            TimeUnit::Microseconds => Some(time),
            TimeUnit::Nanoseconds => Some(time / 1_000),
        }
    }

    /// Parses a time such as `100ms`, `1.5s` or `50000` and returns microseconds. A time without a unit is in this
    /// unit.
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

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<TimeUnit, String> {
        let unit = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        unit.map(|(_, unit)| unit).ok_or_else(|| "expected s, ms, us or ns".into())
    }
}
