//! Compiles the protocol's .proto files; no protoc is needed.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 2] = ["open_inference.proto", "shoal/v1/tasks.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol");
    for file in FILES {
        println!("cargo::rerun-if-changed={}", folder.join(file).display());
    }
    let files = protox::compile(FILES, [&folder])?;
    tonic_prost_build::configure().build_client(false).bytes(".").compile_fds(files)?;
    Ok(())
}
