//! Whether a model fits, by LM Studio's own estimate (`lms load --estimate-only`), or else by the model's file.

use super::{
    model::Model,
    plan::{DEFAULT_MODEL, Studio},
};
use crate::{
    base::{
        error::{Code, Failure, Result},
        ui::size,
    },
    memory::{self, Estimate, Fit, Layout},
};

impl Studio {
    /// To be asked before a load, while LM Studio runs. Gives what the user should know.
    ///
    /// # Errors
    /// `Unavailable` when it cannot fit, unless the user has said that it may try.
    pub(super) async fn check_memory(&self, model: &Model, context: u32) -> Result<Option<String>> {
        if !self.memory_check {
            return Ok(None);
        }
        let need = match self.own_estimate(model, context).await {
            Some(own) => Some(own),
            None => self.by_its_file(model, context),
        };
        let Some((need, (fit, machine))) = need.and_then(|need| Some((need, memory::weigh(need, 0)?))) else {
            return Ok(None);
        };
        let takes = format!("it takes about {} with a context of {context} tokens; {machine}", size(need));
        match fit {
            Fit::Yes => Ok(None),
            Fit::Tight => Ok(Some(format!(
                "warning: memory is tight for {}: {takes}\n  help: a smaller --context or model",
                model.model_key
            ))),
            Fit::No => Err(Failure::new(Code::Unavailable, format!("{} does not fit into memory", model.model_key))
                .why(takes)
                .help("a smaller --context, a smaller quantisation (lms get lists them), or a smaller model")
                .help("memory_check = false in the configuration starts it all the same")),
        }
    }

    /// The same before a download, of the one model whose figures are known by then.
    ///
    /// # Errors
    /// Likewise.
    pub(super) fn check_download(&self, key: &str, context: u32) -> Result<()> {
        if !self.memory_check || key != DEFAULT_MODEL {
            return Ok(());
        }
        let model = memory::Model::glm_4_7_flash(key.to_owned(), Layout::new(context));
        let estimate = Estimate { models: vec![model], kept_prompts: 0, cache_setting: None };
        match estimate.weigh() {
            Some((Fit::No, machine)) => Err(memory::refusal(&estimate, &machine)),
            _ => Ok(()),
        }
    }

    async fn own_estimate(&self, model: &Model, context: u32) -> Option<u64> {
        let length = context.to_string();
        let arguments = ["load", &model.model_key, "--estimate-only", "-c", &length, "--gpu", &self.gpu, "-y"];
        let output = self.command(&arguments).output().await.ok().filter(|output| output.status.success())?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // It takes the first model that looks like the one it is asked for.
        let is_ours = said.lines().any(|line| line.trim() == format!("Model: {}", model.model_key));
        is_ours.then(|| read(&said)).flatten()
    }

    fn by_its_file(&self, model: &Model, context: u32) -> Option<u64> {
        let estimate = Estimate { models: vec![self.weighed(model, context)], kept_prompts: 0, cache_setting: None };
        estimate.is_known().then(|| estimate.need().total())
    }
}

/// The bytes after `Estimated Total Memory:`, as in `4.36 GiB`, colours or not.
fn read(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Estimated Total Memory:"))?.1;
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let (number, unit) = plain.trim().split_once(' ')?;
    let power = ["Bytes", "KiB", "MiB", "GiB", "TiB"].iter().position(|known| *known == unit)?;
    let number: f64 = number.parse().ok().filter(|number| *number >= 0.0)?;
    Some((number * 1024_f64.powi(i32::try_from(power).ok()?)) as u64)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn lm_studios_figure_is_read() {
        assert_eq!(
            read("Model: x\nEstimated GPU Memory:   1 GiB\nEstimated Total Memory: 4.50 GiB\n"),
            Some(4_831_838_208)
        );
        assert_eq!(read("Estimated Total Memory: \x1b[32m512.00 MiB\x1b[39m"), Some(536_870_912));
        assert_eq!(read("Estimated Total Memory: lots"), None);
        assert_eq!(read("Model loaded successfully"), None);
    }
}
