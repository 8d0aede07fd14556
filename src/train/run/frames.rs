//! Tells the user if the frames of a training set are not those that a network is made for.

use crate::network::{Layers, Neuron, PresetFrames};
use crate::run::config::Config;
use crate::run::options::FitOptions;

impl FitOptions {
    /// Prints in which ways the frames of the training set differ from those that the network of a new run is made for.
    pub(super) fn say_frames(&self, config: &Config) {
        let layers = config.network.architecture().layers;
        let seconds = (self.frame_seconds)(&config.data.recipe);
        differences(self.frames, &layers, config.steps, seconds).into_iter().for_each(|words| {
            self.say(|| format!("note     {words}"));
        });
    }
}

/// Returns a text for each difference. The training set has `steps` frames per sample, each of `seconds` seconds, or of
/// no fixed duration.
fn differences(made_for: Option<PresetFrames>, layers: &Layers, steps: usize, seconds: Option<f64>) -> Vec<String> {
    let differs = |of: f64| seconds.is_none_or(|seconds| (seconds / of - 1.0).abs() > 1e-3);
    let words = |steps: usize, seconds: Option<f64>| match seconds {
        Some(seconds) => format!("{steps} steps of {} ms", rounded(seconds * 1000.0)),
        None => format!("{steps} steps of no fixed duration"),
    };
    let of_preset = made_for.filter(|of| of.steps != steps || differs(of.seconds)).map(|of| {
        let made_for = words(of.steps, Some(of.seconds));
        format!("the preset is made for {made_for}, and the training set has {}", words(steps, seconds))
    });
    let dt = layers.hidden.iter().find_map(|layer| match layer.neuron {
        Neuron::Silif(silif) if differs(silif.dt.into()) => Some(f64::from(silif.dt)),
        _ => None,
    });
    let of_neurons = dt.map(|dt| {
        let duration = match seconds {
            Some(seconds) => format!("takes {0} s: dt = {0} in the network file fits", rounded(seconds)),
            None => "has no fixed duration".into(),
        };
        format!("the neurons silif have dt = {} (s), and a frame of the training set {duration}", rounded(dt))
    });
    of_preset.into_iter().chain(of_neurons).collect()
}

/// Returns a number without the digits that float32 adds.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::differences;
    use crate::network::{HiddenSizes, Preset};
    use crate::run::network_file::NetworkFile;

    #[test]
    fn other_steps_and_other_frames_are_told() {
        let told = |name: &str, steps, seconds| {
            let NetworkFile { layers, frames, .. } = NetworkFile::preset(name).unwrap();
            differences(frames, &layers.resized(&HiddenSizes::Every(8)).unwrap(), steps, seconds)
        };
        assert_eq!(told("silif-ssc", 300, Some(0.004)), [""; 0]);
        let steps = "the preset is made for 300 steps of 4 ms, and the training set has 250 steps of 4 ms";
        assert_eq!(told("silif-ssc", 250, Some(0.004)), [steps]);
        let both = [
            "the preset is made for 250 steps of 4 ms, and the training set has 100 steps of 10 ms",
            "the neurons silif have dt = 0.004 (s), and a frame of the training set takes 0.01 s: dt = 0.01 in the \
             network file fits",
        ];
        assert_eq!(told("silif-shd", 100, Some(0.01)), both);
        assert_eq!(told("c-silif-shd", 100, Some(0.01)), both[..1]);
        assert!(told("silif-shd", 250, None).iter().all(|words| words.contains("no fixed duration")));
        for preset in Preset::ALL.iter().filter(|preset| preset.frames.is_none()) {
            assert_eq!(told(preset.name, 7, None), [""; 0], "{}", preset.name);
        }
        // The text of each preset names the same steps and duration.
        for (preset, frames) in Preset::ALL.iter().filter_map(|preset| Some((preset, preset.frames?))) {
            let words = format!("{} steps of {} ms", frames.steps, frames.seconds * 1000.0);
            assert!(preset.summary().contains(&words), "{}: {words}", preset.name);
        }
    }
}
