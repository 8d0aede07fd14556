//! Writes the cells and the surrogate gradients as CUDA C++, from the functions that the CPU's kernels are compiled
//! from. The kernels of CPU and GPU therefore do the same operations in the same order.
//!
//! These functions are generic over the number type. Here they get [`Symbol`]s: an operation on symbols writes a line
//! of CUDA C++, and returns a symbol for the result.

use std::cell::RefCell;
use std::ops::{Add, Mul, Neg, Sub};

use crate::kernel::cell::adaptive::Adaptive;
use crate::kernel::cell::complex::Complex;
use crate::kernel::cell::cuba_lif::CubaLif;
use crate::kernel::cell::definition::Wide;
use crate::kernel::cell::dynamics::{Dynamics, Step};
use crate::kernel::cell::lif::Lif;
use crate::kernel::cell::surrogate::Formula;
use crate::kernel::cell::tile::with_dynamics;
use crate::kernel::cell::{Cell, PARAMETER_SUMS, Reset};
use crate::kernel::vector::Real;

/// A variable in CUDA C++, as its index in [`Lines`].
#[derive(Clone, Copy)]
struct Symbol(usize);

/// The lines of the CUDA function that is being written, and the names of its variables.
#[derive(Default)]
struct Lines {
    names: Vec<String>,
    text: String,
}

thread_local! {
    static LINES: RefCell<Lines> = RefCell::default();
}

/// Cells with CUDA kernels: the cell, the name of its struct in CUDA C++, and its number in `CellArgs`.
pub(crate) const CUDA_CELLS: [(Cell, &str, u32); 3] =
    [(Cell::Lif(Reset::Soft), "LifSoft", 1), (Cell::Lif(Reset::Hard), "LifHard", 2), (Cell::Silif, "Silif", 3)];

impl Symbol {
    fn named(name: impl Into<String>) -> Symbol {
        LINES.with_borrow_mut(|lines| {
            lines.names.push(name.into());
            Symbol(lines.names.len() - 1)
        })
    }

    fn list<const N: usize>(name: &str) -> [Symbol; N] {
        std::array::from_fn(|i| Symbol::named(format!("{name}[{i}]")))
    }

    fn name(self) -> String {
        LINES.with_borrow(|lines| lines.names[self.0].clone())
    }

    /// Writes a line that computes `expression`, in which `$0`, `$1` and so on stand for `of`.
    fn computed(number: &str, expression: &str, of: &[Symbol]) -> Symbol {
        let names = of.iter().enumerate();
        let text = names.fold(expression.to_owned(), |text, (i, of)| text.replace(&format!("${i}"), &of.name()));
        let name = LINES.with_borrow(|lines| format!("x{}", lines.names.len()));
        LINES.with_borrow_mut(|lines| lines.text += &format!("        const {number} {name} = {text};\n"));
        Symbol::named(name)
    }

    fn float(expression: &str, of: &[Symbol]) -> Symbol {
        Symbol::computed("float", expression, of)
    }

    fn double(expression: &str, of: &[Symbol]) -> Symbol {
        Symbol::computed("double", expression, of)
    }
}

impl Real for Symbol {
    fn splat(x: f32) -> Symbol {
        Symbol::named(format!("({x:?}f)"))
    }
    fn add(self, other: Symbol) -> Symbol {
        Symbol::float("$0 + $1", &[self, other])
    }
    fn sub(self, other: Symbol) -> Symbol {
        Symbol::float("$0 - $1", &[self, other])
    }
    fn mul(self, other: Symbol) -> Symbol {
        Symbol::float("$0 * $1", &[self, other])
    }
    fn div(self, other: Symbol) -> Symbol {
        Symbol::float("$0 / $1", &[self, other])
    }
    fn mul_add(self, factor: Symbol, addend: Symbol) -> Symbol {
        Symbol::float("fmaf($0, $1, $2)", &[self, factor, addend])
    }
    fn sqrt(self) -> Symbol {
        Symbol::float("sqrtf($0)", &[self])
    }
    fn abs(self) -> Symbol {
        Symbol::float("fabsf($0)", &[self])
    }
    fn trunc(self) -> Symbol {
        Symbol::float("truncf($0)", &[self])
    }
    fn at_least(self, bound: Symbol) -> Symbol {
        Symbol::float("$0 < $1 ? $1 : $0", &[self, bound])
    }
    fn zero_at_most(self, x: Symbol, bound: Symbol) -> Symbol {
        Symbol::float("$1 <= $2 ? 0.0f : $0", &[self, x, bound])
    }
    fn keep_above(self, x: Symbol, bound: Symbol) -> Symbol {
        Symbol::float("$1 > $2 ? $0 : 0.0f", &[self, x, bound])
    }
    fn keep_at_most(self, x: Symbol, bound: Symbol) -> Symbol {
        Symbol::float("$1 <= $2 ? $0 : 0.0f", &[self, x, bound])
    }
    fn power_of_two(self) -> Symbol {
        Symbol::float("__uint_as_float((__float_as_uint($0) + 127u) << 23)", &[self])
    }
}

impl Add for Symbol {
    type Output = Symbol;
    fn add(self, other: Symbol) -> Symbol {
        Symbol::double("$0 + $1", &[self, other])
    }
}

impl Sub for Symbol {
    type Output = Symbol;
    fn sub(self, other: Symbol) -> Symbol {
        Symbol::double("$0 - $1", &[self, other])
    }
}

impl Mul for Symbol {
    type Output = Symbol;
    fn mul(self, other: Symbol) -> Symbol {
        Symbol::double("$0 * $1", &[self, other])
    }
}

