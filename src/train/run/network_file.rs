//! Network files and presets: the layers of a network, and the options of training that go with them.

use std::path::Path;

use toml::Table;
use toml::de::DeTable;

use crate::error::{BaseFault, Error, Result};
use crate::network::{HiddenSizes, Layers, NetworkFault, Preset, PresetFrames};
use crate::run::options_file::{RunOption, options_of, table_at};

/// Key of the table that gives options of `tonic-train fit`.
const TRAINING: &str = "training";

/// The content of a network file or of a preset.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFile {
    /// Layers of the network.
    pub layers: Layers,
    /// Options of `tonic-train fit` in the table `[training]`, in the order of the file. The user's own options
    /// replace them.
    pub training: Vec<RunOption>,
    /// The frames that a preset is made for. `None` for files and for other presets.
    pub frames: Option<PresetFrames>,
}

impl NetworkFile {
    /// Reads a network file.
    ///
    /// # Errors
    /// [`Io`](tonic_base::Error::Io); [`Usage`](tonic_base::Error::Usage), with the line, if the file is not a network
    /// file.
    pub fn read(path: &Path) -> Result<NetworkFile> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the network file"))?;
        NetworkFile::parse(path, &text)
    }

    /// Returns the preset with this name.
    ///
    /// # Errors
    /// [`Usage`](tonic_base::Error::Usage) if there is no such preset.
    pub fn preset(name: &str) -> Result<NetworkFile> {
        let names: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name).collect();
        let preset = Preset::named(name).ok_or_else(|| Error::usage("preset", names.join(", "), name))?;
        Ok(NetworkFile { frames: preset.frames, ..NetworkFile::parse(Path::new(name), preset.text)? })
    }

    /// Reads the network file `file`, or returns the preset named `preset`. Returns `None` if both are `None`.
    ///
    /// # Errors
    /// Those of [`NetworkFile::read`] and [`NetworkFile::preset`].
    pub fn chosen(file: Option<&Path>, preset: Option<&str>) -> Result<Option<NetworkFile>> {
        match (file, preset) {
            (Some(path), _) => NetworkFile::read(path).map(Some),
            (None, Some(name)) => NetworkFile::preset(name).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<NetworkFile> {
        let place = |line: usize| format!("{}: line {line}", path.display());
        let layers = Layers::parse(text, &[TRAINING])
            .map_err(|NetworkFault { line, expected, got }| Error::usage(place(line), expected, got))?;
        let refused = |error: toml::de::Error| Error::usage(path.display().to_string(), "TOML", error.message());
        let document = DeTable::parse(text).map_err(refused)?;
        let mut tables: Table = toml::from_str(text).map_err(refused)?;
        let training = match (tables.remove(TRAINING), table_at(document.get_ref(), TRAINING)) {
            (Some(toml::Value::Table(table)), Some(document)) => options_of(path, text, document, table)?,
            (Some(other), _) => {
                let what = format!("{}: {TRAINING}", path.display());
                return Err(Error::usage(what, "a table of options of fit, such as lr = 0.01", other.to_string()));
            }
            (None, _) => Vec::new(),
        };
        Ok(NetworkFile { layers, training, frames: None })
    }
}

/// Returns the layers with `hidden` as the numbers of neurons of the hidden layers. If `hidden` is `None`, the layers
/// stay as they are.
///
/// # Errors
/// [`Usage`](tonic_base::Error::Usage) if [`Layers::resized`] cannot change the numbers.
pub fn resized(layers: &Layers, hidden: Option<&HiddenSizes>) -> Result<Layers> {
    let Some(hidden) = hidden else { return Ok(layers.clone()) };
    layers.resized(hidden).ok_or_else(|| {
        if layers.hidden.is_empty() {
            return Error::usage("hidden", "a network file with hidden layers, to change their sizes", "none");
        }
        let expected = "a network file whose hidden layers are alike, to change how many there are, or one number for all \
                        of them";
        Error::usage("hidden", expected, "others")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_layers_and_training_settings() {
        for preset in Preset::ALL {
            let file = NetworkFile::preset(preset.name).unwrap();
            for name in ["lr", "batch_size", "epochs"] {
                assert!(file.training.iter().any(|option| option.name == name), "{}: {name}", preset.name);
            }
        }
        let error = NetworkFile::preset("silif").unwrap_err().to_string();
        assert_eq!(error, "preset: expected post, lif, radlif, silif-ssc, silif-shd, c-silif-shd, got silif");
    }

    #[test]
    fn faults_name_the_line() {
        let parse = |text: &str| NetworkFile::parse(Path::new("a.toml"), text).unwrap_err().to_string();
        let end = "  { linear = \"classes\" },\n  { readout = \"sum\" },\n]\n";
        let layers = |text: &str| parse(&format!("layers = [\n{text}\n{end}"));
        for (text, expected) in [
            (
                "{ linear = 9, size = 3 },",
                "a.toml: line 2: expected keys of a layer with linear: linear, bias, init, got size",
            ),
            ("{ linear = 0 },", "a.toml: line 2: expected linear = a number of outputs from 1 to 1048576"),
            ("{ linear = 3 },\n{ dropout = 0.5 },", "a.toml: line 3: expected norm, recurrent or neuron after linear"),
            ("{ neuron = \"lif\" },", "a.toml: line 2: expected linear, or dropout after neuron, got neuron here"),
            (
                "{ linear = 3 },\n{ neuron = \"lif\" },\n{ dropout = 1.0 },",
                "line 4: expected dropout = 0, or a number from 2^-16 to 1 - 2^-16, got 1.0",
            ),
            ("{ linear = 3 },\n{ neuron = \"lif\" },\n{ dropout = 1e-5 },", "from 2^-16 to 1 - 2^-16, got 1e-5"),
            (
                "{ linear = 3 },\n{ neuron = \"iaf\", theta = 0.5,\n min_v_mem = 0.5 },",
                "line 4: expected min_v_mem = a number below theta = 0.5, got 0.5",
            ),
            (
                "{ linear = 3 },\n{ neuron = \"iaf\", spike_fn = \"double\" },",
                "line 3: expected spike_fn = \"multi\" or \"single\", got \"double\"",
            ),
            ("{ linear = 3 },\n{ neuron = \"gru\" },", "line 3: expected neuron = \"iaf\" or \"lif\" or"),
            (
                "{ linear = 3 },\n{ recurrent = \"dense\" },\n{ neuron = \"iaf\" },",
                "line 4: expected neurons other than iaf after recurrent, got iaf",
            ),
            (
                "{ linear = 3 },\n{ neuron = \"lif\", learn = false },",
                "line 3: expected one number for each decay factor with learn = false",
            ),
            (
                "{ linear = 3 },\n{ neuron = \"lif\", alpha = [0.9, 0.8] },",
                "line 3: expected alpha = a number from 0 to below 1, or a range",
            ),
            (
                "{ linear = 3, norm = \"batch\" },",
                "line 2: expected one of linear, norm, recurrent, neuron, dropout, readout in a layer, got linear and norm",
            ),
        ] {
            let got = layers(text);
            assert!(got.contains(expected), "{text}: {got}");
        }
        assert!(parse("layers = 3").contains("line 1: expected layers = a list of layers"));
        assert!(
            parse("layers = []\nlr = 3")
                .contains("line 2: expected keys of a network file: training, init_state, layers, got lr")
        );
        assert!(parse("layers = [\n{ linear = 3 },\n]\n").contains("got no readout"));
        assert!(parse(&format!("training = 3\nlayers = [{end}")).contains("a table of options of fit"));
        assert!(parse("layers = [").contains("line 1: expected TOML"));
    }
}
