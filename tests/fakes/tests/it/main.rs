//! The fakes themselves: that they talk to a test as it relies on, and behave as the programs they stand for.

mod claude_and_llama_server;
mod lms;
mod ollama;
