//! Graphs of NIR in HDF5 files, as the package `nir` writes and reads them.
//!
//! ```text
//! /version                 string
//! /node/type               "NIRGraph"
//! /node/edges              strings, (edges, 2)
//! /node/metadata/<key>     string
//! /node/nodes/<name>/type  string, such as "Affine"
//! /node/nodes/<name>/...   arrays of the node: float32, and int64 for the shape of inputs and outputs
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use hdf5::types::{TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Conversion, Dataset, File, Group};
use tonic_base::Draft;

use crate::error::{BaseFault, Error, Result};
use crate::nir::graph::{Array, Graph, Node};

/// Maximum number of elements in an array of a file that is read.
const MOST: usize = 1 << 28;

/// Writes a graph to a file.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io).
pub(super) fn write(path: &Path, graph: &Graph) -> Result<()> {
    let draft = Draft::create(path)?;
    write_to(draft.path(), graph)
        .map_err(|e| Error::io(path, "write the graph")(std::io::Error::other(e.to_string())))?;
    Ok(draft.publish()?)
}

fn write_to(path: &Path, graph: &Graph) -> hdf5::Result<()> {
    let file = File::create(path)?;
    write_text(&file, "version", &graph.version)?;
    let node = file.create_group("node")?;
    write_text(&node, "type", "NIRGraph")?;
    let metadata = node.create_group("metadata")?;
    for (key, value) in &graph.metadata {
        write_text(&metadata, key, value)?;
    }
    let nodes = node.create_group("nodes")?;
    for (name, of) in &graph.nodes {
        let group = nodes.create_group(name)?;
        write_text(&group, "type", &of.kind)?;
        for (array, Array { shape, values }) in &of.arrays {
            if array == "shape" {
                let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
                group.new_dataset::<i64>().shape(&shape[..]).create(array.as_str())?.write_raw(&values)?;
            } else {
                group.new_dataset::<f32>().shape(&shape[..]).create(array.as_str())?.write_raw(values)?;
            }
        }
    }
    let pairs = graph.nodes.windows(2).flat_map(|pair| [&pair[0].0, &pair[1].0]);
    let edges: Vec<VarLenUnicode> = pairs.map(|name| name.parse().unwrap_or_default()).collect();
    node.new_dataset::<VarLenUnicode>().shape((edges.len() / 2, 2)).create("edges")?.write_raw(&edges)?;
    file.flush()
}

fn write_text(group: &Group, name: &str, text: &str) -> hdf5::Result<()> {
    let text: VarLenUnicode = text.parse().unwrap_or_default();
    group.new_dataset::<VarLenUnicode>().create(name)?.write_scalar(&text)
}

/// Reads a graph, which must be a chain.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io), [`Corrupt`](tonic_base::Error::Corrupt); [`Usage`](tonic_base::Error::Usage) if the
/// graph is not a chain.
pub(super) fn read(path: &Path) -> Result<Graph> {
    std::fs::File::open(path).map_err(Error::io(path, "open the graph"))?;
    let damaged = |place: &str| {
        let place = place.to_string();
        move |e: hdf5::Error| Error::corrupt(path, place, "a graph of NIR in HDF5", e)
    };
    let file = File::open(path).map_err(damaged("HDF5"))?;
    let group = file.group("node").map_err(damaged("node"))?;
    let version = read_text(&file, "version").map_err(damaged("version"))?;
    let listed = group.group("nodes").map_err(damaged("node/nodes"))?;
    let mut nodes = BTreeMap::new();
    for name in listed.member_names().map_err(damaged("node/nodes"))? {
        let node = listed.group(&name).and_then(|group| read_node(&group));
        nodes.insert(name.clone(), node.map_err(damaged(&format!("node/nodes/{name}")))?);
    }
    let edges = group.dataset("edges").and_then(|edges| texts(&edges)).map_err(damaged("node/edges"))?;
    let mut metadata = BTreeMap::new();
    if let Ok(group) = group.group("metadata") {
        for key in group.member_names().unwrap_or_default() {
            // Other programs may write metadata that is no text.
            metadata.extend(read_text(&group, &key).ok().map(|text| (key, text)));
        }
    }
    Ok(Graph { version, nodes: chain(path, nodes, &edges)?, metadata })
}

fn read_node(group: &Group) -> hdf5::Result<Node> {
    let mut node = Node::new(&read_text(group, "type")?);
    for name in group.member_names()? {
        let Ok(dataset) = group.dataset(&name) else { continue };
        if name == "type" || !is_number(&dataset)? {
            continue;
        }
        if dataset.size() > MOST {
            return Err(format!("{name} has {} numbers, more than {MOST}", dataset.size()).into());
        }
        let values = dataset.as_reader().conversion(Conversion::Hard).read_raw::<f32>()?;
        node.arrays.insert(name, Array { shape: dataset.shape(), values });
    }
    Ok(node)
}

fn is_number(dataset: &Dataset) -> hdf5::Result<bool> {
    use TypeDescriptor::{Float, Integer, Unsigned};
    Ok(matches!(dataset.dtype()?.to_descriptor()?, Float(_) | Integer(_) | Unsigned(_)))
}

fn read_text(group: &Group, name: &str) -> hdf5::Result<String> {
    let all = texts(&group.dataset(name)?)?;
    all.into_iter().next().ok_or_else(|| format!("{name} is empty").into())
}

fn texts(dataset: &Dataset) -> hdf5::Result<Vec<String>> {
    if dataset.size() > MOST {
        return Err(format!("{} texts, more than {MOST}", dataset.size()).into());
    }
    match dataset.dtype()?.to_descriptor()? {
        TypeDescriptor::VarLenAscii => {
            Ok(dataset.read_raw::<VarLenAscii>()?.iter().map(|text| text.as_str().to_string()).collect())
        }
        _ => Ok(dataset.read_raw::<VarLenUnicode>()?.iter().map(|text| text.as_str().to_string()).collect()),
    }
}

/// Puts the nodes into the order of the edges, from the input to the output.
fn chain(path: &Path, mut nodes: BTreeMap<String, Node>, edges: &[String]) -> Result<Vec<(String, Node)>> {
    let no_chain =
        |got: String| Error::usage(format!("{}: edges", path.display()), "a chain from Input to Output", got);
    let mut next: BTreeMap<&str, &str> = BTreeMap::new();
    for edge in edges.chunks_exact(2) {
        if let Some(other) = next.insert(&edge[0], &edge[1]) {
            return Err(no_chain(format!("edges from {} to {other} and to {}", edge[0], edge[1])));
        }
    }
    let is_target = |name: &str| next.values().any(|target| *target == name);
    let starts: Vec<String> = nodes.keys().filter(|name| !is_target(name)).cloned().collect();
    let [start] = starts.as_slice() else {
        return Err(no_chain(format!("{} nodes without an edge to them", starts.len())));
    };
    let (mut ordered, mut name) = (Vec::new(), start.clone());
    while let Some(node) = nodes.remove(&name) {
        let following = next.get(name.as_str()).map(|next| (*next).to_string());
        ordered.push((name, node));
        match following {
            Some(following) => name = following,
            None if nodes.is_empty() => return Ok(ordered),
            None => break,
        }
    }
    Err(no_chain(format!("{} nodes outside it, or a cycle", nodes.len())))
}
