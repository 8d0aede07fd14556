//! The error type for recipe parameters and for the frames of a sample. The caller adds the path of the file.

/// An error in a recipe, or in the frames that a recipe makes from a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The part of the recipe that is wrong, such as `transform 1, CropTime.max` or `frames.overlap`.
    pub place: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
}

/// The result of a check: a value, or the [`Fault`] that was found.
pub type Checked<T = ()> = std::result::Result<T, Fault>;

impl Fault {
    /// Makes a fault from its three texts.
    pub fn new(place: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Fault {
        Fault { place: place.into(), expected: expected.into(), got: got.to_string() }
    }

    /// Adds `place` and a dot in front of [`Fault::place`]. For example, `frames` turns `size` into `frames.size`.
    pub(crate) fn within(mut self, place: &str) -> Fault {
        let dot = if self.place.is_empty() { "" } else { "." };
        self.place = format!("{place}{dot}{}", self.place);
        self
    }
}

/// Returns a fault if `holds` is false. An empty `parameter` stands for the whole transform or framing.
pub(crate) fn ensure(holds: bool, parameter: &str, expected: &str, got: impl ToString) -> Checked {
    if holds { Ok(()) } else { Err(Fault::new(parameter, expected, got)) }
}
