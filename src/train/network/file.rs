//! The network file: TOML with one entry for each layer, from the input to the readout.
//!
//! ```toml
//! init_state = "uniform"                                  # or "zero", the default
//! layers = [
//!   { linear = 128, bias = false, init = "xavier" },
//!   { norm = "batch" },
//!   { neuron = "silif" },
//!   { dropout = 0.25 },
//!   { linear = "classes", bias = false },
//!   { norm = "batch" },
//!   { readout = "leaky" },
//! ]
//! ```
//!
//! The order of the entries:
//!
//! - hidden layer: linear, norm (optional), recurrent (optional), neuron, dropout (optional)
//! - last layer: linear, norm (optional), readout
//!
//! An unknown key, or an entry in the wrong order, is an error with its line.

use toml::de::{DeTable, DeValue};

use crate::kernel::dropout::DROPOUT;
use crate::network::entry::{Entry, NetworkFault, line_at};
use crate::network::iaf::{Iaf, SpikeFn};
use crate::network::layers::{
    Dropout, Hidden, InitState, Layers, LinearInit, LinearLayer, Mask, Norm, Output, Readout,
};
use crate::network::neuron::{Adlif, CSilif, CubaLif, Lif, Neuron, Reset, Silif, Surrogate};
use crate::network::surrogate::SingleExponential;

type Result<T> = std::result::Result<T, NetworkFault>;

/// The kinds of layers. An entry has exactly one of these keys, which says its kind.
const KINDS: [&str; 6] = ["linear", "norm", "recurrent", "neuron", "dropout", "readout"];
/// Maximum number of hidden layers.
const MOST_LAYERS: usize = 64;

/// One entry of the list `layers`.
enum Layer {
    Linear(Option<usize>, LinearLayer),
    Norm(Norm),
    Recurrent,
    Neuron(Neuron),
    Dropout(Dropout),
    Readout(Readout),
}

/// The entries of an incomplete layer: its neuron or readout has not been read yet.
struct Open {
    outputs: Option<usize>,
    linear: LinearLayer,
    norm: Option<Norm>,
    recurrent: bool,
}

impl Layers {
    /// Reads the layers from the text of a network file. `others` are keys of the file that don't describe layers.
    /// They are allowed, but not read.
    ///
    /// # Errors
    /// [`NetworkFault`] with the line, if the text is not TOML, or if an entry is unknown or contradicts another.
    pub fn parse(text: &str, others: &[&'static str]) -> Result<Layers> {
        let document = DeTable::parse(text).map_err(|error| NetworkFault {
            line: error.span().map_or(1, |span| line_at(text, span.start)),
            expected: "TOML".into(),
            got: error.message().into(),
        })?;
        let document = document.get_ref();
        let mut file = Entry::new(text, document, 1, "a network file");
        file.know(others);
        let states = [("zero", InitState::Zero), ("uniform", InitState::Uniform)];
        let init_state = file.choice("init_state", &states)?.unwrap_or_default();
        let layers = file.list("layers")?;
        file.finish()?;
        let mut hidden: Vec<Hidden> = Vec::new();
        let mut open: Option<Open> = None;
        let mut readout = None;
        for value in layers {
            let line = line_at(text, value.span().start);
            let fault =
                |expected: &str, got: &str| Err(NetworkFault { line, expected: expected.into(), got: got.into() });
            let DeValue::Table(table) = value.get_ref() else {
                return fault("a layer, such as { linear = 128 }", &text[value.span()]);
            };
            if readout.is_some() {
                return fault("nothing after the readout", "another layer");
            }
            let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| table.contains_key(*kind)).collect();
            let [kind] = kinds[..] else {
                let got = if kinds.is_empty() { "none of them".to_owned() } else { kinds.join(" and ") };
                return fault(&format!("one of {} in a layer", KINDS.join(", ")), &got);
            };
            let entry = Entry::new(text, table, line, format!("a layer with {kind}"));
            match (layer(kind, entry)?, open.take(), hidden.last_mut()) {
                (Layer::Linear(outputs, linear), None, _) => {
                    open = Some(Open { outputs, linear, norm: None, recurrent: false });
                }
                (Layer::Norm(norm), Some(before @ Open { norm: None, recurrent: false, .. }), _) => {
                    open = Some(Open { norm: Some(norm), ..before });
                }
                (Layer::Recurrent, Some(before @ Open { outputs: Some(_), recurrent: false, .. }), _) => {
                    open = Some(Open { recurrent: true, ..before });
                }
                (Layer::Neuron(neuron), Some(Open { outputs: Some(neurons), linear, norm, recurrent }), _) => {
                    if hidden.len() == MOST_LAYERS {
                        return fault(&format!("at most {MOST_LAYERS} hidden layers"), "more");
                    }
                    if recurrent && !neuron.can_be_recurrent() {
                        return fault("neurons other than iaf after recurrent", neuron.name());
                    }
                    hidden.push(Hidden { neurons, linear, norm, recurrent, neuron, dropout: None });
                }
                (Layer::Dropout(dropout), None, Some(layer @ Hidden { dropout: None, .. })) => {
                    layer.dropout = Some(dropout);
                }
                (Layer::Readout(kind), Some(Open { outputs: None, linear, norm, recurrent: false }), _) => {
                    readout = Some(Output { linear, norm, readout: kind });
                }
                (_, before, last) => {
                    let dropped = last.is_some_and(|layer| layer.dropout.is_some());
                    return fault(expected(before.as_ref(), dropped), &format!("{kind} here"));
                }
            }
        }
        let is_iaf = |layer: &Hidden| matches!(layer.neuron, Neuron::Iaf(_));
        if init_state == InitState::Uniform && hidden.iter().any(is_iaf) {
            let line = document.get("init_state").map_or(1, |value| line_at(text, value.span().start));
            let expected = "init_state = \"zero\" with iaf, whose neurons start at 0".into();
            return Err(NetworkFault { line, expected, got: "\"uniform\"".into() });
        }
        match readout {
            Some(readout) => Ok(Layers { init_state, hidden, readout }),
            None => Err(NetworkFault {
                line: line_at(text, text.len()),
                expected: "a list of layers that ends with { linear = \"classes\" } and a readout".into(),
                got: "no readout".into(),
            }),
        }
    }
}

