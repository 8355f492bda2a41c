//! Checks whether a model fits in memory, by LM Studio's own estimate (`lms load --estimate-only`) or else by its file.

use super::{
    model::InstalledModel,
    plan::{DEFAULT_MODEL, Studio},
};
use crate::{
    backend::context::{SMALLER_MODEL, smaller},
    base::{
        error::{Code, Failure, Result},
        size,
        ui::{self, format_bytes},
    },
    memory::{self, Estimate, Fit, Layout},
};

impl Studio {
    /// Returns a warning if memory is tight. Call it before a load, while LM Studio is running.
    ///
    /// # Errors
    /// `Unavailable` if the model can't fit, unless `memory_check` is off.
    pub(super) async fn check_memory(&self, model: &InstalledModel, context: u32) -> Result<Option<String>> {
        if !self.memory_check {
            return Ok(None);
        }
        let need = match self.estimate_by_lms(model, context).await {
            Some(own) => Some(own),
            None => self.estimate_from_file(model, context),
        };
        let Some((need, (fit, machine))) = need.and_then(|need| Some((need, memory::compare(need, 0)?))) else {
            return Ok(None);
        };
        let takes = format!("it needs about {} with a context of {context} tokens; {machine}", format_bytes(need));
        match fit {
            Fit::Yes => Ok(None),
            Fit::Tight => Ok(Some(format!(
                "warning: memory is tight for {}: {takes}{}\n  help: {}\n  help: {SMALLER_MODEL}{}",
                ui::one_line(&model.model_key),
                machine.raise_graphics_limit(need).map(|line| format!("\n  help: {line}")).unwrap_or_default(),
                smaller(context),
                memory::more_memory().map(|line| format!("\n  help: {line}")).unwrap_or_default()
            ))),
            Fit::No => Err(Failure::new(Code::Unavailable, format!("{} does not fit in memory", model.model_key))
                .cause(takes)
                .help(smaller(context))
                .help(SMALLER_MODEL)
                .help("lclaude local config set memory_check false  # starts it anyway")
                .helps(memory::more_memory())),
        }
    }

    /// Checks the default model before its download. The size of other models isn't known yet.
    ///
    /// # Errors
    /// `Unavailable` if it can't fit, unless `memory_check` is off.
    pub(super) fn check_download(&self, key: &str, context: u32) -> Result<()> {
        if !self.memory_check || key != DEFAULT_MODEL {
            return Ok(());
        }
        let model = memory::ModelMemory::glm_4_7_flash(key.to_owned(), Layout::new(context));
        let estimate = Estimate { models: vec![model], kept_prompts: 0, cache_setting: None };
        match estimate.compare() {
            Some((Fit::No, machine)) => Err(memory::refusal(&estimate, &machine)),
            _ => Ok(()),
        }
    }

    /// Returns LM Studio's own estimate in bytes.
    async fn estimate_by_lms(&self, model: &InstalledModel, context: u32) -> Option<u64> {
        let length = context.to_string();
        let arguments = ["load", &model.model_key, "--estimate-only", "-c", &length, "--gpu", &self.gpu, "-y"];
        let output = self.command(&arguments).output().await.ok().filter(|output| output.status.success())?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        // lms estimates the first model with a similar name.
        let is_ours = text.lines().any(|line| line.trim() == format!("Model: {}", model.model_key));
        is_ours.then(|| parse_total(&text)).flatten()
    }

    fn estimate_from_file(&self, model: &InstalledModel, context: u32) -> Option<u64> {
        let estimate =
            Estimate { models: vec![self.memory_model(model, context)], kept_prompts: 0, cache_setting: None };
        estimate.is_known().then(|| estimate.need().total())
    }
}

/// Returns the bytes after `Estimated Total Memory:`, such as `4.36 GiB`, with or without color codes.
fn parse_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.split_once("Estimated Total Memory:"))?.1;
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    size::parse(&plain)
}

#[cfg(test)]
mod tests {
    use super::parse_total;

    #[test]
    fn estimated_total_memory_is_parsed() {
        assert_eq!(
            parse_total("Model: x\nEstimated GPU Memory:   1 GiB\nEstimated Total Memory: 4.50 GiB\n"),
            Some(4_831_838_208)
        );
        assert_eq!(parse_total("Estimated Total Memory: \x1b[32m512.00 MiB\x1b[39m"), Some(536_870_912));
        assert_eq!(parse_total("Estimated Total Memory: lots"), None);
        assert_eq!(parse_total("Model loaded successfully"), None);
    }
}
