//! The error type for recipe parameters and for the frames of a sample. It has no path: the caller knows the file and
//! adds its path.

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

    /// Puts the argument `place` in front of [`Fault::place`], with a dot between them. For example, the argument
    /// `frames` turns `size` into `frames.size`. An empty [`Fault::place`] becomes `frames`, without a dot.
    pub(crate) fn within(mut self, place: &str) -> Fault {
        let dot = if self.place.is_empty() { "" } else { "." };
        self.place = format!("{place}{dot}{}", self.place);
        self
    }
}

/// Returns `Ok` if `holds` is true. Otherwise returns a fault in the parameter named `parameter`, or in the whole
/// transform or framing if this name is empty.
pub(crate) fn ensure(holds: bool, parameter: &str, expected: &str, got: impl ToString) -> Checked {
    if holds { Ok(()) } else { Err(Fault::new(parameter, expected, got)) }
}
