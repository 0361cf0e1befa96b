fn main() -> std::process::ExitCode { host::worker::main() }
