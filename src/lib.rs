//! A streaming key-value service of probabilistic summaries.
//!
//! # The journey of an event
//!
//! 1. A sender that [`connections::Doorkeeper::run`] let in sends a message. It waits in a PULL
//!    socket that [`ingest::socket::Receiver::bind`] bound. The thread of
//!    [`sequencer::Sequencer::run`] takes it with [`ingest::socket::Receiver::receive`].
//! 2. [`ingest::Decoder::decode`] reads it into the open [`event::Batch`]: by
//!    [`ingest::json::Scanner`] or [`ingest::protobuf::Rows`] into an [`ingest::stage::Stage`],
//!    which computes derived fields, and whose `commit` takes an event whole. What is refused
//!    goes to [`ingest::DeadLetters::keep`].
//! 3. When the batch is full, 5 ms old, or somebody asks, `Sequencer::flush` accepts it: its
//!    events get their sequence numbers. (Here it will be journaled.)
//! 4. [`partition::Splitter::split`] computes, once per event, filters, equal keys, coupons of
//!    unique counts and bins of quantiles, and lists for each shard which rows change and by which
//!    events: a [`partition::Work`].
//! 5. [`sequencer::Days::touch`] notes the days that change, and the work goes to every shard as
//!    [`shard::Command::Work`]. A full queue waits, and so do the senders.
//! 6. [`shard::Worker::obey`] has [`shard::update::apply`] find or make each row of its keys in a
//!    [`shard::table::Table`] and update its states, which lie as [`row::Layout`] says.
//! 7. Every few seconds the sequencer sends [`shard::Command::Checkpoint`]. Each shard hands its
//!    changed rows over as [`shard::Piece`]s, and [`store::StoreWriter::run`] brings them into the
//!    store together with the position that they stand for, all or nothing.
//! 8. A question comes to [`serve::Responder::respond`]. [`query::Engine::answer`] sends it behind
//!    every event accepted so far as [`sequencer::Request::Ask`], but for a key that can be
//!    [looked up](`shard::Door::look_up`) at once; each shard folds its rows as of
//!    that moment ([`shard::cut::Scan`]), the engine folds stored rows of
//!    [`store::Reader::rows`] into the same [`row::Groups`], and [`output::Finisher::cell`] makes
//!    the numbers of them.
//! 9. When its day is over, [`snapshot::Publisher::run`] asks for a checkpoint and publishes the
//!    day from the store: file, manifest, link.
//! 10. At the end, [`server::Server::stop`] lets the sequencer ask senders to hold back, receive
//!     what is in flight and write the last checkpoint; then the channels close from front to
//!     back.
//!
//! The modules below are the rooms on this way. ARCHITECTURE.md gives their order, the
//! mechanisms behind them, and what must never be there.

// The documentation is read with private items (`cargo doc --document-private-items`) as well.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod event;
pub mod ingest;
pub mod key;
pub mod limits;
pub mod metrics;
pub mod output;
pub mod partition;
pub mod query;
pub mod row;
pub mod sequencer;
pub mod serve;
pub mod server;
pub mod shard;
pub mod snapshot;
pub mod store;
