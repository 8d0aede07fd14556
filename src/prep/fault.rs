//! Faults of recipe parameters and of a sample's frames: place, expected and got. The caller adds the file.

/// A fault of a recipe, or of the frames that it makes from a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The transform and parameter at fault.
    pub place: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
}

/// The result of a check.
pub type Checked<T = ()> = std::result::Result<T, Fault>;

impl Fault {
    /// Makes a fault at `place`.
    pub fn new(place: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Fault {
        Fault { place: place.into(), expected: expected.into(), got: got.to_string() }
    }

    /// Prefixes the fault's place with `place`: `size` becomes `frames.size`, and an empty place becomes `frames`.
    pub(crate) fn within(mut self, place: &str) -> Fault {
        let dot = if self.place.is_empty() { "" } else { "." };
        self.place = format!("{place}{dot}{}", self.place);
        self
    }
}

/// Returns `Ok` if `holds` is true, else a fault of `parameter`.
pub(crate) fn ensure(holds: bool, parameter: &str, expected: &str, got: impl ToString) -> Checked {
    if holds { Ok(()) } else { Err(Fault::new(parameter, expected, got)) }
}
