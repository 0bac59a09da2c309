//! The publisher with a manual clock and a stand-in for the sequencer.

use std::sync::Mutex;
use std::thread::JoinHandle;

use crossbeam_channel::unbounded;

use super::*;
use crate::ingest::socket::wake_up;
use crate::snapshot::fixture::{World, site};
use crate::store::DayRecord;

const DAY: i32 = 20_777; // 2026-11-20
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
const NOON_US: i64 = DAY as i64 * DAY_US + 12 * HOUR_US;

/// A publisher with a stand-in for the sequencer.
struct Running {
    clock: Clock,
    stop: Arc<AtomicBool>,
    exports_out: Sender<ExportRequest>,
    pending: Arc<Mutex<Vec<PendingDay>>>,
    metrics: Arc<Metrics>,
    threads: Vec<JoinHandle<()>>,
}

fn run(world: &World, now_us: i64, pending: Vec<PendingDay>) -> Running {
    let clock = Clock::manual(now_us);
    let (requests_out, requests_in) = unbounded();
    let (exports_out, exports_in) = unbounded();
    let (waker, wake_up) = wake_up().unwrap();
    let metrics = Arc::new(Metrics::default());
    let at_start = pending.clone();
    let pending = Arc::new(Mutex::new(pending));
    let days = Arc::clone(&pending);
    let store = Arc::clone(&world.store);
    let sequencer = std::thread::spawn(move || {
        let _wake_up = wake_up;
        for request in requests_in {
            let mut days = days.lock().unwrap();
            match request {
                Request::PendingDays(reply) => {
                    let is_pending = |r: &DayRecord| r.changed_sequence > r.published_sequence;
                    reply
                        .send(days.iter().copied().filter(|p| is_pending(&p.record)).collect())
                        .unwrap();
                }
                Request::Checkpoint(reply) => {
                    reply.send(Ok(store.database().unwrap().position().unwrap())).unwrap()
                }
                Request::Published(id, sequence) => {
                    days.iter_mut().filter(|p| p.id == id).for_each(|p| {
                        p.record.published_sequence = sequence;
                    });
                }
                _ => panic!("not a request of the publisher"),
            }
        }
    });
    let publisher = Publisher::new(Parts {
        config: Arc::clone(&world.config),
        store: Arc::clone(&world.store),
        origin: world.origin(),
        exporter: world.exporter(),
        clock: clock.clone(),
        requests_out,
        waker,
        pending: at_start,
        exports_in,
        metrics: Arc::clone(&metrics),
        stop: Arc::clone(&world.stop),
    });
    let stop = Arc::clone(&world.stop);
    let publisher = std::thread::spawn(move || publisher.run());
    Running { clock, stop, exports_out, pending, metrics, threads: vec![publisher, sequencer] }
}

impl Running {
    fn export(&self, summary: Option<usize>, day: i32) -> Result<Vec<Published>, String> {
        let (reply, result) = bounded(1);
        self.exports_out.send(ExportRequest { summary, day, excel: false, reply }).unwrap();
        result.recv().unwrap()
    }

    /// Waits until so many revisions are published; more are an error.
    fn expect_snapshots(&self, count: u64) {
        for _ in 0..200 {
            if self.metrics.snapshots.get() == count {
                // One more look, that would publish too much.
                self.clock.advance(Duration::from_secs(1));
                std::thread::sleep(3 * TICK);
                break;
            }
            std::thread::sleep(TICK / 5);
        }
        assert_eq!(self.metrics.snapshots.get(), count);
    }

    fn published_sequence(&self) -> u64 {
        self.pending.lock().unwrap()[0].record.published_sequence
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.exports_out);
        self.threads.into_iter().for_each(|t| t.join().unwrap());
    }
}

fn pending(record: DayRecord) -> PendingDay {
    PendingDay { id: TableId { summary: 0, day: DAY }, record }
}

