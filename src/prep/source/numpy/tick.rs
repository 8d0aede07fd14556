//! Ticks: the units in which NumPy counts dates and durations, such as `us`, `10us` or `D`.

use crate::time_unit::TimeUnit;

/// NumPy's units of a fixed length. Each has its name, a [`TimeUnit`], and its length in this [`TimeUnit`] as numerator
/// and denominator.
const UNITS: [(&str, TimeUnit, i64, i64); 11] = [
    ("W", TimeUnit::Seconds, 604_800, 1),
    ("D", TimeUnit::Seconds, 86_400, 1),
    ("h", TimeUnit::Seconds, 3_600, 1),
    ("m", TimeUnit::Seconds, 60, 1),
    ("s", TimeUnit::Seconds, 1, 1),
    ("ms", TimeUnit::Milliseconds, 1, 1),
    ("us", TimeUnit::Microseconds, 1, 1),
    ("ns", TimeUnit::Nanoseconds, 1, 1),
    ("ps", TimeUnit::Nanoseconds, 1, 1_000),
    ("fs", TimeUnit::Nanoseconds, 1, 1_000_000),
    ("as", TimeUnit::Nanoseconds, 1, 1_000_000_000),
];
/// The number of ticks that stands for NaT, NumPy's "not a time".
const NAT: i64 = i64::MIN;

/// The length of one tick of a date or a duration: a multiple of one of the [`UNITS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    multiple: i64,
    unit: usize,
}

impl Tick {
    /// Parses the text in the brackets of a type such as `datetime64[10us]`. `None` for unknown units, and for years
    /// and months.
    pub(super) fn parse(text: &str) -> Option<Tick> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (multiple, name) = text.split_at(digits);
        let multiple = if multiple.is_empty() { 1 } else { multiple.parse().ok()? };
        Some(Tick { multiple, unit: UNITS.iter().position(|(unit, ..)| *unit == name)? })
    }

    /// Returns the unit of the times that [`Tick::time`] returns.
    pub(crate) fn unit(self) -> TimeUnit {
        UNITS[self.unit].1
    }

    /// Converts a number of ticks to a time in [`Tick::unit`], truncated toward zero. `None` for NaT and on overflow.
    pub(super) fn time(self, ticks: i64) -> Option<i64> {
        let (.., times, over) = UNITS[self.unit];
        let time = i128::from(ticks) * i128::from(self.multiple) * i128::from(times) / i128::from(over);
        i64::try_from(time).ok().filter(|_| ticks != NAT)
    }
}

impl std::fmt::Display for Tick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let multiple = if self.multiple == 1 { String::new() } else { self.multiple.to_string() };
        write!(f, "{multiple}{}", UNITS[self.unit].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected times are those of `np.array(ticks, f"m8[{text}]").astype("m8[us]").astype(int)`, with `None` for
    /// NaT and on overflow.
    #[test]
    fn ticks_are_the_times_of_numpy() {
        for (text, ticks, us) in [
            ("us", 7, Some(7)),
            ("10us", -7, Some(-70)),
            ("D", 2, Some(172_800_000_000)),
            ("2W", 1, Some(1_209_600_000_000)),
            ("25s", 4, Some(100_000_000)),
            ("m", 1, Some(60_000_000)),
            ("ns", 1_999, Some(1)),
            ("ps", 1_999_999, Some(1)),
            ("as", i64::MAX, Some(9_223_372)),
            ("D", i64::MAX, None),
            ("us", i64::MIN, None),
        ] {
            let tick = Tick::parse(text).unwrap();
            assert_eq!(tick.time(ticks).and_then(|time| tick.unit().of_integer(time)), us, "{ticks} {text}");
            assert_eq!(tick.to_string(), text);
        }
        for text in ["Y", "M", "", "10", "x", "99999999999999999999s"] {
            assert_eq!(Tick::parse(text), None, "{text}");
        }
    }
}
