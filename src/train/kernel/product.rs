//! How CUDA blocks use their shared memory for matrix products. device.cuh explains tiles and stages.

/// Number of rows of a tile in the CUDA kernels. A tile has the same number of columns.
pub(crate) const TILE: usize = 64;
/// Distance between the starts of two rows of a tile in shared memory, in elements. The gap avoids bank conflicts.
pub(crate) const STRIDE: usize = TILE + 8;
/// Number of elements of a tile in shared memory, including the gaps between the rows.
pub(crate) const PLANE: usize = TILE * STRIDE;
/// Size in bytes of a tile of bfloat16 numbers in shared memory.
pub(crate) const PLANE_BYTES: usize = PLANE * size_of::<u16>();
/// Number of input tiles that stands for a very wide layer, whose weights never fit into shared memory.
pub(crate) const WIDE: usize = 1 << 16;
/// Shared memory in bytes that CUDA reserves in each block.
const RESERVED: usize = 1024;

/// How a CUDA block that multiplies matrices uses its shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    /// Whether the block keeps its weights in shared memory during all time steps.
    pub(crate) resident: bool,
    /// Whether the results have their own shared memory, instead of overwriting operands.
    pub(crate) apart: bool,
    /// Number of buffers for operands.
    pub(crate) stages: u32,
    /// Shared memory of the block, in bytes.
    pub(crate) bytes: usize,
}

impl Product {
    /// Makes a `Product` with `planes` bfloat16 tiles in shared memory and `stages` buffers for operands.
    fn new(planes: usize, stages: usize) -> Product {
        Product { resident: false, apart: true, stages: stages as u32, bytes: planes * PLANE_BYTES }
    }
}

/// Chooses how the CUDA blocks of each kernel use their shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Products {
    /// Number of bfloat16 numbers whose sum is one weight or one gradient.
    pub(crate) pieces: usize,
    /// Maximum shared memory of one CUDA block, in bytes.
    pub(crate) shared_memory: usize,
}

impl Products {
    /// Chooses the use of shared memory for `iaf_forward` and `iaf_forward_input`.
    ///
    /// - `before`: number of bfloat16 numbers whose sum is one input value
    /// - `depth`: number of tiles of inputs
    pub(crate) fn forward(&self, before: usize, depth: usize) -> Product {
        let (currents, pieces) = (4, self.pieces); // two planes of float32
        self.resident(currents, pieces * depth, before).unwrap_or_else(|| self.stages(currents, before + pieces))
    }

    /// Chooses the use of shared memory for `iaf_backward`. `depth` is the number of tiles of neurons in the next
    /// layer.
    pub(crate) fn backward(&self, depth: usize) -> Product {
        let (gains, pieces) = (4, self.pieces); // two planes of float32
        // With two pieces or more, the gains fit into a stage.
        let apart = pieces == 1;
        self.resident(gains, pieces * depth, pieces)
            .unwrap_or_else(|| Product { apart, ..self.stages(if apart { gains } else { 0 }, 2 * pieces) })
    }

    /// Chooses the use of shared memory for `outputs`, `outputs_input` and `input_gradient`.
    ///
    /// - `before`: number of bfloat16 numbers whose sum is one number of the left operand
    /// - `depth`: number of tiles of the left operand's columns
    pub(crate) fn linear(&self, before: usize, depth: usize) -> Product {
        self.resident(0, self.pieces * depth, before).unwrap_or_else(|| self.stages(0, before + self.pieces))
    }

    /// Chooses the use of shared memory for the kernels of weight gradients. `before` is the number of bfloat16 numbers
    /// whose sum is one input value.
    pub(crate) fn gradient(&self, before: usize) -> Product {
        let moving = 2 * before + self.pieces; // two tiles of the input, and one of lambda
        // The grid has about as many blocks as a large GPU has multiprocessors, so one block per multiprocessor is
        // enough.
        let three = Product::new(3 * moving, 3);
        if three.bytes <= self.shared_memory { three } else { self.stages(0, moving) }
    }

    /// Chooses shared memory that holds all weights. Returns `None` if a multiprocessor doesn't have the memory for two
    /// blocks of this size. The arguments are numbers of tiles:
    ///
    /// - `fixed`: results, which are always in shared memory
    /// - `weights`: weights
    /// - `moving`: operands in one buffer
    fn resident(&self, fixed: usize, weights: usize, moving: usize) -> Option<Product> {
        let product = |stages| Product::new(fixed + weights + stages * moving, stages);
        [3, 2]
            .map(product)
            .into_iter()
            .find(|product| self.fits_twice(product))
            .map(|product| Product { resident: true, ..product })
    }

    /// Chooses shared memory that doesn't hold all weights. `fixed` is the number of tiles that are always in shared
    /// memory, and `moving` is the number of tiles in one buffer for operands.
    fn stages(&self, fixed: usize, moving: usize) -> Product {
        let product = |stages| Product::new(fixed + stages * moving, stages);
        Some(product(2)).filter(|product| self.fits_twice(product)).unwrap_or_else(|| product(1))
    }

    fn fits_twice(&self, product: &Product) -> bool {
        2 * (product.bytes + RESERVED) <= self.shared_memory + RESERVED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_fit_twice_on_a_multiprocessor_if_they_can() {
        let product =
            |stages, resident, apart, planes: usize| Product { resident, apart, stages, bytes: planes * PLANE_BYTES };
        let choices = |pieces, shared_memory| {
            let products = Products { pieces, shared_memory };
            [products.forward(1, 2), products.backward(2), products.gradient(1)]
        };
        // currents, weights and stages; gains, weights and stages; stages
        let large = [3, 2, 1].map(|pieces| choices(pieces, 232_448));
        assert_eq!(
            large[0],
            [product(2, true, true, 4 + 6 + 2), product(2, false, false, 12), product(3, false, true, 15)]
        );
        assert_eq!(
            large[1],
            [product(3, true, true, 4 + 4 + 3), product(2, true, true, 4 + 4 + 4), product(3, false, true, 12)]
        );
        assert_eq!(
            large[2],
            [product(3, true, true, 4 + 2 + 3), product(3, true, true, 4 + 2 + 3), product(3, false, true, 9)]
        );
        let small = choices(3, 101_376);
        assert_eq!(small[0], product(1, false, true, 4 + 4));
        assert_eq!(small[1], product(1, false, false, 6));
    }

    #[test]
    fn every_product_fits_into_the_smallest_multiprocessor() {
        for pieces in 1..=3 {
            let products = Products { pieces, shared_memory: 101_376 };
            for input in 1..=3 {
                for depth in [1, 2, 3, 16, WIDE] {
                    let all = [products.forward(input, depth), products.backward(depth), products.gradient(input)];
                    let all = [&all[..], &[products.linear(input, depth)]].concat();
                    assert!(all.iter().all(|product| product.bytes <= 101_376), "{pieces} {input} {depth}: {all:?}");
                }
            }
        }
    }
}
