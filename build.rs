//! Compiles the protobuf schemas with a compiler in Rust, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schemas = ["schemas/events.proto", "schemas/query.proto"];
    let compiled = protox::compile(schemas, ["schemas"])?;
    prost_build::Config::new().compile_fds(compiled)?;
    for schema in schemas {
        println!("cargo:rerun-if-changed={schema}");
    }
    Ok(())
}
