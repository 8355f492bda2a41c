//! The models that llama-server has downloaded from Hugging Face (`-hf`), in the cache that other programs use too:
//! `models--USER--REPO/snapshots/REVISION/FILE.gguf`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::base::{disk, environment::Environment};

/// Marks in the names of files that aren't models: image projectors, draft models and statistics.
const NOT_MODELS: &[&str] = &["mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"];
/// The quantizations that llama-server prefers if none is named.
const PREFERRED: &[&str] = &["Q4_K_M", "Q8_0"];

/// Returns the cache directory, by the same rules as llama-server.
fn hub(environment: &Environment) -> PathBuf {
    let variable = |name: &str| environment.variables.path(name);
    variable("LLAMA_CACHE")
        .or_else(|| variable("HF_HUB_CACHE"))
        .or_else(|| Some(variable("HF_HOME")?.join("hub")))
        .unwrap_or_else(|| {
            variable("XDG_CACHE_HOME").unwrap_or(environment.home().join(".cache")).join("huggingface/hub")
        })
}

/// A repository in the cache.
struct Repository {
    /// `user/repo`.
    name: String,
    /// The directory of its newest revision.
    snapshot: PathBuf,
}

impl Repository {
    fn at(directory: &Path) -> Option<Self> {
        let name = directory.file_name()?.to_str()?.strip_prefix("models--")?.replacen("--", "/", 1);
        let main = disk::read_to_string(&directory.join("refs/main")).ok();
        let named = main.map(|revision| directory.join("snapshots").join(revision.trim())).filter(|path| path.is_dir());
        let snapshot = named.or_else(|| entries(&directory.join("snapshots")).into_iter().next())?;
        Some(Repository { name, snapshot })
    }

    /// Returns the first file of each model. Some repositories have a directory for each quantization.
    fn models(&self) -> Vec<PathBuf> {
        let mut files = entries(&self.snapshot);
        let deeper: Vec<PathBuf> = files.iter().filter(|path| path.is_dir()).flat_map(|path| entries(path)).collect();
        files.extend(deeper);
        files.retain(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let is_later_part = name.contains("-of-") && !name.contains("-00001-of-");
            name.ends_with(".gguf") && !is_later_part && !NOT_MODELS.iter().any(|mark| name.contains(mark))
        });
        files
    }

    /// Returns the file of a quantization, or of the one that llama-server prefers.
    fn model(&self, quant: Option<&str>) -> Option<PathBuf> {
        let models = self.models();
        let find = |tag: &str| {
            let marks = [".", "-"].map(|end| format!("{tag}{end}").to_uppercase());
            let has = |file: &&PathBuf| marks.iter().any(|mark| self.within(file).to_uppercase().contains(mark));
            models.iter().find(has).cloned()
        };
        match quant {
            Some(quant) => find(quant),
            None => PREFERRED.iter().find_map(|tag| find(tag)).or_else(|| models.first().cloned()),
        }
    }

    fn within(&self, file: &Path) -> String {
        file.strip_prefix(&self.snapshot).unwrap_or(file).to_string_lossy().into_owned()
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Returns whether any file of the repository is in the cache.
pub(crate) fn is_cached(name: &str, environment: &Environment) -> bool {
    repository(name, environment).is_some()
}

fn repository(name: &str, environment: &Environment) -> Option<Repository> {
    let repo = name.split(':').next().unwrap_or(name).replace('/', "--");
    Repository::at(&hub(environment).join(format!("models--{repo}")))
}

/// Returns the file of `user/repo[:quant]`, if it is in the cache.
pub(crate) fn find(name: &str, environment: &Environment) -> Option<PathBuf> {
    repository(name, environment)?.model(name.split_once(':').map(|(_, quant)| quant))
}

/// Returns all models in the cache, each with its name.
pub(crate) fn all(environment: &Environment) -> Vec<(String, PathBuf)> {
    let repositories = entries(&hub(environment)).into_iter().filter_map(|directory| Repository::at(&directory));
    let named = |repository: Repository| {
        let models = repository.models().into_iter();
        let named = models.map(|file| (format!("{}:{}", repository.name, quant(&file)), file));
        named.collect::<Vec<_>>()
    };
    repositories.flat_map(named).collect()
}

/// Returns the quantization of a file: the last word of its name, such as `Q4_K_M`.
fn quant(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gguf").unwrap_or(&name);
    let stem = stem.find("-00001-of-").map_or(stem, |at| &stem[..at]);
    stem.rsplit(['-', '.']).next().unwrap_or(stem).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(files: &[&str]) -> (tempfile::TempDir, Repository) {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("models--me--x-GGUF");
        for file in files {
            let file = directory.join("snapshots/abc").join(file);
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            fs::write(file, "").expect("a file");
        }
        let repository = Repository::at(&directory).expect("a repository");
        (root, repository)
    }

    fn found(files: &[&str], quant: Option<&str>) -> Option<String> {
        let (_root, repository) = repository(files);
        assert_eq!(repository.name, "me/x-GGUF");
        repository.model(quant).map(|file| repository.within(&file))
    }

    #[test]
    fn chosen_file_matches_llama_server() {
        let files = ["x-Q8_0.gguf", "x-Q4_K_M.gguf", "mmproj-x-f16.gguf", "README.md"];
        assert_eq!(found(&files, Some("q8_0")).as_deref(), Some("x-Q8_0.gguf"));
        assert_eq!(found(&files, None).as_deref(), Some("x-Q4_K_M.gguf"));
        assert_eq!(found(&files, Some("Q6_K")), None);
        assert_eq!(found(&["mmproj-x-f16.gguf"], None), None);
    }

    #[test]
    fn split_model_is_found_by_first_part() {
        let files = ["Q6_K/x-Q6_K-00002-of-00002.gguf", "Q6_K/x-Q6_K-00001-of-00002.gguf"];
        assert_eq!(found(&files, Some("Q6_K")).as_deref(), Some("Q6_K/x-Q6_K-00001-of-00002.gguf"));
        assert_eq!(quant(Path::new("x-Q6_K-00001-of-00002.gguf")), "Q6_K");
    }
}
