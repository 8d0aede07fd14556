//! A graph of NIR: a chain of nodes, each with a type and arrays of numbers.

use std::collections::BTreeMap;

/// An array of float32 numbers in C order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// A node: its type, and its arrays by name. Inputs and outputs have an array `shape`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub(super) kind: String,
    pub(super) arrays: BTreeMap<String, Array>,
}

/// A graph whose nodes are a chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Graph {
    /// Version of the package `nir`. It decides whether a spike subtracts the threshold or resets the potential.
    pub(super) version: String,
    /// Names and nodes, in the order of the chain.
    pub(super) nodes: Vec<(String, Node)>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Node {
    pub(super) fn new(kind: &str) -> Node {
        Node { kind: kind.into(), arrays: BTreeMap::new() }
    }

    pub(super) fn with(mut self, name: &str, values: Vec<f32>) -> Node {
        self.arrays.insert(name.into(), Array { shape: vec![values.len()], values });
        self
    }

    pub(super) fn with_matrix(mut self, name: &str, shape: [usize; 2], values: Vec<f32>) -> Node {
        self.arrays.insert(name.into(), Array { shape: shape.to_vec(), values });
        self
    }
}