impl Neg for Symbol {
    type Output = Symbol;
    fn neg(self) -> Symbol {
        Symbol::double("-$0", &[self])
    }
}

impl Wide for Symbol {
    fn of(x: f64) -> Symbol {
        Symbol::named(format!("({x:?})"))
    }
    fn exp(self) -> Symbol {
        Symbol::double("exp($0)", &[self])
    }
    fn exp_m1(self) -> Symbol {
        Symbol::double("expm1($0)", &[self])
    }
    fn sin(self) -> Symbol {
        Symbol::double("sin($0)", &[self])
    }
    fn cos(self) -> Symbol {
        Symbol::double("cos($0)", &[self])
    }
    fn or_0_where_0(self, x: Symbol) -> Symbol {
        Symbol::double("$1 == 0.0 ? 0.0 : $0", &[self, x])
    }
}

/// Returns a function in CUDA C++. `body` computes symbols, and returns each with the variable that it is written to.
/// If the variable is called `return`, the caller must replace `return = ` with `return `.
fn function(head: &str, body: impl FnOnce() -> Vec<(Symbol, String)>) -> String {
    LINES.take();
    let results: Vec<String> = body().into_iter().map(|(of, to)| format!("        {to} = {};\n", of.name())).collect();
    let text = LINES.take().text;
    // A variable can be both an input and an output, so the results are written after all lines that read inputs.
    format!("    __device__ __forceinline__ static {head} {{\n{text}{}    }}\n", results.concat())
}

fn results<const N: usize>(symbols: [Symbol; N], to: &str) -> Vec<(Symbol, String)> {
    symbols.into_iter().enumerate().map(|(i, symbol)| (symbol, format!("{to}[{i}]"))).collect()
}

/// Returns the struct of a cell: its constants, its step forward, its step back, and the gradients of its parameters.
fn cell<D: Dynamics>(cell: Cell, name: &str) -> String {
    let constants = function("void constants(const double (&p)[CONSTANTS], float (&c)[CONSTANTS])", || {
        let computed = cell.constants_of::<Symbol>(&Symbol::list("p"));
        results(computed.map(|of| Symbol::float("(float)($0)", &[of])), "c")
    });
    let step = function(
        "void step(const float (&c)[CONSTANTS], const float (&before)[2], float spikes_before, float input, \
         float (&after)[2])",
        || {
            let [spikes, input] = ["spikes_before", "input"].map(Symbol::named);
            results(D::step::<Symbol>(&Symbol::list("c"), Symbol::list("before"), spikes, input), "after")
        },
    );
    let potential = function("float potential(const float (&states)[2])", || {
        vec![(D::potential::<Symbol>(Symbol::list("states")), "return".into())]
    });
    let potential = potential.replace("return = ", "return ");
    let back = function(
        "void back(const float (&c)[CONSTANTS], const float (&before)[2], float spikes_before, \
         const float (&after)[2], float spikes, float input, float sigma, float g, float (&next)[2], \
         float (&sums)[PARAMETER_SUMS], float& current)",
        || {
            let at = Step {
                before: Symbol::list("before"),
                spikes_before: Symbol::named("spikes_before"),
                after: Symbol::list("after"),
                spikes: Symbol::named("spikes"),
                input: Symbol::named("input"),
                sigma: Symbol::named("sigma"),
                g: Symbol::named("g"),
            };
            let mut sums = Symbol::list::<PARAMETER_SUMS>("sums");
            let (states, current) = D::back::<Symbol>(&Symbol::list("c"), &at, Symbol::list("next"), &mut sums);
            [results(states, "next"), results(sums, "sums"), vec![(current, "current".into())]].concat()
        },
    );
    let gradients = function(
        "void gradients(const double (&p)[CONSTANTS], const double (&sums)[PARAMETER_SUMS], \
         double (&out)[CONSTANTS])",
        || results(cell.gradients_of::<Symbol>(&Symbol::list("p"), &Symbol::list("sums")), "out"),
    );
    format!("struct {name} {{\n{constants}{step}{potential}{back}{gradients}}};\n\n")
}

/// Returns the function `surrogate` in CUDA C++, which computes sigma(x) with the formula of number `formula`.
fn surrogates() -> String {
    let case = |formula: Formula| {
        let head = format!("float formula_{}(float x, float a, float b)", formula as u32);
        let text = function(&head, || {
            let [x, a, b] = ["x", "a", "b"].map(Symbol::named);
            vec![(formula.at::<Symbol>(x, [a, b]), "return".into())]
        });
        text.replace("return = ", "return ").replace("__forceinline__ static", "__forceinline__")
    };
    let call = |formula: Formula| {
        let number = formula as u32;
        format!("    case {number}u: return formula_{number}(x, a, b);\n")
    };
    let (cases, calls) = (Formula::ALL.map(case).concat(), Formula::ALL.map(call).concat());
    format!(
        "{cases}\n__device__ __forceinline__ float surrogate(u32 formula, float x, float a, float b) {{\n    \
         switch (formula) {{\n{calls}    default: return 0.0f;\n    }}\n}}\n\n"
    )
}

/// Returns the cells of [`CUDA_CELLS`] and the surrogate gradients as CUDA C++.
pub(in crate::kernel) fn cuda_source() -> String {
    let head = "// Cells and surrogate gradients: generated from kernel/cell by kernel/cell/cuda.rs.\n\n";
    let cells = CUDA_CELLS.map(|(of, name, _)| with_dynamics!(of, D => cell::<D>(of, name)));
    head.to_owned() + &surrogates() + &cells.concat()
}
