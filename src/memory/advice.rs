//! Messages about memory. Every suggested setting was checked against the same estimate.

use super::{
    estimate::{Estimate, Need},
    machine::Machine,
    shape::Layout,
};
use crate::base::{
    context::{LEAN_BELOW, MIN_CONTEXT},
    error::{Code, Failure},
    ui::{format_bytes, one_line},
    wsl,
};

/// The smallest context to suggest.
const SMALLEST: u32 = MIN_CONTEXT.next_multiple_of(8192);
/// Contexts to suggest, largest first.
const CONTEXTS: &[u32] = &[131_072, 98_304, 65_536, 49_152, 32_768, SMALLEST];

/// Returns what the models need and what the machine has, in one line.
pub(crate) fn describe(estimate: &Estimate, machine: &Machine) -> String {
    let later = match estimate.kept_prompts {
        0 => String::new(),
        kept => format!(", later up to {} more for cached prompts", format_bytes(kept)),
    };
    format!("{}{later}; {}", describe_need(estimate, estimate.need()), machine)
}

/// Returns the failure for models that can't fit.
pub(crate) fn refusal(estimate: &Estimate, machine: &Machine) -> Failure {
    // An eighth is left to the rest of the system.
    let room = machine.room(machine.all().total / 8 * 7, estimate.kept_prompts);
    let failure = Failure::new(Code::Unavailable, format!("{} not fit in memory", with_verb(estimate, "does", "do")))
        .cause(format!("{}; {}", describe_need(estimate, estimate.need()), machine));
    failure
        .helps(suggestions(estimate, room))
        .help("lclaude local config set memory_check false  # starts it anyway")
        .helps(more_memory())
}

/// Returns the warning for models that may not fit.
pub(crate) fn warning(estimate: &Estimate, machine: &Machine) -> String {
    let room = machine.room(machine.all().free, estimate.kept_prompts);
    let raised = machine.raise_graphics_limit(estimate.need().total());
    let help = raised.into_iter().chain(suggestions(estimate, room)).chain(more_memory());
    let help = help.map(|line| format!("\n  help: {}", one_line(line))).collect::<String>();
    format!("warning: memory is tight: {}{help}", one_line(describe(estimate, machine)))
}

/// Returns the command that gives WSL more of Windows' memory, or `None` outside of WSL.
pub(crate) fn more_memory() -> Option<String> {
    wsl::version().map(|_| wsl::set("memory=…GB", ", since WSL gets only half of Windows' memory by default"))
}

/// Returns the names of the models, followed by the verb in its singular or plural form.
fn with_verb(estimate: &Estimate, singular: &str, plural: &str) -> String {
    let names: Vec<&str> = estimate.models.iter().map(|model| &*model.name).collect();
    format!("{} {}", names.join(" and "), if names.len() > 1 { plural } else { singular })
}

fn describe_need(estimate: &Estimate, need: Need) -> String {
    let least = if estimate.is_partial() { "at least" } else { "about" };
    let cache = estimate.models.iter().filter(|model| model.shape.is_some()).map(|model| &model.layout);
    let cache = cache.max_by_key(|layout| layout.context).map(|layout| {
        let kind = if layout.cache_k == layout.cache_v {
            layout.cache_k.clone()
        } else {
            format!("{} and {}", layout.cache_k, layout.cache_v)
        };
        format!(
            ", KV cache {} ({} tokens, {kind}), buffers {}",
            format_bytes(need.cache),
            layout.context,
            format_bytes(need.buffers)
        )
    });
    format!(
        "{} {least} {} (weights {}{})",
        with_verb(estimate, "takes", "take"),
        format_bytes(need.total()),
        format_bytes(need.weights),
        cache.unwrap_or_default()
    )
}

/// Returns settings with which the models fit into `room` bytes, the least intrusive first.
fn suggestions(estimate: &Estimate, room: u64) -> Vec<String> {
    let need = |layout: &dyn Fn(&Layout) -> Layout| estimate.need_with(layout).total();
    let fits = |need: u64| need <= room;
    let total = estimate.need().total();
    let mut found = Vec::new();
    let kind = smaller_cache(estimate);
    let cache = kind.zip(estimate.cache_setting).map(|(kind, setting)| (kind, setting.replace("{}", kind)));
    if let Some((kind, setting)) = &cache {
        let with = need(&|layout| layout.with_cache(kind));
        if fits(with) && with < total {
            found.push(format!("set {setting}  # takes about {}", format_bytes(with)));
        }
    }
    let asked = estimate.models.iter().map(|model| model.layout.context).max().unwrap_or(0);
    let smaller = || CONTEXTS.iter().copied().filter(|context| *context < asked);
    let lean = |context: u32| if context < LEAN_BELOW { ", and makes sessions lean" } else { "" };
    if let Some(context) = smaller().find(|context| fits(need(&|layout| layout.with_context(*context)))) {
        let with = need(&|layout| layout.with_context(context));
        found.push(format!("lclaude --context {context}  # takes about {}{}", format_bytes(with), lean(context)));
    }
    if let (true, Some((kind, setting))) = (found.is_empty(), &cache) {
        let both = |context: u32| need(&|layout| layout.with_cache(kind).with_context(context));
        if let Some(context) = smaller().find(|context| fits(both(*context))) {
            found.push(format!(
                "set {setting} and context = {context}  # takes about {}{}",
                format_bytes(both(context)),
                lean(context)
            ));
        }
    }
    if found.is_empty() {
        found.push(smaller_model(estimate, room));
    }
    found
}

