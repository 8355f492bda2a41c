//! Ollama's model stores on disk, and model names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    app,
    service::{self, Access},
    variables,
};
use crate::{
    backend::plan::{BackendPlan, Service},
    base::environment::Environment,
    config::Settings,
};

/// Prefixes that Ollama omits from names.
const REGISTRY: &str = "registry.ollama.ai/";
const LIBRARY: &str = "library/";

/// Returns a name completed as Ollama does.
pub(crate) fn full_name(model: &str) -> String {
    let short = model.strip_prefix(REGISTRY).unwrap_or(model);
    let short = short.strip_prefix(LIBRARY).unwrap_or(short);
    let last = short.rsplit('/').next().unwrap_or(short);
    if last.contains(':') { short.to_owned() } else { format!("{short}:latest") }
}

/// Returns whether two names mean the same model.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    full_name(one).eq_ignore_ascii_case(&full_name(other))
}

/// Returns whether this is a valid model name.
pub(crate) fn is_name(model: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    model.starts_with(|c: char| c.is_ascii_alphanumeric()) && model.chars().all(allowed)
}

/// Returns whether a model with this name runs on Ollama's servers.
pub(crate) fn is_cloud(model: &str) -> bool {
    let tag = model.rsplit(':').next().unwrap_or_default().to_lowercase();
    model.contains(':') && (tag == "cloud" || tag.ends_with("-cloud"))
}

/// Returns the name of the cloud model that Ollama's servers call `remote`.
pub(crate) fn cloud_name(remote: &str) -> String {
    match remote {
        cloud if is_cloud(cloud) => cloud.to_owned(),
        tagged if tagged.contains(':') => format!("{tagged}-cloud"),
        name => format!("{name}:cloud"),
    }
}

/// Returns the configured store.
fn named(settings: &Settings, environment: &Environment) -> Option<PathBuf> {
    settings.ollama.models_dir.clone().or_else(|| variables::store(environment))
}

fn own(home: &Path) -> PathBuf {
    home.join(".ollama/models")
}

/// Returns the store that has the models, or `None` for Ollama's default store.
pub(crate) fn choose(settings: &Settings, models: &[String], environment: &Environment) -> Option<PathBuf> {
    let home = environment.home();
    named(settings, environment).or_else(|| choose_between(&own(home), others(home), models))
}

/// Returns the stores besides the user's own, where the app or a service may keep its models.
fn others(home: &Path) -> impl Iterator<Item = PathBuf> {
    std::iter::once_with(|| app::store(home)).flatten().chain(service::stores().map(Path::to_owned))
}

fn choose_between(own: &Path, others: impl IntoIterator<Item = PathBuf>, models: &[String]) -> Option<PathBuf> {
    let has_all = |store: &Path| models.iter().all(|model| is_cloud(model) || find(store, model).is_some());
    if has_all(own) {
        return None;
    }
    others.into_iter().find(|store| service::access(store) == Access::Readable && has_all(store))
}

