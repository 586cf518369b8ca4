//! The Python binding: convert types, map errors, release the GIL. No decisions.

mod columns;
mod floats;
mod repository;
mod server;
mod session;
mod sizes;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Rust core of Shoal.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::columns::NativeError;
    #[pymodule_export]
    use super::floats::fp32_as_json;
    #[pymodule_export]
    use super::server::Server;
    #[pymodule_export]
    use super::session::{Session, inspect_onnx};
    #[pymodule_export]
    use super::sizes::Sizes;

    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