fn changed(changed_us: i64) -> DayRecord {
    DayRecord { changed_us, ..DayRecord::default() }
}

#[test]
fn a_day_is_published_at_its_close_and_again_when_quiet() {
    let mut world = World::new(|_| ());
    let record = world.put(DAY, &site("a"), 1, changed(NOON_US));
    let running = run(&world, NOON_US, vec![pending(record)]);
    running.clock.advance(Duration::from_secs(12 * 3600));
    running.expect_snapshots(0);
    running.clock.advance(Duration::from_secs(3600));
    running.expect_snapshots(1);
    assert_eq!(running.published_sequence(), 10);
    assert!(world.text("2026-11-20.r1.json").contains("\"complete\": true"));
    // A late event: nothing for 60 seconds, then the next revision.
    let now_us = running.clock.now_us();
    let record = world.put(DAY, &site("a"), 2, changed(now_us));
    running.pending.lock().unwrap()[0].record = DayRecord { published_sequence: 10, ..record };
    running.clock.advance(Duration::from_secs(50));
    running.expect_snapshots(1);
    running.clock.advance(Duration::from_secs(10));
    running.expect_snapshots(2);
    assert_eq!(running.published_sequence(), 20);
    running.stop();
}

#[test]
fn days_that_closed_while_we_were_down_are_published_at_the_start() {
    let mut world = World::new(|_| ());
    let now_us = NOON_US + 3 * DAY_US;
    let record = world.put(DAY, &site("a"), 1, changed(now_us));
    let running = run(&world, now_us, vec![pending(record)]);
    running.expect_snapshots(1);
    running.stop();
}

#[test]
fn an_export_of_today_does_not_stand_for_the_day() {
    let mut world = World::new(|_| ());
    let record = world.put(DAY, &site("a"), 1, changed(NOON_US));
    let running = run(&world, NOON_US, vec![pending(record)]);
    let published = running.export(None, DAY).unwrap();
    assert_eq!(published.len(), 1);
    assert_eq!((published[0].revision, published[0].complete), (Some(1), false));
    assert_eq!(running.export(Some(0), DAY).unwrap()[0].revision, None);
    assert_eq!(running.published_sequence(), 0);
    running.clock.advance(Duration::from_secs(13 * 3600));
    running.expect_snapshots(2);
    assert!(world.text("2026-11-20.r2.json").contains("\"complete\": true"));
    // An export of a day that has closed does stand for it, and changes nothing here.
    assert_eq!(running.export(Some(0), DAY).unwrap()[0].revision, None);
    assert_eq!(running.metrics.snapshots_unchanged.get(), 2);
    running.stop();
}

#[test]
fn an_export_of_nothing_says_so() {
    let world = World::new(|_| ());
    let running = run(&world, NOON_US, Vec::new());
    assert_eq!(running.export(None, DAY).unwrap_err(), "there are no rows of 2026-11-20");
    let error = running.export(Some(1), DAY).unwrap_err();
    assert_eq!(error, "summary \"total\" has no rows of 2026-11-20");
    running.stop();
}

#[test]
fn what_failed_is_tried_again_later() {
    let mut world = World::new(|_| ());
    let now_us = NOON_US + 3 * DAY_US;
    let record = world.put(DAY, &site("a"), 1, changed(NOON_US));
    let place = world.folder.path().join("snapshots");
    std::fs::write(&place, "in the way").unwrap();
    let running = run(&world, now_us, vec![pending(record)]);
    while running.metrics.snapshots_failed.get() == 0 {
        std::thread::sleep(TICK / 5);
    }
    running.expect_snapshots(0);
    assert_eq!(running.metrics.snapshots_failed.get(), 1);
    assert!(running.export(None, DAY).unwrap_err().contains("snapshots"));
    std::fs::remove_file(&place).unwrap();
    running.expect_snapshots(0);
    running.clock.advance(Duration::from_secs(30));
    running.expect_snapshots(1);
    running.stop();
}
