//! The wiring: makes the rooms, connects them with bounded channels, starts their threads
//! from back to front and stops them from front to back. The only place that sees them all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rand::TryRngCore;

use crate::clock::Clock;
use crate::config::Config;
use crate::connections::Doorkeeper;
use crate::ingest::socket::{self, Receiver as EventReceiver};
use crate::ingest::{DeadLetters, Reason, suspend};
use crate::limits;
use crate::limits::descriptors::Descriptors;
use crate::metrics::Metrics;
use crate::output::Finisher;
use crate::partition::Plan;
use crate::query::Engine;
use crate::row::Layout;
use crate::sequencer::{Days, Parts, Request, Sequencer, Watermark};
use crate::serve::{QuerySocket, Responder};
use crate::shard::{self, Asked, Command, Door, Piece, Worker};
use crate::snapshot::{ExportRequest, Exporter, Origin, Publisher, publisher};
use crate::store::{Registry, Store, StoreWriter};

mod lock;
mod warm;

use lock::DataLock;
pub use lock::question_address;

/// Why the server did not start or did not end well: one sentence that says what to do.
#[derive(Debug)]
pub struct ServerError(pub String);

impl std::fmt::Display for ServerError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

/// How often a stop looks whether the sequencer has ended.
const STOP_POLL: Duration = Duration::from_millis(2);

/// How long a stop waits for it once a shard has.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A running server.
pub struct Server {
    ingest_addresses: Vec<String>,
    query_addresses: Vec<String>,
    responder: Responder,
    stop_ingest: Arc<AtomicBool>,
    stop_answers: Arc<AtomicBool>,
    stop_publisher: Arc<AtomicBool>,
    sequencer: JoinHandle<Result<(), String>>,
    shards: Vec<JoinHandle<()>>,
    sweeper: JoinHandle<()>,
    writer: JoinHandle<()>,
    answers: JoinHandle<()>,
    publisher: JoinHandle<()>,
    door: JoinHandle<()>,
    _lock: DataLock,
}

/// Both ends of a channel.
type Ends<T> = (Sender<T>, Receiver<T>);

/// Both ends of the channels between the threads.
struct Channels {
    commands: Vec<Ends<Command>>,
    asks: Vec<Ends<Asked>>,
    pieces: Ends<Piece>,
    requests: Ends<Request>,
    exports: Ends<ExportRequest>,
}

impl Channels {
    fn new(shards: usize) -> Self {
        Self {
            commands: (0..shards).map(|_| bounded(limits::SHARD_QUEUE)).collect(),
            asks: (0..shards).map(|_| bounded(limits::ASK_QUEUE)).collect(),
            pieces: bounded(limits::CHECKPOINT_QUEUE),
            requests: bounded(limits::REQUEST_QUEUE),
            exports: bounded(limits::REQUEST_QUEUE),
        }
    }
}

