//! Every limit of the program, in one place: its unit, what happens beyond it and
//! the counter or message that shows it. A limit that an operator may want to move
//! is a key of the configuration instead (`schemas/reference.toml`).

pub mod addresses;
pub mod descriptors;

use std::time::Duration;

/// Events in one batch. A full batch goes to the shards; a partly filled one follows
/// after [`BATCH_LINGER`]. Batches are also the grain at which questions are answered.
pub const BATCH_EVENTS: usize = 16384;

/// Bytes of `memory_limit` for each event of a batch: where less is allowed, batches are smaller,
/// since the rows that they make go beyond it.
pub const MEMORY_PER_BATCH_EVENT: u64 = 2048;

/// Bytes of text in one batch, after which it is closed before it is full, so that
/// large events do not multiply the memory of the queues by their size.
pub const BATCH_BYTES: usize = 8 << 20;

/// How long an open batch waits for more events while a shard has nothing to do.
pub const BATCH_LINGER: Duration = Duration::from_millis(5);

/// How long an open batch waits for more events at most.
pub const BATCH_LONGEST: Duration = Duration::from_millis(50);

/// Commands waiting in one shard's queue. A full queue blocks the sequencer, which then
/// stops reading its sockets; metric `queue_depth`.
pub const SHARD_QUEUE: usize = 2;

/// Questions waiting at a shard's side door (`"fresh": false`). A full queue blocks the asker.
pub const ASK_QUEUE: usize = 256;

/// Questions taken from the socket that no thread has begun; further ones wait with their
/// senders, of whom the socket takes one after the other in turn. Few, so that who asks much
/// at once keeps others waiting for few answers.
pub const QUESTION_QUEUE: usize = 8;

/// Length of a question that the thread of the socket answers itself, where it is for single keys.
pub const AT_ONCE_BYTES: usize = 4096;

/// Keys of such a question.
pub const AT_ONCE_KEYS: usize = 16;

/// Questions that wait to have a day published; one more is refused.
pub const EXPORT_QUEUE: usize = 16;

/// Answers of any size that libzmq takes for one client that does not read them; further ones
/// wait with us, counted in bytes.
pub const ANSWERS_UNDER_WAY: i32 = 4;

/// Bytes of answers, and of questions behind them, that wait for clients that do not read. Beyond
/// it, the client for whom most waits loses its newest; metric `answers_dropped`.
pub const MAX_OUTBOX_BYTES: usize = 256 << 20;

/// Connections of senders, and as many of questioners, where the limit of open files allows as
/// many ([`descriptors`]). Those beyond it are ended at once; metric `connections_refused`. Each
/// takes about 20 KB of libzmq.
pub const MAX_CONNECTIONS: usize = 10_000;

/// Connections of a socket that libzmq may have taken and of which we have not heard. It waits then,
/// and so do those who connect.
pub const CONNECTIONS_UNHEARD: usize = 1001;

/// Seconds of silence after which the kernel asks the other end of a connection whether it is
/// there, seconds between two such questions, and how many may stay without an answer. A host that
/// vanished is noticed within two minutes, and no firewall takes a quiet sender for gone, which few
/// do before five. The heartbeats of ZeroMQ are no choice: libzmq takes a peer for dead whose
/// answers it does not read because we are behind.
pub const KEEPALIVE: (i32, i32, i32) = (60, 15, 4);

/// How long a new connection may take until it has said what it is, in milliseconds: what only
/// connects takes no room from those who send and ask.
pub const HANDSHAKE_MS: i32 = 5_000;

/// Requests from other threads waiting for the sequencer, or for the publisher. A full queue blocks
/// the requester.
pub const REQUEST_QUEUE: usize = 256;

/// Encoded pieces of a checkpoint waiting for the store. A full queue holds up the checkpoint.
pub const CHECKPOINT_QUEUE: usize = 16;

/// Bytes of encoded rows after which a piece of a checkpoint is handed to the store.
pub const CHECKPOINT_PIECE_BYTES: usize = 256 << 10;

/// Times that shards have tables to free and nobody has yet; they keep further ones meanwhile.
pub const SWEEP_QUEUE: usize = 64;

