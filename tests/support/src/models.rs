//! Model files that consist of a GGUF header only.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::Path,
};

use lclaude_fakes::gguf::{Gguf, Value};

use super::{Stage, json};

/// Graphics memory in MiB that is enough for any model.
pub const ENOUGH: u64 = 64 * 1024 * 1024;

/// The header of a model file.
pub struct Head {
    layers: u32,
    heads: u32,
    width: u32,
}

impl Head {
    /// A model with 32 MiB of KV cache for 65,536 tokens.
    pub fn small() -> Self {
        Head { layers: 1, heads: 1, width: 128 }
    }

    /// A model with 34 TB of KV cache for 65,536 tokens, more than any machine has.
    pub fn huge() -> Self {
        Head { layers: 1000, heads: 128, width: 1024 }
    }

    pub fn write(&self, path: &Path) {
        let mut gguf = Gguf::default();
        let text = |text: &str| Value::String(text.to_owned());
        gguf.set("general.architecture", text("llama"));
        gguf.set("general.file_type", Value::U32(15));
        for (key, value) in [
            ("context_length", 131_072),
            ("embedding_length", self.width),
            ("block_count", self.layers),
            ("feed_forward_length", self.width),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.heads),
            ("attention.key_length", self.width),
            ("attention.value_length", self.width),
        ] {
            gguf.set(&format!("llama.{key}"), Value::U32(value));
        }
        gguf.set("tokenizer.ggml.tokens", Value::Strings(vec!["a".into(), "b".into()]));
        gguf.set("tokenizer.chat_template", text("{% if tools %}{{ tools }}{% endif %}"));
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        gguf.write(&mut BufWriter::new(File::create(path).expect("a file"))).expect("room");
    }
}

impl Stage {
    /// Writes a complete model into the Ollama store: weights, template and parameters.
    pub fn fill(&self, name: &str, head: &Head, template: &str, parameters: &str) {
        self.fill_sized(name, head, 0, template, parameters);
    }

    /// Writes a complete model whose weights have at least this many bytes, which take no room on the disk.
    pub fn fill_sized(&self, name: &str, head: &Head, size: u64, template: &str, parameters: &str) {
        let store = self.home().join(".ollama/models");
        let (model, tag) = name.split_once(':').expect("a name and a tag");
        // A digest has no other characters.
        let digest: String = model.chars().chain(tag.chars()).filter(char::is_ascii_alphanumeric).collect();
        let blob = |kind: &str| store.join(format!("blobs/sha256-{digest}{kind}"));
        head.write(&blob("model"));
        let weights = File::options().write(true).open(blob("model")).expect("a file");
        let header = weights.metadata().expect("a file").len();
        weights.set_len(header.max(size)).expect("a sparse file");
        fs::write(blob("template"), template).expect("a file");
        fs::write(blob("params"), parameters).expect("a file");
        let layer = |kind: &str| {
            json!({
                "mediaType": format!("application/vnd.ollama.image.{kind}"),
                "digest": format!("sha256:{digest}{kind}"),
                "size": blob(kind).metadata().expect("a file").len(),
            })
        };
        let manifest = json!({"layers": [layer("model"), layer("template"), layer("params")]});
        let place = store.join("manifests/registry.ollama.ai/library").join(model).join(tag);
        fs::create_dir_all(place.parent().expect("a directory")).expect("a directory");
        fs::write(place, manifest.to_string()).expect("a file");
    }

    /// Installs a fake nvidia-smi that reports one card (in MiB) and creates a file when it runs.
    pub fn graphics(&self, total: u64, free: u64) {
        let mark = self.root().join("asked");
        let script = format!("#!/bin/sh\n: >{}\necho '{total}, {free}'\n", mark.display());
        super::write_program(&self.bin().join("nvidia-smi"), script);
    }

    /// Installs a fake nvidia-smi that reports enough memory for any model.
    pub fn ample_memory(&self) {
        let script = format!("#!/bin/sh\necho '{ENOUGH}, {ENOUGH}'\n");
        super::write_program(&self.bin().join("nvidia-smi"), script);
    }

    /// Returns whether the fake nvidia-smi of [`Stage::graphics`] ran.
    pub fn graphics_were_asked(&self) -> bool {
        self.root().join("asked").exists()
    }
}
