//! Writes layers as the text of a network file, with every setting.

use std::fmt::Write;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::network::iaf::SpikeFn;
use crate::network::layers::{Dropout, InitState, Layers, LinearInit, LinearLayer, Mask, Norm, Readout};
use crate::network::neuron::{Neuron, Reset, Surrogate};

/// Settings of a layer, as (key, value in TOML).
type Keys = Vec<(&'static str, String)>;

impl Layers {
    /// Returns the text of a network file with these layers.
    pub fn text(&self) -> String {
        let state = match self.init_state {
            InitState::Zero => "zero",
            InitState::Uniform => "uniform",
        };
        let mut text = format!("init_state = {state:?}\nlayers = [\n");
        for layer in &self.hidden {
            add(&mut text, linear(&layer.linear, layer.neurons.to_string()));
            layer.norm.iter().for_each(|of| add(&mut text, norm(of)));
            if layer.recurrent {
                add(&mut text, vec![("recurrent", quoted("dense"))]);
            }
            add(&mut text, neuron(&layer.neuron));
            layer.dropout.iter().for_each(|of| add(&mut text, dropout(of)));
        }
        add(&mut text, linear(&self.readout.linear, quoted("classes")));
        self.readout.norm.iter().for_each(|of| add(&mut text, norm(of)));
        add(&mut text, readout(self.readout.readout));
        text + "]\n"
    }
}

impl Layers {
    /// Returns a name for tables, such as `dropout, norm, silif (5b1f0c2a)`: the features beyond [`Layers::as_iaf`],
    /// and eight digits of a hash of all settings.
    pub fn name(&self) -> String {
        let hash = blake3::hash(self.text().as_bytes()).to_hex();
        format!("{} ({})", self.beyond_iaf(), &hash[..8])
    }
}

impl Serialize for Layers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Layers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Layers, D::Error> {
        Layers::parse(&String::deserialize(deserializer)?, &[]).map_err(D::Error::custom)
    }
}

fn add(text: &mut String, keys: Keys) {
    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let _ = writeln!(text, "  {{ {} }},", keys.join(", "));
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn number(value: f32) -> String {
    format!("{value:?}")
}

fn range([low, high]: [f32; 2]) -> String {
    if low == high { number(low) } else { format!("[{low:?}, {high:?}]") }
}

fn linear(of: &LinearLayer, outputs: String) -> Keys {
    let init = match of.init {
        LinearInit::Uniform => "uniform",
        LinearInit::Xavier => "xavier",
    };
    vec![("linear", outputs), ("bias", of.bias.to_string()), ("init", quoted(init))]
}

fn norm(of: &Norm) -> Keys {
    vec![("norm", quoted("batch")), ("momentum", number(of.momentum))]
}

fn dropout(of: &Dropout) -> Keys {
    let mask = match of.mask {
        Mask::Step => "step",
        Mask::Sample => "sample",
    };
    vec![("dropout", number(of.p)), ("mask", quoted(mask))]
}

fn readout(of: Readout) -> Keys {
    let name = match of {
        Readout::Sum => "sum",
        Readout::Leaky => "leaky",
        Readout::Max => "max",
        Readout::Last => "last",
    };
    vec![("readout", quoted(name))]
}

fn neuron(of: &Neuron) -> Keys {
    let mut keys = vec![("neuron", quoted(of.name()))];
    match of {
        Neuron::Iaf(of) => {
            keys.push(("theta", number(of.theta)));
            keys.extend(of.min_v_mem.map(|bound| ("min_v_mem", number(bound))));
            keys.push(("grad_width", number(of.surrogate.grad_width)));
            keys.push(("grad_scale", number(of.surrogate.grad_scale)));
            if of.spike_fn == SpikeFn::Single {
                keys.push(("spike_fn", quoted("single")));
            }
        }
        Neuron::Lif(of) => {
            keys.extend(surrogate(&of.surrogate));
            keys.extend([("alpha", range(of.alpha)), ("learn", of.learn.to_string()), reset(of.reset)]);
        }
        Neuron::CubaLif(of) => {
            keys.extend(surrogate(&of.surrogate));
            keys.extend([("alpha", range(of.alpha)), ("beta", range(of.beta))]);
            keys.extend([("learn", of.learn.to_string()), reset(of.reset)]);
        }
        Neuron::Adlif(of) => {
            keys.extend(surrogate(&of.surrogate));
            keys.extend([("alpha", of.alpha), ("beta", of.beta), ("a", of.a), ("b", of.b)].map(|(k, v)| (k, range(v))));
        }
        Neuron::Silif(of) => {
            keys.extend(surrogate(&of.surrogate));
            keys.extend([("rate_alpha", of.rate_alpha), ("rate_beta", of.rate_beta)].map(|(k, v)| (k, range(v))));
            keys.extend([("dt", number(of.dt)), ("a", range(of.a)), ("b", range(of.b))]);
        }
        Neuron::CSilif(of) => {
            keys.extend(surrogate(&of.surrogate));
            keys.extend([("dt", range(of.dt)), ("decay", number(of.decay)), ("frequency", number(of.frequency))]);
            keys.push(("b", range(of.b)));
        }
    }
    keys
}

fn reset(of: Reset) -> (&'static str, String) {
    ("reset", quoted(if of == Reset::Soft { "soft" } else { "hard" }))
}

fn surrogate(of: &Surrogate) -> Keys {
    match *of {
        Surrogate::Boxcar { height, width } => {
            vec![("surrogate", quoted("boxcar")), ("height", number(height)), ("width", number(width))]
        }
        Surrogate::SingleExponential { width, scale } => {
            vec![("surrogate", quoted("single-exponential")), ("width", number(width)), ("scale", number(scale))]
        }
        Surrogate::Arctan { alpha } => vec![("surrogate", quoted("arctan")), ("steepness", number(alpha))],
        Surrogate::FastSigmoid { slope } => vec![("surrogate", quoted("fast-sigmoid")), ("steepness", number(slope))],
    }
}
