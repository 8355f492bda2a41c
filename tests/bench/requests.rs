//! The size of Claude Code's first request for each tool set, as the table in docs/figures.md.

use support::{Stage, Value, requests};

/// Bytes of a token: 4.26 to 4.42 in these requests with the tokenizer of gpt-oss (o200k).
const TOKEN: f64 = 4.3;

/// Prints the table, if the real Claude Code is there.
pub fn all() {
    let Some(stage) = requests::lived_in() else { return };
    println!("\n| tools | mode | whole request | tools | system prompt | first message |\n|---|---|---|---|---|---|");
    for set in ["all", "local", "lean"] {
        row(set, "terminal", &requests::typed(&stage, &["--toolset", set]));
        row(set, "`-p`", &requests::printed(&stage, &["--toolset", set]));
    }
    by_tool(&stage);
}

fn row(set: &str, mode: &str, request: &Value) {
    let tools = request["tools"].as_array().map_or(0, Vec::len);
    let parts = [request, &request["tools"], &request["system"], &request["messages"][0]].map(size);
    let [whole, of_tools, system, first] = parts.map(|bytes| (kilobytes(bytes), bytes as f64 / TOKEN));
    println!(
        "| `{set}` | {mode} | {}, about {:.1}k tokens | {tools}: {} | {} | {} |",
        whole.0,
        whole.1 / 1000.0,
        of_tools.0,
        system.0,
        first.0
    );
}

/// Prints the bytes of each tool.
fn by_tool(stage: &Stage) {
    let request = requests::typed(stage, &["--toolset", "all"]);
    let mut tools: Vec<(usize, &str)> = request["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tool| (size(tool), tool["name"].as_str().unwrap_or_default()))
        .collect();
    tools.sort_unstable();
    let tools: Vec<String> = tools.iter().rev().map(|(bytes, name)| format!("{name} {bytes}")).collect();
    println!("\nbytes of each tool: {}", tools.join(", "));
}

fn size(part: &Value) -> usize {
    part.to_string().len()
}

fn kilobytes(bytes: usize) -> String {
    format!("{:.1} kB", bytes as f64 / 1000.0)
}
