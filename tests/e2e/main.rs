//! End-to-end tests with the real Claude Code, the real llama-server and a scripted model.

mod llamacpp;
mod mistakes;
mod session;
mod setup;
mod shapes;
mod status_line;
mod throwaway;
mod tools;
mod user_files;
mod warm;
