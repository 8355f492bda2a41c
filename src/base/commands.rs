//! Commands and paths of the operating system that messages name. Linux and macOS have different ones.

/// What messages name on one operating system.
struct Words {
    /// Lists the ports on which programs listen, and these programs.
    list_listeners: &'static str,
    /// Shows how much memory is used.
    show_memory: &'static str,
    /// Lists the libraries of the program that follows.
    list_libraries: &'static str,
    /// The sysctl(8) key of the limit of open files of all programs together.
    open_files_key: &'static str,
    /// Shows the connections of running Claude Code processes.
    connections: &'static str,
    /// Shows every connection of one session, its tools included, with `{}` in place of the command of that session.
    all_connections: &'static str,
    /// Where the runtime directory usually is.
    runtime_directory: &'static str,
}

const LINUX: Words = Words {
    list_listeners: "ss -tlnp",
    show_memory: "free -h",
    list_libraries: "ldd",
    open_files_key: "fs.file-max",
    connections: "ss -tnp | grep claude  # while a session runs",
    all_connections: "strace -f -e trace=connect -o /tmp/connect.txt {} -p hi; grep sin /tmp/connect.txt",
    runtime_directory: "$XDG_RUNTIME_DIR/lclaude/",
};

/// `ss`, `free`, `ldd` and `strace` are Linux's own.
const MACOS: Words = Words {
    list_listeners: "lsof -nP -iTCP -sTCP:LISTEN",
    show_memory: "memory_pressure",
    list_libraries: "otool -L",
    open_files_key: "kern.maxfiles",
    connections: "lsof -nP -i -a -c claude  # while a session runs",
    // No program traces another one unless system integrity protection is off.
    all_connections: "lsof -nP -i -a -c claude -r 1  # while a session runs",
    runtime_directory: "$(getconf DARWIN_USER_CACHE_DIR)lclaude/",
};

const HERE: &Words = if cfg!(target_os = "macos") { &MACOS } else { &LINUX };

/// Shows the connections of running Claude Code processes.
pub(crate) const CONNECTIONS: &str = HERE.connections;
/// Where the runtime directory usually is.
pub(crate) const RUNTIME_DIRECTORY: &str = HERE.runtime_directory;
/// The sysctl(8) key of the limit of open files of all programs together.
pub(crate) const OPEN_FILES_KEY: &str = HERE.open_files_key;
/// Shows how much memory is used.
pub(crate) const SHOW_MEMORY: &str = HERE.show_memory;

/// Returns the help that lists the programs that listen on ports.
pub(crate) fn list_listeners() -> String {
    format!("{}  # lists the programs that listen on ports", HERE.list_listeners)
}

/// Returns the command that lists the libraries of a program. `path` is quoted.
pub(crate) fn list_libraries(path: &str) -> String {
    format!("{} {path}", HERE.list_libraries)
}

/// Returns the command that shows every connection of one session, its tools included.
pub(crate) fn all_connections(session: &str) -> String {
    HERE.all_connections.replace("{}", session)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(words: &Words) -> [&'static str; 7] {
        let Words { list_listeners, show_memory, list_libraries, open_files_key, .. } = *words;
        let Words { connections, all_connections, runtime_directory, .. } = *words;
        [list_listeners, show_memory, list_libraries, open_files_key, connections, all_connections, runtime_directory]
    }

    #[test]
    fn each_system_has_words_of_its_own() {
        const ONLY_LINUX: &[&str] = &["ss", "free", "ldd", "strace", "/proc", "/run", "XDG_RUNTIME_DIR", "fs."];
        const ONLY_MACOS: &[&str] = &["otool", "memory_pressure", "DARWIN", "kern."];
        let names = |text: &str, word: &str| {
            text.match_indices(word).any(|(at, _)| {
                let (before, after) = (&text[..at], &text[at + word.len()..]);
                let is_letter = |next: Option<char>| next.is_some_and(char::is_alphabetic);
                !is_letter(before.chars().next_back()) && (!is_letter(after.chars().next()) || word.ends_with('.'))
            })
        };
        for (words, foreign) in [(&MACOS, ONLY_LINUX), (&LINUX, ONLY_MACOS)] {
            for text in all(words) {
                for word in foreign {
                    assert!(!names(text, word), "{text} names {word}");
                }
            }
        }
        for text in all(&LINUX) {
            assert!(!all(&MACOS).contains(&text), "{text}");
        }
    }

    #[test]
    fn commands_name_what_they_are_about() {
        assert!(list_libraries("/bin/x").ends_with(" /bin/x"));
        assert!(cfg!(target_os = "macos") || all_connections("lclaude").contains("lclaude -p hi"));
    }
}
