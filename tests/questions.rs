//! Questions over the socket: whatever is asked is answered exactly, from
//! live shards and stored days alike, by REQ and DEALER, in JSON and protobuf.

#![allow(clippy::unwrap_used)]

mod support;

use prost::Message;
use serde_json::{Value, json};
use summarizer::clock::Stopwatch;
use summarizer::ingest::wire;
use summarizer::limits::MAX_QUESTION_BYTES;
use support::{NOON_US, TestServer};

const CONFIG: &str = r#"
shards = 3
field = [
  { name = "country" }, { name = "page" }, { name = "event" }, { name = "user" },
  { name = "cost", type = "decimal(6)" }, { name = "ms", type = "float" }, { name = "robot", type = "bool" },
  { name = "hour", derive = "hour(ts)" }, { name = "band", derive = "bucket(cost, 0.5)" },
  { name = "start", derive = "prefix(page, 2)" }, { name = "low", derive = "lower(page)" },
  { name = "part", derive = "day_part()" }, { name = "wd", derive = "weekday()" },
]
[event]
time = { field = "ts", format = "unix_s" }
zone = "Europe/Berlin"
[[summary]]
name = "visits"
dimensions = ["country", "page"]
where = "event in ('view', 'click')"
aggregates = [
  { name = "views", count = true, where = "event = 'view'" },
  { name = "clicks", count = true, where = "event = 'click'" },
  { name = "cost", sum = "cost" }, { name = "users", unique = "user" },
  { name = "latency", quantile = "ms" },
]
derived = [ { name = "ctr", sql = "clicks / views" }, { name = "cpc", sql = "round(cost / clicks * 100) / 100" } ]
[[summary]]
name = "shapes"
dimensions = ["hour", "band", "start", "low", "part", "wd", "robot"]
aggregates = [ { name = "n", count = true } ]
"#;

const DAY_S: i64 = 86_400;

fn events() -> Vec<Value> {
    let noon = NOON_US / 1_000_000;
    let mut events = Vec::new();
    for i in 0..600i64 {
        events.push(json!({
            "ts": noon - (i % 3) * DAY_S,
            "country": if i % 5 == 0 { Value::Null } else { json!(["us", "ca", "de", ""][(i % 4) as usize]) },
            "page": format!("P{}", i % 7),
            "event": (["view", "view", "click", "other"][(i % 4) as usize]),
            "user": format!("u{}", i % 50),
            "cost": (i as f64) / 1000.0,
            "ms": (i % 100) as f64,
            "robot": i % 2 == 0,
        }));
    }
    events
}

fn taken<'e>(
    events: &'e [Value],
    test: impl Fn(&Value) -> bool + 'e,
) -> impl Iterator<Item = &'e Value> {
    events.iter().filter(|e| e["event"] != "other").filter(move |e| test(e))
}

fn users<'e>(events: impl Iterator<Item = &'e Value>) -> usize {
    events.map(|e| e["user"].as_str().unwrap()).collect::<std::collections::BTreeSet<_>>().len()
}

fn filled(folder: &std::path::Path) -> (TestServer, Vec<Value>) {
    let mut server = TestServer::start(folder, CONFIG);
    let events = events();
    let push = server.push();
    // Half of it is stored and partly not in memory, half is live.
    for event in &events[..300] {
        push.send(event.to_string().as_str(), 0).unwrap();
    }
    server.wait_for(300);
    drop(push);
    server.restart_with(CONFIG).unwrap();
    let push = server.push();
    for event in &events[300..] {
        push.send(event.to_string().as_str(), 0).unwrap();
    }
    server.wait_for(300);
    (server, events)
}

