//! The `lclaude` program. All of its code is in the library.

fn main() {
    lclaude::main();
}
