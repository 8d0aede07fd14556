//! Presets: network files that come with the program. They give the layers and the training settings.

/// A network file that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Name, such as `silif-ssc`.
    pub name: &'static str,
    /// Text of the network file. The table `[training]` in it gives options of `tonic-train fit`.
    pub text: &'static str,
    /// The frames that the network was published with. `None` if it isn't made for certain frames.
    pub frames: Option<PresetFrames>,
}

/// The frames that a preset is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PresetFrames {
    /// Number of time steps.
    pub steps: usize,
    /// Duration of a time step in seconds.
    pub seconds: f64,
}

macro_rules! presets {
    ($($name:literal $frames:expr),*) => {
        &[$(Preset { name: $name, text: include_str!(concat!("presets/", $name, ".toml")), frames: $frames }),*]
    };
}

impl Preset {
    /// All presets.
    pub const ALL: &[Preset] = presets![
        "post" None,
        "lif" None,
        "radlif" None,
        "silif-ssc" Some(PresetFrames { steps: 300, seconds: 0.004 }),
        "silif-shd" Some(PresetFrames { steps: 250, seconds: 0.004 }),
        "c-silif-shd" Some(PresetFrames { steps: 250, seconds: 0.004 })
    ];

    /// Returns the comment at the start of the text as one line.
    pub fn summary(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix("# "));
        lines.collect::<Vec<_>>().join(" ")
    }

    /// Returns the preset with this name.
    pub fn named(name: &str) -> Option<Preset> {
        Preset::ALL.iter().copied().find(|preset| preset.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::Preset;
    use crate::network::{Iaf, Layers};

    #[test]
    fn every_preset_is_read_and_written() {
        for preset in Preset::ALL {
            let layers = Layers::parse(preset.text, &["training"]).unwrap();
            assert_eq!(Layers::parse(&layers.text(), &[]).unwrap(), layers, "{}", preset.name);
        }
        let post = Layers::parse(Preset::named("post").unwrap().text, &["training"]).unwrap();
        assert_eq!(post, Layers::iaf(&[128; 3], Iaf::default()));
    }
}
