//! Graphics memory, from the programs that come with the drivers. Whatever goes wrong with them, nothing is known.

use std::{
    io::Read,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use super::amount::Amount;
use crate::base::process::Identity;

/// A driver in trouble lets its program wait for ever.
const PATIENCE: Duration = Duration::from_secs(3);
const MEBIBYTE: u64 = 1024 * 1024;

/// Every card that a program tells of.
pub fn gpus() -> Vec<Amount> {
    let nvidia = ask("nvidia-smi", &["--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]);
    let amd = || ask("rocm-smi", &["--showmeminfo", "vram", "--json"]);
    let found = nvidia.map(|text| read_nvidia(&text)).filter(|cards| !cards.is_empty());
    found.or_else(|| amd().map(|text| read_amd(&text))).unwrap_or_default()
}

/// What a program prints, if it exists and ends well and in time.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let path = which::which(program).ok()?;
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut stdout = child.stdout.take()?;
    let identity = Identity::of(child.id());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        let is_well = child.wait().is_ok_and(|ended| ended.success()) && read.is_ok();
        // Nobody listens any more once the patience is at its end.
        let _ = sender.send(is_well.then_some(text));
    });
    let said = receiver.recv_timeout(PATIENCE);
    // It is not waited for: one that the driver holds in a system call does not even die at once.
    if let (Err(_), Some(identity)) = (&said, identity) {
        identity.signal(Signal::KILL);
    }
    said.ok().flatten()
}

/// A card a line, `TOTAL, FREE` in MiB; those that share the machine's memory say that they have none.
fn read_nvidia(text: &str) -> Vec<Amount> {
    let card = |line: &str| {
        let (total, free) = line.split_once(',')?;
        let of = |text: &str| text.trim().parse::<u64>().ok()?.checked_mul(MEBIBYTE);
        Some(Amount { total: of(total)?, free: of(free)? })
    };
    text.lines().filter_map(card).collect()
}

fn read_amd(text: &str) -> Vec<Amount> {
    let cards: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let card = |card: &Value| {
        let of = |name: &str| card[name].as_str()?.parse::<u64>().ok();
        let total = of("VRAM Total Memory (B)")?;
        Some(Amount { total, free: total.saturating_sub(of("VRAM Total Used Memory (B)")?) })
    };
    cards.values().filter_map(card).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn nvidias_cards_are_read() {
        let cards = read_nvidia("24564, 23900\n[N/A], [N/A]\n8192, 8000\nno line\n");
        let of = |total: u64, free: u64| Amount { total: total * MEBIBYTE, free: free * MEBIBYTE };
        assert_eq!(cards, [of(24_564, 23_900), of(8192, 8000)]);
    }

    #[test]
    fn amds_cards_are_read() {
        let text = r#"{"card0": {"VRAM Total Memory (B)": "1000", "VRAM Total Used Memory (B)": "400"}, "system": {}}"#;
        assert_eq!(read_amd(text), [Amount { total: 1000, free: 600 }]);
        assert_eq!(read_amd("WARNING: no device"), []);
    }

    #[test]
    fn a_program_that_is_not_there_says_nothing() {
        assert_eq!(ask("lclaude-has-no-such-program", &[]), None);
        assert_eq!(ask("false", &[]), None);
        assert_eq!(ask("echo", &["1, 2"]).as_deref(), Some("1, 2\n"));
    }

    #[test]
    fn a_program_that_hangs_is_given_up_whatever_it_closed() {
        let asked = Instant::now();
        assert_eq!(ask("sh", &["-c", "echo 1, 2; exec sleep 1000"]), None);
        assert_eq!(ask("sh", &["-c", "echo 1, 2; exec >&-; exec sleep 1000"]), None);
        assert!(asked.elapsed() < 10 * PATIENCE);
    }
}