/// Returns a text for error messages: which entries may come next. `dropped` says whether the last complete hidden
/// layer has dropout.
fn expected(open: Option<&Open>, dropped: bool) -> &'static str {
    match open {
        None if dropped => "linear",
        None => "linear, or dropout after neuron",
        Some(Open { recurrent: true, .. }) => "neuron after recurrent",
        Some(Open { outputs: None, .. }) => "norm or readout after { linear = \"classes\" }",
        Some(Open { norm: Some(_), .. }) => "recurrent or neuron after norm",
        Some(_) => "norm, recurrent or neuron after linear (a readout follows { linear = \"classes\" })",
    }
}

fn layer(kind: &str, mut entry: Entry<'_>) -> Result<Layer> {
    let layer = match kind {
        "linear" => {
            let outputs = entry.outputs()?;
            let bias = entry.flag("bias", true)?;
            let inits = [("uniform", LinearInit::Uniform), ("xavier", LinearInit::Xavier)];
            let init = entry.choice("init", &inits)?.unwrap_or(LinearInit::Uniform);
            Layer::Linear(outputs, LinearLayer { bias, init })
        }
        "norm" => {
            entry.choice("norm", &[("batch", ())])?;
            let Norm { momentum } = Norm::default();
            let momentum = entry.number("momentum", momentum, "a number from 0 to 1", |m| (0.0..=1.0).contains(&m))?;
            Layer::Norm(Norm { momentum })
        }
        "recurrent" => {
            entry.choice("recurrent", &[("dense", ())])?;
            Layer::Recurrent
        }
        "neuron" => Layer::Neuron(neuron(&mut entry)?),
        "dropout" => {
            let [least, most] = DROPOUT;
            let fits = |p: f32| p == 0.0 || (least..=most).contains(&p);
            let p = entry.number("dropout", 0.0, "0, or a number from 2^-16 to 1 - 2^-16", fits)?;
            let masks = [("step", Mask::Step), ("sample", Mask::Sample)];
            Layer::Dropout(Dropout { p, mask: entry.choice("mask", &masks)?.unwrap_or(Mask::Step) })
        }
        _ => {
            let kinds =
                [("sum", Readout::Sum), ("leaky", Readout::Leaky), ("max", Readout::Max), ("last", Readout::Last)];
            Layer::Readout(entry.choice("readout", &kinds)?.unwrap_or(Readout::Sum))
        }
    };
    entry.finish()?;
    Ok(layer)
}

fn decay(entry: &mut Entry<'_>, key: &'static str, default: [f32; 2]) -> Result<[f32; 2]> {
    entry.range(key, default, "a number from 0 to below 1", |value| (0.0..1.0).contains(&value))
}

