use std::process::ExitCode;

// Of Rust and of the C libraries alike, librdkafka first among them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// Read by the allocator as it starts; the environment's `MALLOC_CONF` comes on top. Few threads allocate
// much, so two arenas are enough; and buffers of 8 MB and more are kept as others are, since fetches
// take one after the other.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: &[u8; 31] = b"narenas:2,oversize_threshold:0\0";

fn main() -> ExitCode {
    klaxond::cli::main(std::env::args_os())
}
