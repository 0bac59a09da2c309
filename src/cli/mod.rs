//! The commands of the program: one file each, with its arguments and a `run`.

pub mod bench;
pub mod generate;
pub mod model;
pub mod send;
pub mod workload;