fn neuron(entry: &mut Entry<'_>) -> Result<Neuron> {
    #[derive(Clone, Copy)]
    enum Kind {
        Iaf,
        Lif,
        CubaLif,
        Adlif,
        Silif,
        CSilif,
    }
    let kinds = [
        ("iaf", Kind::Iaf),
        ("lif", Kind::Lif),
        ("cuba-lif", Kind::CubaLif),
        ("adlif", Kind::Adlif),
        ("silif", Kind::Silif),
        ("c-silif", Kind::CSilif),
    ];
    let any = |_: f32| true;
    Ok(match entry.choice("neuron", &kinds)?.unwrap_or(Kind::Iaf) {
        Kind::Iaf => {
            let Iaf { theta, surrogate, .. } = Iaf::default();
            let theta = entry.positive("theta", theta)?;
            Neuron::Iaf(Iaf {
                theta,
                min_v_mem: match entry.has("min_v_mem") {
                    true => {
                        let expected = format!("a number below theta = {theta:?}");
                        Some(entry.number("min_v_mem", 0.0, &expected, |bound| bound < theta)?)
                    }
                    false => None,
                },
                surrogate: SingleExponential {
                    grad_width: entry.positive("grad_width", surrogate.grad_width)?,
                    grad_scale: entry.positive("grad_scale", surrogate.grad_scale)?,
                },
                spike_fn: entry
                    .choice("spike_fn", &[("multi", SpikeFn::Multi), ("single", SpikeFn::Single)])?
                    .unwrap_or_default(),
            })
        }
        Kind::Lif => {
            let of = Lif::default();
            let lif = Lif {
                surrogate: surrogate(entry)?,
                alpha: decay(entry, "alpha", of.alpha)?,
                learn: entry.flag("learn", of.learn)?,
                reset: reset(entry, of.reset)?,
            };
            fixed(entry, lif.learn, [lif.alpha, lif.alpha])?;
            Neuron::Lif(lif)
        }
        Kind::CubaLif => {
            let of = CubaLif::default();
            let lif = CubaLif {
                surrogate: surrogate(entry)?,
                alpha: decay(entry, "alpha", of.alpha)?,
                beta: decay(entry, "beta", of.beta)?,
                learn: entry.flag("learn", of.learn)?,
                reset: reset(entry, of.reset)?,
            };
            fixed(entry, lif.learn, [lif.alpha, lif.beta])?;
            Neuron::CubaLif(lif)
        }
        Kind::Adlif => {
            let of = Adlif::default();
            Neuron::Adlif(Adlif {
                surrogate: surrogate(entry)?,
                alpha: decay(entry, "alpha", of.alpha)?,
                beta: decay(entry, "beta", of.beta)?,
                a: entry.range("a", of.a, "a number", any)?,
                b: entry.range("b", of.b, "a number", any)?,
            })
        }
        Kind::Silif => {
            let of = Silif::default();
            let rate = |value: f32| value > 0.0;
            Neuron::Silif(Silif {
                surrogate: surrogate(entry)?,
                rate_alpha: entry.range("rate_alpha", of.rate_alpha, "a positive number", rate)?,
                rate_beta: entry.range("rate_beta", of.rate_beta, "a positive number", rate)?,
                dt: entry.positive("dt", of.dt)?,
                a: entry.range("a", of.a, "a number", any)?,
                b: entry.range("b", of.b, "a number", any)?,
            })
        }
        Kind::CSilif => {
            let of = CSilif::default();
            Neuron::CSilif(CSilif {
                surrogate: surrogate(entry)?,
                dt: entry.range("dt", of.dt, "a positive number", |value| value > 0.0)?,
                decay: entry.positive("decay", of.decay)?,
                frequency: entry.positive("frequency", of.frequency)?,
                b: entry.range("b", of.b, "a number", any)?,
            })
        }
    })
}

/// Returns an error if the two ends of a range differ, but `learn` is false. `ranges` has the ranges of decay factors.
fn fixed(entry: &Entry<'_>, learn: bool, ranges: [[f32; 2]; 2]) -> Result<()> {
    match ranges.into_iter().find(|[low, high]| !learn && low != high) {
        None => Ok(()),
        Some(range) => {
            entry.fault("one number for each decay factor with learn = false", format!("the range {range:?}"))
        }
    }
}

fn reset(entry: &mut Entry<'_>, default: Reset) -> Result<Reset> {
    Ok(entry.choice("reset", &[("soft", Reset::Soft), ("hard", Reset::Hard)])?.unwrap_or(default))
}

fn surrogate(entry: &mut Entry<'_>) -> Result<Surrogate> {
    let names = [
        ("boxcar", Surrogate::Boxcar { height: 1.0, width: 0.5 }),
        ("single-exponential", Surrogate::SingleExponential { width: 0.5, scale: 1.0 }),
        ("arctan", Surrogate::Arctan { alpha: 2.0 }),
        ("fast-sigmoid", Surrogate::FastSigmoid { slope: 25.0 }),
    ];
    Ok(match entry.choice("surrogate", &names)?.unwrap_or_default() {
        Surrogate::Boxcar { height, width } => {
            Surrogate::Boxcar { height: entry.positive("height", height)?, width: entry.positive("width", width)? }
        }
        Surrogate::SingleExponential { width, scale } => Surrogate::SingleExponential {
            width: entry.positive("width", width)?,
            scale: entry.positive("scale", scale)?,
        },
        Surrogate::Arctan { alpha } => Surrogate::Arctan { alpha: entry.positive("steepness", alpha)? },
        Surrogate::FastSigmoid { slope } => Surrogate::FastSigmoid { slope: entry.positive("steepness", slope)? },
    })
}
