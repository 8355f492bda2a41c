//! Graphics memory, as reported by the programs that come with the drivers. If they fail, it is unknown.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use super::amount::Amount;
use crate::base::output;

/// Programs are killed after this time, because they hang if the driver does.
const TIMEOUT: Duration = Duration::from_secs(3);
const MEBIBYTE: u64 = 1024 * 1024;
/// Where WSL puts the driver's programs. Shells that read no profile don't have it on PATH.
const WSL: &str = "/usr/lib/wsl/lib";

/// Returns the memory of every card that a program reports.
pub(crate) fn gpus() -> Vec<Amount> {
    let nvidia = run("nvidia-smi", &["--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]);
    let amd = || run("rocm-smi", &["--showmeminfo", "vram", "--json"]);
    let found = nvidia.map(|text| parse_nvidia(&text)).filter(|cards| !cards.is_empty());
    found.or_else(|| amd().map(|text| parse_amd(&text))).unwrap_or_default()
}

/// Returns the output of a program, or `None` if it is missing, fails or takes too long.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let path = which::which(program).or_else(|_| which::which(Path::new(WSL).join(program))).ok()?;
    let mut command = Command::new(path);
    let output = output::output(command.args(arguments).stderr(Stdio::null()), TIMEOUT).ok()??;
    String::from_utf8(output.stdout).ok().filter(|_| output.status.success())
}

/// Parses one card per line, `TOTAL, FREE` in MiB. Cards that share the machine's memory print `[N/A]` and are skipped.
fn parse_nvidia(text: &str) -> Vec<Amount> {
    let card = |line: &str| {
        let (total, free) = line.split_once(',')?;
        let bytes = |text: &str| text.trim().parse::<u64>().ok()?.checked_mul(MEBIBYTE);
        Some(Amount { total: bytes(total)?, free: bytes(free)? })
    };
    text.lines().filter_map(card).collect()
}

fn parse_amd(text: &str) -> Vec<Amount> {
    let cards: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let card = |card: &Value| {
        let bytes = |name: &str| card[name].as_str()?.parse::<u64>().ok();
        let total = bytes("VRAM Total Memory (B)")?;
        Some(Amount { total, free: total.saturating_sub(bytes("VRAM Total Used Memory (B)")?) })
    };
    cards.values().filter_map(card).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvidia_cards_are_parsed() {
        let cards = parse_nvidia("24564, 23900\n[N/A], [N/A]\n8192, 8000\nno line\n");
        let card = |total: u64, free: u64| Amount { total: total * MEBIBYTE, free: free * MEBIBYTE };
        assert_eq!(cards, [card(24_564, 23_900), card(8192, 8000)]);
    }

    #[test]
    fn amd_cards_are_parsed() {
        let text = r#"{"card0": {"VRAM Total Memory (B)": "1000", "VRAM Total Used Memory (B)": "400"}, "system": {}}"#;
        assert_eq!(parse_amd(text), [Amount { total: 1000, free: 600 }]);
        assert_eq!(parse_amd("WARNING: no device"), []);
    }

    #[test]
    fn missing_or_failing_program_has_no_output() {
        assert_eq!(run("lclaude-has-no-such-program", &[]), None);
        assert_eq!(run("false", &[]), None);
        assert_eq!(run("echo", &["1, 2"]).as_deref(), Some("1, 2\n"));
    }
}