#[test]
fn groups_filters_orders_and_totals() {
    let folder = tempfile::tempdir().unwrap();
    let (server, events) = filled(folder.path());

    let answer = server.ask(
        r#"{"id":7,"summary":"visits","by":["day"],"select":["views","clicks","users","ctr"]}"#,
    );
    assert_eq!(answer["id"], 7);
    assert_eq!(answer["events"], 600);
    assert_eq!(answer["columns"], json!(["day", "views", "clicks", "users", "ctr"]));
    for (at, row) in answer["rows"].as_array().unwrap().iter().enumerate() {
        let ts = NOON_US / 1_000_000 - (2 - at as i64) * DAY_S;
        let of_day = |e: &Value| e["ts"] == ts;
        let clicks = taken(&events, |e| of_day(e) && e["event"] == "click").count();
        let views = taken(&events, |e| of_day(e) && e["event"] == "view").count();
        let ctr = clicks as f64 / views as f64;
        let day = ["2026-11-18", "2026-11-19", "2026-11-20"][at];
        assert_eq!(*row, json!([day, views, clicks, users(taken(&events, of_day)), ctr]));
    }
    // Uniques of all days are merged, never summed.
    assert_eq!(answer["totals"][3], users(taken(&events, |_| true)));
    assert_eq!(answer["bounds"]["users"].as_array().unwrap().len(), 3);

    // Null and the empty string are different values; a list takes any of them.
    let answer = server.ask(
        r#"{"summary":"visits","from":"2026-11-19","to":"2026-11-20","by":["country"],
            "where":{"country":[null,"","ca"],"page":"P1"},"select":["clicks","cost"],"order":"-cost"}"#,
    );
    let mut expected: Vec<(Value, usize, i64)> = [Value::Null, json!(""), json!("ca")]
        .into_iter()
        .map(|country| {
            let wanted = |e: &Value| {
                e["ts"].as_i64() > Some(NOON_US / 1_000_000 - 2 * DAY_S)
                    && e["country"] == country
                    && e["page"] == "P1"
            };
            let cost: f64 = taken(&events, wanted).map(|e| e["cost"].as_f64().unwrap()).sum();
            (
                country.clone(),
                taken(&events, |e| wanted(e) && e["event"] == "click").count(),
                (cost * 1e3).round() as i64,
            )
        })
        .filter(|(_, _, cost)| *cost > 0)
        .collect();
    expected.sort_by_key(|(_, _, cost)| -cost);
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), expected.len(), "{answer}");
    for (row, (country, clicks, cost)) in rows.iter().zip(&expected) {
        assert_eq!((&row[0], &row[1]), (country, &json!(clicks)));
        assert_eq!((row[2].as_f64().unwrap() * 1e3).round() as i64, *cost);
    }

    // Limit cuts rows, not totals; decimals keep their scale.
    let all = server.ask(r#"{"summary":"visits","by":["page"],"select":["cost","latency.p50","latency.max","latency.count"]}"#);
    let two = server
        .ask(r#"{"summary":"visits","by":["page"],"select":["cost"],"limit":2,"order":"page"}"#);
    assert_eq!(two["rows"].as_array().unwrap().len(), 2);
    assert_eq!(two["totals"][1], all["totals"][1]);
    assert_eq!(
        all["rows"][0][3].as_f64(),
        taken(&events, |e| e["page"] == "P0").map(|e| e["ms"].as_f64().unwrap()).reduce(f64::max)
    );
    assert_eq!(all["rows"][0][4], taken(&events, |e| e["page"] == "P0").count());
}

#[test]
fn one_row_and_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, events) = filled(folder.path());
    let noon = NOON_US / 1_000_000;
    let answer = server.ask(r#"{"get":"visits","day":"2026-11-20","key":{"country":null,"page":"P0"},"select":["views","users"]}"#);
    let wanted = |e: &Value| e["ts"] == noon && e["country"].is_null() && e["page"] == "P0";
    let views = taken(&events, |e| wanted(e) && e["event"] == "view").count();
    assert_eq!(answer["rows"], json!([[views, users(taken(&events, wanted))]]));
    let answer =
        server.ask(r#"{"get":"visits","day":"2026-11-20","key":{"country":"xx","page":"P0"}}"#);
    assert_eq!(
        answer["rows"],
        json!([[0, 0, 0.0, 0, null, null, null, null, null, null]]),
        "{answer}"
    );
    assert_eq!(answer["bounds"]["users"], json!([[0, 0]]));
    let answer = server
        .ask(r#"{"summary":"visits","from":"2020-01-01","to":"2020-12-31","select":["views"]}"#);
    assert_eq!((&answer["rows"], &answer["totals"]), (&json!([[0]]), &json!([0])));
    let answer = server.ask(r#"{"summary":"visits","from":"2020-01-01","to":"2020-12-31","by":["page"],"select":["views"]}"#);
    assert_eq!((&answer["rows"], &answer["totals"]), (&json!([]), &json!([null, 0])));
}

#[test]
fn bounds_of_what_is_not_known_are_null() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, _) = filled(folder.path());
    let config = CONFIG.replace(
        r#"unique = "user" },"#,
        r#"unique = "user" }, { name = "pages", unique = "page" },"#,
    );
    server.restart_with(&config).unwrap();
    let question = r#"{"summary":"visits","select":["users","pages"]}"#;
    let answer = server.ask(question);
    let users = &answer["bounds"]["users"];
    assert!(users[0][0].as_u64() > Some(0), "{answer}");
    assert_eq!((&answer["rows"][0][1], &answer["bounds"]["pages"]), (&Value::Null, &json!([null])));

    let question = wire::Question {
        summary: "visits".into(),
        select: vec!["users".into(), "pages".into()],
        ..wire::Question::default()
    };
    let bytes = server.server().responder().respond(&question.encode_to_vec(), Stopwatch::start());
    let bounds = wire::Answer::decode(bytes.as_slice()).unwrap().bounds;
    assert_eq!(json!([[bounds[0].lower[0] as u64, bounds[0].upper[0] as u64]]), *users);
    assert!(bounds[1].lower[0].is_nan() && bounds[1].upper[0].is_nan());
}

#[test]
fn derived_fields_are_computed_in_the_zone() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    // 23:30 UTC on a Thursday is half past midnight on Friday in Berlin.
    let thursday = NOON_US / 1_000_000 - DAY_S / 2 - 1800;
    push.send(
        format!(r#"{{"ts":{thursday},"page":"ÄPfel","cost":-0.2,"robot":true}}"#).as_str(),
        0,
    )
    .unwrap();
    server.wait_for(1);
    let answer = server.ask(
        r#"{"summary":"shapes","by":["day","hour","band","start","low","part","wd","robot"]}"#,
    );
    assert_eq!(
        answer["rows"],
        json!([["2026-11-20", 0, -0.5, "ÄP", "äpfel", "night", 5, true, 1]]),
        "{answer}"
    );
}

#[test]
fn wrong_questions_are_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), &format!("{CONFIG}\n[query.zmq]\nmax_rows = 3"));
    let push = server.push();
    for event in &events()[..100] {
        push.send(event.to_string().as_str(), 0).unwrap();
    }
    server.wait_for(100);
    for (question, code) in [
        ("{", "bad_request"),
        ("nonsense", "bad_request"),
        (r#"{"summary":"visit"}"#, "unknown_summary"),
        (r#"{"summary":"visits","by":["city"]}"#, "unknown_column"),
        (r#"{"summary":"visits","select":["city"]}"#, "unknown_column"),
        (r#"{"summary":"visits","select":["latency.p101"]}"#, "unknown_column"),
        (r#"{"summary":"visits","order":"-nothing"}"#, "unknown_column"),
        (r#"{"summary":"visits","where":{"page":3.5},"wher":1}"#, "bad_request"),
        (r#"{"summary":"shapes","where":{"hour":"noon"}}"#, "bad_value"),
        (r#"{"summary":"visits","from":"yesterday"}"#, "bad_value"),
        (r#"{"summary":"visits","from":"2026-11-20","to":"2026-11-19"}"#, "bad_value"),
        (r#"{"get":"visits","day":"2026-11-20","key":{"page":"P1"}}"#, "bad_request"),
        (r#"{"summary":"visits","by":["page"]}"#, "too_many_rows"),
        (r#"{"summary":"visits","min_events":1000,"timeout_ms":50}"#, "timeout"),
        ("{}", "bad_request"),
        (r#"["x","visits"]"#, "bad_request"),
        (r#"{"summary":"visits","select":[]}"#, "bad_request"),
        (r#"{"summary":"visits","select":["views","views"]}"#, "bad_request"),
        (r#"{"summary":"visits","by":["day"],"from":"9999-12-31"}"#, "bad_value"),
        (r#"{"summary":"visits","where":{"page":12.50}}"#, "bad_value"),
        (r#"{"get":"stats","by":["page"]}"#, "bad_request"),
        (
            r#"{"get":"visits","day":"2026-11-20","key":{"country":"us","page":["P1"]}}"#,
            "bad_request",
        ),
        (
            r#"{"get":"visits","day":"2026-11-20","key":{"country":"us","page":"P1","page":"P2"}}"#,
            "bad_request",
        ),
        (r#"{"summary":"visits","where":{"page":"P1","country":"us","page":"P2"}}"#, "bad_request"),
        (
            r#"{"set":{"and":[{"summary":"visits","where":{"page":"P1","page":"P2"}}]}}"#,
            "bad_request",
        ),
        (r#"{"summary":"visits","where":["page"]}"#, "bad_request"),
        (r#"{"summary":"visits","limit":1,"limit":2}"#, "bad_request"),
        (r#"{"summary":"visits","key":{"page":"P1"}}"#, "bad_request"),
        (r#"{"export":"visits","day":"2026-13-01"}"#, "bad_value"),
        (r#"{"export":"visits","day":"2026-11-20","by":["page"]}"#, "bad_request"),
    ] {
        let answer = server.ask(question);
        assert_eq!(answer["error"]["code"], code, "{question}: {answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
        assert!(!answer["error"]["hint"].as_str().unwrap().is_empty());
    }
    let parts: Vec<String> = (0..1100).map(|i| format!("\"latency.p0.{i:04}\"")).collect();
    let question = format!(r#"{{"summary":"visits","select":[{}]}}"#, parts.join(","));
    let answer = server.ask(&question);
    assert!(answer["error"]["hint"].as_str().unwrap().contains("at most 1024"), "{answer}");
    let answer = server.ask(r#"{"id":"x","summary":"visit"}"#);
    assert_eq!(answer["id"], "x");
    assert!(answer["error"]["hint"].as_str().unwrap().contains("visits"));
}

#[test]
fn an_error_is_as_short_as_a_person_reads_whatever_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = filled(folder.path());
    let long = "ä".repeat(100_000);
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    let many: Vec<String> = (0..20_000).map(|i| format!("\"v{i}\"")).collect();
    for question in [
        json!({ "summary": long }),
        json!({ "summary": "visits", "by": [long] }),
        json!({ "summary": "visits", "select": [long] }),
        json!({ "summary": "visits", "order": long }),
        json!({ "summary": "visits", "from": long }),
        json!({ "summary": "visits", "where": { "country": { "a": long } } }),
        json!({ "summary": "visits", "where": { "country": [[long]] } }),
        json!({ "summary": "visits", "where": { "hour": long } }),
        json!({ "summary": "visits", "where": { (long.clone()): "a" } }),
        json!({ "summary": "shapes", "where": { "hour": long, "robot": long } }),
        json!({ "summary": "visits", "limit": long }),
        json!({ (long.clone()): 1 }),
        json!({ "get": "visits", "day": long, "key": {} }),
        json!({ "get": "visits", "day": "2026-11-20", "key": { "country": long, (long.clone()): 1 } }),
        json!({ "export": long, "day": "2026-11-20" }),
        json!({ "export": "*", "day": long }),
        json!({ "set": { "and": [{ "summary": long }] } }),
        json!({ "set": { "and": [{ "summary": "visits", "theta": long }] } }),
        serde_json::from_str(&format!("{{\"summary\":[{}]}}", many.join(","))).unwrap(),
        serde_json::from_str(&format!(
            "{{\"summary\":\"visits\",\"where\":{{\"country\":{deep}}}}}"
        ))
        .unwrap(),
    ] {
        let answer = server.ask(&question.to_string());
        let begin: String = question.to_string().chars().take(60).collect();
        assert!(answer["error"]["message"].is_string(), "{begin}");
        let bytes = answer.to_string().len();
        assert!(bytes < 5000, "{bytes} bytes for {begin}");
    }
}

#[test]
fn questions_that_wait_for_events_are_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, _) = filled(folder.path());
    let context = zmq::Context::new();
    let dealer = context.socket(zmq::DEALER).unwrap();
    dealer.set_rcvtimeo(60_000).unwrap();
    dealer.connect(&server.query()).unwrap();
    // Far more than there are threads that answer.
    for id in 0..40 {
        let events = if id < 20 { 601 } else { 1_000_000 };
        let question =
            json!({ "id": id, "summary": "visits", "select": ["views"], "min_events": events });
        dealer.send(question.to_string().as_str(), 0).unwrap();
    }
    assert_eq!(server.ask(r#"{"get":"stats"}"#)["events_accepted"], 300);
    let early = dealer.recv_string(zmq::DONTWAIT);
    assert!(early.is_err(), "answered before its time: {early:?}");
    let answers = |count: usize| {
        let answer = || serde_json::from_slice(&dealer.recv_bytes(0).unwrap()).unwrap();
        let mut answers: Vec<Value> = (0..count).map(|_| answer()).collect();
        answers.sort_by_key(|answer| answer["id"].as_i64());
        answers
    };
    server.push().send(events()[0].to_string().as_str(), 0).unwrap();
    for (id, answer) in answers(20).iter().enumerate() {
        assert_eq!((&answer["id"], &answer["events"]), (&json!(id), &json!(601)));
    }
    // A stop does not wait with them.
    server.stop();
    for (id, answer) in (20..).zip(answers(20)) {
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!("stopping")));
    }
}

#[test]
fn a_question_that_waited_for_events_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    let event = json!({ "ts": NOON_US / 1_000_000, "event": "view" }).to_string();
    for fresh in [false, true] {
        for more in 1..=100 {
            push.send(event.as_str(), 0).unwrap();
            let events = more + if fresh { 100 } else { 0 };
            let question = json!({ "summary": "visits", "select": ["views"], "fresh": fresh, "min_events": events });
            let answer = server.ask(&question.to_string());
            // Another event cannot have come.
            assert_eq!((&answer["rows"], &answer["events"]), (&json!([[events]]), &json!(events)));
        }
    }
}

#[test]
fn dealers_pipeline_and_protobuf_is_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = filled(folder.path());
    let context = zmq::Context::new();
    let dealer = context.socket(zmq::DEALER).unwrap();
    dealer.set_rcvtimeo(60_000).unwrap();
    dealer.connect(&server.query()).unwrap();
    // With and without the empty delimiter, many at once, both kinds of freshness.
    for id in 0..200 {
        let fresh = id % 2 == 0;
        let question =
            json!({ "id": id, "summary": "visits", "select": ["views"], "fresh": fresh })
                .to_string();
        match id % 3 {
            0 => dealer.send(question.as_str(), 0).unwrap(),
            _ => dealer.send_multipart(["", question.as_str()], 0).unwrap(),
        }
    }
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let frames = dealer.recv_multipart(0).unwrap();
        let answer: Value = serde_json::from_slice(frames.last().unwrap()).unwrap();
        let id = answer["id"].as_i64().unwrap();
        assert_eq!(frames.len(), if id % 3 == 0 { 1 } else { 2 });
        assert_eq!(answer["rows"], json!([[300]]));
        ids.insert(id);
    }
    assert_eq!(ids.len(), 200);

    let question = wire::Question {
        id: "p".into(),
        summary: "visits".into(),
        by: vec!["country".into()],
        select: vec!["views".into(), "cost".into(), "users".into()],
        r#where: vec![wire::Condition {
            dimension: "country".into(),
            values: vec![wire::Cell { kind: Some(wire::cell::Kind::String("us".into())) }],
        }],
        ..wire::Question::default()
    };
    let req = context.socket(zmq::REQ).unwrap();
    req.set_rcvtimeo(60_000).unwrap();
    req.connect(&server.query()).unwrap();
    req.send(question.encode_to_vec(), 0).unwrap();
    let answer = wire::Answer::decode(req.recv_bytes(0).unwrap().as_slice()).unwrap();
    let json = server.ask(r#"{"summary":"visits","by":["country"],"select":["views","cost","users"],"where":{"country":"us"}}"#);
    assert_eq!(answer.id, "p");
    assert_eq!(answer.columns, ["country", "views", "cost", "users"]);
    let cells = &answer.rows[0].cells;
    let Some(wire::cell::Kind::Int(views)) = cells[1].kind else { panic!("{cells:?}") };
    assert_eq!(json["rows"][0][1], views);
    let Some(wire::cell::Kind::Decimal(cost)) = &cells[2].kind else { panic!("{cells:?}") };
    assert_eq!(json["rows"][0][2].as_f64(), cost.parse().ok());
    assert_eq!(answer.bounds[0].column, "users");
    req.send(
        wire::Question { summary: "no".into(), ..wire::Question::default() }.encode_to_vec(),
        0,
    )
    .unwrap();
    let answer = wire::Answer::decode(req.recv_bytes(0).unwrap().as_slice()).unwrap();
    assert_eq!(answer.error.unwrap().code, "unknown_summary");
    req.send(vec![0x82, 0xff], 0).unwrap();
    let answer = wire::Answer::decode(req.recv_bytes(0).unwrap().as_slice()).unwrap();
    assert_eq!(answer.error.unwrap().code, "bad_request");
    let failed = server.counter("questions_failed");
    let order = "o".repeat(MAX_QUESTION_BYTES);
    let question = wire::Question { id: "long".into(), order, ..wire::Question::default() };
    req.send(question.encode_to_vec(), 0).unwrap();
    let answer = wire::Answer::decode(req.recv_bytes(0).unwrap().as_slice()).unwrap();
    assert_eq!((answer.id.as_str(), answer.error.unwrap().code.as_str()), ("long", "bad_request"));
    assert_eq!(server.counter("questions_failed"), failed + 1);
}

#[test]
fn wrong_questions_in_protobuf_are_refused_and_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = filled(folder.path());
    let context = zmq::Context::new();
    let req = context.socket(zmq::REQ).unwrap();
    req.set_rcvtimeo(60_000).unwrap();
    req.connect(&server.query()).unwrap();
    let ask = |question: &wire::Question| {
        req.send(question.encode_to_vec(), 0).unwrap();
        wire::Answer::decode(req.recv_bytes(0).unwrap().as_slice()).unwrap()
    };
    let text = |text: &str| wire::Cell { kind: Some(wire::cell::Kind::String(text.into())) };
    let condition = |dimension: &str, values: &[wire::Cell]| wire::Condition {
        dimension: dimension.into(),
        values: values.to_vec(),
    };
    let null = wire::Cell::default();
    let key = |page: &[wire::Cell]| {
        vec![condition("country", std::slice::from_ref(&null)), condition("page", page)]
    };
    let one = wire::Question {
        get: "visits".into(),
        day: "2026-11-20".into(),
        key: key(&[text("P0")]),
        select: vec!["views".into()],
        ..wire::Question::default()
    };
    assert_eq!(ask(&one).rows.len(), 1);
    let pages = [condition("page", &[text("P1")]), condition("page", &[text("P2")])];
    let visits = wire::Question { summary: "visits".into(), ..wire::Question::default() };
    let part = wire::SetPart {
        summary: "visits".into(),
        r#where: pages.to_vec(),
        ..wire::SetPart::default()
    };
    let set = wire::Set { and: vec![part], ..wire::Set::default() };
    for (question, message) in [
        (wire::Question { key: key(&[text("P0")]), ..visits.clone() }, "key goes with get"),
        (wire::Question { key: key(&[text("P0"), text("P1")]), ..one.clone() }, "key has a list"),
        (wire::Question { key: key(&[]), ..one.clone() }, "key has a list"),
        (wire::Question { key: pages.to_vec(), ..one.clone() }, "\"page\" is named twice"),
        (wire::Question { r#where: pages.to_vec(), ..visits.clone() }, "\"page\" is named twice"),
        (wire::Question { set: Some(set), ..wire::Question::default() }, "\"page\" is named twice"),
        (
            wire::Question { get: "stats".into(), summary: String::new(), ..one.clone() },
            "get stats",
        ),
    ] {
        let error = ask(&question).error.unwrap();
        assert_eq!(error.code, "bad_request", "{error:?}");
        assert!(error.message.contains(message), "{error:?}");
    }
}
