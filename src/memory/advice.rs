//! What there is to say about memory, with settings that were tried on the same figures before they are named.

use super::{
    amount::Amount,
    estimate::{Estimate, Need},
    machine::Machine,
    shape::Layout,
};
use crate::base::context::{LEAST_CONTEXT, ROOMY_CONTEXT};
use crate::base::{
    error::{Code, Failure},
    ui::size,
};

/// The smallest context that is proposed.
const SMALLEST: u32 = LEAST_CONTEXT.next_multiple_of(8192);
/// Contexts that are proposed, from the largest.
const CONTEXTS: &[u32] = &[131_072, 98_304, 65_536, 49_152, 32_768, SMALLEST];

/// What it takes, in one line.
pub fn describe(estimate: &Estimate, machine: &Machine) -> String {
    let later = match estimate.kept_prompts {
        0 => String::new(),
        kept => format!(", later up to {} more for prompts it has seen", size(kept)),
    };
    format!("{}{later}; {}", needed(estimate, estimate.need()), machine)
}

/// The failure for what cannot fit.
pub fn refusal(estimate: &Estimate, machine: &Machine) -> Failure {
    // Some of it is never free.
    let room = machine.all().total / 8 * 7;
    let failure = Failure::new(Code::Unavailable, format!("{} not fit into memory", subject(estimate, "does", "do")))
        .why(format!("{}; {}", needed(estimate, estimate.need()), machine));
    let failure = mends(estimate, room).into_iter().fold(failure, Failure::help);
    failure.help("memory_check = false in the configuration starts it all the same")
}

/// The words for what may not fit.
pub fn warning(estimate: &Estimate, machine: &Machine) -> String {
    let Amount { free, .. } = machine.all();
    let mends = mends(estimate, free).into_iter().map(|mend| format!("\n  help: {mend}")).collect::<String>();
    format!("warning: memory is tight: {}{mends}", describe(estimate, machine))
}

fn subject(estimate: &Estimate, one: &str, several: &str) -> String {
    let names: Vec<&str> = estimate.models.iter().map(|model| &*model.name).collect();
    format!("{} {}", names.join(" and "), if names.len() > 1 { several } else { one })
}

fn needed(estimate: &Estimate, need: Need) -> String {
    let least = if estimate.is_partial() { "at least" } else { "about" };
    let cache = estimate.models.iter().filter(|model| model.shape.is_some()).map(|model| &model.layout);
    let cache = cache.max_by_key(|layout| layout.context).map(|layout| {
        let kind = if layout.cache_k == layout.cache_v {
            layout.cache_k.clone()
        } else {
            format!("{} and {}", layout.cache_k, layout.cache_v)
        };
        format!(", KV cache {} ({} tokens, {kind}), buffers {}", size(need.cache), layout.context, size(need.buffers))
    });
    format!(
        "{} {least} {} (weights {}{})",
        subject(estimate, "takes", "take"),
        size(need.total()),
        size(need.weights),
        cache.unwrap_or_default()
    )
}

/// Settings with which it takes no more than `most`, the gentlest first.
fn mends(estimate: &Estimate, most: u64) -> Vec<String> {
    let need = |layout: &dyn Fn(&Layout) -> Layout| estimate.need_with(layout).total();
    let fits = |need: u64| need.saturating_add(estimate.kept_prompts) <= most;
    let total = estimate.need().total();
    let mut found = Vec::new();
    let kind = smaller_cache(estimate);
    let cache = kind.zip(estimate.cache_setting).map(|(kind, setting)| (kind, setting.replace("{}", kind)));
    if let Some((kind, setting)) = &cache {
        let with = need(&|layout| layout.with_cache(kind));
        if fits(with) && with < total {
            found.push(format!("{setting}: about {}", size(with)));
        }
    }
    let asked = estimate.models.iter().map(|model| model.layout.context).max().unwrap_or(0);
    let smaller = || CONTEXTS.iter().copied().filter(|context| *context < asked);
    let lean = |context: u32| if context < ROOMY_CONTEXT { ", for which Claude Code is made lean" } else { "" };
    if let Some(context) = smaller().find(|context| fits(need(&|layout| layout.with_context(*context)))) {
        let with = need(&|layout| layout.with_context(context));
        found.push(format!("--context {context}: about {}{}", size(with), lean(context)));
    }
    if let (true, Some((kind, setting))) = (found.is_empty(), &cache) {
        let both = |context: u32| need(&|layout| layout.with_cache(kind).with_context(context));
        if let Some(context) = smaller().find(|context| fits(both(*context))) {
            found.push(format!("--context {context} and {setting}: about {}{}", size(both(context)), lean(context)));
        }
    }
    if found.is_empty() {
        found.push(smaller_model(estimate, most));
    }
    found
}

