//! Compiles the protocol's .proto file; no protoc is needed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol");
    println!("cargo::rerun-if-changed={}", folder.join("open_inference.proto").display());
    let files = protox::compile(["open_inference.proto"], [&folder])?;
    tonic_prost_build::configure().build_client(false).bytes(".").compile_fds(files)?;
    Ok(())
}
