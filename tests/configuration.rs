//! What is wrong with a configuration is said in one line: file, line, key, what was expected.

#![allow(clippy::unwrap_used)]

use summarizer::config::Config;

/// Line by line, so that a case can replace one.
const LINES: [&str; 13] = [
    r#"[event]"#,
    r#"time = { field = "ts", format = "unix_ms" }"#,
    r#"[[field]]"#,
    r#"name = "page""#,
    r#"[[field]]"#,
    r#"name = "ms""#,
    r#"type = "float""#,
    r#"[[field]]"#,
    r#"name = "step""#,
    r#"derive = "bucket(ms, 10)""#,
    r#"[[summary]]"#,
    r#"name = "pages""#,
    "dimensions = [\"page\"]\naggregates = [{ name = \"n\", count = true }]",
];

/// The line that is replaced, by what, where the fault is, and what has to be said of it.
const CASES: [(usize, &str, usize, &str); 73] = [
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", count = true }, { name = \"n\", quantile = \"ms\" }]",
        14,
        "collides",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", quantile = \"ms\" }]\nderived = [{ name = \"n\", sql = \"n.p50\" }]",
        15,
        "collides",
    ),
    (0, "log = { level = \"inof\" }\n[event]", 1, "did you mean \"info\"?"),
    (0, "memory_limit = \"1\"\n[event]", 1, "less than 100 KB"),
    (0, "query.zmq.timeout = \"0s\"\n[event]", 1, "less than 1ms"),
    (0, "snapshots.grace = \"100000000d\"\n[event]", 1, "more than ten years"),
    (0, "ingest.zmq.bind = \"tcp://localhost:5\"\n[event]", 1, "127.0.0.1"),
    (0, "query.zmq.bind = \"tcp://127.0.0.1:5555\"\n[event]", 1, "ingest.zmq.bind as well"),
    (
        1,
        "time = { field = \"ts\", format = \"unix_ms\" }\nfuture_tolerance = \"4000d\"",
        3,
        "ten years",
    ),
    (0, "data_dir = \"\"\n[event]", 1, "names no folder"),
    (0, "ingest.zmq.state_file = \"/\"\n[event]", 1, "/ is a folder"),
    (0, "ingest.zmq.receive_buffer = \"2GiB\"\n[event]", 1, "at most 1 GiB"),
    (
        0,
        "ingest.zmq.bind = [\"tcp://[::1]:5\", \"tcp://[::1]:5\"]\n[event]",
        1,
        "tcp://[::1]:5 is named twice",
    ),
    (
        0,
        "ingest.zmq.bind = [\"ipc:///run/in\", \"ipc:///run/./in\"]\n[event]",
        1,
        "ipc:///run/./in is named twice",
    ),
    (
        0,
        "ingest.zmq.bind = \"ipc:///run/in\"\nquery.zmq.bind = \"ipc:///run//in\"\n[event]",
        2,
        "ingest.zmq.bind as well",
    ),
    (0, "ingest.zmq.bind = \"tcp://[::1:15998\"\n[event]", 1, "is not an address such as"),
    (
        0,
        "ingest.zmq = { bind = \"tcp://[[127.0.0.1]]:15997\", insecure = true }\n[event]",
        1,
        "is not an address such as",
    ),
    (0, "log.level = \"sumarizer=debug\"\n[event]", 1, "expected summarizer, or one such as"),
    (0, "log.level = \"info,summarizer::stor=debug\"\n[event]", 1, "did you mean \"store\"?"),
    (0, "log.level = \"info,summarizer::store=\"\n[event]", 1, "\"\" is not one of off"),
    (0, "data_dir = \"Cargo.toml/x\"\n[event]", 1, "Cargo.toml is no folder; name another"),
    (0, "shards = 1\ningest.zmq.state_file = \"no/x\"\n[event]", 2, "no does not exist"),
    (0, "query.zmq.bind = \"ipc://Cargo.toml\"\n[event]", 1, "is no socket: move it away"),
    (0, "ingest.zmq.bind = \"ipc://no/x\"\n[event]", 1, "no does not exist; make it a folder"),
    (1, r#"zone = "UTC""#, 1, "time"),
    (1, r#"time = { field = "ts" }"#, 2, "format"),
    (1, r#"time = { field = "ts", format = "unix" }"#, 2, "unix_ms"),
    (1, r#"time = { field = "ts", format = "%Y-%m-%d %I:%M" }"#, 2, "1:45"),
    (1, "time = { field = \"ts\", format = \"unix_ms\" }\nzone = \"Mars\"", 3, "Mars"),
    (1, "time = { field = \"ts\", format = \"unix_ms\" }\nzones = \"UTC\"", 3, "zone"),
    (3, r#"name = "pa ge""#, 4, "pa ge"),
    (3, r#"name = "day""#, 4, "day"),
    (3, r#"name = 7"#, 4, "string"),
    (5, r#"name = "page""#, 6, "page"),
    (6, r#"type = "double""#, 7, "float"),
    (6, r#"type = "decimal(19)""#, 7, "decimal"),
    (9, r#"derive = "bucket(sm, 10)""#, 10, "ms"),
    (9, r#"derive = "bucket(ms, 0)""#, 10, "bucket"),
    (9, r#"derive = "lower(ms)""#, 10, "ms"),
    (9, r#"derive = "upper(page)""#, 10, "lower"),
    (5, "name = \"ms\"\nfrom = \"page.ms\"", 7, "within field.page.from = \"page\""),
    (5, "name = \"ms\"\nfrom = \"ts.ms\"", 7, "within event.time.field = \"ts\""),
    (11, r#"name = "../x""#, 12, "../x"),
    (11, r#"name = "stats""#, 12, "rename it"),
    (12, "dimensions = [\"pag\"]\naggregates = [{ name = \"n\", count = true }]", 13, "page"),
    (12, "dimensions = [\"ms\"]\naggregates = [{ name = \"n\", count = true }]", 13, "float"),
    (
        12,
        "dimensions = [\"page\", \"page\"]\naggregates = [{ name = \"n\", count = true }]",
        13,
        "page",
    ),
    (12, "dimensions = []\naggregates = []", 12, "1 to 48 aggregates"),
    (12, "dimensions = []\naggregates = [{ name = \"n\" }]", 14, "exactly one"),
    (12, "dimensions = []\naggregates = [{ name = \"n\", count = false }]", 14, "true"),
    (12, "dimensions = []\naggregates = [{ name = \"n\", sum = \"page\" }]", 14, "needs a number"),
    (12, "dimensions = []\naggregates = [{ name = \"n\", unique = \"ms\" }]", 14, "decimal"),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", unique = \"page\", family = \"apache\" }]",
        14,
        "expected one of: ak, datasketches",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", unique = \"page\", log2m = 18 }]",
        14,
        "18 is not between 4 and 17",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", unique = \"page\", family = \"datasketches\", log2m = 19 }]",
        14,
        "19 is not between 4 and 18",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", count = true, family = \"ak\" }]",
        14,
        "family belongs to unique",
    ),
    (12, "dimensions = []\naggregates = [{ name = \"n\", theta = \"ms\" }]", 14, "decimal"),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", theta = \"page\", log2k = 3 }]",
        14,
        "3 is not between 4 and 20",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", unique = \"page\", log2k = 12 }]",
        14,
        "log2k belongs to theta",
    ),
    (12, "dimensions = []\naggregates = [{ name = \"n\", top = \"ms\" }]", 14, "string or an int"),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", top = \"page\", k = 0 }]",
        14,
        "0 is not between 1 and 10000",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", count = true, k = 10 }]",
        14,
        "k belongs to top",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", top = \"page\" }]\nderived = [{ name = \"d\", sql = \"n / 2\" }]",
        15,
        "a list of values",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", last = \"page\" }]\nderived = [{ name = \"d\", sql = \"n / 2\" }]",
        15,
        "n is a string",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", max = \"page\" }]\nderived = [{ name = \"d\", sql = \"coalesce(n, 0)\" }]",
        15,
        "n is a string",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", count = true, where = \"-(-page) = 'a'\" }]",
        14,
        "not a number",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", count = true, where = \"ms = +'5'\" }]",
        14,
        "not a number",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", quantile = \"step\" }]",
        14,
        "take \"ms\" itself",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", quantile = \"ms\", error = 2 }]",
        14,
        "0.5",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", count = true, where = \"page = 1\" }]",
        14,
        "page",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", count = true, where = \"pge = 'x'\" }]",
        14,
        "page",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"n\", count = true }]\nderived = [{ name = \"d\", sql = \"m / 2\" }]",
        15,
        "n",
    ),
    (
        12,
        "dimensions = []\naggregates = [{ name = \"u\", unique = \"page\" }, { name = \"u_hll\", count = true }]",
        14,
        "collides",
    ),
];

/// A chain of conditions is a list, whatever its length; nested ones are refused in time.
#[test]
fn long_expressions_are_read_and_longer_ones_refused() {
    let parse = |filter: &str| {
        let mut lines = LINES.map(str::to_owned);
        lines[12] = format!("where = \"{filter}\"\n{}", lines[12]);
        Config::parse(&lines.join("\n"), "events.toml".as_ref()).map_err(|e| e.to_string())
    };
    let chain = vec!["page = '/'"; 1000].join(" or ");
    let config = parse(&chain).unwrap();
    let debug = format!("{:?}", config.schema.summaries[0].filter.as_ref().unwrap().predicate);
    assert_eq!(debug.matches("Or(").count(), 1, "one list of a thousand");
    let long = vec!["page = '/'"; 100_000].join(" or ");
    assert!(parse(&long).unwrap_err().contains("at most 16384"));
    let deep = format!("{}page = '/'{}", "(".repeat(60), ")".repeat(60));
    assert!(parse(&deep).unwrap_err().contains("nested deeper than 50"));
    // The same of `not`, also among parentheses; one after the other are not nested.
    let nots = |count: usize| format!("{}page = '/'", "not ".repeat(count));
    assert!(parse(&nots(50)).is_ok());
    assert!(parse(&nots(51)).unwrap_err().contains("nested deeper than 50"));
    assert!(parse(&nots(400)).unwrap_err().contains("nested deeper than 50"));
    let mixed = format!("{}page = '/'{}", "not (ms > 1 or ".repeat(60), ")".repeat(60));
    assert!(parse(&mixed).unwrap_err().contains("nested deeper than 50"));
    assert!(parse(&vec!["not (page = '/')"; 400].join(" and ")).is_ok());
    let mut lines = LINES.map(str::to_owned);
    let sum = vec!["n"; 100_000].join("+");
    lines[12] += &format!("\nderived = [{{ name = \"d\", sql = \"{sum}\" }}]");
    let error = Config::parse(&lines.join("\n"), "events.toml".as_ref()).unwrap_err().to_string();
    assert!(error.contains("at most 2048"), "{error}");
}

/// Signs before a number, as SQL has them.
#[test]
fn numbers_have_any_signs() {
    let parse = |number: &str| {
        let mut lines = LINES.map(str::to_owned);
        lines[12] = format!("where = \"step = {number}\"\n{}", lines[12]);
        let config = Config::parse(&lines.join("\n"), "events.toml".as_ref());
        let config = config.unwrap_or_else(|error| panic!("{number}: {error}"));
        config.schema.summaries[0].filter.clone().unwrap().predicate
    };
    for number in ["+5", "-(-5)", "- -5", "+(+5)", "-(+(-5))"] {
        assert_eq!(parse(number), parse("5"), "{number}");
    }
    for number in ["+(-5)", "-(+5)", "-(-(-5))"] {
        assert_eq!(parse(number), parse("-5"), "{number}");
    }
}

/// A width is a number, whatever its form; one that the field cannot hold is none.
#[test]
fn widths_are_numbers_however_they_are_written() {
    let derived = |width: &str| {
        let derive = format!("derive = \"bucket(ms, {width})\"");
        let mut lines = LINES;
        lines[9] = &derive;
        let config = Config::parse(&lines.join("\n"), "events.toml".as_ref());
        config.map(|config| config.schema.fields[2].source.clone()).map_err(|e| e.to_string())
    };
    let ten = derived("10").unwrap();
    for width in ["1e1", "10.0", "1_0", "010", "100e-1", "0.00000000000000000001e21"] {
        assert_eq!(derived(width), Ok(ten.clone()), "{width}");
    }
    for width in ["10.5", "1e-1", "1e19", "0e5", "9223372036854775808"] {
        assert!(derived(width).unwrap_err().contains("needs a width above 0"), "{width}");
    }
}

/// What is written of a time and never read would put events at another one; what is not
/// written at all is midnight.
#[test]
fn patterns_read_the_time_that_they_print() {
    for (pattern, is_sound) in [
        ("%Y-%m-%d %H:%M:%S", true),
        ("%Y-%m-%d %I:%M:%S %p", true),
        ("%d/%b/%Y:%H:%M:%S %z", true),
        ("%y%m%d", true),
        ("%Y-%m-%dT%H:%M:%S%.f%:z", true),
        ("%Y-%m-%d %H", true),
        ("%Y-%m-%d %I:%M:%S", false),
        ("%Y-%m-%d %M:%S", false),
    ] {
        let mut lines = LINES.map(str::to_owned);
        lines[1] = format!(r#"time = {{ field = "ts", format = "{pattern}" }}"#);
        let config = Config::parse(&lines.join("\n"), "events.toml".as_ref());
        assert_eq!(config.is_ok(), is_sound, "{pattern}: {:?}", config.err());
    }
}

/// A plain name is that of a field or an aggregate, whatever else SQL means by it.
#[test]
fn names_may_be_words_of_sql() {
    for name in [
        "user",
        "order",
        "group",
        "date",
        "time",
        "case",
        "interval",
        "exists",
        "trim",
        "all",
        "any",
        "select",
        "from",
        "with",
        "current_date",
        "localtime",
        "session_user",
        "path",
    ] {
        let text = format!(
            r#"
field = [{{ name = "{name}" }}, {{ name = "short", derive = "prefix({name}, 3)" }}]
[event]
time = {{ field = "ts", format = "unix_ms" }}
[[summary]]
name = "s"
where = "not ({name} = 'a' or 'b' = {name}) and {name} in ('c', 'd') and {name} like 'c%'"
dimensions = []
aggregates = [{{ name = "{name}", count = true, where = "{name} is not null" }}]
derived = [{{ name = "twice", sql = "2 * {name} + abs({name})" }}]
"#
        );
        let config = Config::parse(&text, "events.toml".as_ref());
        let config = config.unwrap_or_else(|error| panic!("{name}: {error}"));
        let sql = &config.schema.summaries[0].filter.as_ref().unwrap().sql;
        assert!(sql.contains(&format!("{name} IN ('c', 'd')")), "{sql}");
    }
}

#[test]
fn a_fault_is_named_with_its_line_and_what_was_expected() {
    let parse = |text: &str| Config::parse(text, "events.toml".as_ref());
    assert!(parse(&LINES.join("\n")).is_ok());
    for (replaced, by, line, said) in CASES {
        let mut lines = LINES;
        lines[replaced] = by;
        let Err(error) = parse(&lines.join("\n")) else { panic!("accepted: {by}") };
        let error = error.to_string();
        assert!(error.starts_with(&format!("events.toml:{line}: ")), "{by}: {error}");
        assert!(error.contains(said), "{by}: {error}");
        assert!(!error.contains('\n'), "{by}: {error}");
    }
}

/// As the system shows an address of IPv4 on a socket for both.
#[test]
fn the_loopback_is_known_however_it_is_written() {
    for address in ["127.0.0.1", "[::1]", "::1", "[::ffff:127.0.0.1]"] {
        let text = format!("ingest.zmq.bind = \"tcp://{address}:5\"\n{}", LINES.join("\n"));
        let config = Config::parse(&text, "events.toml".as_ref()).unwrap();
        assert_eq!(config.ingest.bind, [format!("tcp://{address}:5")]);
    }
}

/// Also of one that the program does not know, wherever it stands.
#[test]
fn a_fault_is_named_with_its_key() {
    let aggregates = |inner: &str| format!("dimensions = []\naggregates = [{inner}]");
    for (replaced, by, key) in [
        (0, "shard = 2\n[event]".to_owned(), "shard"),
        (0, "[ingest.zmq]\nbund = \"\"\n[event]".to_owned(), "ingest.zmq.bund"),
        (0, "ingest = { zmq = { bund = \"\" } }\n[event]".to_owned(), "ingest.zmq.bund"),
        (1, "time = { field = \"ts\", fromat = \"x\" }".to_owned(), "event.time.fromat"),
        (3, "name = \"page\"\ntpe = \"int\"".to_owned(), "field.page.tpe"),
        (3, "name = 7".to_owned(), "field.name"),
        (12, "dimension = []".to_owned(), "summary.pages.dimension"),
        (
            12,
            aggregates("{ name = \"n\", count = true }, { name = \"m\", cuont = true }"),
            "summary.pages.aggregates.m.cuont",
        ),
        (
            12,
            aggregates("\n  { cuont = true, name = \"m\" },\n"),
            "summary.pages.aggregates.m.cuont",
        ),
        (12, aggregates("{ name = \"m\", count = 1 }"), "summary.pages.aggregates.m.count"),
        (12, aggregates("{ count = true }"), "summary.pages.aggregates"),
        (6, "type = float".to_owned(), "field.ms.type"),
        (12, "dimensions = [\"page\"".to_owned(), "summary.pages.dimensions"),
    ] {
        let mut lines = LINES.map(str::to_owned);
        lines[replaced].clone_from(&by);
        let error = Config::parse(&lines.join("\n"), "events.toml".as_ref()).unwrap_err();
        assert_eq!(error.key, key, "{by}: {error}");
    }
}
