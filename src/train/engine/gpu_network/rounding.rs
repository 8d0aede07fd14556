//! Tells the user that the GPU has rounded spike counts.

/// Whether a neuron has spiked more than 256 times in a time step, so that the GPU rounded its spike count. `Said`
/// means yes, and the user was told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Rounding {
    #[default]
    No,
    Yes,
    Said,
}

impl Rounding {
    pub(crate) fn note(&mut self, has_rounded: bool) {
        if has_rounded && *self == Rounding::No {
            *self = Rounding::Yes;
        }
    }

    /// Returns the message for the user, once.
    pub(crate) fn remark(&mut self) -> Option<String> {
        (*self == Rounding::Yes).then(|| {
            *self = Rounding::Said;
            "neurons spike more than 256 times in a step, which the GPU's products round to 8 bits".into()
        })
    }
}
