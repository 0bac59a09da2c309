//! What the numbers in an event are called.

/// Sizes of advertisements.
pub const AD_SIZES: [&str; 5] = ["300x250", "728x90", "160x600", "320x50", "970x250"];

/// Browsers.
pub const BROWSERS: [&str; 5] = ["chrome", "safari", "firefox", "edge", "opera"];

/// Countries, the busiest first.
pub const COUNTRIES: [&str; 40] = [
    "us", "in", "br", "gb", "de", "jp", "fr", "ca", "mx", "it", "es", "kr", "au", "id", "tr", "nl",
    "ar", "pl", "th", "ph", "se", "ch", "be", "za", "at", "no", "dk", "fi", "pt", "cz", "gr", "ie",
    "nz", "il", "sg", "my", "cl", "co", "ro", "hu",
];

/// Kinds of events, in nine, one and one of eleven.
pub const KINDS: [&str; 3] = ["impression", "interaction", "conversion"];

/// Names of the fields, in the order in which they are written.
pub const FIELDS: [&str; 12] = [
    "id",
    "ts",
    "user",
    "placement",
    "campaign",
    "ad_size",
    "browser",
    "country",
    "region",
    "event",
    "cost",
    "latency_ms",
];
