//! What a server does of which a thread failed.

use super::*;

const CONFIG: &str = r#"
[event]
time = { field = "ts", format = "unix_s" }
[[summary]]
name = "all"
dimensions = []
aggregates = [{ name = "events", count = true }]
"#;

fn config(folder: &std::path::Path, text: &str) -> Config {
    let mut config = Config::parse(text, "test.toml".as_ref()).unwrap();
    config.data_dir = folder.to_owned();
    config.ingest.bind = vec!["tcp://127.0.0.1:*".to_owned()];
    config.query.bind = vec!["tcp://127.0.0.1:*".to_owned()];
    config
}

fn start(folder: &std::path::Path) -> Server {
    Server::start(config(folder, CONFIG), Clock::system()).unwrap()
}

/// One of the threads of a server.
type Pick = fn(&mut Server) -> &mut JoinHandle<()>;

/// Puts a thread that failed in the place of one that runs.
fn fail_instead(thread: &mut JoinHandle<()>) {
    *thread = std::thread::spawn(|| panic!("as a test wants it"));
    while !thread.is_finished() {
        std::thread::yield_now();
    }
}

#[test]
fn who_publishes_or_answers_no_more_is_noticed_and_everything_stored() {
    let folder = tempfile::tempdir().unwrap();
    let threads: [(&str, Pick); 2] =
        [("publisher", |s| &mut s.publisher), ("questions", |s| &mut s.answers)];
    for (sent, (name, thread)) in (1..).zip(threads) {
        let mut server = start(&folder.path().join(name));
        assert!(!server.is_half_alive() && !server.is_broken());
        let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
        socket.connect(&server.ingest_addresses()[0]).unwrap();
        (0..sent).for_each(|ts| socket.send(format!("{{\"ts\":{ts}}}").as_str(), 0).unwrap());
        fail_instead(thread(&mut server));
        assert!(server.is_half_alive() && !server.is_broken());
        let error = server.stop().unwrap_err().to_string();
        assert_eq!(error, format!("the {name} thread failed; see the log"));
        let store = Store::open_read_only(&folder.path().join(name).join("store")).unwrap();
        assert_eq!(store.position().unwrap().sequence, sent);
    }
}

#[test]
fn a_stop_does_not_wait_for_a_shard_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path());
    // The real one answers no command any more.
    let (_never, until_closed) = bounded::<()>(0);
    server.responder.engine.request(Request::Pause(until_closed)).unwrap();
    fail_instead(&mut server.shards[0]);
    assert!(server.is_broken());
    let error = server.stop().unwrap_err().to_string();
    assert_eq!(error, "the shard thread failed; see the log");
}

#[test]
fn a_start_that_fails_changes_nothing_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let both = CONFIG.replace("aggregates = [", "aggregates = [{ name = \"n\", count = true }, ");
    let aggregate = || {
        let store = Store::open_read_only(&folder.path().join("store")).unwrap();
        let registry = Registry::resolve(&store, &config(folder.path(), &both).schema).unwrap();
        registry.summary("all").and_then(|s| s.aggregate("n")).map(|a| a.number)
    };
    let server = Server::start(config(folder.path(), &both), Clock::system()).unwrap();
    let taken = server.query_addresses().to_vec();
    let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
    socket.connect(&server.ingest_addresses()[0]).unwrap();
    socket.send("{\"ts\":1}", 0).unwrap();
    server.stop().unwrap();
    let before = aggregate();

    let _taken = std::net::TcpListener::bind(taken[0].strip_prefix("tcp://").unwrap()).unwrap();
    let mut without = config(folder.path(), CONFIG);
    without.query.bind = taken;
    let error = Server::start(without, Clock::system()).err().unwrap().to_string();
    assert!(error.contains("it is taken"), "{error}");
    assert_eq!(aggregate(), before);
}