/// The next smaller type of the cache that models still answer well with.
fn smaller_cache(estimate: &Estimate) -> Option<&'static str> {
    let layout = &estimate.models.first()?.layout;
    match (&*layout.cache_k, &*layout.cache_v) {
        ("f16" | "bf16" | "f32", _) | (_, "f16" | "bf16" | "f32") => Some("q8_0"),
        ("q8_0", _) | (_, "q8_0") => Some("q4_0"),
        _ => None,
    }
}

fn smaller_model(estimate: &Estimate, most: u64) -> String {
    let need = estimate.need_with(|layout| layout.with_context(SMALLEST));
    let rest = most.saturating_sub(need.cache).saturating_sub(need.buffers).saturating_sub(estimate.kept_prompts);
    if rest > need.weights / 3 {
        format!("a smaller quantisation, of {} at the most, or a smaller model", size(rest))
    } else {
        "a smaller model".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::estimate::Model;

    const GB: u64 = 1_000_000_000;

    /// Three and a half gigabytes of cache for 65,536 tokens, 18.5 of weights.
    fn estimate() -> Estimate {
        let model = Model::glm_4_7_flash("glm".into(), Layout::new(65_536));
        Estimate { models: vec![model], kept_prompts: 0, cache_setting: Some("[x] kv = \"{}\"") }
    }

    fn machine(total: u64, free: u64) -> Machine {
        Machine { ram: Amount { total, free }, ..Machine::default() }
    }

    #[test]
    fn what_it_takes_is_said_in_figures() {
        let said = describe(&estimate(), &machine(32 * GB, 28 * GB));
        assert_eq!(
            said,
            "glm takes about 22.2 GB (weights 18.5 GB, KV cache 3.5 GB (65536 tokens, f16), buffers 151 MB); \
             free is 28.0 GB of 32.0 GB"
        );
        let mut partial = estimate();
        partial.models[0].shape = None;
        assert!(describe(&partial, &machine(32 * GB, 28 * GB)).starts_with("glm takes at least 18.5 GB"));
    }

    #[test]
    fn settings_are_named_that_would_do() {
        // An eighth is left to the rest of the machine.
        let help = |room: u64| refusal(&estimate(), &machine(room / 7 * 8 + 8, 0)).help;
        let all_the_same = "memory_check = false in the configuration starts it all the same";
        assert_eq!(
            help(21 * GB),
            [
                "[x] kv = \"q8_0\": about 20.5 GB",
                "--context 32768: about 20.4 GB, for which Claude Code is made lean",
                all_the_same
            ]
        );
        assert_eq!(help(20 * GB), ["--context 24576: about 19.9 GB, for which Claude Code is made lean", all_the_same]);
        let both = "--context 32768 and [x] kv = \"q8_0\": about 19.6 GB, for which Claude Code is made lean";
        assert_eq!(help(19_600_000_000), [both, all_the_same]);
        assert_eq!(help(16 * GB), ["a smaller quantisation, of 14.6 GB at the most, or a smaller model", all_the_same]);
        assert_eq!(help(4 * GB), ["a smaller model", all_the_same]);
    }

    #[test]
    fn a_cache_that_is_small_already_is_made_smaller_still() {
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