/// Returns the names of all models in a store. Each has a manifest at HOST/NAMESPACE/NAME/TAG.
pub(crate) fn stored(store: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for host in entries(&store.join("manifests")) {
        for namespace in entries(&host) {
            for model in entries(&namespace) {
                found.extend(entries(&model).iter().filter_map(|tag| name_of(tag)));
            }
        }
    }
    found.sort();
    found
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name_of(manifest: &Path) -> Option<String> {
    let parts: Vec<&str> = manifest.iter().rev().take(4).map(|part| part.to_str()).collect::<Option<_>>()?;
    let [tag, model, namespace, host] = parts[..] else {
        return None;
    };
    (!tag.starts_with('.')).then(|| full_name(&format!("{host}/{namespace}/{model}:{tag}")))
}

/// Returns a model's name as the store spells it. Ollama ignores case.
pub(crate) fn find(store: &Path, model: &str) -> Option<String> {
    stored(store).into_iter().find(|stored| is_same(stored, model))
}

/// Returns whether a private server uses a store other than Ollama's default.
pub(crate) fn is_named(plan: &BackendPlan) -> bool {
    matches!(&plan.service, Service::Program(program) if program.environment.contains_key(variables::MODELS))
}

/// Returns the store of this plan's private server, or `None` for a shared server.
pub(crate) fn of(plan: &BackendPlan, home: &Path) -> Option<PathBuf> {
    let Service::Program(program) = &plan.service else {
        return None;
    };
    Some(program.environment.get(variables::MODELS).map_or_else(|| own(home), PathBuf::from))
}

/// Returns all models that a private server could use.
pub(crate) fn all(settings: &Settings, environment: &Environment) -> Vec<String> {
    places(settings, environment).iter().flat_map(|store| stored(store)).collect()
}

/// Returns the stores that a private server could use, the user's own first.
pub(crate) fn places(settings: &Settings, environment: &Environment) -> Vec<PathBuf> {
    let home = environment.home();
    let usual = || std::iter::once(own(home)).chain(others(home)).collect();
    named(settings, environment).map_or_else(usual, |store| vec![store])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a store with these manifests.
    fn store(directory: &Path, manifests: &[&str]) -> PathBuf {
        fs::create_dir_all(directory.join("blobs")).expect("a directory");
        for manifest in manifests {
            let manifest = directory.join("manifests").join(manifest);
            fs::create_dir_all(manifest.parent().expect("a directory")).expect("a directory");
            fs::write(manifest, "{}").expect("a file");
        }
        directory.to_owned()
    }

    #[test]
    fn names_are_completed_like_ollama() {
        assert_eq!(full_name("qwen3"), "qwen3:latest");
        assert_eq!(full_name("qwen3:4b"), "qwen3:4b");
        assert_eq!(full_name("me/qwen3"), "me/qwen3:latest");
        assert_eq!(full_name("registry.ollama.ai/library/qwen3"), "qwen3:latest");
        assert_eq!(full_name("host:5000/me/x"), "host:5000/me/x:latest");
        assert!(is_same("Qwen3", "qwen3:LATEST") && !is_same("qwen3:4b", "qwen3"));
    }

    #[test]
    fn cloud_models_are_recognized_by_tag() {
        assert!(is_cloud("glm-4.7:cloud") && is_cloud("gpt-oss:120b-cloud") && is_cloud("x:Cloud"));
        assert!(!is_cloud("cloud:latest") && !is_cloud("cloud") && !is_cloud("my-cloud"));
    }

    #[test]
    fn cloud_names_end_in_cloud() {
        let named = ["gpt-oss:120b", "glm-4.7", "glm-4.7:cloud"].map(cloud_name);
        assert_eq!(named, ["gpt-oss:120b-cloud", "glm-4.7:cloud", "glm-4.7:cloud"]);
    }

    #[test]
    fn invalid_names_are_rejected() {
        assert!(is_name("hf.co/me/x:Q4_K_M"));
        assert!(!["", "/tmp/x.gguf", "-x", "a b", "../x"].into_iter().any(is_name));
    }

    #[test]
    fn stored_models_are_found_by_manifest() {
        let root = tempfile::tempdir().expect("a directory");
        let manifests = ["registry.ollama.ai/library/qwen3/4b", "registry.ollama.ai/me/X/latest", "hf.co/me/x/Q4"];
        let store = store(root.path(), &manifests);
        assert_eq!(stored(&store), ["hf.co/me/x:Q4", "me/X:latest", "qwen3:4b"]);
        assert_eq!(find(&store, "me/x").as_deref(), Some("me/X:latest"));
        assert_eq!(find(&store, "qwen3"), None);
    }

    #[test]
    fn service_store_is_used_if_only_it_has_the_model() {
        let root = tempfile::tempdir().expect("a directory");
        let own = store(&root.path().join("own"), &["registry.ollama.ai/library/small/latest"]);
        let service = store(&root.path().join("service"), &["registry.ollama.ai/library/big/latest"]);
        let chosen = |model: &str| choose_between(&own, [service.clone()], &[model.to_owned()]);
        assert_eq!(chosen("big:latest"), Some(service.clone()));
        assert_eq!(chosen("small:latest"), None);
        assert_eq!(chosen("neither:latest"), None);
        assert_eq!(choose_between(&own, [], &["big:latest".into()]), None);
        // A store that can be read only in part can't be used.
        fs::remove_dir(service.join("blobs")).expect("there");
        assert_eq!(chosen("big:latest"), None);
    }
}
