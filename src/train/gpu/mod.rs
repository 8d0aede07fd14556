//! A small layer over the CUDA driver and NVRTC: devices, memory, streams, compiled kernels.
//!
//! ```text
//! args       arguments of kernels: structs that are defined once for Rust and CUDA C++
//! device     a GPU and its context
//! memory     arrays on the GPU, and page-locked host memory for copies
//! stream     queues of work: launches of kernels, waits for CUDA events
//! copies     copies between GPU and host memory, queued on a stream
//! event      CUDA events: points in the work of a stream, for waiting and for timing
//! graph      CUDA graphs: work that is recorded once and replayed as a whole
//! module     compiled code on the GPU
//! compile    compiles CUDA C++ with NVRTC
//! cache      compiled code on disk
//! library    finds the driver and NVRTC
//! libtorch   libtorch's own CUDA part, for the reference engine (feature `libtorch`)
//! ```
//!
//! The driver and NVRTC are opened at run time, so the program also runs without them.
//!
//! **All `unsafe` code for the GPU is in this folder.** It is sound for three reasons:
//!
//! - Every `Address` is null or points into a `Buffer`. The GPU memory of a `Buffer` is separate from all memory that
//!   Rust owns.
//! - A struct of arguments has the same layout in Rust and in CUDA C++: `kernel_structs!` defines both, and NVRTC
//!   checks the layout.
//! - Asynchronous copies use only the host memory of a `Pinned`. A `Pinned` waits for its copies before it lends or
//!   frees this memory.

// The driver and NVRTC are C libraries: each call into them is unsafe.
#![allow(unsafe_code)]

mod args;
mod cache;
mod compile;
mod copies;
mod device;
mod event;
mod graph;
mod library;
#[cfg(feature = "libtorch")]
mod libtorch;
mod memory;
mod module;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use args::{Address, DeviceType, KernelStruct, definition, kernel_structs};
pub(crate) use cache::cached;
pub use cache::set_kernel_cache;
pub(crate) use compile::{CudaSource, Image, check_compiler, nvrtc_version};
#[cfg(test)]
pub(crate) use compile::{compile, compile_ptx};
pub use device::Device;
pub(crate) use event::Event;
pub(crate) use graph::Graph;
pub use library::set_libtorch;
#[cfg(feature = "libtorch")]
pub(crate) use libtorch::load_libtorch_cuda;
pub(crate) use memory::{Buffer, Pinned};
pub(crate) use module::Kernel;
pub use stream::Stream;
