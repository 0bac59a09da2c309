//! Why an event or a message is refused: the names of counters and of dead letters.

use std::fmt;

macro_rules! reasons {
    ($($name:ident $text:literal $doc:literal)*) => {
        /// Why an event or a whole message is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $(#[doc = $doc] $name),* }

        impl Reason {
            /// All reasons, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in counters and dead letters.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

reasons! {
    MalformedJson "malformed_json" "It is not a JSON object, or a text beside an event that is no header."
    MalformedProtobuf "malformed_protobuf" "It is not an `EventBatch`, or a row does not fit its names."
    InvalidUtf8 "invalid_utf8" "Its text is not UTF-8."
    TooDeep "too_deep" "Objects and arrays within one another beyond the limit."
    WrongType "wrong_type" "A configured field has a value of another type."
    NumberOverflow "number_overflow" "A number, or the lower edge of its bucket, does not fit its field."
    FloatRange "float_range" "A float, or a number of which quantiles are kept, is NaN, infinite or 2^40 and above."
    StringTooLong "string_too_long" "A string field is longer than the limit."
    DimensionTooLong "dimension_too_long" "A dimension, or a value of a field with top, is longer than the limit."
    MissingTime "missing_time" "It has no time."
    BadTime "bad_time" "Its time cannot be read."
    BeforeFirstDay "before_1970" "Its day lies before 1970."
    AfterLastDay "after_2199" "Its day lies after 2199."
    Future "future" "It is further ahead of its arrival than the tolerance."
    Expired "expired" "No summary retains its day any more."
    EmptyMessage "empty_message" "The message holds no event."
    MessageTooLarge "message_too_large" "The message is larger than the limit."
    ExtraFrames "extra_frames" "The message has more than two frames."
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