fn fail(error: impl std::fmt::Display) -> ServerError {
    ServerError(error.to_string())
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// Where the data folder, the store or an address cannot be used.
    pub fn start(config: Config, clock: Clock) -> Result<Self, ServerError> {
        let config = Arc::new(config);
        limits::addresses::check(config.memory_limit).map_err(ServerError)?;
        let sockets = config.ingest.bind.len() + 1;
        let descriptors = Descriptors::claim(sockets).map_err(ServerError)?;
        let mut lock = DataLock::take(&config.data_dir)?;
        let folder = config.data_dir.join("store");
        Origin::expect_store(&config.data_dir, &folder).map_err(ServerError)?;
        let store = Store::open(&folder, descriptors.store).map_err(fail)?;
        let database = store.database().map_err(fail)?;
        let (identity, seed) = (random()?, random()?);
        let identity = || format!("{identity:016x}");
        let origin = Origin::of(&config.data_dir, &database, identity).map_err(ServerError)?;
        let registry = Registry::resolve(&database, &config.schema).map_err(fail)?;
        let registry = Arc::new(registry);
        let names: Vec<String> = config.schema.summaries.iter().map(|s| s.name.clone()).collect();
        let reasons: Vec<&'static str> = Reason::ALL.iter().map(|r| r.name()).collect();
        let metrics = Arc::new(Metrics::new(&reasons, config.shards, &names));
        let context = zmq::Context::new();
        // In this order: where the start fails, the sockets are closed first.
        let mut door = Doorkeeper::new(&context, descriptors.connections).map_err(fail)?;
        let receiver =
            EventReceiver::bind(&context, &config.ingest, &mut door).map_err(ServerError)?;
        let query_socket =
            QuerySocket::bind(&context, &config.query, &mut door).map_err(ServerError)?;
        warn_of_ipc(&config);
        try_state_file(&config)?;
        let ingest_addresses: Vec<String> = receiver.addresses().map(str::to_owned).collect();
        let query_addresses = query_socket.addresses().to_vec();

        let plan = Arc::new(Plan::new(&config.schema, seed));
        let (layouts, numbers) = layouts(&config, &registry);
        let channels = Channels::new(config.shards);
        let position = database.position().map_err(fail)?;
        let mut days = Days::new(Arc::clone(&store), numbers.clone()).map_err(fail)?;
        let residences = days.residences();
        let (waker, wake_up) = socket::wake_up().map_err(fail)?;

        let (orders_out, orders_in) = bounded(2);
        // One checkpoint is on its way at a time, so that the writer never waits here.
        let (results_out, results_in) = bounded(2);
        let stop_ingest = Arc::new(AtomicBool::new(false));
        let (stored, stop) = (Arc::clone(&store), Arc::clone(&stop_ingest));
        let writer = StoreWriter::new(stored, config.shards, Arc::clone(&metrics), stop);
        let (pieces_in, notify) = (channels.pieces.1.clone(), waker.clone());
        let writer = spawn("store", move || {
            writer.run(&orders_in, &pieces_in, &results_out, || notify.wake());
        })?;
        let (done_out, done_in) = bounded(limits::SWEEP_QUEUE);
        let sweeper = spawn("sweeper", move || shard::sweeper::run(&done_in))?;
        let mut shards = Vec::with_capacity(config.shards);
        let mut doors = Vec::with_capacity(config.shards);
        for shard in 0..config.shards {
            let worker = Worker::new(
                shard,
                Arc::clone(&plan),
                layouts.clone(),
                numbers.clone(),
                Arc::clone(&metrics),
                position.sequence,
            );
            let worker = Arc::new(Mutex::new(worker));
            doors.push(Door::new(Arc::clone(&worker), channels.asks[shard].0.clone()));
            let ends = shard::run::Ends {
                commands_in: channels.commands[shard].1.clone(),
                asks_in: channels.asks[shard].1.clone(),
                pieces_out: channels.pieces.0.clone(),
                done_out: done_out.clone(),
            };
            let metrics = Arc::clone(&metrics);
            shards.push(spawn(&format!("shard-{shard}"), move || {
                shard::run::run(&worker, &ends, &metrics.shards[shard]);
            })?);
        }
        drop(done_out);
        // Each end is where it is used, so that a shard that fails is noticed by who sends to it.
        let commands_out: Vec<_> = channels.commands.into_iter().map(|(out, _)| out).collect();
        warm::load_newest_days(
            &config,
            &layouts,
            &database,
            &plan,
            &numbers,
            &mut days,
            &commands_out,
        )
        .map_err(fail)?;
        // From here on, whoever asks a shard directly overtakes nothing that was loaded.
        let (loaded, all_loaded) = bounded(config.shards);
        for command in &commands_out {
            command.send(Command::Loaded(loaded.clone())).map_err(fail)?;
        }
        drop(loaded);
        if all_loaded.iter().count() < config.shards {
            return Err(ServerError("a shard failed while days were loaded: see the log".into()));
        }
        let watermark = Arc::new(Watermark::new(position.sequence));

        let pending = days.pending();
        // Last of what can fail: the registry of a server that did not start must not know of
        // the aggregates that came and went with its configuration.
        registry.save(&database).map_err(fail)?;
        drop(database);

        let dead = DeadLetters::new(
            config.data_dir.join("dead-letters"),
            config.dead_letters.clone(),
            Arc::clone(&metrics),
        );
        let parts = Parts {
            config: Arc::clone(&config),
            plan: Arc::clone(&plan),
            clock: clock.clone(),
            receiver,
            wake_up,
            store: Arc::clone(&store),
            days,
            dead,
            commands_out,
            requests_in: channels.requests.1,
            orders_out,
            results_in,
            watermark: Arc::clone(&watermark),
            metrics: Arc::clone(&metrics),
            stop: Arc::clone(&stop_ingest),
            fingerprint: config.schema.fingerprint(),
        };
        // It ends when the sequencer and the thread that answers have closed the sockets.
        let heard = Arc::clone(&metrics);
        let door = spawn("connections", move || door.run(&heard))?;
        let sequencer = spawn("sequencer", move || Sequencer::new(parts, position).run())?;

        let finisher = |summary| Finisher::new(&config.schema, summary);
        let finishers = Arc::new(config.schema.summaries.iter().map(finisher).collect());
        let stop_answers = Arc::new(AtomicBool::new(false));
        let engine = Engine {
            config: Arc::clone(&config),
            plan,
            layouts,
            finishers,
            registry,
            store,
            requests_out: channels.requests.0,
            waker,
            shards: doors,
            residences,
            watermark,
            metrics,
            clock,
            stop: Arc::clone(&stop_answers),
        };
        let stop_publisher = Arc::new(AtomicBool::new(false));
        let publisher = Publisher::new(publisher::Parts {
            config: Arc::clone(&engine.config),
            store: Arc::clone(&engine.store),
            origin,
            exporter: Exporter::new(
                Arc::clone(&engine.config),
                Arc::clone(&engine.registry),
                &engine.layouts,
                Arc::clone(&engine.finishers),
                Arc::clone(&stop_publisher),
            ),
            clock: engine.clock.clone(),
            requests_out: engine.requests_out.clone(),
            waker: engine.waker.clone(),
            pending,
            exports_in: channels.exports.1,
            metrics: Arc::clone(&engine.metrics),
            stop: Arc::clone(&stop_publisher),
        });
        let publisher = spawn("publisher", move || publisher.run())?;
        let responder = Responder { engine, exports_out: channels.exports.0 };
        let (answering, stop) = (responder.clone(), Arc::clone(&stop_answers));
        let answers = spawn("questions", move || {
            if let Err(error) = query_socket.run(&answering, &stop) {
                tracing::error!(%error, "the question socket cannot run");
            }
        })?;
        // Last: who finds an address there gets an answer.
        lock.tell(&query_addresses)
            .map_err(|e| ServerError(format!("data_dir: the lock file cannot be written: {e}")))?;
        Ok(Self {
            ingest_addresses,
            query_addresses,
            responder,
            stop_ingest,
            stop_answers,
            stop_publisher,
            sequencer,
            shards,
            sweeper,
            writer,
            answers,
            publisher,
            door,
            _lock: lock,
        })
    }

    /// The addresses that events come to.
    pub fn ingest_addresses(&self) -> &[String] {
        &self.ingest_addresses
    }

    /// The addresses that questions come to.
    pub fn query_addresses(&self) -> &[String] {
        &self.query_addresses
    }

    /// Answers questions from within the process, as the socket does.
    pub fn responder(&self) -> &Responder {
        &self.responder
    }

    /// Whether a thread has ended without which nothing can be stored, so that a [`Server::stop`]
    /// would wait for ever.
    pub fn is_broken(&self) -> bool {
        self.sequencer.is_finished()
            || self.writer.is_finished()
            || self.shards.iter().any(JoinHandle::is_finished)
    }

    /// Whether a thread has ended that publishes or answers. Everything can still be stored.
    pub fn is_half_alive(&self) -> bool {
        self.publisher.is_finished() || self.answers.is_finished()
    }

    /// Stops: publishes nothing more, receives what senders have in flight, writes the last
    /// checkpoint, ends.
    ///
    /// # Errors
    /// Where the last checkpoint could not be written, or a thread had failed.
    pub fn stop(self) -> Result<(), ServerError> {
        self.stop_publisher.store(true, Ordering::Relaxed);
        self.stop_ingest.store(true, Ordering::Relaxed);
        self.responder.engine.waker.wake();
        let failed = |thread: &str| ServerError(format!("the {thread} thread failed; see the log"));
        // The sequencer ends before the shards, unless one failed; then it would wait for ever.
        let mut patience = STOP_PATIENCE;
        while !self.sequencer.is_finished() && !patience.is_zero() {
            if self.shards.iter().any(JoinHandle::is_finished) {
                patience = patience.saturating_sub(STOP_POLL);
            }
            std::thread::sleep(STOP_POLL);
        }
        if patience.is_zero() {
            return Err(failed("shard"));
        }
        let outcome = self.sequencer.join().map_err(|_| failed("sequencer"))?;
        self.publisher.join().map_err(|_| failed("publisher"))?;
        self.stop_answers.store(true, Ordering::Relaxed);
        self.answers.join().map_err(|_| failed("questions"))?;
        self.door.join().map_err(|_| failed("connections"))?;
        drop(self.responder);
        for shard in self.shards {
            shard.join().map_err(|_| failed("shard"))?;
        }
        self.sweeper.join().map_err(|_| failed("sweeper"))?;
        self.writer.join().map_err(|_| failed("store"))?;
        outcome.map_err(ServerError)
    }
}

