//! Compiles every kernel with NVRTC for every generation of GPUs, and checks the sizes of the kernels' arguments.

use super::*;
use crate::gpu::{compile, compile_ptx};
use crate::kernel::interface::{
    BackwardArgs, DrawArgs, ForwardArgs, GradientArgs, InflateArgs, InflateInputArgs, ReadoutArgs, SpikesArgs,
};
use crate::kernel::layer_interface::{CellArgs, MaskArgs, NormArgs, OutputsArgs, RateArgs, ReduceArgs};
use crate::kernel::update_interface::{ClipArgs, UpdateArgs};

fn variants() -> Vec<Variant> {
    let types = [
        (Width::U16, Width::U8, Width::U8),
        (Width::U16, Width::U16, Width::U16),
        (Width::U32, Width::U32, Width::U32),
        (Width::U32, Width::U16, Width::F32),
    ];
    let types = types.map(|(frame_ends, cells, counts)| ColumnTypes { frame_ends, cells, counts });
    let precisions = [MatmulPrecision::Highest, MatmulPrecision::High, MatmulPrecision::Medium];
    let variant = |column_types, precision, shared_memory| Variant { column_types, precision, shared_memory };
    let mut variants: Vec<Variant> =
        precisions.iter().map(|&precision| variant(types[0], precision, 232_448)).collect();
    variants.extend(types[1..].iter().map(|&of| variant(of, MatmulPrecision::Highest, 101_376)));
    variants
}

#[test]
fn every_kernel_compiles_for_every_generation() {
    for (i, variant) in variants().iter().enumerate() {
        let (text, defines) = (Variant::text(), variant.defines());
        let source = CudaSource { text: &text, defines: &defines };
        for architecture in [(8, 0), (9, 0), (10, 0)] {
            // All generations for one variant, and all variants for one generation.
            if i > 0 && architecture != (9, 0) {
                continue;
            }
            let ptx = compile_ptx(&source, architecture).unwrap();
            for (name, size) in KERNELS {
                let start = ptx.find(&format!(".entry {name}(")).unwrap_or_else(|| panic!("no {name}"));
                let declared = &ptx[start..start + ptx[start..].find('{').unwrap()];
                assert!(declared.contains(&format!("[{size}]")), "{name}: {declared}");
            }
        }
        // Compiles to machine code too, which is what a GPU loads.
        compile(&source, (9, 0)).unwrap();
    }
}

/// Name of each kernel, and size in bytes of the struct that the host passes to it.
const KERNELS: [(&str, usize); 35] = [
    ("draw", size_of::<DrawArgs>()),
    ("inflate", size_of::<InflateArgs>()),
    ("inflate_input", size_of::<InflateInputArgs>()),
    ("iaf_forward_cells", size_of::<ForwardArgs>()),
    ("iaf_forward_input", size_of::<ForwardArgs>()),
    ("iaf_forward", size_of::<ForwardArgs>()),
    ("count_spikes", size_of::<SpikesArgs>()),
    ("readout", size_of::<ReadoutArgs>()),
    ("readout_gradient", size_of::<ReadoutArgs>()),
    ("iaf_backward_constant", size_of::<BackwardArgs>()),
    ("iaf_backward", size_of::<BackwardArgs>()),
    ("weight_gradient_cells", size_of::<GradientArgs>()),
    ("weight_gradient_input", size_of::<GradientArgs>()),
    ("weight_gradient", size_of::<GradientArgs>()),
    ("update", size_of::<UpdateArgs>()),
    ("pack", size_of::<UpdateArgs>()),
    ("squares", size_of::<ClipArgs>()),
    ("clip", size_of::<ClipArgs>()),
    ("spike_rates", size_of::<RateArgs>()),
    ("outputs", size_of::<OutputsArgs>()),
    ("outputs_input", size_of::<OutputsArgs>()),
    ("outputs_cells", size_of::<OutputsArgs>()),
    ("input_gradient", size_of::<OutputsArgs>()),
    ("norm_sums", size_of::<NormArgs>()),
    ("norm_statistics", size_of::<NormArgs>()),
    ("norm_backward", size_of::<NormArgs>()),
    ("norm_follow", size_of::<NormArgs>()),
    ("dropout_masks", size_of::<MaskArgs>()),
    ("cell_constants", size_of::<CellArgs>()),
    ("cell_forward", size_of::<CellArgs>()),
    ("cell_backward", size_of::<CellArgs>()),
    ("layer_gradient", size_of::<CellArgs>()),
    ("reduce", size_of::<ReduceArgs>()),
    ("reduce_backward", size_of::<ReduceArgs>()),
    ("cross_entropy", size_of::<ReadoutArgs>()),
];
