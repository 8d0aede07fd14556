//! Presets: network files that come with the program. They give the layers and the training settings.

/// A network file that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Name, such as `silif-ssc`.
    pub name: &'static str,
    /// Text of the network file. The table `[training]` in it gives options of `tonic-train fit`.
    pub text: &'static str,
}

macro_rules! presets {
    ($($name:literal)*) => {
        &[$(Preset { name: $name, text: include_str!(concat!("presets/", $name, ".toml")) }),*]
    };
}

impl Preset {
    /// All presets.
    pub const ALL: &[Preset] = presets!["post" "lif" "radlif" "silif-ssc" "silif-shd" "c-silif-shd"];

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
