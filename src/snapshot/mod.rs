//! stub
#![allow(missing_docs)]
use crossbeam_channel::{Receiver, Sender};
use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
pub struct ExportRequest { pub summary: Option<usize>, pub day: i32, pub excel: bool, pub reply: Sender<Result<Vec<Published>, String>> }
pub struct Published;
impl Published { pub fn to_json(&self) -> serde_json::Value { serde_json::Value::Null } }
pub struct Publisher { stop: Arc<AtomicBool> }
impl Publisher { pub fn new(_e: crate::query::Engine, stop: Arc<AtomicBool>) -> Self { Self { stop } }
 pub fn run(self, _x: &Receiver<ExportRequest>) { while !self.stop.load(Ordering::Relaxed) { std::thread::sleep(std::time::Duration::from_millis(50)); } } }
