//! What the tests of this room share: a small configuration, and a store with rows of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::unbounded;

use super::{Exporter, Origin};
use crate::config::{Config, Schema};
use crate::key::{KeyValue, prefix};
use crate::metrics::Metrics;
use crate::output::Finisher;
use crate::row::codec::StoredRow;
use crate::row::{Layout, Scalar, State};
use crate::shard::Piece;
use crate::store::records::Position;
use crate::store::writer::WriteOrder;
use crate::store::{DayRecord, Registry, Store, StoreWriter};

const CONFIG: &str = r#"
[ingest.zmq]
bind = "tcp://127.0.0.1:5555"
[query.zmq]
bind = "tcp://127.0.0.1:5556"
[event]
time = { field = "ts", format = "unix_ms" }
zone = "UTC"
[[field]]
name = "site"
[[field]]
name = "price"
type = "decimal(2)"
[[field]]
name = "spent"
type = "decimal(6)"
[[field]]
name = "user"
[[field]]
name = "ms"
type = "float"
[[field]]
name = "url"
[[summary]]
name = "sites"
dimensions = ["site", "price"]
aggregates = [
  { name = "views", count = true },
  { name = "cost", sum = "spent" },
  { name = "users", unique = "user" },
  { name = "latency", quantile = "ms" },
  { name = "page", last = "url" },
]
derived = [ { name = "cost_per_view", sql = "cost / views" } ]
[[summary]]
name = "total"
dimensions = []
aggregates = [ { name = "views", count = true } ]
"#;

pub fn schema() -> Schema {
    config(Path::new("data")).schema
}

pub fn layout(schema: &Schema, numbers: Vec<u32>) -> Arc<Layout> {
    Arc::new(Layout::new(schema, &schema.summaries[0], 1, numbers))
}

pub fn config(data_dir: &Path) -> Config {
    let config = Config::parse(CONFIG, Path::new("test.toml")).unwrap();
    Config { data_dir: data_dir.to_owned(), ..config }
}

/// A store, and what is needed to publish from it.
pub struct World {
    pub folder: tempfile::TempDir,
    pub config: Arc<Config>,
    pub store: Arc<Store>,
    pub registry: Arc<Registry>,
    pub stop: Arc<AtomicBool>,
    position: Position,
}

impl World {
    pub fn new(change: impl Fn(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        let store = Store::open(&folder.path().join("store"), 100).unwrap();
        let registry = Registry::resolve(&store.database().unwrap(), &config.schema).unwrap();
        Self {
            config: Arc::new(config),
            store,
            registry: Arc::new(registry),
            stop: Arc::default(),
            position: Position::default(),
            folder,
        }
    }

    pub fn origin(&self) -> Origin {
        let database = self.store.database().unwrap();
        Origin::of(self.folder.path(), &database, || "a store".to_owned()).unwrap()
    }

    pub fn exporter(&self) -> Exporter {
        let schema = &self.config.schema;
        let layouts: Vec<_> = schema
            .summaries
            .iter()
            .map(|s| {
                let registered = self.registry.summary(&s.name).unwrap();
                let number = |name: &str| registered.aggregate(name).unwrap().number;
                let numbers = s.aggregates.iter().map(|a| number(&a.name)).collect();
                Arc::new(Layout::new(schema, s, registered.definition(), numbers))
            })
            .collect();
        let finishers = schema.summaries.iter().map(|s| Finisher::new(schema, s)).collect();
        let (config, registry) = (Arc::clone(&self.config), Arc::clone(&self.registry));
        Exporter::new(config, registry, &layouts, Arc::new(finishers), Arc::clone(&self.stop))
    }

    /// Checkpoints one row of `sites`, as if `events` events had made it.
    pub fn put(&mut self, day: i32, site: &KeyValue, views: i64, record: DayRecord) -> DayRecord {
        let number = self.registry.summary("sites").unwrap().number;
        let mut bytes = prefix(number, day).to_vec();
        site.push(&mut bytes);
        KeyValue::Decimal(100).push(&mut bytes);
        let key = bytes.len() as u32;
        let newest = State::Last(views, Scalar::Text((*b"=cmd, \"x\"").into()));
        let states = vec![(1, State::Count(views)), (2, State::Sum(10)), (5, newest)];
        StoredRow { definition: 1, states }.encode(&mut bytes);
        let rows = vec![(key, bytes.len() as u32 - key, false)];
        let base = self.position.checkpoint;
        self.position.checkpoint += 1;
        self.position.sequence += 10;
        let record = DayRecord { changed_sequence: self.position.sequence, events: 10, ..record };
        let days = vec![(number, day, record, true)];
        let order = WriteOrder { position: self.position, base, days };
        let piece = Piece {
            number: self.position.checkpoint,
            shard: 0,
            generation: 1,
            bytes,
            rows,
            last: Some(Vec::new()),
        };
        let ((orders, orders_in), (pieces, pieces_in), (results, results_in)) =
            (unbounded(), unbounded(), unbounded());
        orders.send(order).unwrap();
        pieces.send(piece).unwrap();
        drop(orders);
        let (store, metrics) = (Arc::clone(&self.store), Arc::new(Metrics::default()));
        let writer = StoreWriter::new(store, 1, metrics, Arc::clone(&self.stop));
        writer.run(&orders_in, &pieces_in, &results, || ());
        assert_eq!(results_in.recv().unwrap().error, None);
        record
    }

    pub fn text(&self, name: &str) -> String {
        let path = self.folder.path().join("snapshots/sites").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The names of the published files, sorted.
    pub fn names(&self) -> Vec<String> {
        let folder = self.folder.path().join("snapshots/sites");
        let mut names = super::files::names(&folder).unwrap();
        names.sort();
        names
    }
}

pub fn site(text: &str) -> KeyValue {
    KeyValue::String(text.to_owned())
}
