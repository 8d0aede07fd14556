//! The way to a GPU: the driver's calls that training needs, and no more, behind types that own what they ask for.
//!
//! ```text
//! args       what a kernel is given: one struct, defined once for Rust and for CUDA C++
//! device     a GPU and its context
//! memory     arrays on the GPU, and the locked memory of the host that copies run from and to
//! stream     work in order: copies, launches
//! event      points in that work, to wait for
//! graph      a step's work, recorded once and replayed as a whole
//! module     compiled code on the GPU
//! compile    CUDA C++ to the GPU's code, by NVRTC
//! cache      that code on disk, so that it is compiled once
//! library    where the driver and NVRTC are found
//! libtorch   libtorch's own CUDA part, for the reference engine
//! ```
//!
//! Both libraries are opened at run time: the same binary starts where there is neither, and says so.
//!
//! **All `unsafe` of the GPU is in this folder.** What follows rests on three things. An [`Address`] comes from a
//! [`Buffer`] and from nowhere else in safe code, and memory of a device is apart from all that Rust owns. A struct of
//! arguments is laid out alike on both sides, which NVRTC checks as it compiles:
//! [`kernel_struct!`](crate::kernel_struct). Host memory that the GPU copies from or to is [`Pinned`], which waits for
//! copies before it is lent or freed.

// The driver and NVRTC are C libraries: each call into them is unsafe.
#![allow(unsafe_code)]

pub mod args;
mod cache;
pub mod compile;
pub mod device;
pub mod event;
mod graph;
mod library;
pub mod libtorch;
pub mod memory;
pub mod module;
pub mod stream;

pub use args::{Address, DeviceType, KernelStruct};
pub use cache::{cached, cached_in, set_kernel_cache};
pub use compile::{Image, Source, check_compiler, compile, compile_ptx, nvrtc_version};
pub use device::Device;
pub use event::Event;
pub use graph::Graph;
pub use library::set_libtorch;
pub use libtorch::load_libtorch_cuda;
pub use memory::{Buffer, Pinned};
pub use module::{Kernel, Module};
pub use stream::Stream;
