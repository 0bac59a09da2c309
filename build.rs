//! Compiles the protobuf schemas with a compiler in Rust, so that no `protoc` is needed.

/// Types of fields, by their numbers in `google/protobuf/descriptor.proto`.
const STRING: i32 = 9;
const BYTES: i32 = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schemas = ["schemas/events.proto", "schemas/query.proto"];
    let mut compiled = protox::compile(schemas, ["schemas"])?;
    // Texts of events are taken as bytes: one that is no UTF-8 must not refuse its neighbours.
    let events = compiled.file.iter_mut().filter(|file| file.name() == "events.proto");
    let fields = events.flat_map(|file| &mut file.message_type).flat_map(|m| &mut m.field);
    fields.filter(|f| f.r#type == Some(STRING)).for_each(|f| f.r#type = Some(BYTES));
    prost_build::Config::new().compile_fds(compiled)?;
    for schema in schemas {
        println!("cargo:rerun-if-changed={schema}");
    }
    Ok(())
}