/// Rows visited by a scan (question or checkpoint) before a waiting batch gets its turn.
pub const SCAN_SLICE_ROWS: usize = 4096;

/// Bytes of sketches folded by a scan before a waiting batch gets its turn.
pub const SCAN_SLICE_BYTES: usize = 1 << 20;

/// Questions that may be scanning one shard at once; further ones wait in its queue.
pub const SCANS_AT_ONCE: usize = 64;

/// Aggregates of one summary; `check` refuses more (their presence is one word of bits).
pub const MAX_AGGREGATES: usize = 48;

/// Dimensions of one summary; `check` refuses more.
pub const MAX_DIMENSIONS: usize = 32;

/// Fields of the configuration; `check` refuses more.
pub const MAX_FIELDS: usize = 1024;

/// Summaries of the configuration; `check` refuses more.
pub const MAX_SUMMARIES: usize = 1024;

/// Bytes of text in one dimension of one key, or in a field whose most frequent values are
/// kept, derived or what it is derived from; a longer value refuses the event (counter
/// `refused.dimension_too_long`).
pub const MAX_DIMENSION_BYTES: usize = 4096;

/// Bytes of one string that is not a dimension; a longer value refuses the event
/// (counter `refused.string_too_long`).
pub const MAX_STRING_BYTES: usize = 1 << 20;

/// Size of a float, and of a number of which quantiles are kept; from here on the event is
/// refused (counter `refused.float_range`). Sums, 192 bits in units of 2^-87, take 2^63 of them.
pub const FLOAT_LIMIT: u64 = 1 << 40;

/// Objects and arrays within one another in a JSON event, and objects that a name of protobuf
/// leads through; deeper refuses the event (counter `refused.too_deep`).
pub const MAX_JSON_DEPTH: usize = 64;

/// Names of unknown fields counted one by one; the rest share one counter.
pub const MAX_UNKNOWN_NAMES: usize = 1000;

/// Bytes of a refused event kept in the dead letters; the rest is cut and said so.
pub const DEAD_LETTER_BYTES: usize = 64 << 10;

/// Bytes that `ingest.zmq.max_message` may be set to; `check` refuses more. libzmq's own
/// limit, which would disconnect the sender, lies 16 times above the configured one.
pub const MAX_MESSAGE_BYTES: u64 = 128_000_000;

/// Bytes that `ingest.zmq.receive_buffer` may be set to; `check` refuses more.
pub const MAX_RECEIVE_BUFFER_BYTES: u64 = 1 << 30;

/// Nesting of a filter or derived column; the parser refuses more.
pub const MAX_EXPRESSION_DEPTH: usize = 50;

/// Bytes of a filter in the configuration; a longer one is refused by `check`. A chain of and
/// or or of that length is parsed and shown with the stack that there is.
pub const MAX_FILTER_BYTES: usize = 16 << 10;

/// Bytes of the formula of a derived column; a longer one is refused by `check`. Each operator
/// may be one call more when it is evaluated.
pub const MAX_FORMULA_BYTES: usize = 2 << 10;

/// Columns of one answer.
pub const MAX_ANSWER_COLUMNS: usize = 1024;

/// Values of one dimension that a question may name; more is answered with an error.
pub const MAX_CONDITION_VALUES: usize = 1 << 16;

/// Questions that wait for `min_events`; one more is refused.
pub const MAX_WAITING_QUESTIONS: usize = 1024;

/// Sets that one question may put together; more is answered with an error.
pub const MAX_SETS: usize = 16;

/// Bytes of an error that quotes a question or the configuration; the middle of a longer one is
/// left out, and says so.
pub const MAX_ERROR_BYTES: usize = 2000;

/// Bytes of one question; a longer one is answered with an error.
pub const MAX_QUESTION_BYTES: usize = 1 << 20;

/// Days since 1970 of the first and last day an event may have: 1970-01-01 to 2199-12-31.
pub const FIRST_DAY: i32 = 0;
/// See [`FIRST_DAY`].
pub const LAST_DAY: i32 = 84_005;

/// Seconds between two log lines of the same kind that input can cause.
pub const LOG_EVERY_SECONDS: i64 = 10;