/// Writes the file that asks senders to hold back, so that what is wrong with it shows now and
/// not at the stop, and takes it away: somebody is here again.
fn try_state_file(config: &Config) -> Result<(), ServerError> {
    let Some(file) = &config.ingest.state_file else { return Ok(()) };
    suspend::suspend(file).and_then(|()| suspend::resume(file)).map_err(|e| {
        ServerError(format!(
            "ingest.zmq.state_file: {} cannot be written and removed: {e}; make its folder, \
             writable for this user",
            file.display()
        ))
    })
}

/// libzmq gives up what the kernel still holds of a closed ipc connection whose reading it
/// had paused (seen with 4.3.4: 686 of 100,000 events of a sender that closed at full speed;
/// none over tcp). Nothing on this side can prevent it.
fn warn_of_ipc(config: &Config) {
    if config.ingest.bind.iter().any(|address| address.starts_with("ipc://")) {
        tracing::warn!(
            "events over ipc: a sender that closes while we are behind loses what is in flight; \
             let it stay connected until its events are counted, or use tcp on the loopback"
        );
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, ServerError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|e| ServerError(format!("cannot start the {name} thread: {e}")))
}

/// A number that nobody can know: the key of the hash of keys, what tells a new store from others.
fn random() -> Result<u64, ServerError> {
    rand::rngs::OsRng
        .try_next_u64()
        .map_err(|e| ServerError(format!("the system gives no random numbers: {e}")))
}

/// Layout and permanent number of each summary.
fn layouts(config: &Config, registry: &Registry) -> (Vec<Arc<Layout>>, Vec<u32>) {
    let schema = &config.schema;
    let make = |summary: &crate::config::Summary| {
        // The registry was made for this schema.
        let registered = registry.summary(&summary.name)?;
        let number = |a: &crate::config::Aggregate| registered.aggregate(&a.name).map(|r| r.number);
        let numbers: Option<Vec<u32>> = summary.aggregates.iter().map(number).collect();
        let layout = Layout::new(schema, summary, registered.definition(), numbers?);
        Some((Arc::new(layout), registered.number))
    };
    schema.summaries.iter().filter_map(make).unzip()
}

#[cfg(test)]
mod tests;
