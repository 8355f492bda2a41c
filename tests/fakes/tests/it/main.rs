//! Tests of the fakes: their control channel, and that they behave like the real programs.

mod claude_and_llama_server;
mod lms;
mod ollama;
