//! The program `lclaude`; all of it is in the library.

fn main() {
    lclaude::main();
}