/// Returns the next smaller cache type with which models still answer well.
fn smaller_cache(estimate: &Estimate) -> Option<&'static str> {
    let layout = &estimate.models.first()?.layout;
    match (&*layout.cache_k, &*layout.cache_v) {
        ("f16" | "bf16" | "f32", _) | (_, "f16" | "bf16" | "f32") => Some("q8_0"),
        ("q8_0", _) | (_, "q8_0") => Some("q4_0"),
        _ => None,
    }
}

fn smaller_model(estimate: &Estimate, room: u64) -> String {
    let need = estimate.need_with(|layout| layout.with_context(SMALLEST));
    let rest = room.saturating_sub(need.cache).saturating_sub(need.buffers);
    if rest > need.weights / 3 {
        format!("use a smaller quantization (at most {}) or a smaller model", format_bytes(rest))
    } else {
        "use a smaller model".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{amount::Amount, estimate::ModelMemory};

    const GB: u64 = 1_000_000_000;

    /// 18.5 GB of weights, and 3.5 GB of cache for 65,536 tokens.
    fn estimate() -> Estimate {
        let model = ModelMemory::glm_4_7_flash("glm".into(), Layout::new(65_536));
        Estimate { models: vec![model], kept_prompts: 0, cache_setting: Some("[x] kv = \"{}\"") }
    }

    fn machine(total: u64, free: u64) -> Machine {
        Machine { ram: Amount { total, free }, ..Machine::default() }
    }

    #[test]
    fn description_lists_weights_cache_and_buffers() {
        let text = describe(&estimate(), &machine(32 * GB, 28 * GB));
        assert_eq!(
            text,
            "glm takes about 22.2 GB (weights 18.5 GB, KV cache 3.5 GB (65536 tokens, f16), buffers 151 MB); \
             28.0 GB of 32.0 GB is free"
        );
        let mut partial = estimate();
        partial.models[0].shape = None;
        assert!(describe(&partial, &machine(32 * GB, 28 * GB)).starts_with("glm takes at least 18.5 GB"));
    }

    #[test]
    fn suggested_settings_fit() {
        let help = |room: u64| refusal(&estimate(), &machine(room / 7 * 8 + 8, 0)).help;
        let skip_check = "lclaude local config set memory_check false  # starts it anyway";
        assert_eq!(
            help(21 * GB),
            [
                "set [x] kv = \"q8_0\"  # takes about 20.5 GB",
                "lclaude --context 32768  # takes about 20.4 GB, and makes sessions lean",
                skip_check
            ]
        );
        assert_eq!(
            help(20 * GB),
            ["lclaude --context 24576  # takes about 19.9 GB, and makes sessions lean", skip_check]
        );
        let both = "set [x] kv = \"q8_0\" and context = 32768  # takes about 19.6 GB, and makes sessions lean";
        assert_eq!(help(19_600_000_000), [both, skip_check]);
        assert_eq!(help(16 * GB), ["use a smaller quantization (at most 14.6 GB) or a smaller model", skip_check]);
        assert_eq!(help(4 * GB), ["use a smaller model", skip_check]);
    }

    #[test]
    fn limit_of_graphics_is_raised_or_the_need_made_smaller() {
        let limited =
            Machine { graphics_limit: Some(21 * GB), graphics_setting: Some(20_027), ..machine(32 * GB, 30 * GB) };
        assert_eq!(
            warning(&estimate(), &limited),
            "warning: memory is tight: glm takes about 22.2 GB (weights 18.5 GB, KV cache 3.5 GB (65536 tokens, f16), \
             buffers 151 MB); 30.0 GB of 32.0 GB is free, of which graphics may use about 21.0 GB\
             \n  help: sudo sysctl iogpu.wired_limit_mb=21504  # until the next restart; now it is about 21.0 GB\
             \n  help: set [x] kv = \"q8_0\"  # takes about 20.5 GB\
             \n  help: lclaude --context 32768  # takes about 20.4 GB, and makes sessions lean"
        );
    }

    #[test]
    fn smaller_cache_is_the_next_smaller_type() {
        let small = |kind: &str| {
            let mut estimate = estimate();
            estimate.models[0].layout = estimate.models[0].layout.with_cache(kind);
            smaller_cache(&estimate)
        };
        assert_eq!(small("f16"), Some("q8_0"));
        assert_eq!(small("q8_0"), Some("q4_0"));
        assert_eq!(small("q4_0"), None);
    }
}
