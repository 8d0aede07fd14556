//! Tests of everything before the shard, and of the shard itself, in one binary that needs no libtorch.

mod convert;
mod disk;
mod faults;
mod format;
mod goldens;
mod interrupt;
mod ledger;
mod real;
mod recording;
mod shards;
mod show;
mod wall;
