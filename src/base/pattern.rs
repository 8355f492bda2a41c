//! Wildcard patterns for the environment variables that a child process must not inherit.

/// Returns whether `name` matches `pattern`, in which each `*` stands for any characters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether `name` is that of a GGUF file, by its ending.
pub(crate) fn is_gguf(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".gguf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asterisk_matches_any_characters() {
        assert!(matches("OTEL_*", "OTEL_X"));
        assert!(matches("ANTHROPIC_*MODEL*", "ANTHROPIC_SMALL_FAST_MODEL"));
        assert!(matches("CLAUDE_CODE_*_FILE_DESCRIPTOR", "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR"));
        assert!(matches("CLAUDECODE", "CLAUDECODE"));
        assert!(!matches("CLAUDECODE", "CLAUDECODE2"));
        assert!(!matches("OTEL_*", "HOTEL_X"));
        assert!(!matches("CLAUDE_CODE_SKIP_*_AUTH", "CLAUDE_CODE_SKIP_PROMPT_HISTORY"));
    }
}
