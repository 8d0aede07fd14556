//! The trait that every transform implements.

use serde::{Deserialize, Deserializer};
use tonic_shard::Ledger;

use crate::events::{Events, SensorSize};
use crate::fault::Checked;

/// First and last possible time of events, in microseconds, both inclusive.
pub(crate) type TimeSpan = (i64, i64);

/// A transform with its parameters.
pub(crate) trait EventTransform {
    /// Checks that the parameters are valid for any sensor. The field `place` of the fault is the name of the wrong
    /// parameter, or empty if several parameters can be the cause.
    fn check(&self) -> Checked {
        Ok(())
    }

    fn check_sensor(&self, _sensor: SensorSize) -> Checked {
        Ok(())
    }

    /// Returns the parameter `sensor_size`, (W, H, P), if the transform has it and the recipe gives it.
    fn sensor_size(&self) -> Option<[u32; 3]> {
        None
    }

    /// Returns the sensor size of the output events for the sensor size of the input events.
    fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        sensor
    }

    /// Returns the time span of the output events for the time span of the input events. `None` means unknown.
    fn span_after(&self, span: Option<TimeSpan>) -> Option<TimeSpan> {
        span
    }

    /// Transforms the events of one sample. They are in order of time, before and after. Counts dropped events in
    /// `ledger`.
    fn apply(&self, events: &mut Events, sensor: SensorSize, ledger: &mut Ledger) -> Checked;

    /// Returns a function that transforms the events of one sample block by block. `None` if the transform needs all
    /// events of the sample at once.
    fn in_blocks(&self, _sensor: SensorSize) -> Option<BlockStep<'_>> {
        None
    }
}

/// A function that transforms the next events of a sample and counts dropped events in the ledger.
pub(crate) type BlockStep<'a> = Box<dyn FnMut(&mut Events, &mut Ledger) -> Checked + 'a>;

/// Makes the [`BlockStep`] of a transform that treats each event independently of the other events.
pub(super) fn each_by_itself(transform: &impl EventTransform, sensor: SensorSize) -> BlockStep<'_> {
    Box::new(move |events, ledger| transform.apply(events, sensor, ledger))
}

/// Deserializes a pair of values. As in Tonic, a single value stands for two equal values.
pub(super) fn one_or_two<'de, D: Deserializer<'de>, T: Deserialize<'de> + Copy>(
    deserializer: D,
) -> Result<[T; 2], D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        One(T),
        Two([T; 2]),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::One(value) => [value, value],
        Either::Two(pair) => pair,
    })
}
